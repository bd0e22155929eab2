"""Devices: what is asked for is used or refused with the reason; auto says what and why."""

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnxruntime
import openvino
import pytest

from colorize.runtime.color import F32
from colorize.runtime.engines import cuda, select
from colorize.runtime.engines import onnxruntime as ort_engine
from colorize.runtime.engines.base import Engine, EngineDevice, Precision
from colorize.runtime.engines.cuda import Device
from colorize.runtime.engines.onnxruntime import OnnxRuntimeEngine
from colorize.runtime.engines.openvino import OpenVINOEngine
from colorize.runtime.engines.select import engine_devices, open_engine
from colorize.runtime.errors import ArgumentError, EngineError, ModelError

Run = Callable[..., subprocess.CompletedProcess[str]]
Gpus = Callable[..., None]
without_cuda = pytest.mark.skipif(
    "CUDAExecutionProvider" in onnxruntime.get_available_providers(),
    reason="needs an onnxruntime without CUDA",
)


@pytest.fixture
def gpus(monkeypatch: pytest.MonkeyPatch) -> Gpus:
    """`gpus(*names)`: a simulated NVIDIA driver reports these GPUs; none: there is no driver."""

    def pretend(*names: str) -> None:
        monkeypatch.setattr(cuda, "devices", lambda: [Device(name, "89") for name in names])
        absence = "" if names else "no NVIDIA driver is installed"
        monkeypatch.setattr(cuda, "absence", lambda: absence)

    return pretend


@pytest.fixture
def engines(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """`engines(openvino="reason")`: simulated engines that work, unless a reason is given."""

    def pretend(**refusals: str) -> None:
        def engine_class(name: str) -> Any:
            class Fake(Engine):
                def __init__(
                    self,
                    model: Path,
                    precision: Precision = "auto",
                    device: str = "auto",
                    threads: int | None = None,
                    *,
                    expects_hints: bool = False,
                ) -> None:
                    if name in refusals and device != "cpu":
                        raise EngineError(refusals[name])
                    self.model, self.name, self.precision = model, name, str(precision)
                    self.device = "CPU" if device in ("auto", "cpu") else device

                def _compute(self, lightness: F32, *_: F32) -> F32:
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
    ("backend", "device", "fix"),
    [("openvino", "cuda", "cpu or gpu or npu"), ("onnxruntime", "npu", "cuda or cpu or tensorrt")],
)
def test_a_device_of_another_backend_is_refused(
    backend: str, device: str, fix: str, tiny_model: Path
) -> None:
    with pytest.raises(EngineError, match=f"^device {device}: {backend} .*; give --device {fix}$"):
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

    monkeypatch.setattr(ort_engine, "_missing", lambda _: "")
    monkeypatch.setattr(onnxruntime, "InferenceSession", session)
    with pytest.raises(EngineError, match="did not take its CUDAExecutionProvider"):
        OnnxRuntimeEngine(tiny_model, device="cuda")
    with pytest.raises(ModelError, match="not an ONNX file"):
        OnnxRuntimeEngine(tmp_path, device="cuda")


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
    from colorize.runtime.listing import print_devices

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
