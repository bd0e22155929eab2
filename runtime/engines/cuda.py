"""The GPUs as the CUDA driver reports them; TensorRT can crash a process that has no driver."""

import ctypes
import sys
from dataclasses import dataclass

from ..errors import ArgumentError, EngineError

_MAJOR, _MINOR = 75, 76  # cuDeviceGetAttribute: compute capability


@dataclass(frozen=True)
class Device:
    """A GPU."""

    name: str
    compute_capability: str  # such as 89
    pci_bus_id: str = ""  # other libraries number GPUs in another order than CUDA; this is unique


def devices() -> list[Device]:
    """Return the CUDA devices; none where there is no driver."""
    driver = load_driver()
    count = ctypes.c_int(0)
    if driver is None or driver.cuInit(0) != 0:
        return []
    if driver.cuDeviceGetCount(ctypes.byref(count)) != 0:
        return []
    return [_describe(driver, ordinal) for ordinal in range(count.value)]


def absence() -> str:
    """Return why there are no CUDA devices here; "" if there are some."""
    if devices():
        return ""
    if load_driver() is None:
        return "no NVIDIA driver is installed"
    return "the NVIDIA driver reports no GPU"


def find_device(asked: str) -> tuple[int, Device]:
    """Return the ordinal of the GPU called `cuda` (the first) or `cuda:N`, and what it is.

    ArgumentError if ASKED is no such name, EngineError if that GPU is not there.
    """
    kind, _, number = asked.partition(":")
    if kind != "cuda" or not (number or "0").isdecimal():
        raise ArgumentError(f"device {asked!r}: an NVIDIA GPU is called cuda or cuda:N")
    found, ordinal = devices(), int(number or 0)
    if not found:
        raise EngineError(f"device {asked}: {absence()}; install the driver, or give --device cpu")
    if ordinal >= len(found):
        here = ", ".join(f"cuda:{index} ({gpu.name})" for index, gpu in enumerate(found))
        raise EngineError(f"device {asked}: there is no such GPU; here are {here}")
    return ordinal, found[ordinal]


def load_driver() -> ctypes.CDLL | None:
    """Return the CUDA driver's library; None where there is none."""
    try:
        return ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
    except OSError:
        return None


def _describe(driver: ctypes.CDLL, ordinal: int) -> Device:
    name, handle, number = ctypes.create_string_buffer(256), ctypes.c_int(), ctypes.c_int()
    driver.cuDeviceGet(ctypes.byref(handle), ordinal)
    driver.cuDeviceGetName(name, len(name), handle)
    bus = ctypes.create_string_buffer(32)
    driver.cuDeviceGetPCIBusId(bus, len(bus), handle)
    digits = []
    for attribute in (_MAJOR, _MINOR):
        driver.cuDeviceGetAttribute(ctypes.byref(number), attribute, handle)
        digits.append(str(number.value))
    return Device(name.value.decode(), "".join(digits), bus.value.decode())
