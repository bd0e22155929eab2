"""The README's commands do what it says."""

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import onnx
import pytest

from colorize.export.graphs.image import image_graph
from colorize.runtime.models.catalog import MODELS, SAMPLES

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def examples() -> list[str]:
    """Return the lines behind a $ in the README's console blocks, in order."""
    blocks = re.findall(r"```console\n(.*?)```", README, re.S)
    return [line[2:] for block in blocks for line in block.splitlines() if line.startswith("$ ")]


def test_the_four_commands_are_shown() -> None:
    shown = {shlex.split(command)[0] for command in examples()}
    assert {"colorize-run", "colorize-train", "colorize-export", "colorize-bench"} <= shown


def test_links_and_pictures_exist() -> None:
    targets = re.findall(r"\]\((?!https?:)([^)#]+)\)", README)
    assert targets
    assert [target for target in targets if not (ROOT / target).exists()] == []


def test_tests_that_are_said_to_prove_something_exist() -> None:
    pages = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")]
    named = {name for page in pages for name in re.findall(r"tests/[\w/]+\.py", page.read_text())}
    assert len(named) > 3
    assert [name for name in sorted(named) if not (ROOT / name).is_file()] == []


def test_python_examples_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copy(SAMPLES / "test" / "temple.jpg", tmp_path / "photo.jpg")
    shutil.copy(SAMPLES / "clip.mp4", tmp_path / "film.mp4")
    picture = image_graph(onnx.load(MODELS / "default.onnx"))  # as the command before it makes
    (tmp_path / "picture.onnx").write_bytes(picture.SerializeToString())
    blocks = re.findall(r"```python\n(.*?)```", README, re.S)
    assert blocks
    for block in blocks:
        subprocess.run([sys.executable, "-c", block], check=True)
    assert (tmp_path / "film_in_color.mp4").is_file()
    assert (tmp_path / "photo_by_onnxruntime.png").is_file()


@pytest.mark.slow
def test_the_examples_run_one_after_another(tmp_path: Path) -> None:
    """All in one folder: later ones use what earlier ones made."""
    shutil.copytree(ROOT / "runtime" / "samples", tmp_path / "runtime" / "samples")
    commands = Path(sys.executable).parent
    for command in examples():
        name, *arguments = shlex.split(command)
        result = subprocess.run(
            [commands / name, *arguments], cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert result.returncode == 0, f"{command}\n{result.stderr}"


@pytest.mark.slow
def test_the_fine_tuning_example_runs(tmp_path: Path) -> None:
    """Word for word, but for the photographs and the hour."""
    [block] = re.findall(r"```sh\n(colorize-train --init-from.*?)```", README, re.S)
    shutil.copy(SAMPLES / "test" / "temple.jpg", tmp_path / "old_photo.jpg")
    commands = Path(sys.executable).parent
    for line in block.replace("~/photos", str(SAMPLES / "train")).replace("1h", "15s").splitlines():
        name, *arguments = shlex.split(line)
        subprocess.run([commands / name, *arguments], cwd=tmp_path, check=True)
    assert (tmp_path / "old_photo_colorized.jpg").is_file()
