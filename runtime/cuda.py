"""Asks the CUDA driver, and nothing else: TensorRT can crash a process that has no driver."""

import ctypes
import sys
from dataclasses import dataclass

# Of cuDeviceGetAttribute.
_MAJOR, _MINOR = 75, 76


@dataclass(frozen=True)
class Device:
    """A GPU."""

    name: str
    compute_capability: str  # such as 89


def device_count() -> int:
    """Return the number of CUDA devices; 0 where there is no driver or it has none."""
    return len(devices())


def devices() -> list[Device]:
    """Return the CUDA devices; none where there is no driver."""
    try:
        driver = ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
    except OSError:
        return []
    count = ctypes.c_int(0)
    if driver.cuInit(0) != 0 or driver.cuDeviceGetCount(ctypes.byref(count)) != 0:
        return []
    return [_describe(driver, ordinal) for ordinal in range(count.value)]


def _describe(driver: ctypes.CDLL, ordinal: int) -> Device:
    name, handle, number = ctypes.create_string_buffer(256), ctypes.c_int(), ctypes.c_int()
    driver.cuDeviceGet(ctypes.byref(handle), ordinal)
    driver.cuDeviceGetName(name, len(name), handle)
    digits = []
    for attribute in (_MAJOR, _MINOR):
        driver.cuDeviceGetAttribute(ctypes.byref(number), attribute, handle)
        digits.append(str(number.value))
    return Device(name.value.decode(), "".join(digits))
