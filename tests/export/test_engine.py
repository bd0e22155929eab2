"""colorize-export --engine: an engine beside the ONNX file, or the reason why there is none."""

import importlib.util
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from helpers.marks import needs_rtx

from colorize.export.jobs import checkpoint as job
from colorize.export.jobs.output import Exported
from colorize.export.tensorrt import builder as tensorrt
from colorize.runtime.engines import cuda
from colorize.runtime.engines.cuda import Device
from colorize.runtime.engines.tensorrt.plan import engine_path, read_build_config
from colorize.runtime.files import sha256

Run = Callable[..., subprocess.CompletedProcess[str]]


@needs_rtx
def test_fp16_export_builds_an_engine_without_a_gpu(exported: dict[str, Path]) -> None:
    engine = engine_path(exported["fp16"], "tensorrt_rtx")
    assert engine.stat().st_size > 100_000
    config = read_build_config(engine)
    assert config.onnx_sha256 == sha256(exported["fp16"])
    assert (config.variant, config.precision, config.device) == ("tensorrt_rtx", "fp16", "")
    landscape, portrait = config.profiles
    assert landscape.low == portrait.low == (1, 1, 64, 64)
    assert landscape.high == (32, 1, 512, 1024)
    assert portrait.high == (32, 1, 1024, 512)


@pytest.fixture
def exported_before(exported: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """Spares the exporter's seconds: the ONNX file of `checkpoint_file` was made before."""
    before = Exported(exported["fp16"].read_bytes(), {})
    monkeypatch.setattr(job, "export_checkpoint", lambda *_, **__: before)


@needs_rtx
@pytest.mark.usefixtures("exported_before")
def test_ctrl_c_leaves_no_engine(
    checkpoint_file: Path,
    colorize_export: Run,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
) -> None:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in the background
    request.addfinalizer(lambda: signal.signal(signal.SIGINT, before))
    real = tensorrt._monitor
    made: list[Any] = []
    sent: list[signal.Signals] = []

    def interrupt(*_: object) -> None:
        if not sent:  # a second one would reach whatever runs after the command
            sent.append(signal.SIGINT)
            signal.raise_signal(signal.SIGINT)

    def interrupting(trt: Any, _: tensorrt.OnPhase) -> Any:
        made.append(real(trt, interrupt))
        return made[0]

    monkeypatch.setattr(tensorrt, "_monitor", interrupting)
    target = tmp_path / "net.onnx"
    run = colorize_export("--engine", "fp16", "--checkpoint", checkpoint_file, "-o", target)
    assert run.returncode == 130
    assert made[0].cancelled
    assert run.stderr.splitlines()[-1] == "colorize-export: interrupted"
    visible = {path.name for path in tmp_path.iterdir() if not path.name.startswith(".")}
    assert visible == {"net.onnx", "net.json"}


@pytest.fixture
def no_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tensorrt, "devices", list)


@pytest.mark.usefixtures("no_driver")
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--device", "cuda"), "--device cuda: no NVIDIA driver reports a GPU"),
        pytest.param(
            ("--compute-capability", "86,31"),
            "compute capability '31': tensorrt_rtx",
            marks=needs_rtx,
        ),
        (("--device", "cuda", "--compute-capability", "86"), "builds ahead of time"),
    ],
)
def test_what_cannot_be_built_for_is_refused_before_anything_is_written(
    arguments: tuple[str, ...],
    message: str,
    colorize_export: Run,
    checkpoint_file: Path,
    tmp_path: Path,
) -> None:
    target = tmp_path / "net.onnx"
    common = ("--engine", "fp16", "--checkpoint", checkpoint_file, "-o", target)
    run = colorize_export(*common, *arguments)
    assert run.returncode == 2
    [line] = run.stderr.splitlines()
    assert message in line
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("no_driver", "exported_before")
def test_without_tensorrt_the_onnx_file_is_kept_and_the_reason_said(
    checkpoint_file: Path, colorize_export: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", _without(importlib.util.find_spec))
    target = tmp_path / "net.onnx"
    run = colorize_export("--engine", "fp16", "--checkpoint", checkpoint_file, "-o", target)
    assert run.returncode == 0
    line = run.stderr.splitlines()[-1]
    assert line.startswith("no TensorRT engine was built: no NVIDIA driver reports a GPU")
    assert "tensorrt_rtx, which needs no GPU, is not installed: pip install tensorrt-rtx" in line
    assert target.is_file()


def _without(real: Callable[..., Any]) -> Callable[..., Any]:
    return lambda name, *rest: None if "tensorrt" in name else real(name, *rest)


def test_the_driver_is_asked_for_names_and_capabilities(monkeypatch: pytest.MonkeyPatch) -> None:
    class Driver:
        def __getattr__(self, _: str) -> Callable[..., int]:
            return lambda *_: 0

        def cuDeviceGetCount(self, count: Any) -> int:  # noqa: N802  # the driver's name
            count._obj.value = 1
            return 0

        def cuDeviceGetName(self, name: Any, length: int, handle: Any) -> int:  # noqa: N802
            name.value = b"NVIDIA L4"
            return 0

        def cuDeviceGetAttribute(self, number: Any, attribute: int, handle: Any) -> int:  # noqa: N802
            number._obj.value = {75: 8, 76: 9}[attribute]
            return 0

        def cuDeviceGetPCIBusId(self, bus: Any, length: int, handle: Any) -> int:  # noqa: N802
            bus.value = b"0000:01:00.0"
            return 0

    monkeypatch.setattr("ctypes.CDLL", lambda _: Driver())
    assert cuda.devices() == [Device("NVIDIA L4", "89", "0000:01:00.0")]
    monkeypatch.setattr(Driver, "cuInit", lambda *_: 100, raising=False)
    assert cuda.devices() == []
