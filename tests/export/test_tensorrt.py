"""TensorRT engines: real ones, built without a GPU by TensorRT-RTX; the standard one is played."""

import enum
import importlib.util
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from filelock import FileLock
from helpers.marks import needs_rtx
from onnx import TensorProto, helper

from colorize.export.graphs.onnx import export_onnx
from colorize.export.proof.batches import sample_batches
from colorize.export.proof.proof import onnxruntime_answer
from colorize.export.tensorrt import builder as tensorrt
from colorize.export.tensorrt.builder import BuildOptions, Toolkit, build_engine, find_toolkit
from colorize.runtime.engines import cuda
from colorize.runtime.engines.cuda import Device, devices
from colorize.runtime.engines.tensorrt.log import error_log
from colorize.runtime.engines.tensorrt.plan import engine_path, read_build_config
from colorize.runtime.errors import EngineError
from colorize.runtime.models.contract import INPUT, ModelInfo
from colorize.train.architectures import ARCHITECTURES
from colorize.train.checkpoints.checkpoint import Checkpoint

SMALL = BuildOptions(batch=(1, 1, 2), size=(64, 64, 64))


@pytest.fixture
def model(exported: dict[str, Path], tmp_path: Path) -> Path:
    """A copy of the FP16 file, without its engine."""
    path = tmp_path / "net.onnx"
    path.write_bytes(exported["fp16"].read_bytes())
    return path


def build(model: Path, options: BuildOptions = SMALL) -> tuple[Path, list[str], list[str]]:
    """Return the engine, the lines said and the phases shown."""
    lines: list[str] = []
    phases: list[str] = []
    engine = build_engine(
        model, find_toolkit(), options, lambda phase, *_: phases.append(phase), lines.append
    )
    return engine, lines, phases


@needs_rtx
@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(ARCHITECTURES))
def test_every_architecture_builds(
    name: str, trained_like: Callable[..., Checkpoint], tmp_path: Path
) -> None:
    path = tmp_path / "net.onnx"
    model = export_onnx(trained_like(name), "0" * 64, "fp16")
    path.write_bytes(model.SerializeToString())
    engine, _, phases = build(path, BuildOptions(compute_capabilities=("80", "86", "89", "120")))
    assert engine.stat().st_size > 1_000_000
    assert "Building engine" in phases


@needs_rtx
def test_an_engine_is_reused_until_something_changes(model: Path) -> None:
    engine, lines, phases = build(model)
    assert lines[-1].startswith("built with tensorrt_rtx ")
    assert phases
    first = engine.stat().st_mtime_ns

    _, lines, phases = build(model)
    assert lines == [f"reused: {engine} was built with the same settings"]
    assert (phases, engine.stat().st_mtime_ns) == ([], first)

    _, lines, phases = build(model, BuildOptions((1, 1, 2), (64, 64, 64), ("89",), 256, 2))
    assert "stale: compute_capabilities is (), not ('89',)" in lines[0]
    assert phases
    config = read_build_config(engine)
    assert (config.workspace_mib, config.optimization_level) == (256, 2)

    whole = engine.read_bytes()
    engine.write_bytes(whole[:1000])
    _, lines, phases = build(model, BuildOptions((1, 1, 2), (64, 64, 64), ("89",), 256, 2))
    assert "truncated" in lines[0]
    assert phases
    assert abs(engine.stat().st_size - len(whole)) < 1000


@needs_rtx
def test_options_reach_the_builder(model: Path) -> None:
    """By their effect: an engine for more GPUs, or with more profiles, differs."""
    one = build(model)[0].read_bytes()
    other = build(model, BuildOptions((1, 1, 2), (64, 64, 64), ("86", "89", "120")))[0].read_bytes()
    larger = build(model, BuildOptions((1, 1, 2), (64, 64, 128)))[0].read_bytes()
    assert len({one, other, larger}) == 3


def _save(path: Path, nodes: list[Any], weights: list[Any], info: ModelInfo, **inputs: Any) -> Path:
    value = helper.make_tensor_value_info
    sides = ["N", 1, "H", "W"]
    graph = helper.make_graph(
        nodes,
        "planted",
        [value(name, TensorProto.FLOAT, shape) for name, shape in {"L": sides, **inputs}.items()],
        [value("ab", TensorProto.FLOAT, ["N", 2, "H", "W"])],
        weights,
    )
    opsets = [helper.make_opsetid("", 21), helper.make_opsetid("nobody", 1)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=10)
    helper.set_model_props(model, info.to_metadata())
    onnx.save(model, path)
    return path


@needs_rtx
def test_an_unsupported_operation_is_reported_with_its_node(
    tiny_info: ModelInfo, tmp_path: Path
) -> None:
    node = helper.make_node("Planted", ["L"], ["ab"], name="the_planted_node", domain="nobody")
    path = _save(tmp_path / "planted.onnx", [node], [], tiny_info)
    with pytest.raises(EngineError, match=r"node the_planted_node \(Planted\): .*[Pp]lugin"):
        build(path)
    assert not engine_path(path, "tensorrt_rtx").exists()


@needs_rtx
def test_a_mixed_type_is_reported_with_its_node(tiny_info: ModelInfo, tmp_path: Path) -> None:
    node = helper.make_node("Mul", ["L", "w"], ["ab"], name="the_mixed_node")
    weight = helper.make_tensor("w", TensorProto.FLOAT16, [1, 2, 1, 1], [1.0, 2.0])
    path = _save(tmp_path / "mixed.onnx", [node], [weight], tiny_info)
    with pytest.raises(EngineError, match=r"the_mixed_node.*(type|Type)"):
        build(path)
    assert not engine_path(path, "tensorrt_rtx").exists()


@needs_rtx
def test_a_missing_profile_is_reported_in_nvidias_words(
    tiny_info: ModelInfo, tmp_path: Path
) -> None:
    both = helper.make_node("Concat", ["L", "second"], ["ab"], axis=1)
    path = tmp_path / "two.onnx"
    _save(path, [both], [], tiny_info, second=["N", 1, "H", "W"])
    with pytest.raises(EngineError, match="input tensor second is missing dimensions in profile"):
        build(path)


def test_a_broken_installation_is_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: str) -> None:
        raise OSError("libnvinfer.so.11: cannot open shared object file")

    monkeypatch.setattr(importlib.util, "find_spec", lambda _: object())
    monkeypatch.setattr(importlib, "import_module", broken)
    with pytest.raises(
        EngineError, match=r"tensorrt_rtx cannot be loaded \(libnvinfer.*install it"
    ):
        find_toolkit(compute_capabilities=("86",))


@needs_rtx
def test_a_cancelled_build_ends_at_the_next_step(model: Path) -> None:
    """By NVIDIA's own builder: step_complete says no, and there is no engine."""
    trt = find_toolkit().trt
    steps: list[str] = []

    def stop(phase: str, *_: int) -> None:
        steps.append(phase)
        monitor.cancelled = True

    monitor = tensorrt._monitor(trt, stop)
    settings = tensorrt._build_config(model, find_toolkit(), SMALL)
    builder = trt.Builder(error_log(trt))
    network = builder.create_network(tensorrt._strongly_typed(find_toolkit()))
    assert trt.OnnxParser(network, error_log(trt)).parse(model.read_bytes())
    config = builder.create_builder_config()
    tensorrt._configure(trt, builder, config, settings)
    config.progress_monitor = monitor
    assert builder.build_serialized_network(network, config) is None
    assert len(steps) < 5


@needs_rtx
def test_a_second_builder_waits_for_the_first(model: Path) -> None:
    engine = engine_path(model, "tensorrt_rtx")
    lines: list[str] = []
    held = FileLock(engine.with_name(f".{engine.name}.lock"))

    def report(line: str) -> None:
        lines.append(line)
        held.release()

    held.acquire()
    build_engine(model, find_toolkit(), SMALL, lambda *_: None, report)
    assert lines[0] == f"another process builds {engine.name}; waiting for it"
    assert lines[1].startswith("built with")


BUILD = """
import sys
from pathlib import Path
from colorize.export.tensorrt.builder import BuildOptions, build_engine, find_toolkit

build_engine(Path(sys.argv[1]), find_toolkit(), BuildOptions(), lambda *_: None, print)
"""


@pytest.mark.slow
@needs_rtx
def test_two_processes_build_one_engine(model: Path) -> None:
    processes = [
        subprocess.Popen([sys.executable, "-c", BUILD, model], stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    said = [process.communicate()[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0]
    assert sorted(text.splitlines()[-1].split(" ")[0] for text in said) == ["built", "reused:"]
    read_build_config(engine_path(model, "tensorrt_rtx"))


class Play(enum.Enum):
    """Stands for the enums of TensorRT."""

    WORKSPACE = 0
    RUNTIME_ACTIVATION_RESIZE_10_10 = 1


class PlayedConfig:
    """A builder config of standard TensorRT that notes what it is given."""

    def __init__(self, noted: dict[str, Any]) -> None:
        self.noted = noted

    def create_timing_cache(self, data: bytes) -> bytes:
        return data

    def set_timing_cache(self, cache: bytes, ignore_mismatch: bool) -> bool:
        accepted = cache in (b"", b"timings")
        if accepted:
            self.noted["timings"] = cache
        return accepted

    def get_timing_cache(self) -> SimpleNamespace:
        return SimpleNamespace(serialize=lambda: b"timings")

    def add_optimization_profile(self, profile: Any) -> int:
        return 0

    def set_preview_feature(self, feature: Play, enable: bool) -> None:
        self.noted[feature.name] = enable

    def set_memory_pool_limit(self, pool: Play, size: int) -> None:
        self.noted[pool.name] = size


@pytest.fixture
def standard(monkeypatch: pytest.MonkeyPatch) -> tuple[Toolkit, dict[str, Any]]:
    """Plays standard TensorRT on an L4; test_tensorrt_api holds the names against the real one."""
    noted: dict[str, Any] = {}
    builder = SimpleNamespace(
        create_network=lambda flags: noted.update(flags=flags),
        create_builder_config=lambda: PlayedConfig(noted),
        create_optimization_profile=lambda: SimpleNamespace(set_shape=lambda *_: None),
        build_serialized_network=lambda network, config: b"plan",
    )
    trt = SimpleNamespace(
        __version__="10.16",
        Builder=lambda log: builder,
        OnnxParser=lambda network, log: SimpleNamespace(parse=lambda data: True),
        NetworkDefinitionCreationFlag=SimpleNamespace(STRONGLY_TYPED=1),
        MemoryPoolType=Play,
        PreviewFeature=Play,
        ILogger=type("ILogger", (), {}),
        IProgressMonitor=type("IProgressMonitor", (), {}),
    )
    gpu = Device("NVIDIA L4", "89")
    monkeypatch.setattr(tensorrt, "devices", lambda: [gpu])
    monkeypatch.setattr(tensorrt, "error_log", lambda _: SimpleNamespace(errors=[]))
    return Toolkit(trt, "tensorrt"), noted


def test_standard_tensorrt_keeps_its_timings(
    standard: tuple[Toolkit, dict[str, Any]], model: Path
) -> None:
    toolkit, noted = standard

    def build_with(level: int) -> Path:
        options = BuildOptions(workspace_mib=64, optimization_level=level)
        return build_engine(model, toolkit, options, lambda *_: None, lambda _: None)

    engine = build_with(1)
    assert engine.name == "net.engine"
    assert engine.read_bytes() == b"plan"
    config = read_build_config(engine)
    assert (config.device, config.compute_capabilities) == ("NVIDIA L4", ("89",))
    memory = {"WORKSPACE": 64 << 20, "RUNTIME_ACTIVATION_RESIZE_10_10": True}
    assert noted == {"flags": 2, "timings": b"", **memory}
    build_with(2)
    assert noted["timings"] == b"timings"
    [stored] = model.parent.glob(".*.timing")
    stored.write_bytes(b"damaged")
    build_with(3)
    assert noted["timings"] == b""
    assert stored.read_bytes() == b"timings"


def test_a_tensorrt_without_strong_typing_says_so(
    standard: tuple[Toolkit, dict[str, Any]], model: Path
) -> None:
    toolkit, _ = standard
    toolkit.trt.NetworkDefinitionCreationFlag = SimpleNamespace()
    with pytest.raises(EngineError, match=r"tensorrt 10\.16 cannot build strongly typed networks"):
        build_engine(model, toolkit, SMALL, lambda *_: None, lambda _: None)


@pytest.mark.gpu
@pytest.mark.skipif(not devices(), reason="no NVIDIA driver reports a GPU")
@pytest.mark.skipif(importlib.util.find_spec("tensorrt") is None, reason="no tensorrt here")
def test_standard_tensorrt_gives_onnxruntimes_answers(model: Path) -> None:
    """Builds, loads and runs on the GPU at hand, launch by launch and as one CUDA graph.

    torch lends its CUDA memory and its graphs.
    """
    toolkit = find_toolkit("cuda")
    options = BuildOptions(size=(64, 64, 128))
    engine = build_engine(model, toolkit, options, lambda *_: None, print)
    assert read_build_config(engine).compute_capabilities == (cuda.devices()[0].compute_capability,)
    runtime = toolkit.trt.Runtime(toolkit.trt.Logger(toolkit.trt.Logger.ERROR))
    context = runtime.deserialize_cuda_engine(engine.read_bytes()).create_execution_context()
    [lightness] = sample_batches(32, (64,))[-1]
    expected = onnxruntime_answer(model)(lightness)
    given = torch.from_numpy(lightness).cuda()
    answer = torch.empty(expected.shape, device="cuda")
    assert context.set_input_shape(INPUT, tuple(given.shape))
    context.set_tensor_address(INPUT, given.data_ptr())
    context.set_tensor_address("ab", answer.data_ptr())
    stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]  # torch's own

    def run() -> None:
        assert context.execute_async_v3(stream.cuda_stream)

    run()
    stream.synchronize()
    launched = answer.cpu().numpy()
    assert np.abs(launched - expected).mean() < 0.3
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, stream=stream):
        run()
    answer.zero_()
    graph.replay()
    torch.cuda.synchronize()
    np.testing.assert_array_equal(answer.cpu().numpy(), launched)
