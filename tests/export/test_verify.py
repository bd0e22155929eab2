"""colorize-export --verify and --list."""

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from colorize.runtime.engines.cuda import devices
from colorize.runtime.engines.tensorrt.plan import engine_path
from colorize.runtime.models.catalog import find_model
from colorize.runtime.models.sidecar import read_proofs, read_sidecar, sidecar_path

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def shelf(exported: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder whose exports/ holds a copy of all that was exported."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(exported["fp32"].parent, tmp_path / "exports")
    return tmp_path / "exports"


@pytest.mark.parametrize("name", ["fp32", "fp16", "compact"])
def test_a_good_file_is_proved_again(
    name: str, shelf: Path, checkpoint_file: Path, colorize_export: Run
) -> None:
    before = {path.name: path.read_bytes() for path in shelf.iterdir()}
    run = colorize_export("--verify", shelf / f"{name}.onnx", "--checkpoint", checkpoint_file)
    assert run.returncode == 0, run.stderr
    assert run.stdout == f"{shelf / name}.onnx: good\n"
    for proof in read_proofs(shelf / f"{name}.onnx"):
        assert f"proved: {proof['engine']}, {proof['precision']}: " in run.stderr
        assert f"mean {proof['mean']:.4f} " in run.stderr
    assert {path.name: path.read_bytes() for path in shelf.iterdir()} == before


def test_a_changed_file_fails(shelf: Path, checkpoint_file: Path, colorize_export: Run) -> None:
    path = shelf / "fp32.onnx"
    model = onnx.load(path)
    for weight in model.graph.initializer:
        if len(weight.dims) == 4:  # a convolution
            scaled = numpy_helper.to_array(weight) * np.float32(1.05)
            weight.CopyFrom(numpy_helper.from_array(scaled, weight.name))
    onnx.save(model, path)
    known = colorize_export("--verify", path, "--checkpoint", checkpoint_file)
    assert known.returncode == 2
    assert "damaged or replaced" in known.stderr
    sidecar_path(path).unlink()
    run = colorize_export("--verify", path, "--checkpoint", checkpoint_file)
    assert run.returncode == 1
    assert "failed: onnxruntime, fp32: |Δab| mean" in run.stderr
    assert run.stderr.splitlines()[-1].startswith("colorize-export: refused: onnxruntime, fp32: |")
    assert run.stdout == ""


def test_the_checkpoint_is_found_by_its_content(
    shelf: Path, checkpoint_file: Path, colorize_export: Run
) -> None:
    run = colorize_export("--verify", shelf / "fp32.onnx")
    assert run.returncode == 2
    assert "not bundled, not beside it and not below runs/; name it with --checkpoint" in run.stderr
    trained = Path("runs/unet/20260101-000000/checkpoint.safetensors")
    trained.parent.mkdir(parents=True)
    shutil.copy(checkpoint_file, trained)
    run = colorize_export("--verify", shelf / "fp32.onnx")
    assert run.returncode == 0, run.stderr
    assert f"made from {trained}" in run.stderr


def test_the_bundled_model_is_good(colorize_export: Run) -> None:
    card = read_sidecar(find_model("default"))  # of this very file, else it is empty
    assert len(card["proofs"]) >= 2
    assert all(proof["passed"] for proof in card["proofs"])
    run = colorize_export("--verify", "default")
    assert run.returncode == 0, run.stderr


def test_another_checkpoint_is_refused(
    shelf: Path, checkpoint_file: Path, colorize_export: Run, tmp_path: Path
) -> None:
    other = tmp_path / "other.safetensors"
    other.write_bytes(checkpoint_file.read_bytes() + b" ")
    run = colorize_export("--verify", shelf / "fp32.onnx", "--checkpoint", other)
    assert run.returncode == 2
    assert f", which {other} is not" in run.stderr


def test_an_engine_is_verified_with_its_onnx_file(
    shelf: Path, checkpoint_file: Path, colorize_export: Run
) -> None:
    engine = engine_path(shelf / "fp16.onnx", "tensorrt_rtx")
    if not engine.exists():
        pytest.skip("tensorrt_rtx is not installed")
    run = colorize_export("--verify", engine, "--checkpoint", checkpoint_file)
    assert run.returncode == 0, run.stderr
    assert f"{engine}: whole, built by tensorrt_rtx" in run.stderr
    engine.write_bytes(engine.read_bytes()[:-5])
    run = colorize_export("--verify", engine, "--checkpoint", checkpoint_file)
    assert run.returncode == 2
    assert "truncated, or not the file that was built" in run.stderr


def test_the_list_shows_what_was_exported_and_what_runs(shelf: Path, colorize_export: Run) -> None:
    damaged = shelf / "cut.onnx"
    damaged.write_bytes((shelf / "fp32.onnx").read_bytes()[:2000])
    shutil.copy(shelf / "fp32.onnx", shelf / "old.refused.onnx")
    sidecar_path(shelf / "compact.onnx").unlink()
    run = colorize_export("--list")
    assert run.returncode == 0
    rows = {line.split()[0]: line for line in run.stdout.splitlines() if "exports/" in line}
    size = (shelf / "fp16.onnx").stat().st_size / 2**20
    half = rows["exports/fp16.onnx"]
    assert half.split()[1:3] == ["fp16", f"{size:.1f}"]
    assert "CIEDE2000 mean 0." in half
    assert "openvino, onnxruntime" in half
    assert "|Δab| mean 0.0000" in rows["exports/fp32.onnx"]
    assert "none beside it" in rows["exports/compact.onnx"]
    assert "no: exports/cut.onnx: not an ONNX file" in rows["exports/cut.onnx"]
    assert "no: it failed its proof" in rows["exports/old.refused.onnx"]
    if not devices() and (shelf / "fp16.rtx.engine").exists():
        assert "no: no NVIDIA driver reports a GPU" in rows["exports/fp16.rtx.engine"]


def test_an_empty_list_says_where_it_looked(
    colorize_export: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    run = colorize_export("--list")
    assert run.returncode == 0
    assert "nothing exported below exports/ or runs/" in run.stdout
