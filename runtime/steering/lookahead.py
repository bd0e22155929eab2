"""What is known of each frame before it is colored: its scene, its motion, and later references.

A second decoder runs ahead of the one whose frames are colored, a stretch at a time: up to the
next reference or the next cut. What it finds of a stretch lies on the disk until it is used, so
that memory does not grow with the length of a scene; from the reference at a stretch's end colors
are carried backward through it.
"""

import tempfile
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..color import U8
from ..errors import OutputError
from ..resize import shrink
from .motion import CARRY_SIDE, Motion, Step, measure, side_limited
from .references import Reference
from .scenes import CutDetector
from .tracking import Carried, ReferencePlanes, Tracker

_PLAIN_STRETCH = 32  # frames, where no reference is ahead


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
    motion: Motion | None


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

    Each is to be read once, in order. FOLDER is where the disk has room; None: the system's.
    STEADY as Tracker has it.
    """
    planes, ahead = _Planes(references), max(references, default=-1)
    stretch = _Stretch(folder, steady=steady)
    with closing(_seen(grays, first, past)) as frames:
        for seen in frames:
            if cancelled.is_set():
                return
            ends = seen.begins_scene or seen.index in references
            if len(stretch) and (ends or (seen.index > ahead and len(stretch) >= _PLAIN_STRETCH)):
                if seen.motion is not None and (reference := planes.of(seen.index, seen.gray)):
                    stretch.carry_back(reference, seen.motion, cancelled)
                yield from (stretch.reader(number, planes.of) for number in range(len(stretch)))
                stretch = _Stretch(folder, steady=steady)
            stretch.add(seen)
    yield from (stretch.reader(number, planes.of) for number in range(len(stretch)))


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


def _seen(grays: Iterable[U8], first: int, past: Past) -> Generator[_Seen]:
    detector, before = CutDetector(past.scene), past.gray
    with ThreadPoolExecutor(1) as pool:
        for index, gray in enumerate(grays, first):
            small = shrink(gray, side_limited(gray.shape[0], gray.shape[1], CARRY_SIDE))
            begins = detector.is_cut(gray)
            moved = None if begins or before is None else measure(before, small, pool)
            yield _Seen(index, small, begins, detector.state, moved)
            before = small


class _Stretch:
    """Frames that follow each other within one scene, with their planes on the disk."""

    def __init__(self, folder: Path | None, *, steady: bool) -> None:
        self._spill, self._steady = _Spill(folder), steady
        self._frames: list[_Spilled] = []
        self._later: list[tuple[_Stored, _Stored]] = []  # ab and weight, from the last frame back

    def __len__(self) -> int:
        return len(self._frames)

    def add(self, seen: _Seen) -> None:
        """Take the next frame."""
        put, motion = self._spill.put, seen.motion
        spilled = _Spilled(
            index=seen.index,
            gray=put(seen.gray),
            begins_scene=seen.begins_scene,
            scene=None if seen.scene is None else put(seen.scene),
            motion=None if motion is None else (put(motion.back), put(motion.forth)),
        )
        self._frames.append(spilled)

    def carry_back(self, reference: ReferencePlanes, motion: Motion, cancelled: Event) -> None:
        """Carry REFERENCE, the frame after the last, back; MOTION is between these two."""
        tracker = Tracker(reference, steady=self._steady)
        later, between = reference.gray, motion
        for frame in reversed(self._frames):
            gray = self._spill.get(frame.gray)
            step = Step.of(between, (gray.shape[0], gray.shape[1]), forward=False)
            carried = tracker.step(later, gray, step)
            ab = carried.ab.astype(np.float16)
            self._later.append(
                (self._spill.put(ab), self._spill.put(carried.weight.astype(np.float16)))
            )
            if frame.motion is None or cancelled.is_set():
                break
            later, between = gray, self._motion(*frame.motion)

    def reader(
        self, number: int, planes: Callable[[int, U8], ReferencePlanes | None]
    ) -> Callable[[], Outlook]:
        """Return what reads frame NUMBER; PLANES has the references by frame."""

        def read() -> Outlook:
            frame, get = self._frames[number], self._spill.get
            gray = get(frame.gray)
            back = len(self._frames) - 1 - number
            later: Carried | None = None
            if back < len(self._later):
                ab, weight = self._later[back]
                later = Carried(get(ab).astype(np.float32), get(weight).astype(np.float32))
            return Outlook(
                gray=gray,
                begins_scene=frame.begins_scene,
                scene=None if frame.scene is None else get(frame.scene),
                motion=None if frame.motion is None else self._motion(*frame.motion),
                reference=planes(frame.index, gray),
                later=later,
            )

        return read

    def _motion(self, back: "_Stored", forth: "_Stored") -> Motion:
        return Motion(self._spill.get(back), self._spill.get(forth))


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
    motion: tuple[_Stored, _Stored] | None


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
