"""What pip installs, in an environment of its own."""

import os
import re
import shlex
import shutil
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    # A copy: what earlier builds left behind would find its way into the wheel.
    left = shutil.ignore_patterns(".*", "build", "*.egg-info", "runs", "exports", "colored")
    source = shutil.copytree(ROOT, folder / "source", ignore=left)
    command = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--no-deps",
        "-q",
        "-w",
        str(folder),
        str(source),
    ]
    subprocess.run(command, check=True)
    [path] = folder.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def base(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of commands of an environment with the base install alone."""
    folder = tmp_path_factory.mktemp("base")
    venv.create(folder, with_pip=True)
    commands = folder / ("Scripts" if os.name == "nt" else "bin")
    subprocess.run([commands / "python", "-m", "pip", "install", "-q", str(wheel)], check=True)
    return commands


def run(command: str | Path, *arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [command, *arguments], cwd=cwd, capture_output=True, text=True, check=False
    )


def test_all_extras_but_that_for_gpus_resolve_together(wheel: Path, tmp_path: Path) -> None:
    """That one brings the ONNX Runtime that excludes the other."""
    with zipfile.ZipFile(wheel) as archive:
        [name] = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        text = archive.read(name).decode()
    extras = set(re.findall(r"^Provides-Extra: (.+)$", text, re.M)) - {"gpu"}
    assert {"all", "docs", "dev", "heif", "raw", "vapoursynth"} <= extras
    pip = [sys.executable, "-m", "pip", "install", "--dry-run"]
    result = run(*pip, f"{wheel}[{','.join(sorted(extras))}]", cwd=tmp_path)
    if "NewConnectionError" in result.stderr or "ConnectTimeoutError" in result.stderr:
        pytest.skip("no package index answers")
    assert result.returncode == 0, result.stderr
    assert "Would install" in result.stdout or "already satisfied" in result.stdout
    assert "does not provide the extra" not in result.stderr


def test_the_wheel_brings_models_and_samples_and_no_tests(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    models = {name for name in names if name.startswith("colorize/runtime/models/")}
    for model in ("default", "gan", "resnet", "unet", "unetgan"):
        assert {
            f"colorize/runtime/models/{model}.{suffix}" for suffix in ("onnx", "json")
        } <= models
    assert "colorize/runtime/models/default.safetensors" in models
    for wanted in ("page.html", "results.schema.json"):
        assert f"colorize/bench/report/{wanted}" in names
    assert "colorize/runtime/run.schema.json" in names
    for folder, least in (("train", 20), ("test", 14)):
        prefix = f"colorize/runtime/samples/{folder}/"
        assert sum(name.startswith(prefix) for name in names) >= least
    for wanted in ("clip.mp4", "SOURCES.md", "GPL-2.0.txt"):
        assert f"colorize/runtime/samples/{wanted}" in names
    tops = {name.split("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"colorize"}
    assert not any("/tests/" in name for name in names)
    assert wheel.stat().st_size < 55_000_000


def test_the_base_install_colorizes_without_torch(base: Path, tmp_path: Path) -> None:
    """As the README's first command does, after its first two steps."""
    assert run(base / "colorize-run", "--help", cwd=tmp_path).returncode == 0
    for absent in ("torch", "onnxruntime", "onnx"):
        assert run(base / "python", "-c", f"import {absent}", cwd=tmp_path).returncode != 0
    samples = shutil.copytree(ROOT / "runtime" / "samples", tmp_path / "runtime" / "samples")
    command = re.search(r"&& \.venv/bin/(colorize-run .*)", (ROOT / "README.md").read_text())
    assert command is not None
    name, *arguments = shlex.split(command[1])
    result = run(base / name, *arguments, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    photos = {f"{path.stem}_colorized.jpg" for path in (samples / "test").iterdir()}
    written = {path.name for path in (tmp_path / "colored").iterdir()}
    assert written == {"clip_colorized.mp4"} | photos


@pytest.mark.parametrize("name", ["train", "export", "bench"])
def test_a_missing_extra_is_one_line_with_the_mend(base: Path, tmp_path: Path, name: str) -> None:
    result = run(base / f"colorize-{name}", cwd=tmp_path)
    assert result.returncode == 2
    [line] = result.stderr.splitlines()
    assert f"pip install 'colorize-toolkit[{name}]'" in line
    assert run(base / f"colorize-{name}", "--help", cwd=tmp_path).returncode == 0


def test_every_command_answers_to_version(base: Path, tmp_path: Path) -> None:
    for name in ("run", "train", "export", "bench"):
        result = run(base / f"colorize-{name}", "--version", cwd=tmp_path)
        assert result.stdout.startswith(f"colorize-{name}, version ")


def test_types_reach_the_code_that_uses_the_package(base: Path, tmp_path: Path) -> None:
    caller = tmp_path / "caller.py"
    caller.write_text(
        "from pathlib import Path\n"
        "from colorize.runtime.colorizer import Colorizer\n"
        "with Colorizer(Path('net.onnx'), size=256) as colorizer:\n"
        "    reveal_type(colorizer)\n"
        "Colorizer(size='large')\n"
    )
    mypy = [sys.executable, "-m", "mypy", "--strict", "--cache-dir", str(tmp_path / "cache")]
    result = subprocess.run(
        [*mypy, "--python-executable", str(base / "python"), "caller.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "MYPYPATH": ""},
    )
    said, wrong, _ = result.stdout.splitlines()
    assert said.startswith('caller.py:4: note: Revealed type is "colorize.runtime.colorizer.Col')
    assert wrong.startswith('caller.py:5: error: Argument "size" to "Colorizer" has incompatible')
