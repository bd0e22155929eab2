"""Shared by the tests of steering: films of scenes whose true colors are known."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

import av
import cv2
import numpy as np

from colorize.runtime.color import F32, U8, lab_to_rgb, to_bytes

SHAPE = (96, 144)
GROUND, SQUARE = (-14.0, 18.0), (24.0, 16.0)
"""a* and b* of the first scene; those of later scenes have other signs."""


def texture(seed: int, low: float, high: float) -> F32:
    """L* of soft blotches, which flow can follow."""
    noise = np.random.default_rng(seed).standard_normal(SHAPE).astype(np.float32)
    soft = cv2.GaussianBlur(noise, (0, 0), 2.0)
    return np.asarray(cv2.normalize(soft, None, low, high, cv2.NORM_MINMAX), np.float32)  # type: ignore[call-overload]


def scene(seed: int, frames: int, sign: float = 1.0) -> Iterator[U8]:
    """Yield RGB frames (H, W, 3): a square crosses a ground, both textured, each of one color."""
    ground, square = texture(2 * seed, 30, 60), texture(2 * seed + 1, 45, 75)
    for index in range(frames):
        left = 20 + 2 * index
        lightness = ground.copy()
        lightness[30:66, left : left + 36] = np.roll(square, 2 * index, 1)[30:66, left : left + 36]
        ab = np.full((*SHAPE, 2), GROUND, np.float32)
        ab[30:66, left : left + 36] = SQUARE
        yield to_bytes(lab_to_rgb(np.dstack([lightness, sign * ab])))


def write_film(
    path: Path, frames: Sequence[U8], codec: Literal["ffv1", "libx264"] = "ffv1", turn: int = 0
) -> Path:
    """Write RGB frames (H, W, 3), 25 a second, with full chroma; players TURN them by degrees."""
    height, width = frames[0].shape[:2]
    with av.open(str(path), "w") as film:
        stream = film.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv444p"
        if turn:
            stream.set_display_rotation(turn)
        for rgb in frames:
            film.mux(stream.encode(av.VideoFrame.from_ndarray(rgb, "rgb24")))
        film.mux(stream.encode(None))
    return path
