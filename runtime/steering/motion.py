"""Optical flow between frames that follow each other: measured once, there and back."""

from concurrent.futures import Executor
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from ..color import F32, U8
from ..resize import LONG_SIDE_LIMIT

F16 = NDArray[np.float16]

CARRY_SIDE = 240
"""Short side in pixels of the grays and planes that carry colors: film's chroma is hardly finer."""
LEAST_SIDE = 32
"""Short side in pixels that DIS can follow; in smaller pictures pixels are taken to stand still."""
_GRID = 2  # pixels a flow vector: DIS measures no finer here and interpolates the rest
_OUTSIDE = 0.5  # of a pixel: farther from the border there was nothing


def side_limited(height: int, width: int, side: int) -> tuple[int, int]:
    """Return the (height, width) of a picture whose short side is at most SIDE pixels.

    The aspect is kept up to `resize.LONG_SIDE_LIMIT`.
    """
    scale = min(1.0, side / min(height, width))
    limit = LONG_SIDE_LIMIT * min(side, min(height, width))
    return (
        max(1, min(round(height * scale), limit)),
        max(1, min(round(width * scale), limit)),
    )


@dataclass(frozen=True)
class Motion:
    """How the pixels of two frames correspond, in parts of the frame's width and height.

    `back` leads from the later frame to the earlier, `forth` the other way: float16 (h, w, 2).
    """

    back: F16
    forth: F16

    def places(self, shape: tuple[int, int]) -> tuple[F32, F32]:
        """Return x and y (h, w): where the later frame's pixels, of SHAPE, were in the earlier."""
        across, down = _in_pixels(self.back, shape)
        x, y = pixel_grid(shape)
        return x + across, y + down


def measure(earlier: U8, later: U8, pool: Executor | None = None) -> Motion:
    """Measure the motion between two grays (h, w) of CARRY_SIDE.

    One of the two directions is measured in POOL at the same time.
    """
    if pool is None:
        return Motion(_flow(later, earlier), _flow(earlier, later))
    forth = pool.submit(_flow, earlier, later)
    return Motion(_flow(later, earlier), forth.result())


def _flow(start: U8, end: U8) -> F16:
    height, width = start.shape
    grid = (max(1, width // _GRID), max(1, height // _GRID))
    if min(start.shape) < LEAST_SIDE:
        return np.zeros((grid[1], grid[0], 2), np.float16)
    flow = fine_flow(start, end)
    small = cv2.resize(flow, grid, interpolation=cv2.INTER_AREA)
    return (small / np.array([width, height], np.float32)).astype(np.float16)


def fine_flow(start: U8, end: U8, guess: F32 | None = None) -> F32:
    """Return where the pixels of START (h, w) are in END, as offsets (h, w, 2) of x and y.

    GUESS, such offsets, is where to look first.
    """
    # Between the presets FAST and MEDIUM: as fine as MEDIUM, as good here, at a third of its time.
    # A new one each time: what it keeps of earlier frames would make a resumed run differ.
    dis = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST)
    dis.setFinestScale(1)
    dis.setPatchStride(4)
    dis.setGradientDescentIterations(12)
    dis.setVariationalRefinementIterations(2)
    flow = dis.calc(start, end, guess)  # type: ignore[arg-type]  # None: no guess
    return np.asarray(flow, np.float32)


@dataclass(frozen=True)
class Step:
    """Where the pixels of a frame were in its neighbor, for planes of one size."""

    x: F32  # (h, w), in pixels
    y: F32
    miss: F32  # (h, w): square of the distance in pixels by which flow there and back misses
    outside: F32  # (h, w): 1 where the pixel was outside of the neighbor, else 0

    @classmethod
    def of(cls, motion: Motion, shape: tuple[int, int], *, forward: bool) -> "Step":
        """Return the step for planes of SHAPE; FORWARD: from the earlier frame to the later."""
        there, again = (motion.back, motion.forth) if forward else (motion.forth, motion.back)
        to, fro = _in_pixels(there, shape), _in_pixels(again, shape)
        x, y = pixel_grid(shape)
        x, y = x + to[0], y + to[1]
        gap_x, gap_y = to[0] + read(fro[0], x, y), to[1] + read(fro[1], x, y)
        outside = (beyond(x, y) > _OUTSIDE).astype(np.float32)
        return cls(x, y, gap_x * gap_x + gap_y * gap_y, outside)


def _in_pixels(flow: F16, shape: tuple[int, int]) -> tuple[F32, F32]:
    """Return FLOW, in parts of the sides, as offsets of x and y (h, w) for planes of SHAPE."""
    height, width = shape
    # Plane by plane: NumPy is slow along axes of two.
    x, y = cv2.split(flow.astype(np.float32))
    x = cv2.resize(x * np.float32(width), (width, height))
    y = cv2.resize(y * np.float32(height), (width, height))
    return np.asarray(x, np.float32), np.asarray(y, np.float32)


def beyond(x: F32, y: F32) -> F32:
    """Return how many pixels outside of a picture, of their own shape, places X, Y (h, w) are.

    Inside it is less than zero.
    """
    right, bottom = (x.shape[1] - 1) / 2, (x.shape[0] - 1) / 2
    across, down = np.abs(x - np.float32(right)), np.abs(y - np.float32(bottom))
    farthest: F32 = np.maximum(across - np.float32(right), down - np.float32(bottom))
    return farthest


def pixel_grid(shape: tuple[int, int]) -> tuple[F32, F32]:
    """Return x and y (h, w) of each pixel."""
    height, width = shape
    x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    return x, y


def read(planes: F32, x: F32, y: F32) -> F32:
    """Read PLANES (h, w) or (h, w, C) at places (h, w) between pixels, the border repeated."""
    mode = cv2.INTER_LINEAR
    return np.asarray(cv2.remap(planes, x, y, mode, borderMode=cv2.BORDER_REPLICATE), np.float32)
