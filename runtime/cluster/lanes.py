"""How a film is divided among workers: in which stretches, and who takes which of them when.

Each worker has a lane of its own and goes through it in order. What it ended with is where it goes
on, so that only the first stretch of a lane has to be begun from a cut before it. Stretches get
shorter toward the end of a lane: a worker whose own is done takes some of another's.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import count, groupby, pairwise
from typing import BinaryIO

_LANE = 4  # segments: a lane more than there are such would make too much twice
_LEAST, _MOST = 3, 16  # segments of a stretch: each is a task, and what a dead worker loses
_WORTH = 0.5  # of a segment: what a beginning from a cut takes, about


@dataclass(eq=False)
class FilmStretch:
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


def stretches_of(
    missing: Sequence[int], total: int, workers: int, length: int | None, *, in_lanes: bool = True
) -> list[FilmStretch]:
    """Return the stretches of a film of TOTAL segments, of which those MISSING are to be made.

    All have LENGTH segments if that is given. Without IN_LANES each worker gets one stretch. The
    number of lanes is rounded up, since workers without one find little to take from few lanes.
    """
    stretches = list[FilmStretch]()
    lane = max(-(-len(missing) // workers), _LANE if in_lanes else 1)
    for begin, end in _runs(missing):
        if length is not None:
            stretches += _cut(begin, end, lambda _: length)
            continue
        lanes = -(-(end - begin) // lane)
        marks = [begin - (begin - end) * each // lanes for each in range(lanes + 1)]
        for first, last in pairwise(marks):
            own = _cut(first, last, _shorter if in_lanes else lambda left: left)
            own[0].begins_lane = True
            stretches += own
    if stretches and stretches[-1].end == total:
        stretches[-1].end = None
    else:
        stretches.append(FilmStretch(total, None))
    return stretches


def _runs(numbers: Sequence[int]) -> list[tuple[int, int]]:
    """Return where numbers follow each other: the first, and the one after the last."""
    runs = list[tuple[int, int]]()
    places = count()
    for _, group in groupby(numbers, lambda number: number - next(places)):
        run = list(group)
        runs.append((run[0], run[-1] + 1))
    return runs


def _cut(begin: int, end: int, size: Callable[[int], int]) -> list[FilmStretch]:
    stretches = list[FilmStretch]()
    while begin < end:
        after = min(begin + size(end - begin), end)
        stretches.append(FilmStretch(begin, after))
        begin = after
    return stretches


def _shorter(left: int) -> int:
    """Return the length of a lane's next stretch, where LEFT segments are left of the lane."""
    half = min(max(-(-left // 2), _LEAST), _MOST)
    return left if left - half < _LEAST and left <= _MOST else half


def next_stretch(
    queue: Sequence[FilmStretch],
    running: Sequence[FilmStretch],
    follows: Callable[[int], bool],
    segment_frames: int,
) -> FilmStretch | None:
    """Return which stretch of QUEUE a worker should take now; None: none yet.

    FOLLOWS tells of a segment whether what comes before it is there.
    """
    for stretch in queue:
        if follows(stretch.first):
            return stretch
    free = [stretch for stretch in queue if not stretch.waits]
    for stretch in free:
        if stretch.begins_lane:
            return stretch
    left = {
        stretch.end: stretch.length - stretch.reached / segment_frames
        for stretch in running
        if not stretch.unfit
    }
    worth = [stretch for stretch in free if left.get(stretch.first, _WORTH) >= _WORTH]
    return _middle(queue, worth)


def _middle(queue: Sequence[FilmStretch], choice: Sequence[FilmStretch]) -> FilmStretch | None:
    """Return the one of CHOICE that leaves half of the longest run of QUEUE to who comes there."""
    runs = list[list[FilmStretch]]()
    for stretch in queue:
        if runs and runs[-1][-1].end == stretch.first:
            runs[-1].append(stretch)
        else:
            runs.append([stretch])
    for run in sorted(runs, key=lambda each: -sum(stretch.length for stretch in each)):
        middle = (run[0].first + run[-1].first + run[-1].length) / 2
        own = [stretch for stretch in run if stretch in choice]
        if own:
            return min(own, key=lambda stretch: abs(stretch.first - middle))
    return None
