"""Where figures were measured: without it they say nothing."""

import os
import platform
from importlib import metadata
from pathlib import Path
from typing import Any

from ..runtime.engines.cuda import devices

_PACKAGES = (
    "colorize-toolkit",
    "numpy",
    "openvino",
    "onnxruntime",
    "onnxruntime-gpu",
    "tensorrt",
    "tensorrt-rtx",
    "pycuda",
    "torch",
    "torchmetrics",
    "scikit-image",
    "opencv-python-headless",
    "pillow",
)
_CPUINFO = Path("/proc/cpuinfo")


def describe_machine() -> dict[str, Any]:
    """Return the processor, the cores this process may use, GPUs, and versions of what computes."""
    return {
        "cpu": cpu_name(),
        "cores": usable_cores(),
        "gpus": [gpu.name for gpu in devices()],
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "omp_num_threads": os.environ.get("OMP_NUM_THREADS"),  # some engines obey it
        "python": platform.python_version(),
        "packages": {name: found for name in _PACKAGES if (found := _version(name))},
    }


def cpu_name() -> str:
    """Return the processor's name as its maker gives it, or else its architecture."""
    try:
        lines = _CPUINFO.read_text().splitlines()
    except OSError:
        lines = []  # not Linux
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return next(filter(None, [*names, platform.processor(), platform.machine()]), "unknown")


def usable_cores() -> int:
    """Return the number of logical cores that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _version(distribution: str) -> str | None:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None
