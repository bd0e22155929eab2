"""One engine on a GPU: copies and network apart, energy, memory."""

import importlib.util
import time
from importlib import import_module
from statistics import median
from typing import Any, Self

from ...runtime.color import F32
from ...runtime.engines.base import Engine, Timed
from ...runtime.engines.cuda import devices

_ENERGY_SECONDS = 1.0  # the counter moves some ten times a second


def gpu_figures(engine: Engine, lightness: F32, runs: int) -> dict[str, Any]:
    """Return those figures of a SpeedRow that the GPU of ENGINE, warmed up, gives on LIGHTNESS.

    Medians of RUNS runs; energy over a second.
    """
    figures: dict[str, Any] = {}
    if isinstance(engine, Timed):
        found = [engine.timeline(lightness) for _ in range(runs)]
        for step in ("to_device_ms", "compute_ms", "to_host_ms"):
            figures[step] = median(getattr(one, step) for one in found)
    meter = GpuMeter.open(engine.device)
    if meter is not None:
        figures["device_joules_per_picture"] = _joules(engine, lightness, meter, runs)
    return figures


def _joules(engine: Engine, lightness: F32, meter: "GpuMeter", runs: int) -> float | None:
    before, began, calls = meter.joules(), time.perf_counter(), 0
    if before is None:
        return None
    while calls < runs or time.perf_counter() - began < _ENERGY_SECONDS:
        engine.infer(lightness)
        calls += 1
    after = meter.joules()
    return None if after is None else (after - before) / calls / len(lightness)


class GpuMeter:
    """The counters of one NVIDIA GPU, as its management library reads them."""

    def __init__(self, nvml: Any, handle: Any) -> None:
        self._nvml, self._handle = nvml, handle

    @classmethod
    def open(cls, device: str) -> Self | None:
        """Return the meter of a device such as cuda:1; None without NVIDIA GPU or NVML."""
        kind, _, number = device.partition(":")
        if kind not in ("cuda", "tensorrt") or importlib.util.find_spec("pynvml") is None:
            return None
        # By its place on the bus: CUDA and NVML count GPUs in different orders.
        places = [gpu.pci_bus_id for gpu in devices()]
        nvml: Any = import_module("pynvml")
        try:
            nvml.nvmlInit()
            return cls(nvml, nvml.nvmlDeviceGetHandleByPciBusId(places[int(number or 0)]))
        except nvml.NVMLError:
            return None

    def joules(self) -> float | None:
        """Return the energy that the board has used since some fixed moment."""
        try:
            return float(self._nvml.nvmlDeviceGetTotalEnergyConsumption(self._handle)) / 1000
        except self._nvml.NVMLError:  # older than Volta
            return None

    def used_mb(self) -> float | None:
        """Return the memory that is in use on it, by whatever process."""
        try:
            return float(self._nvml.nvmlDeviceGetMemoryInfo(self._handle).used) / 2**20
        except self._nvml.NVMLError:
            return None
