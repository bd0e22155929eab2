"""Choose an engine: the one asked for or none; for `auto` the fastest that works, saying which."""

import importlib.util
from dataclasses import dataclass
from importlib import import_module, metadata
from pathlib import Path

from ..errors import ArgumentError, EngineError
from .base import Engine, EngineDevice, Precision


@dataclass(frozen=True)
class _Entry:
    """Where an engine is found."""

    class_name: str  # in the module of this package that is called like the engine
    library: str = ""  # that the module imports; "": it imports without and tells itself what lacks
    extra: str = ""  # that installs it; "": always there


# In the order `auto` tries them. On CPUs with AMX, OpenVINO in bf16 was measured at 7 times the
# speed of ONNX Runtime; on others the two are about level.
_ENGINES = {
    "tensorrt": _Entry("TensorRTEngine", extra="gpu"),
    "openvino": _Entry("OpenVINOEngine", "openvino"),
    "onnxruntime": _Entry("OnnxRuntimeEngine", "onnxruntime", extra="ort"),
}
BACKENDS = ("auto", *_ENGINES)


def open_engine(
    model: Path, backend: str = "auto", precision: Precision = "auto", device: str = "auto"
) -> Engine:
    """Load MODEL with BACKEND on DEVICE; EngineError says why that cannot be used and the mend."""
    if backend == "auto":
        backend = available_backends()[0]
    return engine_class(backend)(model, precision, device)


def engine_class(backend: str) -> type[Engine]:
    """Return the engine called BACKEND; EngineError if its library is not installed."""
    if backend not in _ENGINES:
        raise ArgumentError(f"unknown backend {backend!r}; choose one of {', '.join(BACKENDS)}")
    refuse_two_onnxruntimes()
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


def available_backends() -> list[str]:
    """Return the backends that are installed and have a device, the fastest first."""
    return [name for name in _ENGINES if not _not_installed(name) and _has_device(name)]


def _not_installed(backend: str) -> str:
    """Return what lacks to import BACKEND, and the mend; "" if nothing."""
    entry = _ENGINES[backend]
    if importlib.util.find_spec(f".{backend}", __package__) is None:
        return "is not part of this version"
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
            f"{' and '.join(both)} are both installed and overwrite each other; mend it with: "
            f"pip uninstall -y {' '.join(both)} && pip install onnxruntime-gpu (or onnxruntime)"
        )


def _is_installed(distribution: str) -> bool:
    try:
        metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return False
    return True
