"""Speed of the network alone, L* in and ab out, on every engine in turns."""

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from itertools import product
from statistics import median
from typing import Any

import numpy as np

from ...runtime.engines.base import Engine
from ...runtime.engines.select import engine_class, open_engine
from ...runtime.errors import ColorizeError
from ...runtime.resize import seen_shape
from ..settings import Failure, Settings, Subject, noise
from .energy import EnergyMeter
from .gpu import gpu_figures
from .memory import Footprint, peak_memory
from .torch_eager import EAGER, checkpoint_of, open_eager

Clock = Callable[[], float]
"""Returns seconds since some fixed moment."""

P99_RUNS = 100
"""Below it the 99th percentile would lie between the two slowest runs."""

_BASELINES = ((EAGER, "fp32"), ("onnxruntime", "fp32"))  # the first that was measured
_WINDOW = 5  # runs whose medians are compared to tell whether a warm-up may end
_STABLE = 0.05  # relative difference of two medians in a row
_WARMUP_SECONDS = 5.0  # an engine that is not stable by then is timed as it is, and the row says so


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
    load_ms: float
    first_ms: float


@dataclass(frozen=True)
class Timing:
    """What timing one call gave."""

    seconds: list[float]
    joules: float | None  # over all of them
    warmup_runs: int
    stable: bool


def measure_speed(
    model: Subject, settings: Settings, clock: Clock = time.perf_counter
) -> list[SpeedRow | Failure]:
    """Time MODEL on each backend, precision, size and batch; what fails gets a Failure."""
    rows: list[SpeedRow | Failure] = []
    with ExitStack() as stack:
        loaded: list[_Loaded] = []
        for backend, precision in product(_backends(model, settings), settings.precisions):
            if backend == EAGER and precision != settings.precisions[0]:
                continue  # torch eager computes in float32 alone
            try:
                loaded.append(_load(model, backend, precision, settings, stack, clock))
            except ColorizeError as error:
                rows.append(Failure(model.name, backend, str(error)))
        for index, (size, batch) in enumerate(product(settings.sizes, settings.batches)):
            timed = _time_batch(model, loaded, size, batch, settings, clock)
            rows += timed if index == 0 else [_without_load(row) for row in timed]
    return rows


def _backends(model: Subject, settings: Settings) -> list[str]:
    if settings.every_backend is not None and model.name not in settings.every_backend:
        return [settings.backends[0]]
    return [*settings.backends, *([EAGER] if checkpoint_of(model.path) else [])]


def _load(
    model: Subject,
    backend: str,
    precision: str,
    settings: Settings,
    stack: ExitStack,
    clock: Clock,
) -> _Loaded:
    if backend != EAGER:
        engine_class(backend).devices()  # the library's own start is not the first model's
    start = clock()
    if backend == EAGER:
        engine: Engine = stack.enter_context(open_eager(model.path))
    else:
        engine = stack.enter_context(
            open_engine(model.path, backend, precision, settings.device)  # type: ignore[arg-type]  # the command checked it
        )
    opened = clock()
    lightness = noise(settings.batches[0], _shape(engine, settings.sizes[0]))
    before = clock()
    engine.infer(lightness)
    after = clock()
    return _Loaded(engine, 1000 * (opened - start), 1000 * (after - before))


def _shape(engine: Engine, size: int | None) -> tuple[int, int]:
    """Return the (height, width) at which the network sees a square picture."""
    return seen_shape(engine.info, 1, 1, size)


def _time_batch(
    model: Subject,
    loaded: Sequence[_Loaded],
    size: int | None,
    batch: int,
    settings: Settings,
    clock: Clock,
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
    timings = time_in_turns(calls, settings.runs, settings.warmup, clock, EnergyMeter())
    rows = [
        _row(model, one, batch, size, timing, clock)
        for one, timing in zip(able, timings, strict=True)
    ]
    return [*with_speedups(rows), *failures]


def _row(
    model: Subject, one: _Loaded, batch: int, size: int | None, timing: Timing, clock: Clock
) -> SpeedRow:
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
        **asdict(gpu_figures(engine, noise(batch, shape), runs, clock)),
    )


def _without_load(row: SpeedRow | Failure) -> SpeedRow | Failure:
    return row if isinstance(row, Failure) else replace(row, load_ms=None, first_ms=None)


def time_in_turns(
    calls: Sequence[Callable[[], object]],
    runs: int,
    warmup: int,
    clock: Clock,
    meter: EnergyMeter | None = None,
) -> list[Timing]:
    """Time RUNS of each call, after at least WARMUP untimed ones and until its pace is steady.

    The calls take turns, so that whatever else the machine does hits them alike.
    """
    warm = [warm_up(call, warmup, clock) for call in calls]
    seconds: list[list[float]] = [[] for _ in calls]
    joules: list[list[float | None]] = [[] for _ in calls]
    for _ in range(runs):
        for call, taken, spent in zip(calls, seconds, joules, strict=True):
            # Untimed: the engine before still spins its threads and holds the caches.
            call()
            before = meter.joules() if meter else None
            start = clock()
            call()
            taken.append(clock() - start)
            spent.append(meter.since(before) if meter else None)
    return [
        Timing(taken, _total(spent), *warmed)
        for taken, spent, warmed in zip(seconds, joules, warm, strict=True)
    ]


def _total(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) if known and len(known) == len(values) else None


def warm_up(call: Callable[[], object], least: int, clock: Clock) -> tuple[int, bool]:
    """Call until two windows of runs in a row have the same median, within 5 %.

    Returns the runs, LEAST of them or more, and whether that was reached within the time allowed.
    LEAST of 0 warms nothing up.
    """
    taken: list[float] = []
    began = clock()
    while least:
        start = clock()
        call()
        taken.append(clock() - start)
        if len(taken) >= max(least, 2 * _WINDOW):
            before, now = median(taken[-2 * _WINDOW : -_WINDOW]), median(taken[-_WINDOW:])
            if abs(now - before) <= _STABLE * before:
                return len(taken), True
        if len(taken) >= least and clock() - began > _WARMUP_SECONDS:
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
            name = f"{backend} {precision}"
            p50 = found[0].p50_ms
            return [replace(row, speedup=p50 / row.p50_ms, baseline=name) for row in rows]
    return list(rows)
