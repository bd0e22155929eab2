"""colorize-export: ONNX files that keep the contract, the same bytes every time."""

import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from colorize.export.graphs.fp16 import deployed_network
from colorize.export.graphs.onnx import export_onnx, read_metadata, strip_source_notes
from colorize.export.jobs import checkpoint as job
from colorize.export.jobs.output import Exported, Output
from colorize.export.proof.batches import sample_batches
from colorize.export.proof.proof import (
    FLOAT32,
    Trial,
    onnxruntime_answer,
    torch_answer,
)
from colorize.export.tensorrt import builder as tensorrt
from colorize.runtime.engines.openvino import OpenVINOEngine
from colorize.runtime.errors import ArgumentError
from colorize.runtime.files import sha256
from colorize.runtime.models.catalog import MODELS
from colorize.runtime.models.contract import ModelInfo
from colorize.train.architectures import ARCHITECTURES
from colorize.train.checkpoints.checkpoint import Checkpoint, load_checkpoint

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(ARCHITECTURES))
def test_onnx_equals_torch_in_every_engine(
    name: str, trained_like: Callable[..., Checkpoint], tmp_path: Path
) -> None:
    checkpoint = trained_like(name)
    path = tmp_path / f"{name}.onnx"
    path.write_bytes(export_onnx(checkpoint, "0" * 64, "fp32").SerializeToString())
    batches = sample_batches(32)
    trial = Trial.of(torch_answer(checkpoint.network), batches, FLOAT32)
    for answer in (onnxruntime_answer(path), OpenVINOEngine(path, "fp32").infer):
        proof = trial.prove(name, "fp32", answer)
        assert proof.passed
        assert proof.tail <= 0.01
    shapes = {batch[0].shape for batch in batches}
    assert len(shapes) >= 3
    assert len({shape[0] for shape in shapes}) >= 2


def test_folding_batch_norm_changes_no_answer(trained_like: Callable[..., Checkpoint]) -> None:
    network = trained_like("resnet").network
    folded = deployed_network(network, "fp32")
    assert not any(isinstance(m, torch.nn.BatchNorm2d) for m in folded.modules())
    batch = torch.rand(1, 1, 64, 64) * 100
    with torch.inference_mode():
        torch.testing.assert_close(folded(batch), network(batch), atol=1e-3, rtol=1e-4)


def test_files_keep_the_contract(exported: dict[str, Path]) -> None:
    for name, path in exported.items():
        model = onnx.load(path)
        onnx.checker.check_model(model, full_check=True)
        onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True, data_prop=True)
        assert not any(node.op_type == "BatchNormalization" for node in model.graph.node)
        info = ModelInfo.from_metadata(read_metadata(path), name)
        assert info.precision == ("fp16" if name == "fp16" else "fp32")
        assert (info.native_size, info.size_multiple, info.license) == (64, 32, "CC0")
        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        [given], [answer] = session.get_inputs(), session.get_outputs()
        assert (given.name, given.type, given.shape) == ("L", "tensor(float)", ["N", 1, "H", "W"])
        assert (answer.name, answer.type, answer.shape[1]) == ("ab", "tensor(float)", 2)


def test_half_size_files_are_half_the_size(exported: dict[str, Path]) -> None:
    full = exported["fp32"].stat().st_size
    for name in ("fp16", "compact"):
        assert exported[name].stat().st_size < 0.55 * full
    weights = onnx.load(exported["fp16"]).graph.initializer
    floats = [w for w in weights if w.data_type == onnx.TensorProto.FLOAT]
    assert all(np.prod(w.dims) <= 4 for w in floats)  # the scales of Resize, float32 by definition


def test_files_hold_no_path_of_the_machine(exported: dict[str, Path]) -> None:
    here = str(Path(__file__).parents[2]).encode()
    for path in exported.values():
        data = path.read_bytes()
        assert here not in data
        assert re.search(rb"/(home|usr|root|tmp)/|site-packages", data) is None


def test_files_hold_no_notes_of_the_exporter(exported: dict[str, Path]) -> None:
    for path in exported.values():
        assert b"pkg.torch" not in path.read_bytes()
        model = onnx.load(path)
        parts = (model.graph, *model.graph.node, *model.graph.initializer)
        assert all(not part.metadata_props and not part.doc_string for part in parts)


def test_notes_are_stripped_wherever_they_stand(exported: dict[str, Path]) -> None:
    """Whatever the optimizer, which strips some of them itself, leaves."""
    model = onnx.load(exported["fp32"])
    graph = model.graph
    for part in (graph, graph.node[0], graph.input[0], graph.output[0]):
        part.metadata_props.add(key="pkg.torch.onnx.stack_trace", value="/home/me/net.py")
        part.doc_string = "/home/me/net.py"
    strip_source_notes(model)
    assert b"/home/me" not in model.SerializeToString()


@pytest.mark.parametrize(
    "name",
    [
        "fp32",
        pytest.param("fp16", marks=pytest.mark.slow),
        pytest.param("compact", marks=pytest.mark.slow),
    ],
)
def test_export_is_deterministic(
    name: str, checkpoint_file: Path, exported: dict[str, Path]
) -> None:
    again = export_onnx(
        load_checkpoint(checkpoint_file),
        sha256(checkpoint_file),
        "fp16" if name == "fp16" else "fp32",
        compact=name == "compact",
    )
    assert again.SerializeToString() == exported[name].read_bytes()


EXPORT = """
import sys
from pathlib import Path
from colorize.export.graphs.onnx import strip_source_notes, export_onnx
from colorize.runtime.files import sha256
from colorize.train.checkpoints.checkpoint import load_checkpoint

file = Path(sys.argv[1])
model = export_onnx(load_checkpoint(file), sha256(file), "fp16")
print(sha256(model.SerializeToString()))
"""


@pytest.mark.slow
def test_another_process_exports_the_same_bytes(
    checkpoint_file: Path, exported: dict[str, Path], in_subprocess: Run
) -> None:
    run = in_subprocess("-c", EXPORT, checkpoint_file)
    assert run.stdout.strip() == sha256(exported["fp16"]), run.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--engine", "fp8"), "'fp8' is not one of 'fp32', 'fp16'"),
        (("--checkpoint", "missing.safetensors"), "missing.safetensors: no such checkpoint"),
        (("--batch", "8,1,32"), "'8,1,32' does not ascend"),
        (("--batch", "0"), "'0' does not ascend from above 0"),
        (("--size", "256,128"), "'256,128' is neither a number nor three"),
        (("--size", "512,256,128"), "'512,256,128' does not ascend"),
        (("--size", "big"), "'big' is neither a number nor three"),
        (("--engine", "fp16", "--compact"), "--compact is for fp32"),
        (("--import", "net.onnx", "--compact"), "--compact is for checkpoints of colorize-train"),
        (("--license", "MIT"), "--license belongs to --import FILE"),
        (("--data", "photos"), "--data is for --engine int8"),
        (("--size", "256"), "--size is for TensorRT engines"),
        (("--engine", "int8", "--workspace", "64"), "--workspace is for TensorRT engines"),
        (("-o", "model.json"), "model.json: give -o a name that ends in .onnx"),
    ],
)
def test_bad_arguments_are_one_line_and_exit_code_2(
    arguments: tuple[str, ...],
    message: str,
    colorize_export: Run,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    result = colorize_export(*arguments)
    assert result.returncode == 2
    [line] = result.stderr.splitlines()
    assert message in line
    assert list(tmp_path.iterdir()) == []


def test_profiles_that_the_network_cannot_take_are_refused(
    colorize_export: Run, checkpoint_file: Path, tmp_path: Path
) -> None:
    target = tmp_path / "net.onnx"
    sizes = ("--engine", "fp16", "--size", "64,100,256")
    result = colorize_export("--checkpoint", checkpoint_file, "-o", target, *sizes)
    assert result.returncode == 2
    assert "size 100: this network takes multiples of 32" in result.stderr
    assert not target.exists()


def test_results_are_not_overwritten_unasked(
    colorize_export: Run, checkpoint_file: Path, tmp_path: Path
) -> None:
    target = tmp_path / "net.onnx"
    target.write_bytes(b"mine")
    result = colorize_export("--checkpoint", checkpoint_file, "-o", target)
    assert result.returncode == 2
    assert "exists; give --overwrite" in result.stderr
    assert target.read_bytes() == b"mine"


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[dict[str, Any]]:
    """What would have been exported, in an empty folder."""
    asked: list[dict[str, Any]] = []

    def note(path: Path, precision: str, output: Output, **more: Any) -> Exported:
        asked.append({"path": path, "precision": precision, "target": output.target, **more})
        return Exported(b"", {})

    monkeypatch.setattr(job, "export_checkpoint", note)
    monkeypatch.setattr(Output, "publish", lambda *_: None)
    monkeypatch.chdir(tmp_path)
    return asked


def test_options_reach_the_builder(
    colorize_export: Run, asked: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    toolkit = tensorrt.Toolkit(SimpleNamespace(__version__="1"), "tensorrt_rtx")
    built: list[object] = []

    def build(model: Path, *arguments: object) -> Path:
        built[:] = [model, *arguments[:2]]
        return Path("net.engine")

    monkeypatch.setattr(tensorrt, "find_toolkit", lambda *_: toolkit)
    monkeypatch.setattr(tensorrt, "build_engine", build)
    words = "--engine fp16 --checkpoint net.safetensors --batch 1,2,4 --size 64,128,256"
    words += " --compute-capability 8.6,120 --workspace 512 --optimization-level 2"
    run = colorize_export(*words.split())
    assert run.stdout.splitlines() == ["net-fp16.onnx", "net.engine"]
    options = tensorrt.BuildOptions((1, 2, 4), (64, 128, 256), ("86", "120"), 512, 2)
    assert built == [Path("net-fp16.onnx"), toolkit, options]
    assert (asked[0]["precision"], asked[0]["sizes"]) == ("fp16", (64, 128, 256))


@pytest.mark.parametrize(
    ("checkpoint", "name"),
    [
        ("net.safetensors", "net-fp32.onnx"),
        ("runs/unet/20261125-155850/checkpoint.safetensors", "unet-fp32.onnx"),
        ("runs/unet/20261125-155850-2/checkpoint.safetensors", "unet-fp32.onnx"),
        ("runs/mine/checkpoint.safetensors", "mine-fp32.onnx"),
        ("runs/mine/best.safetensors", "best-fp32.onnx"),
    ],
)
def test_files_are_named_after_their_run(
    checkpoint: str, name: str, colorize_export: Run, asked: list[dict[str, Any]]
) -> None:
    run = colorize_export("--checkpoint", checkpoint)
    assert run.stdout == f"{Path(checkpoint).with_name(name)}\n"
    assert asked[0]["target"] == Path(checkpoint).with_name(name)


def test_without_a_name_the_newest_run_is_exported_or_the_default(
    colorize_export: Run, asked: list[dict[str, Any]]
) -> None:
    assert colorize_export().stdout == f"{Path('exports', 'default-fp32.onnx')}\n"
    assert asked[0]["path"] == MODELS / "default.safetensors"
    for number, place in enumerate(("runs/unet/20261125-155850", "runs/mine")):
        path = Path(place, "checkpoint.safetensors")
        path.parent.mkdir(parents=True)
        path.touch()
        os.utime(path, (number, number))
    assert colorize_export().stdout == f"{Path('runs', 'mine', 'mine-fp32.onnx')}\n"


def test_results_are_overwritten_when_asked(tmp_path: Path) -> None:
    target = tmp_path / "net.onnx"
    target.with_suffix(".json").touch()
    output = Output(target, print)
    with pytest.raises(ArgumentError, match=r"net\.json: exists; give --overwrite"):
        output.check(overwrite=False)
    output.check(overwrite=True)
