"""Speed of the network alone, L* in and ab out, on every engine in turns."""

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from importlib import import_module

import numpy as np

from ..runtime.engines.base import Engine
from ..runtime.engines.select import open_engine
from ..runtime.errors import ColorizeError
from ..runtime.planes import working_shape
from .subjects import Failure, Settings, Subject, noise

Clock = Callable[[], float]
"""Returns seconds since some fixed moment."""

_BASELINE = ("onnxruntime", "fp32")


@dataclass(frozen=True)
class SpeedRow:
    """One model on one engine at one batch size."""

    model: str
    backend: str
    device: str
    precision: str  # of the arithmetic that really ran
    batch: int
    height: int
    width: int
    load_ms: float | None  # file to engine; only in the first row of an engine
    first_ms: float | None  # the first inference of all, which some engines use to prepare
    runs: int
    mean_ms: float
    p50_ms: float
    p90_ms: float
    p99_ms: float
    pictures_per_second: float
    speedup: float | None = None  # of p50 over ONNX Runtime's in float32, if that was measured


@dataclass(frozen=True)
class _Loaded:
    engine: Engine
    backend: str
    load_ms: float
    first_ms: float


def measure_speed(
    model: Subject, settings: Settings, clock: Clock = time.perf_counter
) -> list[SpeedRow | Failure]:
    """Time MODEL on each backend with each batch size; a backend that fails gets a Failure."""
    rows: list[SpeedRow | Failure] = []
    with ExitStack() as stack:
        loaded: list[_Loaded] = []
        for backend in settings.backends:
            try:
                loaded.append(_load(model, backend, settings, stack, clock))
            except ColorizeError as error:
                rows.append(Failure(model.name, backend, str(error)))
        for index, batch in enumerate(settings.batches):
            try:
                timed = _time_batch(model, loaded, batch, settings, clock)
            except ColorizeError as error:
                rows += [Failure(model.name, one.backend, str(error)) for one in loaded]
            else:
                rows += timed if index == 0 else [_without_load(row) for row in timed]
    return rows


def _load(
    model: Subject, backend: str, settings: Settings, stack: ExitStack, clock: Clock
) -> _Loaded:
    import_module(backend)  # the library's own start would be counted to the first model
    start = clock()
    engine = stack.enter_context(open_engine(model.path, backend, settings.precision))
    opened = clock()
    lightness = noise(settings.batches[0], _shape(engine, settings))
    before = clock()
    engine.infer(lightness)
    after = clock()
    return _Loaded(engine, backend, 1000 * (opened - start), 1000 * (after - before))


def _shape(engine: Engine, settings: Settings) -> tuple[int, int]:
    """Return the (height, width) at which the network sees a square picture."""
    if engine.info.fixed_size is not None:
        return engine.info.fixed_size
    size = settings.size or engine.info.native_size
    return working_shape(size, size, size, engine.info.size_multiple)


def _time_batch(
    model: Subject, loaded: Sequence[_Loaded], batch: int, settings: Settings, clock: Clock
) -> list[SpeedRow]:
    def caller(engine: Engine) -> Callable[[], object]:
        lightness = noise(batch, _shape(engine, settings))
        return lambda: engine.infer(lightness)

    calls = [caller(one.engine) for one in loaded]
    seconds = time_in_turns(calls, settings.runs, settings.warmup, clock)
    rows = []
    for one, taken in zip(loaded, seconds, strict=True):
        height, width = _shape(one.engine, settings)
        rows.append(
            SpeedRow(
                model=model.name,
                backend=one.backend,
                device=one.engine.device,
                precision=one.engine.precision,
                batch=batch,
                height=height,
                width=width,
                load_ms=one.load_ms,
                first_ms=one.first_ms,
                runs=len(taken),
                **statistics(taken, batch),
            )
        )
    return with_speedups(rows)


def _without_load(row: SpeedRow) -> SpeedRow:
    return replace(row, load_ms=None, first_ms=None)


def time_in_turns(
    calls: Sequence[Callable[[], object]], runs: int, warmup: int, clock: Clock
) -> list[list[float]]:
    """Return the seconds of RUNS of each call, after WARMUP untimed ones.

    The calls take turns, so that whatever else the machine does hits them alike.
    """
    for call in calls:
        for _ in range(warmup):
            call()
    seconds: list[list[float]] = [[] for _ in calls]
    for _ in range(runs):
        for call, taken in zip(calls, seconds, strict=True):
            # Untimed: the engine before still spins its threads and holds the caches.
            call()
            start = clock()
            call()
            taken.append(clock() - start)
    return seconds


def statistics(seconds: Sequence[float], batch: int) -> dict[str, float]:
    """Return a SpeedRow's figures for runs that took SECONDS over BATCH pictures each."""
    milliseconds = 1000 * np.asarray(seconds)
    p50, p90, p99 = (float(value) for value in np.percentile(milliseconds, (50, 90, 99)))
    return {
        "mean_ms": float(milliseconds.mean()),
        "p50_ms": p50,
        "p90_ms": p90,
        "p99_ms": p99,
        "pictures_per_second": batch * len(seconds) / float(np.sum(seconds)),
    }


def with_speedups(rows: Sequence[SpeedRow]) -> list[SpeedRow]:
    """Fill in the speed-up of ROWS, which share model and batch, over ONNX Runtime in float32."""
    baseline = [row.p50_ms for row in rows if (row.backend, row.precision) == _BASELINE]
    if not baseline:
        return list(rows)
    return [replace(row, speedup=baseline[0] / row.p50_ms) for row in rows]
