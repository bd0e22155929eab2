"""colorize-run in scripts: --json against its schema, and shell completion."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from click.shell_completion import CompletionItem, ShellComplete
from PIL import Image

from colorize.runtime import cli as run_cli
from colorize.runtime.cli import main
from colorize.runtime.colorizer import Colorizer
from colorize.runtime.engines.select import BACKENDS

Run = Callable[..., subprocess.CompletedProcess[str]]
SCHEMA = json.loads(Path(run_cli.__file__).with_name("run.schema.json").read_text(encoding="utf-8"))


def _valid(text: str) -> Any:
    found = json.loads(text)
    jsonschema.validate(found, SCHEMA)
    return found


def _events(run: subprocess.CompletedProcess[str]) -> list[dict[str, Any]]:
    return [_valid(line) for line in run.stdout.splitlines()]


def test_each_file_is_an_event_and_the_end_has_the_exit_code(
    folder: Path, colorize_run: Run, small_video: Path
) -> None:
    shutil.copy(small_video, folder / "film.mp4")
    (folder / "torn.jpg").write_bytes(b"\xff\xd8\xff\xe0 torn")
    run = colorize_run(folder, "--json")
    assert run.returncode == 3
    start, *events, end = _events(run)
    assert (start["type"], start["backend"], start["working_size"]) == ("start", "openvino", 64)
    film, photo, torn = (event for event in events if event["type"] == "file")
    assert film["target"] == str(folder / "film_colorized.mp4")
    assert (film["figures"]["frames"], film["figures"]["resumed"]) == (10, 0)
    assert film["figures"]["encode_seconds"] <= film["figures"]["seconds"]
    assert photo["source"] == str(folder / "photo.png")
    assert (folder / "photo_colorized.png").is_file()
    assert (torn["target"], torn["error"]["kind"]) == (None, "InputError")
    assert torn["error"]["message"].startswith(str(folder / "torn.jpg"))
    assert end == {"type": "end", "exit_code": 3, "colored": 2, "failed": 1, "skipped": 0}
    assert "10 frames" in run.stderr  # a person still sees what goes on
    (folder / "torn.jpg").unlink()
    *_, note, end = _events(colorize_run(folder, "--json"))
    assert note["message"].startswith("2 of 2 finished by an earlier run")
    assert end == {"type": "end", "exit_code": 0, "colored": 0, "failed": 0, "skipped": 2}


def test_a_lone_failure_is_an_event_too(folder: Path, colorize_run: Run) -> None:
    (folder / "torn.jpg").write_bytes(b"\xff\xd8\xff\xe0 torn")
    run = colorize_run(folder / "torn.jpg", "--json")
    assert run.returncode == 2
    _, file, end = _events(run)
    assert file["error"]["message"] in run.stderr
    assert (end["exit_code"], end["failed"]) == (2, 1)


def test_notices_come_with_their_file(folder: Path, colorize_run: Run) -> None:
    with Image.open(folder / "photo.png") as picture:
        picture.save(folder / "two.webp", save_all=True, append_images=[picture.rotate(180)])
    events = _events(colorize_run(folder / "two.webp", "--json"))
    [notice] = [event for event in events if event["type"] == "notice"]
    assert notice["source"] == str(folder / "two.webp")
    assert notice["topic"] == "output"
    assert "only the first of its 2 pictures" in notice["message"]


def test_a_dry_run_is_an_event_a_file(
    folder: Path, colorize_run: Run, small_video: Path, tmp_path: Path
) -> None:
    shutil.copy(small_video, folder / "film.mp4")
    (folder / "torn.jpg").write_bytes(b"\xff\xd8\xff\xe0 torn")
    target, refs = tmp_path / "out", tmp_path / "refs"
    refs.mkdir()
    Image.new("RGB", (64, 48), "red").save(refs / "ref_000003.png")
    run = colorize_run(folder, "-o", target, "--references", refs, "--dry-run", "--json")
    assert run.returncode == 3, run.stderr
    *events, end = _events(run)
    [start] = (event for event in events if event["type"] == "start")
    assert start["files"] == 3
    film, photo, torn = (event for event in events if event["type"] == "plan")
    assert film["target"] == str(target / "film_colorized.mp4")
    assert film["film"] == {
        "width": 64,
        "height": 48,
        "frames": 10,
        "scenes": [{"first": 0, "last": 9, "references": ["ref_000003.png"]}],
    }
    assert film["estimate"]["seconds"] > 0
    assert photo["estimate"]["size"] > 1000
    assert (photo["film"], photo["error"]) == (None, None)
    assert (torn["target"], torn["estimate"]) == (None, None)
    assert torn["error"]["kind"] == "InputError"
    assert end == {"type": "end", "exit_code": 3, "colored": 0, "failed": 1, "skipped": 0}
    assert not target.exists()


def test_json_and_a_picture_do_not_share_stdout(folder: Path, colorize_run: Run) -> None:
    run = colorize_run(folder / "photo.png", "-o", "-", "--json")
    assert (run.returncode, run.stdout) == (2, "")
    assert "--json writes to stdout" in run.stderr


def test_an_interrupted_run_has_no_end(
    folder: Path, colorize_run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Colorizer, "chroma", interrupted)
    run = colorize_run(folder / "photo.png", "--json")
    assert run.returncode == 130
    assert [event["type"] for event in _events(run)] == ["start"]


def test_models_and_devices_as_json(in_process: Run, tiny_model: Path, tmp_path: Path) -> None:
    bundled = {
        model["name"]: model for model in _valid(_json(in_process, "--list-models"))["models"]
    }
    assert bundled["default"]["figures"]["psnr_db"] > 20
    assert Path(bundled["default"]["path"]).stat().st_size == bundled["default"]["bytes"]
    shutil.copy(tiny_model, tmp_path / "torn.onnx")
    (tmp_path / "torn.json").write_text("{")
    run = in_process(main, "--list-models", "--model", tmp_path, "--json")
    assert run.returncode == 3
    assert "torn.json" in _valid(run.stdout)["models"][0]["problem"]
    devices = _valid(_json(in_process, "--list-devices"))["devices"]
    assert {device["backend"] for device in devices} == set(BACKENDS) - {"auto"}
    [cpu] = [each for each in devices if (each["backend"], each["device"]) == ("openvino", "cpu")]
    assert cpu["problem"] is None


def _json(in_process: Run, option: str) -> str:
    run = in_process(main, option, "--json")
    assert run.returncode == 0
    return run.stdout


def test_the_schema_refuses_what_is_none_of_its_events() -> None:
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"type": "end", "exit_code": 0}, SCHEMA)
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


def _completed(arguments: list[str], typed: str) -> list[CompletionItem]:
    shell = ShellComplete(main, {}, "colorize-run", "_COLORIZE_RUN_COMPLETE")
    return shell.get_completions(arguments, typed)


def _words(arguments: list[str], typed: str) -> set[str]:
    return {item.value for item in _completed(arguments, typed)}


def test_options_and_their_values_complete() -> None:
    assert _words([], "--list-") == {"--list-models", "--list-devices"}
    assert _words(["--model"], "une") == {"unet", "unetgan"}
    assert _words(["--backend"], "") == set(BACKENDS)
    assert _words(["--codec"], "libx") == {"libx264", "libx265"}
    [file] = _completed(["--model"], "mine/")
    assert (file.type, file.value) == ("file", "mine/")  # the shell looks for files


def test_architectures_complete_as_the_registry_has_them() -> None:
    from colorize.train.architectures import ARCHITECTURES
    from colorize.train.cli import main as train

    shell = ShellComplete(train, {}, "colorize-train", "_COLORIZE_TRAIN_COMPLETE")
    found = {item.value for item in shell.get_completions(["--arch"], "")}
    assert found == set(ARCHITECTURES)


BASH = shutil.which("bash")


@pytest.mark.skipif(BASH is None, reason="bash is not installed")
def test_bash_completes_with_the_documented_line(tmp_path: Path) -> None:
    """The line of docs/scripting.md, and then what bash does when the user presses Tab."""
    page = Path(__file__).parents[2] / "docs" / "scripting.md"
    lines = page.read_text(encoding="utf-8").splitlines()
    [line] = [text for text in lines if "=bash_source" in text]
    command = tmp_path / "colorize-run"
    code = "from colorize.runtime.cli import main\nmain(prog_name='colorize-run')\n"
    command.write_text(f"#!{sys.executable}\n{code}")
    command.chmod(0o755)
    script = f"""
    {line}
    COMP_WORDS=(colorize-run --model unetg) COMP_CWORD=2
    _colorize_run_completion colorize-run
    echo "${{COMPREPLY[@]}}"
    """
    environment = {**os.environ, "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"}
    found = subprocess.run(
        [str(BASH), "-c", script], capture_output=True, text=True, check=False, env=environment
    )
    assert found.stdout.split() == ["unetgan"], found.stderr
