"""Other people's files that cannot be imported: one line, and nothing that they hold is run."""

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result
from helpers.onnx_models import save_onnx

from colorize.export.cli import main


def run(*arguments: str | Path | int) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


class Bomb:
    def __reduce__(self) -> tuple[Any, ...]:
        return (print, ("the pickle ran",))


def test_files_that_hold_code_are_refused(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    torch.save({"weight": Bomb()}, tmp_path / "bomb.pth")
    (tmp_path / "raw.pth").write_bytes(pickle.dumps(Bomb()))
    for name in ("bomb.pth", "raw.pth"):
        result = run("--import", tmp_path / name, "-o", tmp_path / "ours.onnx")
        assert result.exit_code == 2
        [line] = result.stderr.splitlines()
        assert "holds more than weights" in line
    assert "the pickle ran" not in capfd.readouterr().out
    assert not (tmp_path / "ours.onnx").exists()


def _torch_file(path: Path, content: object) -> Path:
    torch.save(content, path)
    return path


def _truncated(path: Path) -> Path:
    torch.save({"w": torch.zeros(4000)}, path)
    path.write_bytes(path.read_bytes()[:5000])
    return path


BAD: dict[str, tuple[Callable[[Path], Path], str, str]] = {
    "missing": (lambda folder: folder / "none.pth", "", "none.pth: no such file"),
    "truncated": (lambda folder: _truncated(folder / "cut.pth"), "", "cut.pth: damaged"),
    "of something else": (
        lambda folder: _torch_file(folder / "x.pth", {"w": torch.zeros(2)}),
        "",
        "none of DDColor, siggraph17 and eccv16; export it to ONNX",
    ),
    "no tensors": (
        lambda folder: _torch_file(folder / "x.pth", {"epoch": 3}),
        "",
        "holds no state dict of tensors",
    ),
    "half a network": (
        lambda folder: _torch_file(
            folder / "x.pth", {"model1short10.0.weight": torch.zeros(128, 64, 3, 3)}
        ),
        "",
        "not the weights of siggraph17",
    ),
    "onnx of no kind": (
        lambda folder: save_onnx(folder / "x.onnx", (1, 2), ("N", "H", "W")),
        "",
        "say with --takes and --gives what it computes",
    ),
    "onnx of half a kind": (
        lambda folder: save_onnx(folder / "x.onnx", (1, 2), ("N", "H", "W")),
        "--takes L",
        "--takes and --gives belong together",
    ),
    "onnx of another kind": (
        lambda folder: save_onnx(folder / "x.onnx", (1, 2), ("N", "H", "W")),
        "--takes gray-rgb --gives ab",
        "L is tensor(float) ['N', 1, 'H', 'W']; what --takes and --gives say needs float32 [N, 3",
    ),
    "a range that is none": (
        lambda folder: save_onnx(folder / "x.onnx", (1, 2), ("N", "H", "W")),
        "--takes L --gives ab --takes-range 1,0",
        "a range is LOW,HIGH or imagenet",
    ),
    "fp16 of onnx": (
        lambda folder: save_onnx(folder / "x.onnx", (1, 2), ("N", "H", "W")),
        "--takes L --gives ab --engine fp16",
        "an ONNX file keeps the precision that it has",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_what_cannot_be_imported_is_one_line(name: str, tmp_path: Path) -> None:
    make, options, message = BAD[name]
    source = make(tmp_path)
    result = run("--import", source, *options.split(), "-o", tmp_path / "ours.onnx")
    assert result.exit_code == 2, result.output
    [line] = result.stderr.splitlines()
    assert message in line
    assert not (tmp_path / "ours.onnx").exists()


def test_a_wrapper_that_changes_colors_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from colorize.export.foreign import job

    real = job.reference
    monkeypatch.setattr(job, "reference", lambda *given: real(*given) + np.float32(2))
    source = save_onnx(tmp_path / "theirs.onnx", (1, 2), ("N", "H", "W"))
    result = run("--import", source, "--takes", "L", "--gives", "ab", "-o", tmp_path / "ours.onnx")
    assert result.exit_code == 1
    assert "refused: onnxruntime, fp32: levels mean" in result.stderr.splitlines()[-1]
    assert {path.name for path in tmp_path.iterdir()} == {"theirs.onnx", "ours.refused.onnx"}
