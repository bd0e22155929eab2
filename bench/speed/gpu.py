"""What a GPU tells of one engine: where the time goes, the energy, the memory."""

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from statistics import median
from typing import Any, Self

from ...runtime.color import F32
from ...runtime.engines.base import Engine, Timed
from ...runtime.engines.cuda import devices

_ENERGY_SECONDS = 1.0  # the counter moves some ten times a second


@dataclass(frozen=True)
class GpuFigures:
    """Figures of one engine at one batch and size; None: not told."""

    to_device_ms: float | None = None
    compute_ms: float | None = None
    to_host_ms: float | None = None
    device_joules_per_picture: float | None = None


def gpu_figures(
    engine: Engine, lightness: F32, runs: int, clock: Callable[[], float]
) -> GpuFigures:
    """Measure ENGINE, warmed up, on LIGHTNESS; medians of RUNS runs, energy over a second."""
    split: tuple[float | None, float | None, float | None] = (None, None, None)
    if isinstance(engine, Timed):
        found = [engine.timeline(lightness) for _ in range(runs)]
        split = (
            median(one.to_device_ms for one in found),
            median(one.compute_ms for one in found),
            median(one.to_host_ms for one in found),
        )
    meter = GpuMeter.open(engine.device)
    joules = None if meter is None else _joules(engine, lightness, meter, runs, clock)
    return GpuFigures(*split, joules)


def _joules(
    engine: Engine, lightness: F32, meter: "GpuMeter", runs: int, clock: Callable[[], float]
) -> float | None:
    before, began, calls = meter.joules(), clock(), 0
    if before is None:
        return None
    while calls < runs or clock() - began < _ENERGY_SECONDS:
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
        """Return the meter of a device such as cuda:1; None if it is another's or does not tell."""
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
