"""What is known of each frame before it is colored: its scene, its motion, and later references.

Up to the last reference a second decoder runs ahead of the one whose frames are colored, a stretch
at a time: up to the next reference or the next cut. What it finds of a stretch lies on the disk
until it is used, so that memory does not grow with the length of a scene; from the reference at a
stretch's end colors are carried backward through it. After the last reference nothing has to
wait.
"""

import tempfile
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from threading import Event, Lock
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ..color import U8
from ..errors import OutputError
from ..resize import shrink
from ..video.prefetch import in_order
from .motion import CARRY_SIDE, F16, Motion, Step, flow, rough_flow, side_limited
from .references import Reference
from .scenes import CutDetector, halved
from .tracking import Carried, Move, ReferencePlanes, Tracker

LATE = 2
"""Frames by which an outlook after the last reference comes later than its gray."""
_FLOWS = 2  # that are measured at a time


@dataclass(frozen=True)
class Outlook:
    """What is known of one frame."""

    gray: U8  # (h, w), at CARRY_SIDE
    begins_scene: bool
    scene: U8 | None  # the state of the cut detector after it
    motion: Motion | None  # from the frame before; None where a scene begins
    reference: ReferencePlanes | None  # of this very frame
    later: Carried | None  # what the next reference of its scene gives


@dataclass(frozen=True)
class Past:
    """What a run that resumes has to know of the last frame before its first."""

    gray: U8 | None = None  # (h, w), at CARRY_SIDE
    scene: U8 | None = None  # the state of the cut detector


@dataclass(frozen=True)
class _Seen:
    """A frame as the decoder ahead sees it."""

    index: int
    gray: U8
    begins_scene: bool
    scene: U8 | None
    before: U8 | None  # the gray of the frame before; None where a scene begins
    back: F16 | None = None  # where `before` is known
    forth: F16 | None = None

    @property
    def motion(self) -> Motion | None:
        """What is known of it; None where a scene begins."""
        if self.back is None or self.forth is None:
            return None
        return Motion(self.back, self.forth)


def outlooks(
    grays: Iterable[U8],
    references: Mapping[int, Reference],
    *,
    first: int,
    past: Past,
    folder: Path | None,
    cancelled: Event,
    steady: bool = True,
) -> Generator[Callable[[], Outlook]]:
    """Yield for each of the GRAYS (H, W), of which the first has the index FIRST, how to read it.

    Each is to be read once, in order. No gray after the last reference is asked for until all
    outlooks up to it are out; later ones come LATE frames after their gray. FOLDER is where
    the disk has room; None: the system's. STEADY as Tracker has it.
    """
    planes, ahead = _Planes(references), max(references, default=-1)
    with ThreadPoolExecutor(_FLOWS) as pool:
        stretch = _Stretch(folder, pool, steady=steady)
        with closing(_seen(grays, references, first, past, pool)) as frames:
            for seen in frames:
                if cancelled.is_set():
                    return
                if len(stretch) and (seen.begins_scene or seen.index in references):
                    if seen.motion is not None and (reference := planes.of(seen.index, seen.gray)):
                        stretch.carry_back(reference, seen.motion, cancelled)
                    yield from stretch.outlooks(planes.of)
                    stretch = _Stretch(folder, pool, steady=steady)
                if seen.index < ahead:
                    stretch.add(seen)
                else:
                    yield partial(_outlook, seen, planes.of)
        yield from stretch.outlooks(planes.of)


def _outlook(seen: _Seen, planes: Callable[[int, U8], ReferencePlanes | None]) -> Outlook:
    return Outlook(
        gray=seen.gray,
        begins_scene=seen.begins_scene,
        scene=seen.scene,
        motion=seen.motion,
        reference=planes(seen.index, seen.gray),
        later=None,
    )


class _Planes:
    """References at the size at which colors are carried; the last one is kept."""

    def __init__(self, references: Mapping[int, Reference]) -> None:
        self._references = references
        self._last: tuple[int, ReferencePlanes] | None = None

    def of(self, frame: int, gray: U8) -> ReferencePlanes | None:
        """Return the reference of FRAME, whose small gray is (h, w), or None."""
        if frame not in self._references:
            return None
        last = self._last  # another thread may change it
        if last is None or last[0] != frame:
            ab, alpha = self._references[frame].colors((gray.shape[0], gray.shape[1]))
            last = self._last = frame, ReferencePlanes(gray=gray, ab=ab, alpha=alpha)
        return last[1]


def _seen(
    grays: Iterable[U8],
    references: Mapping[int, Reference],
    first: int,
    past: Past,
    pool: Executor,
) -> Generator[_Seen]:
    detector, before, ahead = CutDetector(past.scene), past.gray, max(references, default=-1)
    pending = deque[Future[_Seen]]()
    for index, gray in enumerate(grays, first):
        small, begins = _shrunk(gray), detector.is_cut(gray)
        earlier = None if begins else before
        seen = _Seen(index, small, begins, detector.state, earlier)
        pending.append(pool.submit(_measured, seen, index in references, index >= ahead))
        before = small
        while len(pending) > (0 if index == ahead else LATE):
            yield pending.popleft().result()
    while pending:
        yield pending.popleft().result()


def _measured(seen: _Seen, is_reference: bool, none_follows: bool) -> _Seen:
    """Return SEEN with its motion.

    The way forth is needed finely where colors are carried back along it: in front of a reference,
    which only the end of a stretch tells.
    """
    before = seen.before
    if before is None:
        return seen
    back = flow(seen.gray, before)
    if is_reference:
        return replace(seen, back=back, forth=flow(before, seen.gray))
    if none_follows:
        return replace(seen, back=back, forth=rough_flow(before, seen.gray))
    return replace(seen, back=back)


def _shrunk(gray: U8) -> U8:
    """Return a gray (H, W) at CARRY_SIDE, a little softer than `shrink` makes it: it flickers less.

    It is halved first as often as it can be: the rest then takes a third of the time.
    """
    shape = side_limited(gray.shape[0], gray.shape[1], CARRY_SIDE)
    if gray.shape == shape:
        return gray
    while min(gray.shape) >= 2 * CARRY_SIDE:
        gray = halved(_soft(gray))
    return _soft(shrink(gray, shape))


def _soft(gray: U8) -> U8:
    return cv2.GaussianBlur(gray, (3, 3), 0).astype(np.uint8, copy=False)


class _Stretch:
    """Frames that follow each other within one scene, with their planes on the disk."""

    def __init__(self, folder: Path | None, pool: Executor, *, steady: bool) -> None:
        self._spill, self._pool, self._steady = _Spill(folder), pool, steady
        self._frames: list[_Spilled] = []
        self._before: U8 | None = None  # the gray before the first
        self._forth: dict[int, _Stored] = {}  # by the number of the frame that it leads to
        self._later: list[tuple[_Stored, _Stored]] = []  # ab and weight, from the last frame back

    def __len__(self) -> int:
        return len(self._frames)

    def add(self, seen: _Seen) -> None:
        """Take the next frame."""
        put, number = self._spill.put, len(self._frames)
        if number == 0:
            self._before = seen.before
        spilled = _Spilled(
            index=seen.index,
            gray=put(seen.gray),
            begins_scene=seen.begins_scene,
            scene=None if seen.scene is None else put(seen.scene),
            back=None if seen.back is None else put(seen.back),
        )
        self._frames.append(spilled)
        if seen.forth is not None:
            self._forth[number] = put(seen.forth)

    def carry_back(self, reference: ReferencePlanes, motion: Motion, cancelled: Event) -> None:
        """Carry REFERENCE, the frame after the last, back; MOTION is between these two."""
        tracker, put = Tracker(reference, steady=self._steady), self._spill.put
        last = len(self._frames) - 1
        calls = (
            partial(self._move_back, number, (reference.gray, motion) if number == last else None)
            for number in range(last, -1, -1)
        )
        for number, (move, forth) in zip(
            range(last, -1, -1), in_order(self._pool, calls, _FLOWS), strict=False
        ):
            if number < last:
                self._forth[number + 1] = put(forth)
            carried = tracker.step(move)
            self._later.append(
                (put(carried.ab.astype(np.float16)), put(carried.weight.astype(np.float16)))
            )
            if cancelled.is_set():
                return
        if self._frames[0].back is not None and 0 not in self._forth and self._before is not None:
            self._forth[0] = put(flow(self._before, self._gray(0)))

    def _move_back(self, number: int, end: tuple[U8, Motion] | None) -> tuple[Move, F16]:
        """Return the move from the frame after NUMBER back to it, and the flow forth between them.

        END is the frame after the last, and its motion.
        """
        gray = self._gray(number)
        if end is not None:
            later, motion = end
        else:
            later = self._gray(number + 1)
            motion = Motion(self._back(number + 1), flow(gray, later))
        step = Step.of(motion, (gray.shape[0], gray.shape[1]), forward=False)
        return Move.of(later, gray, step), motion.forth

    def outlooks(
        self, planes: Callable[[int, U8], ReferencePlanes | None]
    ) -> Iterator[Callable[[], Outlook]]:
        """Yield what reads each frame; PLANES has the references by frame."""
        missing = [
            number
            for number, frame in enumerate(self._frames)
            if frame.back is not None and number not in self._forth
        ]
        rough = in_order(self._pool, (partial(self._rough, number) for number in missing), _FLOWS)
        for number, frame in enumerate(self._frames):
            if frame.back is not None and number not in self._forth:
                self._forth[number] = self._spill.put(next(rough))
            yield partial(self._read, number, planes)

    def _rough(self, number: int) -> F16:
        before = self._before if number == 0 else self._gray(number - 1)
        gray = self._gray(number)
        return rough_flow(gray if before is None else before, gray)

    def _read(self, number: int, planes: Callable[[int, U8], ReferencePlanes | None]) -> Outlook:
        frame, get = self._frames[number], self._spill.get
        gray = self._gray(number)
        back = len(self._frames) - 1 - number
        later: Carried | None = None
        if back < len(self._later):
            ab, weight = self._later[back]
            later = Carried(get(ab).astype(np.float32), get(weight).astype(np.float32))
        motion: Motion | None = None
        if frame.back is not None:
            motion = Motion(self._back(number), get(self._forth[number]))
        return Outlook(
            gray=gray,
            begins_scene=frame.begins_scene,
            scene=None if frame.scene is None else get(frame.scene),
            motion=motion,
            reference=planes(frame.index, gray),
            later=later,
        )

    def _gray(self, number: int) -> U8:
        return self._spill.get(self._frames[number].gray)

    def _back(self, number: int) -> F16:
        stored = self._frames[number].back
        if stored is None:
            raise IndexError(number)
        return self._spill.get(stored)


@dataclass(frozen=True)
class _Stored:
    """Where an array lies in the file."""

    offset: int
    dtype: np.dtype[Any]
    shape: tuple[int, ...]


@dataclass(frozen=True)
class _Spilled:
    """A frame as _Seen, with its planes on the disk."""

    index: int
    gray: _Stored
    begins_scene: bool
    scene: _Stored | None
    back: _Stored | None


class _Spill:
    """Arrays in a file without a name, which is gone with its last user; threads may share it."""

    def __init__(self, folder: Path | None) -> None:
        self._end = 0
        with _written(folder):
            self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115
        self._lock = Lock()

    def put(self, array: NDArray[Any]) -> _Stored:
        """Write an array; OutputError where the disk is full."""
        content = np.ascontiguousarray(array)
        stored = _Stored(self._end, content.dtype, content.shape)
        with _written(None), self._lock:
            self._file.seek(self._end)
            self._file.write(content.data)
        self._end += content.nbytes
        return stored

    def get(self, stored: _Stored) -> NDArray[Any]:
        """Read an array."""
        size = int(np.prod(stored.shape)) * stored.dtype.itemsize
        with _written(None), self._lock:
            self._file.seek(stored.offset)
            content = self._file.read(size)
        return np.frombuffer(content, stored.dtype).reshape(stored.shape)


@contextmanager
def _written(folder: Path | None) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        place = folder or tempfile.gettempdir()
        reason = error.strerror or error
        raise OutputError(f"{place}: cannot keep carried colors there ({reason})") from error
