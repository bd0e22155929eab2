"""Choose an engine: the one that was named or none; for `auto` the fastest that works here."""

import importlib.util
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module, metadata
from pathlib import Path

from ..errors import ArgumentError, EngineError
from . import cuda
from .base import Engine, EngineDevice, Precision

_INTEL = "0x8086"


@dataclass(frozen=True)
class _Entry:
    """Where an engine is found."""

    class_name: str  # in the module of this package that has the engine's name
    library: str = ""  # that the module imports; "": the class reports missing libraries itself
    extra: str = ""  # of pip that installs the library; "": it is always there


_ENGINES = {
    "tensorrt": _Entry("TensorRTEngine", extra="gpu"),
    "openvino": _Entry("OpenVINOEngine", "openvino"),
    "onnxruntime": _Entry("OnnxRuntimeEngine", "onnxruntime", extra="ort"),
}
BACKENDS = ("auto", *_ENGINES)

# In the order `auto` tries them. On CPUs with AMX, OpenVINO in bf16 was measured at 7 times the
# speed of ONNX Runtime; on other CPUs the two are about equal.
_ORDER = (
    ("tensorrt", "cuda"),
    ("onnxruntime", "cuda"),
    ("openvino", "cpu"),
    ("onnxruntime", "cpu"),
)
# These are used only when named: it was not measured that they are faster.
_ON_DEMAND = (("openvino", "gpu"), ("openvino", "npu"), ("onnxruntime", "tensorrt"))


def open_engine(
    model: Path,
    backend: str = "auto",
    precision: Precision = "auto",
    device: str = "auto",
    threads: int | None = None,
    *,
    expects_hints: bool = False,
) -> Engine:
    """Load MODEL with BACKEND on DEVICE; EngineError says why that cannot be used, and the fix.

    THREADS and EXPECTS_HINTS as Engine has them.

    If the choice is left to `auto`, the engine's `why` says how it was made.
    """
    candidates = _candidates(backend, device)
    refuse_two_onnxruntimes()
    if len(candidates) == 1:
        [(name, _)] = candidates
        return engine_class(name)(model, precision, device, threads, expects_hints=expects_hints)
    if device.startswith("cuda"):
        cuda.find_device(device)  # one clear reason, instead of one from each backend
    gpus = cuda.devices()
    refusals: list[str] = []
    for name, kind in candidates:
        if kind == "cuda" and device == "auto" and not gpus:
            continue
        try:
            place = kind if device == "auto" else device
            engine = engine_class(name)(
                model, precision, place, threads, expects_hints=expects_hints
            )
        except EngineError as error:
            refusals.append(f"{name}: {str(error).removeprefix(f'backend {name} ')}")
            continue
        best = "the fastest that works here" if refusals else "the fastest here"
        idle = _idle_gpus(gpus) if (device, kind) == ("auto", "cpu") else ""
        engine.why = "; ".join(filter(None, [best, idle, *refusals]))
        return engine
    raise EngineError("; ".join(refusals) or cuda.absence())


def _candidates(backend: str, device: str) -> list[tuple[str, str]]:
    """Return (backend, kind of device) in the order to try them; at least one.

    ArgumentError if there is no such backend or device, EngineError if they do not go together.
    """
    if backend not in BACKENDS:
        raise ArgumentError(f"unknown backend {backend!r}; choose one of {', '.join(BACKENDS)}")
    everything = (*_ORDER, *_ON_DEMAND)
    kind, _, number = device.partition(":")
    kinds = list(dict.fromkeys(kind for _, kind in everything))
    if kind not in ("auto", *kinds) or (number and not number.isdecimal()):
        raise ArgumentError(
            f"unknown device {device!r}; choose one of auto, {', '.join(kinds)}; several GPUs have "
            "numbers, such as cuda:1"
        )
    known = _ORDER if device == "auto" else everything
    found = [
        (b, k)
        for b, k in known
        if backend in ("auto", b) and device in ("auto", k, f"{k}:{number}")
    ]
    if not found:
        own = dict.fromkeys(k for b, k in everything if b == backend)
        raise EngineError(
            f"device {device}: {backend} does not compute there; give --device {' or '.join(own)}"
        )
    return found


def _idle_gpus(gpus: list[cuda.Device]) -> str:
    """Return what to tell about GPUs here if the CPU was chosen."""
    if gpus:
        names = (f"cuda:{index} {gpu.name}" for index, gpu in enumerate(gpus))
        return f"{', '.join(names)} unused"
    if has_intel_gpu():
        return f"{cuda.absence()}; an Intel GPU, which --device gpu takes, is unused"
    return cuda.absence()


def has_intel_gpu(cards: Path = Path("/sys/class/drm")) -> bool:
    """Whether Linux lists an Intel GPU; False on other systems. OpenVINO takes 0.1 s to tell."""
    for file in cards.glob("card*/device/vendor"):
        with suppress(OSError):
            if file.read_text().strip() == _INTEL:
                return True
    return False


def engine_class(backend: str) -> type[Engine]:
    """Return the engine called BACKEND; EngineError if its library is not installed."""
    problem = _not_installed(backend)
    if problem:
        raise EngineError(f"backend {backend} {problem}")
    module = import_module(f".{backend}", __package__)
    found: type[Engine] = getattr(module, _ENGINES[backend].class_name)
    return found


def engine_devices() -> dict[str, list[EngineDevice]]:
    """Return, by backend, the devices that it may compute on; loads every library there is."""
    found = {}
    for name in _ENGINES:
        try:
            found[name] = engine_class(name).devices()
        except EngineError as error:
            found[name] = [EngineDevice("", "", str(error).removeprefix(f"backend {name} "))]
    return found


def available_backends(device: str = "auto") -> list[str]:
    """Return the backends that are installed and compute on DEVICE, fastest first."""
    able = {name for name, _ in _candidates("auto", device)}
    return [
        name for name in _ENGINES if name in able and not _not_installed(name) and _has_device(name)
    ]


def _not_installed(backend: str) -> str:
    """Return what is missing to import BACKEND, and the fix; "" if nothing is."""
    entry = _ENGINES[backend]
    if not entry.library or importlib.util.find_spec(entry.library) is not None:
        return ""
    return (
        f"is not installed: pip install 'colorize-toolkit[{entry.extra}]' "
        f"(in a clone: pip install '.[{entry.extra}]')"
    )


def _has_device(backend: str) -> bool:
    if _ENGINES[backend].library:  # each of them computes on the CPU at least
        return True
    return any(not device.problem for device in engine_class(backend).devices())


def refuse_two_onnxruntimes() -> None:
    """Raise EngineError if onnxruntime and onnxruntime-gpu are both installed.

    Both install the module `onnxruntime`, one over the other, and pip does not notice.
    """
    both = ("onnxruntime", "onnxruntime-gpu")
    if all(_is_installed(name) for name in both):
        raise EngineError(
            f"{' and '.join(both)} are both installed and overwrite each other; fix it with: "
            f"pip uninstall -y {' '.join(both)} && pip install onnxruntime-gpu (or onnxruntime)"
        )


def _is_installed(distribution: str) -> bool:
    try:
        metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return False
    return True
