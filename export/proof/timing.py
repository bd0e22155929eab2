"""Several calls timed in turns, so that whatever else the machine does hits them alike."""

import time
from collections.abc import Callable, Sequence
from typing import TypeVar

Call = Callable[[], object]
Figure = TypeVar("Figure")


def in_turns(
    calls: Sequence[Call], rounds: int, measure: Callable[[Call], Figure]
) -> list[list[Figure]]:
    """Return what MEASURE says of each of CALLS in each of the ROUNDS."""
    figures: list[list[Figure]] = [[] for _ in calls]
    for _ in range(rounds):
        for call, measured in zip(calls, figures, strict=True):
            call()  # unmeasured: the one before still spins its threads and holds the caches
            measured.append(measure(call))
    return figures


def seconds_of(call: Call) -> float:
    """Return how long CALL takes."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start
