"""What a piece of work costs, and how busy the machine was with other things meanwhile."""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

_STAT = Path("/proc/stat")
_IDLE = (3, 4)  # of the first line's numbers: idle, and waiting for disks


@dataclass(frozen=True)
class Cost:
    """Of one run. Processor seconds hardly change when the machine is shared; wall seconds do."""

    wall: float  # seconds
    cpu: float  # seconds on all cores together, of this process and its children
    others: float | None  # share of the machine that others took; None: the system does not say


def cost_of(work: Callable[[], object]) -> Cost:
    """Do WORK and return what it cost."""
    machine, own, start = _busy_seconds(), _own_seconds(), time.perf_counter()
    work()
    wall, own = time.perf_counter() - start, _own_seconds() - own
    after = _busy_seconds()
    if machine is None or after is None:
        return Cost(wall, own, None)
    others = (after - machine - own) / (wall * (os.cpu_count() or 1))
    return Cost(wall, own, min(max(others, 0.0), 1.0))


def _own_seconds() -> float:
    children = os.times()[2:4]
    return time.process_time() + sum(children)  # os.times counts in steps of 10 ms


def _busy_seconds() -> float | None:
    try:
        numbers = [int(number) for number in _STAT.read_text().splitlines()[0].split()[1:9]]
    except (OSError, IndexError):
        return None
    busy = sum(number for index, number in enumerate(numbers) if index not in _IDLE)
    return busy / os.sysconf("SC_CLK_TCK")
