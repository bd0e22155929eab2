"""Out of memory: first the batch is halved, then the working size, and each time a line says so."""

import threading
from dataclasses import replace

import numpy as np

from ..color import F32, U8, gray_to_lightness
from ..errors import OutOfMemoryError
from ..notices import Notice, OnNotice
from ..resize import enlarge, shrink, shrink_hints
from .base import Engine

Shape = tuple[int, int]
"""(height, width)"""


class MemoryFallback:
    """Runs an engine within the memory there is, for any number of threads in turns.

    A batch that was too large stays smaller, which changes no result. A working size does change
    it, so whoever calls says how far it was halved before.
    """

    def __init__(self, engine: Engine) -> None:
        self.batch = engine.best_batch
        self._engine = engine
        self._lock = threading.Lock()  # an engine takes one caller at a time

    def infer(
        self,
        grays: U8,
        halvings: int,
        about: Notice,
        tell: OnNotice,
        hints: F32 | None = None,
    ) -> tuple[F32, int]:
        """Return ab (N, h, w, 2) for 8-bit grays (N, h, w), and how far the size was halved.

        HINTS (N, 3, h, w) are for an engine that takes them. ABOUT says what is colored: TELL gets
        it, completed, each time that less is tried. OutOfMemoryError, with the fix, where nothing
        smaller is left.
        """
        whole = grays.shape[1], grays.shape[2]
        shape = self._halved(whole, halvings)
        while True:
            try:
                ab = self._batches(_lightness(grays, shape), _hints(hints, shape), about, tell)
            except OutOfMemoryError as error:
                smaller = self._halved(whole, halvings + 1)
                if min(smaller) == min(shape):
                    raise OutOfMemoryError(
                        f"{about}: out of memory even for one picture at working size "
                        f"{min(shape)}: close other programs or give a smaller --size, or another "
                        "--device"
                    ) from error
                message = (
                    f"{about.message}: out of memory at working size {min(shape)}: colored at "
                    f"{min(smaller)}, more coarsely"
                )
                tell(replace(about, message=message))
                halvings, shape = halvings + 1, smaller
            else:
                return _enlarged(ab, whole), halvings

    def close(self) -> None:
        """Give back the engine, once it is idle."""
        with self._lock:
            self._engine.close()

    def _halved(self, shape: Shape, halvings: int) -> Shape:
        if self._engine.info.fixed_size is not None:
            return shape
        multiple, divisor = self._engine.info.size_multiple, 2**halvings
        height, width = (max(1, round(side / divisor / multiple)) * multiple for side in shape)
        return height, width

    def _batches(self, lightness: F32, hints: F32 | None, about: Notice, tell: OnNotice) -> F32:
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
                message = (
                    f"{about.message}: out of memory with {len(part)} pictures at once; continuing "
                    f"with {self.batch}, the colors stay the same"
                )
                tell(replace(about, message=message))
            else:
                start += len(part)
        return np.concatenate(answers)


def _lightness(grays: U8, shape: Shape) -> F32:
    if grays.shape[1:] != shape:
        grays = np.stack([shrink(gray, shape) for gray in grays])
    return gray_to_lightness(grays)


def _hints(hints: F32 | None, shape: Shape) -> F32 | None:
    if hints is None or hints.shape[2:] == shape:
        return hints
    return np.stack([shrink_hints(each, shape) for each in hints])


def _enlarged(ab: F32, shape: Shape) -> F32:
    """Return ab (N, *SHAPE, 2) for ab (N, 2, h, w)."""
    planes = np.ascontiguousarray(ab.transpose(0, 2, 3, 1))
    if planes.shape[1:3] == shape:
        return planes
    return np.stack([enlarge(plane, shape) for plane in planes])
