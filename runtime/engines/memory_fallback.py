"""Out of memory: the batch is halved, then the working size, and each time a line says so."""

import threading
from collections.abc import Callable

import numpy as np

from ..color import F32, U8, gray_to_lightness
from ..errors import OutOfMemoryError
from ..resize import enlarge, shrink, shrink_hints
from .base import Engine

OnNote = Callable[[str], None]
"""Is called with a line that the user must see at once."""

Size = tuple[int, int]
"""(height, width)"""


class MemoryFallback:
    """Runs an engine within the memory there is, for any number of threads in turns.

    A batch that was too large stays smaller for good, which changes no result. A smaller working
    size does change the result, so callers pass how often it was halved before.
    """

    def __init__(self, engine: Engine, on_note: OnNote) -> None:
        self.batch = engine.best_batch
        self._engine = engine
        self._on_note = on_note
        self._lock = threading.Lock()  # an engine serves one caller at a time

    def infer(
        self, grays: U8, halvings: int, what: str, hints: F32 | None = None
    ) -> tuple[F32, int]:
        """Return ab (N, h, w, 2) for 8-bit grays (N, h, w), and how often the size was halved.

        HINTS (N, 3, h, w) are for an engine that takes them. Notes begin with WHAT.
        OutOfMemoryError, with the fix, if nothing smaller is left.
        """
        whole = grays.shape[1], grays.shape[2]
        shape = self._halved(whole, halvings)
        while True:
            try:
                ab = self._batches(_lightness(grays, shape), _hints(hints, shape), what)
            except OutOfMemoryError as error:
                smaller = self._halved(whole, halvings + 1)
                if min(smaller) == min(shape):
                    raise OutOfMemoryError(
                        f"{what}: out of memory even for one picture at working size {min(shape)}: "
                        "close other programs or give a smaller --size, or another --device"
                    ) from error
                self._on_note(
                    f"{what}: out of memory at working size {min(shape)}: colored at "
                    f"{min(smaller)}, more coarsely"
                )
                halvings, shape = halvings + 1, smaller
            else:
                return _enlarged(ab, whole), halvings

    def close(self) -> None:
        """Close the engine, once it is idle."""
        with self._lock:
            self._engine.close()

    def _halved(self, shape: Size, halvings: int) -> Size:
        if self._engine.info.fixed_size is not None:
            return shape
        multiple, divisor = self._engine.info.size_multiple, 2**halvings
        height, width = (max(1, round(side / divisor / multiple)) * multiple for side in shape)
        return height, width

    def _batches(self, lightness: F32, hints: F32 | None, what: str) -> F32:
        """Return ab (N, 2, h, w) for L* (N, h, w) and HINTS (N, 3, h, w)."""
        answers: list[F32] = []
        start = 0
        while start < len(lightness):
            pictures = slice(start, start + self.batch)
            part = np.ascontiguousarray(lightness[pictures, None])
            hinted = None if hints is None else np.ascontiguousarray(hints[pictures])
            try:
                with self._lock:
                    answers.append(self._engine.infer(part, hinted))
            except OutOfMemoryError:
                if len(part) == 1:
                    raise
                self.batch = len(part) // 2
                self._on_note(
                    f"{what}: out of memory with {len(part)} pictures at once; continuing with "
                    f"{self.batch}, the colors stay the same"
                )
            else:
                start += len(part)
        return np.concatenate(answers)


def _lightness(grays: U8, shape: Size) -> F32:
    if grays.shape[1:] != shape:
        grays = np.stack([shrink(gray, shape) for gray in grays])
    return gray_to_lightness(grays)


def _hints(hints: F32 | None, shape: Size) -> F32 | None:
    if hints is None or hints.shape[2:] == shape:
        return hints
    return np.stack([shrink_hints(each, shape) for each in hints])


def _enlarged(ab: F32, shape: Size) -> F32:
    """Return ab (N, *SHAPE, 2) for ab (N, 2, h, w)."""
    planes = np.ascontiguousarray(ab.transpose(0, 2, 3, 1))
    if planes.shape[1:3] == shape:
        return planes
    return np.stack([enlarge(plane, shape) for plane in planes])
