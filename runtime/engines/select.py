"""Choose an engine: the one asked for or none; for `auto` the fastest that works, saying which."""

import importlib.util
from importlib import import_module, metadata
from pathlib import Path

from ..errors import ArgumentError, EngineError
from .base import Engine, Precision

# In the order `auto` tries them. On CPUs with AMX, OpenVINO in bf16 was measured at 7 times the
# speed of ONNX Runtime; on others the two are about level.
_ENGINES = {"openvino": "OpenVINOEngine", "onnxruntime": "OnnxRuntimeEngine"}
BACKENDS = ("auto", *_ENGINES)


def open_engine(model: Path, backend: str = "auto", precision: Precision = "auto") -> Engine:
    """Load MODEL with BACKEND; EngineError says why that backend cannot be used and the mend."""
    if backend == "auto":
        backend = available_backends()[0]
    if backend not in _ENGINES:
        raise ArgumentError(f"unknown backend {backend!r}; choose one of {', '.join(BACKENDS)}")
    refuse_two_onnxruntimes()
    if backend not in available_backends():
        raise EngineError(
            f"backend {backend} is not installed: pip install 'colorize-toolkit[ort]' "
            "(in a clone: pip install '.[ort]')"
        )
    module = import_module(f".{backend}", __package__)
    engine: type[Engine] = getattr(module, _ENGINES[backend])
    return engine(model, precision)


def available_backends() -> list[str]:
    """Return the installed backends, the fastest first; OpenVINO always is."""
    return [name for name in _ENGINES if importlib.util.find_spec(name) is not None]


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
