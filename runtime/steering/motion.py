"""Optical flow between frames that follow each other: measured once, there and back."""

from collections.abc import Callable
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


def measure(earlier: U8, later: U8) -> Motion:
    """Measure the motion between two grays (h, w) of CARRY_SIDE, finely in both directions."""
    return Motion(flow(later, earlier), flow(earlier, later))


def flow(start: U8, end: U8) -> F16:
    """Return where the pixels of START (h, w) are in END, as Motion has it."""
    return _on_grid(start, lambda: _dis(start, end, finest=1, refinements=2))


def rough_flow(start: U8, end: U8) -> F16:
    """Return `flow` in less than a third of its time, to check the one that leads the other way."""
    return _on_grid(start, lambda: _dis(start, end, finest=2, refinements=2))


def _on_grid(start: U8, measured: Callable[[], F32]) -> F16:
    height, width = start.shape
    grid = (max(1, width // _GRID), max(1, height // _GRID))
    if min(start.shape) < LEAST_SIDE:
        return np.zeros((grid[1], grid[0], 2), np.float16)
    small = cv2.resize(measured(), grid, interpolation=cv2.INTER_AREA)
    return (small / np.array([width, height], np.float32)).astype(np.float16)


def flow_near(start: U8, end: U8, guess: F32) -> F32:
    """Return where the pixels of START (h, w) are in END, as offsets (h, w, 2) of x and y.

    GUESS, such offsets, is where to look first.
    """
    return _dis(start, end, guess, finest=1, refinements=1)


def _dis(start: U8, end: U8, guess: F32 | None = None, *, finest: int, refinements: int) -> F32:
    """Return the flow of DIS, computed down to the picture halved FINEST times."""
    # Between the presets FAST and MEDIUM: nearly as good here, at a quarter of MEDIUM's time.
    # A new one each time: what it keeps of earlier frames would make a resumed run differ.
    dis = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST)
    dis.setFinestScale(finest)
    dis.setPatchStride(5 if min(start.shape) >= CARRY_SIDE else 4)  # smaller ones have few
    dis.setGradientDescentIterations(12)
    dis.setVariationalRefinementIterations(refinements)
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
        across, down = _in_pixels(there, shape)
        x, y = pixel_grid(shape)
        x, y = x + across, y + down
        outside = (beyond(x, y) > _OUTSIDE).astype(np.float32)
        return cls(x, y, _miss(there, again, shape), outside)


def _miss(there: F16, again: F16, shape: tuple[int, int]) -> F32:
    """Return `Step.miss`: it is computed as coarsely as flow is kept, for it is smooth."""
    grid = (there.shape[0], there.shape[1])
    to, fro = _in_pixels(there, grid), _in_pixels(again, grid)
    x, y = pixel_grid(grid)
    x, y = x + to[0], y + to[1]
    gap_x = (to[0] + read(fro[0], x, y)) * np.float32(shape[1] / grid[1])
    gap_y = (to[1] + read(fro[1], x, y)) * np.float32(shape[0] / grid[0])
    return np.asarray(cv2.resize(gap_x * gap_x + gap_y * gap_y, shape[::-1]), np.float32)


def _in_pixels(flow: F16, shape: tuple[int, int]) -> tuple[F32, F32]:
    """Return FLOW, in parts of the sides, as offsets of x and y (h, w) for planes of SHAPE."""
    height, width = shape
    # Plane by plane: NumPy is slow along axes of two.
    x, y = cv2.split(flow.astype(np.float32))
    x, y = x * np.float32(width), y * np.float32(height)
    if flow.shape[:2] == shape:
        return x, y
    x, y = cv2.resize(x, (width, height)), cv2.resize(y, (width, height))
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
    mode, border = cv2.INTER_LINEAR, cv2.BORDER_REPLICATE
    if planes.shape[2:] == (2,):  # OpenCV takes more time for two together
        pair = [cv2.remap(plane, x, y, mode, borderMode=border) for plane in cv2.split(planes)]
        return np.asarray(cv2.merge(pair), np.float32)
    return np.asarray(cv2.remap(planes, x, y, mode, borderMode=border), np.float32)


def read_four(planes: F32, x: F32, y: F32) -> tuple[F32, F32, F32]:
    """Return what `read` does of PLANES (h, w, 4): the first two (h, w, 2), and each of the others.

    OpenCV reads four planes together in less time than two.
    """
    four = read(planes, x, y)
    pair = np.empty((*x.shape, 2), np.float32)
    cv2.mixChannels([four], [pair], [0, 0, 1, 1])
    third, fourth = (np.asarray(cv2.extractChannel(four, n), np.float32) for n in (2, 3))
    return pair, third, fourth
