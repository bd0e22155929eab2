"""The native TensorRT engine on a real GPU, with the standard TensorRT."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from colorize.runtime.color import F32
from colorize.runtime.engines.cuda import devices
from colorize.runtime.engines.onnxruntime import OnnxRuntimeEngine
from colorize.runtime.engines.tensorrt.engine import TensorRTEngine
from colorize.runtime.engines.tensorrt.plan import engine_path
from colorize.runtime.errors import EngineError


def _lacking() -> str:
    if not devices():
        return "no NVIDIA driver reports a GPU"
    missing = [name for name in ("tensorrt", "pycuda") if importlib.util.find_spec(name) is None]
    return f"{' and '.join(missing)} not installed" if missing else ""


pytestmark = [pytest.mark.gpu, pytest.mark.skipif(bool(_lacking()), reason=_lacking())]
SHAPES = [(1, 1, 64, 64), (8, 1, 64, 96), (3, 1, 128, 64), (40, 1, 64, 64), (1, 1, 64, 64)]


def lightness_of(*shape: int) -> F32:
    return np.random.default_rng(0).uniform(0, 100, shape).astype(np.float32)


@pytest.fixture(scope="module")
def model(exported: dict[str, Path]) -> Path:
    """`checkpoint_file` in FP16; colorize-export has built its engine on this GPU."""
    assert engine_path(exported["fp16"], "tensorrt").is_file()
    return exported["fp16"]


@pytest.mark.parametrize("cuda_graph", [False, True])
def test_its_answers_are_onnx_runtimes_but_for_fp16(model: Path, cuda_graph: bool) -> None:
    with (
        TensorRTEngine(model, device="cuda:0") as native,
        OnnxRuntimeEngine(model, device="cpu") as other,
    ):
        if cuda_graph:
            native.capture_graphs()
        assert native.precision == "fp16"
        for shape in SHAPES * 3:
            lightness = lightness_of(*shape)
            difference = np.abs(native.infer(lightness) - other.infer(lightness))
            assert difference.mean() < 0.2
            assert np.quantile(difference, 0.999) < 2


def test_graphs_change_nothing(model: Path) -> None:
    lightness = lightness_of(4, 1, 64, 96)
    with TensorRTEngine(model) as plain, TensorRTEngine(model) as captured:
        captured.capture_graphs()
        once = plain.infer(lightness)
        for _ in range(3):
            np.testing.assert_array_equal(captured.infer(lightness), once)


def test_the_timeline_is_of_the_gpu(model: Path) -> None:
    with TensorRTEngine(model) as engine:
        engine.infer(lightness_of(8, 1, 64, 64))
        found = engine.timeline(lightness_of(8, 1, 64, 64))
    assert found.to_device_ms > 0
    assert found.compute_ms > 0
    assert found.to_host_ms > 0


def test_sizes_that_were_not_built_for_are_refused_and_the_next_works(model: Path) -> None:
    with TensorRTEngine(model) as engine:
        with pytest.raises(EngineError, match="outside what the engine was built for"):
            engine.infer(lightness_of(1, 1, 2048, 2048))
        assert engine.infer(lightness_of(1, 1, 64, 64)).shape == (1, 2, 64, 64)
