"""Asks the CUDA driver, and nothing else: TensorRT can crash a process that has no driver."""

import ctypes
import sys


def device_count() -> int:
    """Return the number of CUDA devices; 0 where there is no driver or it has none."""
    name = "nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1"
    try:
        driver = ctypes.CDLL(name)
    except OSError:
        return 0
    count = ctypes.c_int(0)
    if driver.cuInit(0) != 0 or driver.cuDeviceGetCount(ctypes.byref(count)) != 0:
        return 0
    return count.value
