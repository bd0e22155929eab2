"""Speed of the network alone, L* in and ab out, on every engine in turns."""

import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from itertools import product
from statistics import median
from typing import Any

import numpy as np

from ...export.proof.timing import Call, in_turns, seconds_of
from ...runtime.engines.base import Engine, Precision
from ...runtime.engines.select import engine_class
from ...runtime.errors import ColorizeError
from ...runtime.resize import seen_shape
from ..settings import EAGER, Failure, Model, Settings, noise
from .energy import EnergyMeter
from .gpu import gpu_figures
from .memory import Footprint, open_any, peak_memory
from .torch_eager import checkpoint_of

P99_RUNS = 100
"""Below it the 99th percentile would lie between the two slowest runs."""

_BASELINES = ((EAGER, "fp32"), ("onnxruntime", "fp32"))  # the first that was measured
_WINDOW = 5  # runs whose medians are compared to tell whether a warm-up may end
_STABLE = 0.05  # relative difference of two medians in a row
# An engine that is not steady by then is timed all the same, and its row says so.
_WARMUP_SECONDS = 5.0


@dataclass(frozen=True)
class SpeedRow:
    """One model on one engine at one batch size and working size."""

    model: str
    backend: str
    device: str
    precision: str  # of the arithmetic that really ran
    batch: int
    size: int | None  # short side that was asked for; None: the model's own
    height: int
    width: int
    load_ms: float | None  # file to engine; only in the first row of an engine
    first_ms: float | None  # the first inference of all, which some engines use to prepare
    warmup_runs: int
    stable: bool  # whether the warm-up reached a steady pace
    runs: int
    mean_ms: float
    p50_ms: float
    p90_ms: float
    p99_ms: float | None  # only from P99_RUNS runs on
    spread_ms: float  # between the quartiles
    pictures_per_second: float
    samples_ms: tuple[float, ...]  # in the order in which they were taken
    peak_rss_mb: float | None = None  # of a process that does nothing else
    joules_per_picture: float | None = None  # of the whole processor package
    # Of engines on GPUs that tell; medians, by the GPU's own clock:
    to_device_ms: float | None = None
    compute_ms: float | None = None
    to_host_ms: float | None = None
    device_peak_mb: float | None = None  # of the same process as peak_rss_mb
    device_joules_per_picture: float | None = None  # of the whole board
    speedup: float | None = None  # of p50 over the baseline's, taken in the same turns
    baseline: str | None = None


@dataclass(frozen=True)
class _Loaded:
    engine: Engine
    load_ms: float | None  # None: told already
    first_ms: float | None


@dataclass(frozen=True)
class Timing:
    """What timing one call gave."""

    seconds: list[float]
    joules: float | None  # over all of them
    warmup_runs: int
    stable: bool


def measure_speed(model: Model, settings: Settings) -> list[SpeedRow | Failure]:
    """Time MODEL on each backend, precision, size and batch; what fails gets a Failure."""
    rows: list[SpeedRow | Failure] = []
    backends = [*settings.backends, *([EAGER] if checkpoint_of(model.path) else [])]
    if settings.every_backend is not None and model.name not in settings.every_backend:
        backends = backends[:1]
    with ExitStack() as stack:
        loaded: list[_Loaded] = []
        for backend, precision in product(backends, settings.precisions):
            if backend == EAGER and precision != settings.precisions[0]:
                continue  # torch eager computes in float32 alone
            try:
                loaded.append(_load(model, backend, precision, settings, stack))
            except ColorizeError as error:
                rows.append(Failure(model.name, backend, str(error)))
        for size, batch in product(settings.sizes, settings.batches):
            rows += _time_batch(model, loaded, size, batch, settings)
            loaded = [replace(one, load_ms=None, first_ms=None) for one in loaded]
    return rows


def _load(
    model: Model, backend: str, precision: Precision, settings: Settings, stack: ExitStack
) -> _Loaded:
    if backend != EAGER:  # starts the library, which the first model's load_ms must not hold
        engine_class(backend).devices()
    start = time.perf_counter()
    engine = stack.enter_context(open_any(model.path, backend, precision, settings.device))
    load = time.perf_counter() - start
    lightness = noise(settings.batches[0], _shape(engine, settings.sizes[0]))
    first = seconds_of(lambda: engine.infer(lightness))
    return _Loaded(engine, 1000 * load, 1000 * first)


def _shape(engine: Engine, size: int | None) -> tuple[int, int]:
    """Return the (height, width) at which the network sees a square picture."""
    return seen_shape(engine.info, 1, 1, size)


def _time_batch(
    model: Model,
    loaded: Sequence[_Loaded],
    size: int | None,
    batch: int,
    settings: Settings,
) -> list[SpeedRow | Failure]:
    failures: list[SpeedRow | Failure] = []
    able, calls = [], []
    for one in loaded:
        lightness = noise(batch, _shape(one.engine, size))
        try:
            one.engine.infer(lightness)
        except ColorizeError as error:
            failures.append(Failure(model.name, one.engine.name, str(error)))
        else:
            able.append(one)
            calls.append(lambda engine=one.engine, lightness=lightness: engine.infer(lightness))
    timings = time_in_turns(calls, settings.runs, settings.warmup)
    rows = [
        _row(model, one, batch, size, timing) for one, timing in zip(able, timings, strict=True)
    ]
    return [*with_speedups(rows), *failures]


def _row(model: Model, one: _Loaded, batch: int, size: int | None, timing: Timing) -> SpeedRow:
    engine, runs = one.engine, len(timing.seconds)
    shape = _shape(engine, size)
    memory = peak_memory(model.path, engine, batch, shape) or Footprint()
    return SpeedRow(
        model=model.name,
        backend=engine.name,
        device=engine.device,
        precision=engine.precision,
        batch=batch,
        size=size,
        height=shape[0],
        width=shape[1],
        load_ms=one.load_ms,
        first_ms=one.first_ms,
        warmup_runs=timing.warmup_runs,
        stable=timing.stable,
        runs=runs,
        **statistics(timing.seconds, batch),
        samples_ms=tuple(round(1000 * second, 4) for second in timing.seconds),
        peak_rss_mb=memory.rss,
        joules_per_picture=None if timing.joules is None else timing.joules / runs / batch,
        device_peak_mb=memory.device,
        **gpu_figures(engine, noise(batch, shape), runs),
    )


def time_in_turns(calls: Sequence[Call], runs: int, warmup: int) -> list[Timing]:
    """Time RUNS of each call, after at least WARMUP untimed ones and until its pace is steady."""
    meter = EnergyMeter()

    def measure(call: Call) -> tuple[float, float | None]:
        before = meter.joules()
        return seconds_of(call), meter.since(before)

    warm = [warm_up(call, warmup) for call in calls]
    return [
        Timing([seconds for seconds, _ in found], _total([joules for _, joules in found]), *warmed)
        for found, warmed in zip(in_turns(calls, runs, measure), warm, strict=True)
    ]


def _total(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) if known and len(known) == len(values) else None


def warm_up(call: Call, least: int) -> tuple[int, bool]:
    """Call until the medians of two windows in a row differ by at most 5 %, or time is up.

    Returns the number of runs, at least LEAST, and whether the pace was steady; 0 warms nothing up.
    """
    taken: list[float] = []
    began = time.perf_counter()
    while least:
        taken.append(seconds_of(call))
        if len(taken) >= max(least, 2 * _WINDOW):
            before, now = median(taken[-2 * _WINDOW : -_WINDOW]), median(taken[-_WINDOW:])
            if abs(now - before) <= _STABLE * before:
                return len(taken), True
        if len(taken) >= least and time.perf_counter() - began > _WARMUP_SECONDS:
            break
    return len(taken), False


def statistics(seconds: Sequence[float], batch: int) -> dict[str, Any]:
    """Return a SpeedRow's figures for runs that took SECONDS over BATCH pictures each."""
    milliseconds = 1000 * np.asarray(seconds)
    shares = (25, 50, 75, 90, 99)
    p25, p50, p75, p90, p99 = (float(value) for value in np.percentile(milliseconds, shares))
    return {
        "mean_ms": float(milliseconds.mean()),
        "p50_ms": p50,
        "p90_ms": p90,
        "p99_ms": p99 if len(seconds) >= P99_RUNS else None,
        "spread_ms": p75 - p25,
        "pictures_per_second": batch * len(seconds) / float(np.sum(seconds)),
    }


def with_speedups(rows: Sequence[SpeedRow]) -> list[SpeedRow]:
    """Fill in the speed-up of ROWS, which were timed in the same turns, over their baseline.

    That is torch eager where it was measured, else ONNX Runtime in float32, else nothing.
    """
    for backend, precision in _BASELINES:
        found = [row for row in rows if (row.backend, row.precision) == (backend, precision)]
        if found:
            name, p50 = f"{backend} {precision}", found[0].p50_ms
            return [replace(row, speedup=p50 / row.p50_ms, baseline=name) for row in rows]
    return list(rows)
