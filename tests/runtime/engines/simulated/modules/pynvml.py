"""A stand-in for NVIDIA's management library, over the simulated CUDA driver.

Half a GB of each GPU is always in use, and each draws 100 W while the simulated clock moves.
"""

import ctypes
from dataclasses import dataclass

_driver = ctypes.CDLL("libcuda.so.1")
_driver.simulated_used.restype = ctypes.c_longlong
_driver.simulated_ms.restype = ctypes.c_double
_ELSEWHERE = 512 << 20
_WATTS = 100


class NVMLError(Exception):
    pass


@dataclass
class _Memory:
    used: int


def nvmlInit() -> None:  # noqa: N802  # NVIDIA's name, as all below
    pass


def nvmlDeviceGetHandleByPciBusId(pciBusId: str) -> int:  # noqa: N802
    places = {"0000:10:00.0": 0, "0000:0f:00.0": 1}
    if pciBusId not in places:
        raise NVMLError("Not Found")
    return places[pciBusId]


def nvmlDeviceGetMemoryInfo(handle: int) -> _Memory:  # noqa: N802
    return _Memory(_ELSEWHERE + int(_driver.simulated_used(handle)))


def nvmlDeviceGetTotalEnergyConsumption(handle: int) -> int:  # noqa: N802
    return int(1000 * _WATTS * _driver.simulated_ms() / 1000)
