"""How a film is divided among workers: in which parts, and who takes which of them when.

Each worker has a lane of its own and goes through it in order. What it ended with is where it goes
on, so that only the first part of a lane has to be begun from a cut before it. Parts get shorter
toward the end of a lane: a worker whose own is done takes some of another's.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import count, groupby, pairwise
from typing import BinaryIO

_LEAST_LANE = 4  # segments: of less, too much would be done twice
_LEAST, _MOST = 3, 16  # segments of a part: each is a task, and what a dead worker loses
_WORTH = 0.5  # of a segment: what a beginning from a cut takes, about


@dataclass(eq=False)
class Part:
    """Segments that follow each other, for one worker."""

    first: int
    end: int | None  # the segment after the last; None: to the end of the film
    attempts: int = 0
    waits: bool = False  # for the segment before its first
    guessed: bool = False  # whether it was begun before that was there
    begins_lane: bool = False
    made: int = 0  # segments
    reached: int = 0  # frames
    unfit: bool = False
    file: BinaryIO | None = None

    @property
    def length(self) -> int:
        """Segments, of which the last ones may not be there if it has no end."""
        return 1 if self.end is None else self.end - self.first


def parts_of(
    missing: Sequence[int], total: int, workers: int, length: int | None, *, in_lanes: bool = True
) -> list[Part]:
    """Return the parts of a film of TOTAL segments, of which those MISSING are to be made.

    All have LENGTH segments if that is given. Without IN_LANES each worker gets one part.
    """
    parts = list[Part]()
    lane = max(-(-len(missing) // workers), _LEAST_LANE if in_lanes else 1)
    for begin, end in _runs(missing):
        if length is not None:
            parts += _cut(begin, end, lambda _: length)
            continue
        lanes = -(-(end - begin) // lane)
        marks = [begin - (begin - end) * each // lanes for each in range(lanes + 1)]
        for first, last in pairwise(marks):
            own = _cut(first, last, _shorter if in_lanes else lambda left: left)
            own[0].begins_lane = True
            parts += own
    if parts and parts[-1].end == total:
        parts[-1].end = None
    else:
        parts.append(Part(total, None))
    return parts


def _runs(numbers: Sequence[int]) -> list[tuple[int, int]]:
    """Return where numbers follow each other: the first, and the one after the last."""
    runs = list[tuple[int, int]]()
    places = count()
    for _, group in groupby(numbers, lambda number: number - next(places)):
        run = list(group)
        runs.append((run[0], run[-1] + 1))
    return runs


def _cut(begin: int, end: int, size: Callable[[int], int]) -> list[Part]:
    parts = list[Part]()
    while begin < end:
        after = min(begin + size(end - begin), end)
        parts.append(Part(begin, after))
        begin = after
    return parts


def _shorter(left: int) -> int:
    """Return the length of a lane's next part, where LEFT segments are left of the lane."""
    half = min(max(-(-left // 2), _LEAST), _MOST)
    return left if left - half < _LEAST and left <= _MOST else half


def next_part(
    queue: Sequence[Part],
    running: Sequence[Part],
    follows: Callable[[int], bool],
    segment_frames: int,
) -> Part | None:
    """Return which part of QUEUE a worker should take now; None: none yet.

    FOLLOWS tells of a segment whether what comes before it is there.
    """
    for part in queue:
        if follows(part.first):
            return part
    free = [part for part in queue if not part.waits]
    for part in free:
        if part.begins_lane:
            return part
    left = {
        part.end: part.length - part.reached / segment_frames for part in running if not part.unfit
    }
    worth = [part for part in free if left.get(part.first, _WORTH) >= _WORTH]
    return _middle(queue, worth)


def _middle(queue: Sequence[Part], choice: Sequence[Part]) -> Part | None:
    """Return the one of CHOICE that leaves half of the longest run of QUEUE to who comes there."""
    runs = list[list[Part]]()
    for part in queue:
        if runs and runs[-1][-1].end == part.first:
            runs[-1].append(part)
        else:
            runs.append([part])
    for run in sorted(runs, key=lambda each: -sum(part.length for part in each)):
        middle = (run[0].first + run[-1].first + run[-1].length) / 2
        own = [part for part in run if part in choice]
        if own:
            return min(own, key=lambda part: abs(part.first - middle))
    return None
