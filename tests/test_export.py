"""colorize-export: files that give the network's answers, and engines built from them."""

import importlib.util
import json
import re
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from click.testing import CliRunner, Result

from colorize.export import tensorrt
from colorize.export.cli import main
from colorize.export.onnx import deployed_network, export_onnx
from colorize.export.verify import FLOAT32, Bound, onnxruntime_answer, prove, sample_batches
from colorize.runtime.color import F32
from colorize.runtime.contract import INPUT, ModelInfo
from colorize.runtime.cuda import device_count
from colorize.runtime.engines.openvino import OpenVINOEngine
from colorize.runtime.errors import EngineError, ProofError
from colorize.train.architectures import ARCHITECTURES, architecture
from colorize.train.checkpoint import Checkpoint, Origin, load_checkpoint

ORIGIN = Origin("tests", "0" * 32, 64, "CC0", 1, 16)
needs_rtx = pytest.mark.skipif(
    importlib.util.find_spec("tensorrt_rtx") is None, reason="tensorrt_rtx is not installed"
)


def checkpoint_of(name: str) -> Checkpoint:
    """A network with batch norms that are not the identity, as after training."""
    torch.manual_seed(0)
    entry = architecture(name)
    network = entry.build(entry.presets["small"])
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
            torch.nn.init.normal_(module.bias, std=0.1)
            torch.nn.init.uniform_(module.running_var, 0.5, 2)  # type: ignore[arg-type]  # a Tensor
    return Checkpoint(name, entry.presets["small"], network.eval(), ORIGIN)


@pytest.fixture(scope="module")
def checkpoint_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("checkpoint") / "net.safetensors"
    checkpoint_of("unet").save(path)
    return path


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(ARCHITECTURES))
def test_onnx_equals_torch_in_every_engine(name: str, tmp_path: Path) -> None:
    checkpoint = checkpoint_of(name)
    path = tmp_path / f"{name}.onnx"
    path.write_bytes(export_onnx(checkpoint, "0" * 64, "fp32").SerializeToString())
    multiple = checkpoint.network.size_multiple
    for answer in (onnxruntime_answer(path), OpenVINOEngine(path, "fp32").infer):
        proof = prove(name, answer, checkpoint.network, multiple, FLOAT32)
        assert proof.worst <= 0.01
    shapes = {batch.shape for batch in sample_batches(multiple)}
    assert len(shapes) >= 3
    assert len({shape[0] for shape in shapes}) >= 2


def test_folding_batch_norm_changes_no_answer() -> None:
    network = checkpoint_of("resnet").network
    folded = deployed_network(network, "fp32")
    assert not any(isinstance(m, torch.nn.BatchNorm2d) for m in folded.modules())
    batch = torch.rand(1, 1, 64, 64) * 100
    with torch.inference_mode():
        torch.testing.assert_close(folded(batch), network(batch), atol=1e-3, rtol=1e-4)


@pytest.fixture(scope="module")
def exported(checkpoint_file: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("exported")
    made = {}
    for name, options in {
        "fp32": (),
        "fp16": ("--engine", "fp16"),
        "compact": ("--compact",),
    }.items():
        made[name] = folder / f"{name}.onnx"
        result = run("--checkpoint", checkpoint_file, "-o", made[name], *options)
        assert result.exit_code == 0, result.output
        assert str(made[name]) in result.stdout.splitlines()
    return made


def test_files_keep_the_contract(exported: dict[str, Path]) -> None:
    for name, path in exported.items():
        model = onnx.load(path)
        onnx.checker.check_model(model, full_check=True)
        info = ModelInfo.from_metadata({p.key: p.value for p in model.metadata_props}, name)
        assert info.precision == ("fp16" if name == "fp16" else "fp32")
        assert (info.native_size, info.size_multiple, info.licence) == (64, 32, "CC0")
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
    here = str(Path(__file__).parent.parent).encode()
    for path in exported.values():
        data = path.read_bytes()
        assert here not in data
        assert re.search(rb"/(home|usr|root|tmp)/|site-packages", data) is None


def test_export_is_deterministic(checkpoint_file: Path, exported: dict[str, Path]) -> None:
    from colorize.runtime.files import sha256

    again = export_onnx(load_checkpoint(checkpoint_file), sha256(checkpoint_file), "fp32")
    assert again.SerializeToString() == exported["fp32"].read_bytes()


def test_the_proof_lies_beside_the_file(exported: dict[str, Path]) -> None:
    from colorize.runtime.files import sha256

    card = json.loads(exported["fp16"].with_suffix(".json").read_text())
    assert card["onnx_sha256"] == sha256(exported["fp16"])
    assert [proof["subject"] for proof in card["proofs"]] == [
        "ONNX Runtime",
        "OpenVINO, float32",
        "torch, float16",
    ]
    assert all(proof["mean"] <= proof["bound"]["mean"] for proof in card["proofs"])


@pytest.mark.parametrize("wrong", [lambda ab: ab * 1.1 + 0.5, lambda ab: ab * np.nan])
def test_a_wrong_file_is_refused(checkpoint_file: Path, exported: dict[str, Path], wrong) -> None:  # type: ignore[no-untyped-def]  # a lambda
    network = load_checkpoint(checkpoint_file).network
    right = onnxruntime_answer(exported["fp32"])

    def answer(lightness: F32) -> F32:
        result: F32 = wrong(right(lightness))
        return result

    with pytest.raises(ProofError, match="refused: planted"):
        prove("planted", answer, network, 32, Bound(0.3, 2.0))


def test_a_refused_export_leaves_no_file(
    checkpoint_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    impossible = Bound(mean=0.0, worst=0.0, exact=True)
    monkeypatch.setattr("colorize.export.job.FLOAT32", impossible)
    result = run("--checkpoint", checkpoint_file, "-o", tmp_path / "net.onnx")
    assert result.exit_code == 1
    assert "refused" in result.stderr.splitlines()[-1]
    assert list(tmp_path.iterdir()) == []


@needs_rtx
def test_fp16_export_builds_an_engine_without_a_gpu(exported: dict[str, Path]) -> None:
    from colorize.runtime.files import sha256

    engine = exported["fp16"].with_suffix(".rtx.engine")
    assert engine.stat().st_size > 100_000
    sidecar = json.loads(Path(f"{engine}.json").read_text())
    assert sidecar["onnx_sha256"] == sha256(exported["fp16"])
    assert sidecar["engine_sha256"] == sha256(engine)
    assert sidecar["flavour"] == "tensorrt_rtx"


@needs_rtx
def test_an_unsupported_operation_is_reported_with_its_node(tmp_path: Path) -> None:
    value = onnx.helper.make_tensor_value_info
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("Planted", ["L"], ["ab"], name="the_planted_node", domain="nobody")],
        "g",
        [value("L", onnx.TensorProto.FLOAT, ["N", 1, "H", "W"])],
        [value("ab", onnx.TensorProto.FLOAT, ["N", 2, "H", "W"])],
    )
    opsets = [onnx.helper.make_opsetid("", 21), onnx.helper.make_opsetid("nobody", 1)]
    path = tmp_path / "planted.onnx"
    path.write_bytes(onnx.helper.make_model(graph, opset_imports=opsets).SerializeToString())
    module, flavour = tensorrt.find_builder()
    with pytest.raises(EngineError, match="the_planted_node"):
        tensorrt.build_engine(
            module, flavour, path, tmp_path / "x.engine", tensorrt.Profile(), lambda *_: None
        )
    assert [p.name for p in tmp_path.iterdir()] == ["planted.onnx"]


def test_without_tensorrt_the_onnx_file_is_kept_and_the_reason_said(
    checkpoint_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none() -> tuple[object, str]:
        raise EngineError("tensorrt is not installed; nor is tensorrt_rtx")

    monkeypatch.setattr(tensorrt, "find_builder", none)
    result = run("--engine", "fp16", "--checkpoint", checkpoint_file, "-o", tmp_path / "net.onnx")
    assert result.exit_code == 0
    assert "no TensorRT engine was built: tensorrt is not installed" in result.stderr
    assert (tmp_path / "net.onnx").is_file()


@pytest.mark.gpu
@pytest.mark.skipif(device_count() == 0, reason="no NVIDIA driver reports a GPU")
@pytest.mark.skipif(importlib.util.find_spec("tensorrt") is None, reason="no tensorrt here")
def test_standard_tensorrt_gives_onnxruntimes_answers(
    exported: dict[str, Path], tmp_path: Path
) -> None:
    """Builds, loads and runs on the GPU at hand; torch lends its CUDA memory."""
    module, flavour = tensorrt.find_builder()
    assert flavour == "tensorrt"
    target = tmp_path / "net.engine"
    tensorrt.build_engine(
        module, flavour, exported["fp16"], target, tensorrt.Profile(), lambda *_: None
    )
    runtime = module.Runtime(module.Logger(module.Logger.ERROR))
    context = runtime.deserialize_cuda_engine(target.read_bytes()).create_execution_context()
    lightness = sample_batches(32)[1]
    given = torch.from_numpy(lightness).cuda()
    answer = torch.empty((*given.shape[:1], 2, *given.shape[2:]), device="cuda")
    context.set_input_shape(INPUT, tuple(given.shape))
    context.set_tensor_address(INPUT, given.data_ptr())
    context.set_tensor_address("ab", answer.data_ptr())
    stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]  # torch's own
    context.execute_async_v3(stream.cuda_stream)
    stream.synchronize()
    expected = onnxruntime_answer(exported["fp16"])(lightness)
    assert np.abs(answer.cpu().numpy() - expected).mean() < 0.3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--engine", "fp8"), "'fp8' is not one of 'fp32', 'fp16'"),
        (("--checkpoint", "missing.safetensors"), "missing.safetensors: no such checkpoint"),
        (("--batch", "8,1,32"), "'8,1,32' does not ascend"),
        (("--size", "big"), "'big' is not three numbers"),
        (("--engine", "fp16", "--compact"), "--compact is for fp32"),
        (("-o", "model.json"), "model.json: give -o a name that ends in .onnx"),
    ],
)
def test_bad_arguments_are_one_line_and_exit_code_2(
    arguments: tuple[str, ...], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = run(*arguments)
    assert result.exit_code == 2
    [line] = result.stderr.splitlines()
    assert message in line
    assert list(tmp_path.iterdir()) == []


def test_profiles_that_the_network_cannot_take_are_refused(
    checkpoint_file: Path, tmp_path: Path
) -> None:
    target = tmp_path / "net.onnx"
    result = run("--checkpoint", checkpoint_file, "-o", target, "--size", "64,100,256")
    assert result.exit_code == 2
    assert "size 100: this network takes multiples of 32" in result.stderr
    assert not target.exists()


def test_results_are_not_overwritten_unasked(checkpoint_file: Path, tmp_path: Path) -> None:
    target = tmp_path / "net.onnx"
    target.write_bytes(b"mine")
    result = run("--checkpoint", checkpoint_file, "-o", target)
    assert result.exit_code == 2
    assert "exists; give --overwrite" in result.stderr
    assert target.read_bytes() == b"mine"
