"""Engines and devices: what is asked for is used or refused with the reason; auto says why."""

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import openvino
import pytest

from colorize.runtime import cuda
from colorize.runtime.catalog import find_model
from colorize.runtime.color import F32
from colorize.runtime.contract import ModelInfo
from colorize.runtime.cuda import Device
from colorize.runtime.engines import compiled, select
from colorize.runtime.engines import onnxruntime as ort_engine
from colorize.runtime.engines.base import Engine, EngineDevice, Precision
from colorize.runtime.engines.onnxruntime import OnnxRuntimeEngine
from colorize.runtime.engines.openvino import OpenVINOEngine
from colorize.runtime.engines.select import engine_devices, open_engine
from colorize.runtime.errors import ArgumentError, EngineError, ModelError, OutOfMemoryError

Run = Callable[..., subprocess.CompletedProcess[str]]
Gpus = Callable[..., None]

without_cuda = pytest.mark.skipif(
    "CUDAExecutionProvider" in onnxruntime.get_available_providers(),
    reason="needs an onnxruntime without CUDA",
)


def _lightness(count: int, height: int = 32, width: int = 48) -> F32:
    values = np.random.default_rng(0).uniform(0, 100, (count, 1, height, width))
    return values.astype(np.float32)


def _truth(lightness: F32) -> F32:
    """Return what `tiny_model` answers."""
    return np.concatenate([20 + 0.2 * lightness, 40 - 0.6 * lightness], 1)


@pytest.fixture
def gpus(monkeypatch: pytest.MonkeyPatch) -> Gpus:
    """`gpus(*names)`: a simulated NVIDIA driver reports these GPUs; none: there is no driver."""

    def pretend(*names: str) -> None:
        monkeypatch.setattr(cuda, "devices", lambda: [Device(name, "89") for name in names])
        monkeypatch.setattr(cuda, "_driver", lambda: object() if names else None)

    return pretend


@pytest.fixture
def engines(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """`engines(openvino="reason")`: simulated engines that work, unless a reason is given."""

    def pretend(**refusals: str) -> None:
        def engine_class(name: str) -> Any:
            class Fake(Engine):
                def __init__(
                    self, model: Path, precision: Precision = "auto", device: str = "auto"
                ) -> None:
                    if name in refusals and device != "cpu":
                        raise EngineError(refusals[name])
                    self.model, self.name, self.precision = model, name, str(precision)
                    self.device = "CPU" if device in ("auto", "cpu") else device

                def _compute(self, lightness: F32) -> F32:
                    return lightness

            return Fake

        monkeypatch.setattr(select, "engine_class", engine_class)

    return pretend


MODEL = Path("model.onnx")


@pytest.mark.usefixtures("engines")
def test_auto_without_a_gpu_computes_on_the_cpu_and_says_why(
    gpus: Gpus, engines: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    gpus()
    engines()
    monkeypatch.setattr(select, "has_intel_gpu", lambda: False)
    engine = open_engine(MODEL, precision="bf16")
    assert str(engine) == "openvino on CPU, bf16 (the fastest here; no NVIDIA driver is installed)"
    monkeypatch.setattr(select, "has_intel_gpu", lambda: True)
    assert "an Intel GPU, which --device gpu takes, is unused" in str(open_engine(MODEL))


def test_an_intel_gpu_is_seen_by_its_vendor(tmp_path: Path) -> None:
    assert not select.has_intel_gpu(tmp_path / "none")
    for card, vendor in (("card0", "0x10de"), ("card1", "0x8086")):
        assert not select.has_intel_gpu(tmp_path)
        (tmp_path / card / "device").mkdir(parents=True)
        (tmp_path / card / "device" / "vendor").write_text(f"{vendor}\n")
    assert select.has_intel_gpu(tmp_path)


def test_auto_takes_tensorrt_then_cuda_and_tells_what_it_passed_over(
    gpus: Gpus, engines: Callable[..., None]
) -> None:
    gpus("RTX 4090", "RTX 3060")
    engines()
    assert str(open_engine(MODEL)) == "tensorrt on cuda, auto (the fastest here)"
    engines(tensorrt="no engine")
    assert str(open_engine(MODEL)) == (
        "onnxruntime on cuda, auto (the fastest that works here; tensorrt: no engine)"
    )
    engines(tensorrt="no engine", onnxruntime="no provider")
    assert str(open_engine(MODEL)) == (
        "openvino on CPU, auto (the fastest that works here; cuda:0 RTX 4090, cuda:1 RTX 3060 "
        "unused; tensorrt: no engine; onnxruntime: no provider)"
    )


def test_what_is_named_is_not_replaced(gpus: Gpus, engines: Callable[..., None]) -> None:
    gpus("RTX 4090")
    engines(tensorrt="no engine", onnxruntime="no provider")
    with pytest.raises(EngineError, match=r"^tensorrt: no engine; onnxruntime: no provider$"):
        open_engine(MODEL, device="cuda:0")
    with pytest.raises(EngineError, match=r"^no engine$"):
        open_engine(MODEL, "tensorrt")
    assert open_engine(MODEL, "onnxruntime").device == "CPU"  # nobody named the GPU
    assert open_engine(MODEL, "openvino").why == ""  # nothing was chosen
    engines()
    assert open_engine(MODEL, "onnxruntime", device="cuda:0").device == "cuda:0"
    assert open_engine(MODEL, "auto", device="cuda:0").name == "tensorrt"


@pytest.mark.parametrize("backend", ["auto", "onnxruntime"])
def test_a_gpu_that_is_not_there_is_refused(backend: str, gpus: Gpus, tiny_model: Path) -> None:
    gpus()
    with pytest.raises(EngineError, match=r"^device cuda:1: no NVIDIA driver is installed; "):
        open_engine(tiny_model, backend, device="cuda:1")
    gpus("RTX 4090")
    with pytest.raises(EngineError, match=r"no such GPU; here are cuda:0 \(RTX 4090\)$"):
        open_engine(tiny_model, backend, device="cuda:1")


@pytest.mark.parametrize("device", ["gtx", "cuda:x", "cuda:-1", ""])
def test_unknown_devices_are_refused(device: str, tiny_model: Path) -> None:
    with pytest.raises(ArgumentError, match=r"unknown device '.*'; choose one of auto, "):
        open_engine(tiny_model, device=device)


@pytest.mark.parametrize(
    ("backend", "device", "mend"),
    [("openvino", "cuda", "cpu or gpu or npu"), ("onnxruntime", "npu", "cuda or cpu or tensorrt")],
)
def test_a_device_of_another_backend_is_refused(
    backend: str, device: str, mend: str, tiny_model: Path
) -> None:
    with pytest.raises(EngineError, match=f"^device {device}: {backend} .*; give --device {mend}$"):
        open_engine(tiny_model, backend, device=device)


@pytest.mark.parametrize("kind", ["gpu", "npu"])
def test_an_intel_device_that_is_not_there_is_refused(kind: str, tiny_model: Path) -> None:
    if any(place.lower().startswith(kind) for place in openvino.Core().available_devices):
        pytest.skip(f"there is an Intel {kind.upper()}")
    with pytest.raises(EngineError, match=f"^device {kind}: .*; if there is one, install Intel's"):
        open_engine(tiny_model, device=kind)


@without_cuda
@pytest.mark.parametrize("kind", ["cuda", "tensorrt"])
def test_onnxruntime_without_the_provider_is_refused_with_the_mend(
    kind: str, gpus: Gpus, tiny_model: Path
) -> None:
    gpus("RTX 4090")
    with pytest.raises(EngineError, match=r"has no \w+Provider: .*pip install onnxruntime-gpu$"):
        open_engine(tiny_model, "onnxruntime", device=f"{kind}:0")
    engine = open_engine(tiny_model)
    assert engine.device == "CPU"
    assert "cuda:0 RTX 4090 unused" in str(engine)
    assert "onnxruntime-gpu" in str(engine)
    engine.close()


@without_cuda
def test_onnxruntime_that_falls_back_by_itself_is_caught(
    gpus: Gpus, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Simulated: its session opens on the CPU whatever was asked, as with an old driver."""
    gpus("RTX 4090")
    real = onnxruntime.InferenceSession

    def session(model: Path, *_: object, **__: object) -> Any:
        return real(model, providers=["CPUExecutionProvider"])

    monkeypatch.setattr(ort_engine, "_lacks", lambda _: "")
    monkeypatch.setattr(onnxruntime, "InferenceSession", session)
    with pytest.raises(EngineError, match="did not take its CUDAExecutionProvider"):
        OnnxRuntimeEngine(tiny_model, device="cuda")
    with pytest.raises(ModelError, match="not an ONNX file"):
        OnnxRuntimeEngine(tmp_path, device="cuda")


def test_buffers_that_are_kept_give_each_batch_its_own_answer(tiny_model: Path) -> None:
    """The road of GPUs, here over the CPU's memory."""
    with OnnxRuntimeEngine(tiny_model) as engine:
        for count, width in ((3, 48), (3, 48), (1, 48), (3, 64)):
            lightness = _lightness(count, width=width) * np.float32(0.1 * count)
            answer = engine._compute_bound(lightness.copy())
            np.testing.assert_allclose(answer, _truth(lightness), atol=1e-4)


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
        assert set(engine._requests) == {"LATENCY", "THROUGHPUT"}


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

    monkeypatch.setattr(openvino, "Core", Core)
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
def test_an_engines_lack_of_memory_is_recognised(
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


def test_list_devices_tells_all_and_why_not(colorize_run: Run, gpus: Gpus) -> None:
    gpus()
    run = colorize_run("--list-devices")
    assert (run.returncode, run.stderr) == (0, "")
    lines = run.stdout.splitlines()
    assert any(line.startswith("openvino cpu (") and line.endswith("): yes") for line in lines)
    assert "onnxruntime cuda: no: no NVIDIA driver is installed" in lines
    assert {line.split()[0].rstrip(":") for line in lines} == set(select.BACKENDS) - {"auto"}


@without_cuda
def test_list_devices_is_a_table_on_a_terminal(
    gpus: Gpus, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from colorize.runtime.device_list import print_devices

    gpus("RTX 4090")
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "300")
    print_devices()
    table = capsys.readouterr().out
    assert "--backend" in table.splitlines()[1]
    [row] = [line for line in table.splitlines() if "onnxruntime cuda:0" in " ".join(line.split())]
    assert "RTX 4090" in row
    assert "pip install onnxruntime-gpu" in row


def test_a_missing_library_is_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        select, "_not_installed", lambda name: "is not installed" if name == "onnxruntime" else ""
    )
    monkeypatch.setattr(OpenVINOEngine, "devices", lambda: [EngineDevice("cpu", "CPU")])
    monkeypatch.delitem(select._ENGINES, "tensorrt")
    assert engine_devices() == {
        "openvino": [EngineDevice("cpu", "CPU")],
        "onnxruntime": [EngineDevice("", "", "is not installed")],
    }


def test_the_command_honours_or_refuses_a_device(
    colorize_run: Run, photo: Path, tmp_path: Path, gpus: Gpus
) -> None:
    gpus()
    run = colorize_run(photo, "-o", tmp_path / "a.png", "--device", "cpu")
    assert run.returncode == 0
    assert "openvino on CPU" in run.stderr
    refused = colorize_run(
        photo, "-o", tmp_path / "b.png", "--backend", "auto", "--device", "cuda:1"
    )
    assert refused.returncode == 2
    assert refused.stderr == (
        "colorize-run: device cuda:1: no NVIDIA driver is installed; install the driver, or give "
        "--device cpu\n"
    )
    assert not (tmp_path / "b.png").exists()
