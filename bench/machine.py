"""The machine that figures were measured on."""

import os
import platform
from importlib import metadata
from typing import Any

from ..runtime.engines.cuda import devices
from ..runtime.engines.openvino import shared_core
from ..train.devices import usable_cores

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


def describe_machine() -> dict[str, Any]:
    """Return the processor, the cores this process may use, GPUs, and versions of what computes."""
    return {
        "cpu": str(shared_core().get_property("CPU", "FULL_DEVICE_NAME")),
        "cores": usable_cores(),
        "gpus": [gpu.name for gpu in devices()],
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        # Some engines take their threads from it.
        "omp_num_threads": os.environ.get("OMP_NUM_THREADS"),
        "python": platform.python_version(),
        "packages": {
            name: found.version for name in _PACKAGES for found in metadata.distributions(name=name)
        },
    }
