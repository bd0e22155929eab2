"""Engines: precision, streams, the cache of compiled models, and too little memory."""

import os
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import openvino
import pytest

from colorize.runtime.color import F32
from colorize.runtime.engines import openvino_cache as compiled
from colorize.runtime.engines.base import Engine, Precision
from colorize.runtime.engines.onnxruntime import OnnxRuntimeEngine
from colorize.runtime.engines.openvino import OpenVINOEngine
from colorize.runtime.engines.select import open_engine
from colorize.runtime.errors import EngineError, ModelError, OutOfMemoryError
from colorize.runtime.models.catalog import find_model
from colorize.runtime.models.contract import ModelInfo

Run = Callable[..., subprocess.CompletedProcess[str]]


def _lightness(count: int, height: int = 32, width: int = 48) -> F32:
    values = np.random.default_rng(0).uniform(0, 100, (count, 1, height, width))
    return values.astype(np.float32)


def _truth(lightness: F32) -> F32:
    """Return what `tiny_model` answers."""
    return np.concatenate([20 + 0.2 * lightness, 40 - 0.6 * lightness], 1)


def test_buffers_that_are_kept_give_each_batch_its_own_answer(tiny_model: Path) -> None:
    """The road of GPUs, here over the CPU's memory."""
    with OnnxRuntimeEngine(tiny_model) as engine:
        for index, (count, width) in enumerate([(3, 48), (3, 48), (1, 48), (3, 64)]):
            lightness = _lightness(count, width=width) * np.float32(0.2 * (index + 1))
            answer = engine._compute_bound({"L": lightness.copy()})
            np.testing.assert_allclose(answer, _truth(lightness), atol=1e-4)


def _hints(lightness: F32) -> F32:
    """Return hints for half of the pixels of L* (N, 1, H, W), others in each picture."""
    count, _, height, width = lightness.shape
    chance = np.random.default_rng(1)
    hints = chance.uniform(-60, 60, (count, 3, height, width)).astype(np.float32)
    hints[:, 2] = np.clip(hints[:, 2] / 60, 0, 1)
    return hints * (hints[:, 2:] > 0)


@pytest.mark.parametrize("backend", ["openvino", "onnxruntime"])
@pytest.mark.parametrize("count", [1, 5])  # OpenVINO has a road of its own for several
def test_hints_reach_the_model_picture_by_picture(
    backend: str, count: int, tiny_hint_model: Path
) -> None:
    lightness = _lightness(count)
    hints = _hints(lightness)
    with open_engine(tiny_hint_model, backend, "fp32", "cpu") as engine:
        assert engine.info.takes_hints
        expected = _truth(lightness) + hints[:, :2] * hints[:, 2:]
        np.testing.assert_allclose(engine.infer(lightness, hints), expected, atol=1e-4)
        np.testing.assert_allclose(engine.infer(lightness), _truth(lightness), atol=1e-4)
        broken: list[Any] = [hints[:, :2], hints[:, :, 8:], hints.astype(np.float64)]
        for wrong in broken:
            with pytest.raises(EngineError, match=r"hints are float.*not float32 \["):
                engine.infer(lightness, wrong)


def test_a_model_without_hints_refuses_them(tiny_model: Path) -> None:
    lightness = _lightness(1)
    with OpenVINOEngine(tiny_model) as engine, pytest.raises(EngineError, match="takes no hints"):
        engine.infer(lightness, _hints(lightness))


def test_buffers_that_are_kept_hold_hints_too(tiny_hint_model: Path) -> None:
    with OnnxRuntimeEngine(tiny_hint_model) as engine:
        for width in (48, 48, 64, 48):
            lightness = _lightness(2, width=width)
            hints = _hints(lightness) * np.float32(width / 64)
            answer = engine._compute_bound({"L": lightness, "hints": hints})
            expected = _truth(lightness) + hints[:, :2] * hints[:, 2:]
            np.testing.assert_allclose(answer, expected, atol=1e-4)


@pytest.mark.parametrize("backend", ["openvino", "onnxruntime"])
@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_a_precision_is_honoured_or_refused(
    backend: str, precision: Precision, tiny_model: Path
) -> None:
    able = openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    names = {"fp32": "FP32", "bf16": "BF16", "fp16": "FP16"}
    if precision == "fp32" or (backend == "openvino" and names[precision] in able):
        with open_engine(tiny_model, backend, precision, "cpu") as engine:
            assert engine.precision == precision
        return
    with pytest.raises(EngineError, match=f"{precision}.*leave out --precision"):
        open_engine(tiny_model, backend, precision, "cpu")


def test_bf16_that_nobody_proved_is_told(tiny_model: Path) -> None:
    if "BF16" not in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        pytest.skip("this CPU computes in float32")
    with OpenVINOEngine(tiny_model) as unproved, OpenVINOEngine(find_model("default")) as proved:
        assert (unproved.precision, proved.precision) == ("bf16", "bf16")
        assert "in bf16 this model is not proved" in str(unproved)
        assert proved.remark == ""
    with OpenVINOEngine(tiny_model, "bf16") as asked:
        assert asked.remark == ""


def test_openvino_in_streams_answers_as_picture_by_picture() -> None:
    with OpenVINOEngine(find_model("default"), "fp32") as engine:
        lightness = _lightness(5, 64, 96)
        together = engine.infer(lightness)
        alone = np.concatenate([engine.infer(lightness[i : i + 1]) for i in range(5)])
        np.testing.assert_allclose(together, alone, atol=1e-3)
        assert set(engine._requests) == {("LATENCY", False), ("THROUGHPUT", False)}


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache folder of OpenVINO's compiled models."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "colorize" / "openvino"


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """How OpenVINO got its models: "compiled", or "read" from the cache."""
    done: list[str] = []

    class Core(openvino.Core):  # type: ignore[misc]
        def compile_model(self, *words: Any) -> Any:
            done.append("compiled")
            return super().compile_model(*words)

        def import_model(self, *words: Any) -> Any:
            model = super().import_model(*words)
            done.append("read")
            return model

    core = Core()
    monkeypatch.setattr("colorize.runtime.engines.openvino.shared_core", lambda: core)
    return done


def _check(model: Path) -> None:
    lightness = _lightness(1)
    with OpenVINOEngine(model, "fp32") as engine:
        assert engine.precision == "fp32"
        np.testing.assert_allclose(engine.infer(lightness), _truth(lightness), atol=1e-4)


def test_a_second_start_reads_what_the_first_compiled(
    cache: Path, loads: list[str], tiny_model: Path
) -> None:
    _check(tiny_model)
    _check(tiny_model)
    assert loads == ["compiled", "read"]
    assert len(list(cache.iterdir())) == 1


def test_another_file_under_the_same_name_is_compiled_anew(
    cache: Path,
    loads: list[str],
    save_model: Callable[..., Path],
    tiny_info: ModelInfo,
    tmp_path: Path,
) -> None:
    model = save_model(tmp_path / "net.onnx", tiny_info.to_metadata())
    _check(model)
    model.write_bytes(model.read_bytes() + b"\n")
    with pytest.raises(ModelError):
        _check(model)
    save_model(model, {**tiny_info.to_metadata(), "more": "1"})
    _check(model)
    assert loads == ["compiled", "compiled"]
    assert len(list(cache.iterdir())) == 2


@pytest.mark.parametrize("damage", ["flipped", "cut", "empty"])
def test_a_damaged_cache_is_made_anew(
    damage: str, cache: Path, loads: list[str], tiny_model: Path
) -> None:
    _check(tiny_model)
    [file] = cache.iterdir()
    whole = file.read_bytes()
    middle = len(whole) // 2
    damaged = {
        "flipped": whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :],
        "cut": whole[:middle],
        "empty": b"",
    }
    file.write_bytes(damaged[damage])
    _check(tiny_model)
    _check(tiny_model)
    assert loads == ["compiled", "compiled", "read"]


def test_without_a_cache_folder_it_still_runs(
    loads: list[str],
    tiny_model: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))  # no folder can be made there
    _check(tiny_model)
    _check(tiny_model)
    assert loads == ["compiled", "compiled"]
    assert capfd.readouterr() == ("", "")


def test_the_cache_keeps_the_last_files_only(
    cache: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compiled, "_KEPT", 1)
    _check(tiny_model)
    with OpenVINOEngine(tiny_model, "fp32") as engine:
        engine.infer(_lightness(2))  # compiled for streams, another file
    assert len(list(cache.iterdir())) == 1


# What the engines raised when a limit on a process's memory was met (CPU), and, simulated because
# no GPU was at hand, what their sources raise on one.
ORT_CPU = """[ONNXRuntimeError] : 1 : FAIL : Non-zero status code returned while running Conv node.
Name:'relu6_1_nchwc' Status Message: bfc_arena.cc:360 void* onnxruntime::BFCArena::AllocateRaw(...)
Failed to allocate memory for requested buffer of size 134217728
"""
ORT_CUDA = "CUDA failure 2: out of memory ; GPU=0 ; expr=cudaMalloc((void**)&p, size);"
OV_CPU = """Exception from src/plugins/intel_cpu/src/node.cpp:794:
[CPU] Convolution node with name 'x' Check 'ptr' failed at src/plugins/intel_cpu/src/cpu_memory.cpp:
Failed to allocate 25165824 bytes of memory
"""
OV_STREAM = "Caught exception: [CPU] Convolution node with name 'node_conv2d_12' can't alloc\n"
OV_GPU = "[GPU] clEnqueueNDRangeKernel, error code: -5 CL_OUT_OF_RESOURCES"


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (OnnxRuntimeEngine, ORT_CPU),
        (OnnxRuntimeEngine, ORT_CUDA),
        (OnnxRuntimeEngine, "std::bad_alloc"),
        (OpenVINOEngine, OV_CPU),
        (OpenVINOEngine, OV_STREAM),
        (OpenVINOEngine, "std::bad_alloc"),
        (OpenVINOEngine, OV_GPU),
    ],
)
def test_an_engines_lack_of_memory_is_recognized(
    kind: type[Engine], text: str, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> F32:
        raise error

    with kind(tiny_model) as engine:
        monkeypatch.setattr(engine, "_compute", fail)
        error: Exception = RuntimeError(text)
        with pytest.raises(OutOfMemoryError, match=r"tiny\.onnx"):
            engine.infer(_lightness(1))
        error = MemoryError()
        with pytest.raises(OutOfMemoryError):
            engine.infer(_lightness(1))
        error = RuntimeError("Input shape mismatch")
        with pytest.raises(EngineError) as raised:
            engine.infer(_lightness(1))
        assert not isinstance(raised.value, OutOfMemoryError)


REAL_LIMIT = """
import resource
from pathlib import Path
import numpy as np
from colorize.runtime.engines.select import open_engine
from colorize.runtime.errors import OutOfMemoryError

with open_engine(Path({model!r}), {backend!r}, device="cpu") as engine:
    small = np.full((1, 1, 128, 128), 50, np.float32)
    before = engine.infer(small)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + 1000 * 2**20,) * 2)
    try:
        engine.infer(np.zeros((1, 1, 4096, 4096), np.float32))
    except OutOfMemoryError:
        print(np.array_equal(engine.infer(small), before))
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs Linux' /proc")
@pytest.mark.parametrize("backend", ["openvino", "onnxruntime"])
def test_an_engine_goes_on_after_memory_ran_out(backend: str, in_subprocess: Run) -> None:
    run = in_subprocess("-c", REAL_LIMIT.format(model=str(find_model("default")), backend=backend))
    assert (run.stdout, run.stderr) == ("True\n", "")


def test_a_signal_after_a_thread_gave_the_model_back_reaches_python() -> None:
    """OpenVINO frees the stack that signals arrive on together with its last Core."""
    code = """
import signal, threading
import numpy as np
from colorize.runtime import Colorizer
came = []
signal.signal(signal.SIGINT, lambda *_: came.append(1))
held = [Colorizer(backend="openvino")]
def end():
    held[0].image(np.zeros((64, 64), np.uint8))
    held.pop().close()
thread = threading.Thread(target=end)
thread.start()
thread.join()
signal.raise_signal(signal.SIGINT)
assert came
"""
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="needs two cores")
def test_an_engine_with_its_own_number_of_threads_keeps_to_no_core() -> None:
    """Else all processes with an engine of one thread would compute on the first core."""
    masks = set[frozenset[int]]()
    with (
        OpenVINOEngine(find_model("default"), threads=1) as engine,
        ThreadPoolExecutor(1) as pool,
    ):
        answer = pool.submit(engine.infer, _lightness(4, 256, 256))
        while not answer.done():
            for task in Path("/proc/self/task").iterdir():
                with suppress(OSError):  # it has ended
                    masks.add(frozenset(os.sched_getaffinity(int(task.name))))
        assert answer.result().shape == (4, 2, 256, 256)
    assert masks == {frozenset(os.sched_getaffinity(0))}
