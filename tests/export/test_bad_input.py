"""What colorize-export cannot use: one line, the documented exit code, no half-written file."""

import pickle
import resource
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import onnx
import pytest

from colorize.export.jobs import checkpoint as job
from colorize.runtime.models.contract import ModelInfo

Run = Callable[..., subprocess.CompletedProcess[str]]


def the_line(run: subprocess.CompletedProcess[str], code: int) -> str:
    assert run.returncode == code, run.stderr
    assert "Traceback" not in run.stderr
    assert run.stdout == ""
    return run.stderr.splitlines()[-1]


@pytest.mark.parametrize("suffix", [".pth", ".ckpt", ".pkl"])
def test_a_pickle_is_refused_with_how_to_convert(
    suffix: str, colorize_export: Run, tmp_path: Path
) -> None:
    path = tmp_path / f"net{suffix}"
    path.write_bytes(pickle.dumps({"weight": [1.0]}))
    run = colorize_export("--checkpoint", path, "-o", tmp_path / "net.onnx")
    line = the_line(run, 2)
    assert "pickle checkpoints can run any code" in line
    assert f"colorize-export --import {path}" in line
    assert f"{path} {path.with_suffix('.safetensors')}" in line
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("kind", [("--engine", "fp32"), ("--engine", "fp16", "--graph", "image")])
@pytest.mark.parametrize("asked", [("--device", "cuda"), ("--compute-capability", "86")])
def test_a_gpu_asked_for_where_no_engine_is_built_is_refused(
    kind: tuple[str, ...], asked: tuple[str, ...], colorize_export: Run, tmp_path: Path
) -> None:
    run = colorize_export(*kind, *asked, "-o", tmp_path / "net.onnx")
    assert "is for TensorRT engines" in the_line(run, 2)


@pytest.mark.parametrize("keep", [0.5, 0.001, 0.0])
def test_a_truncated_checkpoint_is_refused(
    keep: float, colorize_export: Run, checkpoint_file: Path, tmp_path: Path
) -> None:
    whole = checkpoint_file.read_bytes()
    path = tmp_path / "cut.safetensors"
    path.write_bytes(whole[: int(len(whole) * keep)])
    run = colorize_export("--checkpoint", path, "-o", tmp_path / "net.onnx")
    assert "cut.safetensors: not a safetensors file, or a damaged one" in the_line(run, 2)
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("breach", "message"),
    [
        ({"input_name": "x"}, "inputs are x; the contract has one input, L"),
        ({"channels": 3}, "output ab has shape"),
        ({"sides": ("N", 64, "W")}, "input L fixes axis 2"),
    ],
)
def test_a_file_that_breaks_the_contract_is_named_with_its_first_breach(
    breach: dict[str, object],
    message: str,
    colorize_export: Run,
    save_model: Callable[..., Path],
    tiny_info: ModelInfo,
    tmp_path: Path,
) -> None:
    path = save_model(tmp_path / "breach.onnx", tiny_info.to_metadata(), **breach)
    line = the_line(colorize_export("--verify", path), 2)
    assert f"{path}: {message}" in line


def test_a_file_without_metadata_or_of_another_kind_is_named(
    colorize_export: Run, save_model: Callable[..., Path], tmp_path: Path
) -> None:
    strange = save_model(tmp_path / "strange.onnx", {})
    assert "not a colorizer of this toolkit" in the_line(colorize_export("--verify", strange), 2)
    text = tmp_path / "text.onnx"
    text.write_text("no model")
    assert "text.onnx: not an ONNX file" in the_line(colorize_export("--verify", text), 2)
    missing = tmp_path / "missing.onnx"
    assert "neither a file nor a bundled model" in the_line(colorize_export("--verify", missing), 2)
    engine = tmp_path / "missing.engine"
    assert "no such engine" in the_line(colorize_export("--verify", engine), 2)


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """A disk that takes SIZE bytes of each file: what comes after fails, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk_leaves_nothing(
    exported: dict[str, Path],
    checkpoint_file: Path,
    colorize_export: Run,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(job, "export_onnx", lambda *_, **__: onnx.load(exported["fp32"]))
    target = tmp_path / "out" / "net.onnx"
    with largest_file(50_000):
        run = colorize_export("--checkpoint", checkpoint_file, "-o", target)
    assert f"{target}: cannot write it (File too large)" in the_line(run, 1)
    assert list(target.parent.iterdir()) == []


def test_a_folder_that_cannot_be_made_is_named(
    colorize_export: Run,
    checkpoint_file: Path,
    tmp_path: Path,
    exported: dict[str, Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(job, "export_onnx", lambda *_, **__: onnx.load(exported["fp32"]))
    (tmp_path / "file").write_text("in the way")
    target = tmp_path / "file" / "net.onnx"
    run = colorize_export("--checkpoint", checkpoint_file, "-o", target)
    assert f"{target}: cannot write" in the_line(run, 1)
