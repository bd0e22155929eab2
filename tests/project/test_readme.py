"""What README, CONTRIBUTING, docs/ and the model cards show is true: links, names, commands, code.

Blocks marked `console` and `python` are run, those marked `sh` in test_page_commands.py. Commands
and options inside sentences are held against the real options of the commands.
"""

import ast
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from html import unescape
from importlib import import_module
from pathlib import Path

import click
import markdown
import onnx
import pytest
from helpers.pages import PAGES, ROOT, blocks

from colorize.export.graphs.image import image_graph
from colorize.runtime.models.catalog import MODELS, SAMPLES

README = ROOT / "README.md"
ARCHITECTURE = ROOT / "docs" / "architecture.md"
COMMANDS = ("run", "train", "export", "bench")
FLOORS = ("runtime", "train", "export", "bench")
MODULES = {
    "colorize-run": "colorize.runtime.cli",
    "colorize-web": "colorize.runtime.web.cli",
    **{f"colorize-{name}": f"colorize.{name}.cli" for name in COMMANDS[1:]},
}
MAINS = [
    *MODULES.values(),
    "colorize.bench.compare_runs",
    "colorize.bench.training_speed",
    "colorize.bench.bounds",
    "colorize.bench.cluster",
    "colorize.bench.cluster.scaling",
]
OTHERS = {
    "ray",
    "srun",
    "cp",
    "vapoursynth",
    "vspipe",
    "docker",
    "twine",
    "ffmpeg",
    "jq",
    "mkdocs",
    "mpv",
    "npm",
    "pip",
    "ruff",
    "mypy",
    "sha256sum",
    "tensorboard",
}
"""Programs that are not ours."""
THEIRS = {
    "--build-arg",
    "--user",
    "--help",
    "--logdir",
    "--nproc-per-node",
    "--prefix",
    "--version",
}
"""Options that are theirs, or click's."""
CONTROL = {"&&", "|", "||", ";"}

per_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)


def _prose(page: Path) -> str:
    """Return PAGE without its blocks of code."""
    return re.sub(r"^ *```.*?^ *```", "", page.read_text(encoding="utf-8"), flags=re.S | re.M)


def _spans(page: Path) -> list[str]:
    """Return what stands in backticks inside sentences."""
    return [" ".join(span.split()) for span in re.findall(r"`([^`]+)`", _prose(page))]


def _examples(page: Path) -> list[str]:
    """Return the lines behind a $ in PAGE's console blocks, in order."""
    lines = "".join(blocks(page, "console")).splitlines()
    return [line[2:] for line in lines if line.startswith("$ ")]


def _commands(text: str) -> Iterator[list[str]]:
    """Yield the words of each command in shell TEXT, without redirections."""
    for line in text.replace("\\\n", " ").splitlines():
        words = shlex.shlex(line, posix=True, punctuation_chars=True)
        words.whitespace_split = True
        command: list[str] = []
        redirected = False
        for word in words:
            if word in CONTROL:
                yield command
                command = []
            elif not redirected and word not in ("<", ">"):
                command.append(word)
            redirected = word in ("<", ">")
        if command:
            yield command


def _ours(command: list[str]) -> tuple[str, list[str]] | None:
    """Return the module and the arguments of one of this package's commands; None for others."""
    name = command[0].removeprefix(".venv/bin/")
    if name in MODULES:
        return MODULES[name], command[1:]
    if "-m" in command[:12] and command[command.index("-m") + 1].startswith("colorize."):
        at = command.index("-m") + 1
        return command[at], command[at + 1 :]
    return None


def _check(command: list[str]) -> None:
    """Parse COMMAND as the program that it names would; nothing is run."""
    ours = _ours(command)
    if ours is not None:
        main = _main(ours[0])
        try:
            if ours[1]:  # one that is only named stands for what it does
                main.make_context(command[0], list(ours[1]))
        except click.exceptions.Exit:  # --help, --version
            pass
        except click.UsageError as error:
            raise AssertionError(f"{shlex.join(command)}: {error.format_message()}") from error
        return
    name = command[0].removeprefix(".venv/bin/")
    if name == "pytest":
        named = [word for word in command[1:] if word.startswith("tests")]
        assert [path for path in named if not (ROOT / path).exists()] == [], command
    elif name in ("bash", ".ci/pycuda"):
        assert (ROOT / command[name == "bash"]).is_file(), command
    elif name == "python":
        assert command[1:] == ["-m", "build"], command
    elif name == "python3":
        assert command[1:3] in (["-m", "venv"], ["-m", "http.server"]), command
    else:
        assert name in OTHERS, f"{shlex.join(command)}: a program that no page names"


def _main(module: str) -> click.Command:
    """Return the command that `python -m MODULE` runs."""
    package = ROOT.joinpath(*module.split(".")[1:])
    name = f"{module}.__main__" if (package / "__main__.py").is_file() else module
    main = import_module(name).main
    assert isinstance(main, click.Command)
    return main


def test_the_readme_is_short_and_its_two_commands_are_the_first() -> None:
    assert len(README.read_text(encoding="utf-8").splitlines()) <= 160
    first, second = (list(_commands(block)) for block in blocks(README, "sh")[:2])
    assert [command[0] for command in first] == [
        "python3",
        ".venv/bin/pip",
        ".venv/bin/colorize-run",
    ]
    assert first[1][1:] == ["install", "."]
    assert second[1][1:] == ["install", ".[all,dev]"]
    assert second[2] == [".venv/bin/pytest"]


def test_the_four_commands_are_shown() -> None:
    shown = {shlex.split(command)[0] for page in PAGES for command in _examples(page)}
    assert shown == {f"colorize-{name}" for name in COMMANDS}


@per_page
def test_links_and_pictures_exist(page: Path) -> None:
    for target, heading in re.findall(r"\]\((?!https?:)([^)#]*)#?([^)]*)\)", _prose(page)):
        file = page.parent / target if target else page
        assert file.exists(), f"{page.name}: {target}"
        assert not heading or heading in _slugs(file), f"{page.name}: {target}#{heading}"


def _slugs(page: Path) -> set[str]:
    """Return the names under which GitHub links to PAGE's headings."""
    headings = re.findall(r"^#+ (.*)$", _prose(page), re.M)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in headings}


@per_page
def test_tests_that_prove_something_exist(page: Path) -> None:
    named = re.findall(r"tests/[\w/]+\.py", page.read_text(encoding="utf-8"))
    assert [name for name in sorted(named) if not (ROOT / name).is_file()] == []


@per_page
def test_commands_have_the_options_that_they_are_shown_with(page: Path) -> None:
    for text in (*blocks(page, "sh"), *_examples(page)):
        for command in _commands(text):
            _check(command)
    for span in _spans(page):
        if re.match(r"(colorize-\w+|python -m colorize\S+|pytest|bash)( |$)", span):
            for command in _commands(span):
                _check(command)


@per_page
def test_options_in_sentences_exist(page: Path, options: set[str]) -> None:
    named = {name for span in _spans(page) for name in re.findall(r"(?<![\w-])--[a-z][\w-]*", span)}
    assert named - options == set()


@pytest.fixture(scope="module")
def options() -> set[str]:
    """Every option of every command of this package."""
    params = [param for name in MAINS for param in _main(name).params]
    return THEIRS | {opt for param in params for opt in (*param.opts, *param.secondary_opts)}


def test_a_wrong_option_and_a_wrong_program_are_found() -> None:
    for line in ("colorize-run --wobble photo.jpg", "python -m colorize.bench.bounds --wobble 1"):
        with pytest.raises(AssertionError, match="No such option"):
            _check(next(_commands(line)))
    with pytest.raises(AssertionError, match="no page names"):
        _check(["wobble"])
    piped = "ffmpeg -i a.mkv - | colorize-run - -o - > b.y4m && mpv b.y4m  # a comment"
    assert [command[-1] for command in _commands(piped)] == ["-", "-", "b.y4m"]


def test_the_page_of_options_has_every_option_of_every_command() -> None:
    """As the documentation site makes it, from the commands themselves."""
    page = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
    html = unescape(markdown.markdown(page, extensions=["mkdocs-click", "fenced_code"]))
    sections = dict(re.findall(r"<h2>(.+?)</h2>\n(.*?)(?=<h2>|\Z)", html, re.S))
    mains = {main.name: main for main in map(_main, MAINS)}
    assert sections.keys() == mains.keys()
    for name, main in mains.items():
        given = {opt for param in main.params for opt in (*param.opts, *param.secondary_opts)}
        listed = re.findall(r"(?:^|>) {2}(-\S.*?)(?:  |$)", sections[name], re.M)
        named = {word for line in listed for word in re.findall(r"(?<!\S)--?[a-z][\w-]*", line)}
        assert named - {"--help"} == {opt for opt in given if opt.startswith("-")}, name


def test_the_messages_that_are_explained_are_said_somewhere() -> None:
    """In the code, where a long message is several strings in a row, with names in between."""
    page = (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
    messages = re.findall(r"^\*\*`(.+)`\*\*", page, re.M)
    assert len(messages) > 10
    sources = [path for floor in FLOORS for path in (ROOT / floor).rglob("*.py")]
    code = "".join(path.read_text(encoding="utf-8") for path in sources)
    code = re.sub(r'"\s*f?"', "", code)
    parts = {part for message in messages for part in re.split(r"\.\.\.|`\*\*, \*\*`", message)}
    assert [part for part in parts if part.strip() not in code] == []


def test_the_functions_that_the_architecture_page_walks_through_exist() -> None:
    named = re.findall(r"`([\w/]+\.py):([\w.]+)`", _prose(ARCHITECTURE))
    assert len(named) > 30
    missing = [f"{file}:{name}" for file, name in named if name not in _names_in(ROOT / file)]
    assert missing == []


def _names_in(file: Path) -> set[str]:
    """Return the functions, classes, methods (Class.method) and constants that FILE defines."""
    if not file.is_file():
        return set()
    found = set()
    for node in ast.parse(file.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found.add(node.name)
        if isinstance(node, ast.ClassDef):
            methods = (inner.name for inner in node.body if isinstance(inner, ast.FunctionDef))
            found |= {f"{node.name}.{name}" for name in methods}
        if isinstance(node, ast.Assign):
            found |= {target.id for target in node.targets if isinstance(target, ast.Name)}
    return found


def test_the_architecture_page_draws_every_room() -> None:
    drawing = "".join(blocks(ARCHITECTURE, "text"))
    rooms = [
        init.parent.relative_to(ROOT)
        for floor in FLOORS
        for init in (ROOT / floor).rglob("__init__.py")
    ]
    assert len(rooms) > 20
    assert [str(room) for room in rooms if f"{room.name}/" not in drawing] == []


RUN_BLOCKS = """
import sys
from pathlib import Path
for number, block in enumerate(Path(name).read_text() for name in sys.argv[1:]):
    exec(compile(block, f"example {number}", "exec"), {"__name__": "__main__"})
"""


def test_python_examples_run(
    tmp_path: Path, small_video: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In one process, each with names of its own: importing takes longer than they do."""
    monkeypatch.chdir(tmp_path)
    shutil.copy(SAMPLES / "test" / "temple.jpg", tmp_path / "photo.jpg")
    shutil.copy(small_video, tmp_path / "film.mp4")
    picture = image_graph(onnx.load(MODELS / "default.onnx"))  # as the command before it makes
    (tmp_path / "picture.onnx").write_bytes(picture.SerializeToString())
    (tmp_path / "third").mkdir()
    for network in ("second.safetensors", "third/checkpoint.safetensors"):
        shutil.copy(MODELS / "default.safetensors", tmp_path / network)
    examples = [block for page in PAGES for block in blocks(page, "python")]
    assert len(examples) > 2
    for number, block in enumerate(examples):
        (tmp_path / f"{number}.py").write_text(block, encoding="utf-8")
        deeper = re.findall(r"(?:from|import) (colorize\.runtime\.\S+)", block)
        assert not deeper, "an example needs only what colorize.runtime exports"
    files = [f"{number}.py" for number in range(len(examples))]
    subprocess.run([sys.executable, "-c", RUN_BLOCKS, *files], check=True)
    assert (tmp_path / "photo_in_color.png").is_file()
    assert (tmp_path / "film_in_color.mp4").is_file()
    assert (tmp_path / "photo_by_onnxruntime.png").is_file()


@pytest.mark.slow
def test_the_examples_run_one_after_another(tmp_path: Path) -> None:
    """All in one folder: later ones use what earlier ones made."""
    shutil.copytree(SAMPLES, tmp_path / "runtime" / "samples")
    commands = Path(sys.executable).parent
    for command in dict.fromkeys(line for page in PAGES for line in _examples(page)):
        name, *arguments = shlex.split(command)
        result = subprocess.run(
            [commands / name, *arguments], cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert result.returncode == 0, f"{command}\n{result.stderr}"
