"""The stages of a colored video: decode, shrink, infer, stabilize, enlarge."""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field

import numpy as np

from ..color import F32, U8
from .chroma import Scratch, SteadyRounding, chroma_planes
from .frames import FrameLayout, Plane, gray_of
from .prefetch import Stopwatch, prefetch
from .reader import Picture, Position, VideoReader
from .reader import open_video as open_video
from .stabilizer import Stabilizer

Chroma = Callable[[Sequence[U8]], list[tuple[F32, F32]]]
"""Turns 8-bit grays (H, W) of one size into L* (h, w) and ab (h, w, 2) at the working size."""


@dataclass(frozen=True)
class ColoredPicture:
    """A frame with its chroma, and what the stabilizer remembers after it."""

    picture: Picture
    layout: FrameLayout
    chroma: Plane  # (rows, columns, 2), code values
    state: F32 | None


@dataclass(frozen=True)
class Painter:
    """How pictures get their color: everything but where they come from and where they go."""

    chroma: Chroma
    batch: int
    saturation: float
    stabilizer: Stabilizer | None
    segment_frames: int
    fit: Callable[[FrameLayout], FrameLayout]  # to what the encoder stores
    scratch: Scratch = field(default_factory=Scratch)


@contextmanager
def colored(
    reader: VideoReader, after: Position | None, painter: Painter, watch: Stopwatch
) -> Iterator[Iterator[ColoredPicture]]:
    """Yield the pictures that follow AFTER in color; decoding and network work ahead."""
    pictures = watch.timed("decode", reader.pictures(after))
    decoded = prefetch(pictures, 2 * painter.batch)
    # A whole batch, so that the encoder has work while the network has.
    ahead = prefetch(_paint(decoded, painter, watch), painter.batch)
    with closing(decoded), closing(ahead):
        try:
            yield ahead
        finally:
            reader.cancel()


def _paint(
    pictures: Iterable[Picture], painter: Painter, watch: Stopwatch
) -> Iterator[ColoredPicture]:
    """Give pictures their chroma, a batch at a time."""
    waiting: list[Picture] = []
    steadier: Stabilizer | None = None
    rounding: SteadyRounding | None = None
    for number, picture in enumerate(pictures):
        if painter.stabilizer is not None and number % painter.segment_frames == 0:
            # What OpenCV's flow keeps of earlier frames, and the rounding, is not in the state that
            # is stored: the codes of a frame at full size, for which a segment would double.
            steadier, rounding = Stabilizer(painter.stabilizer.state), SteadyRounding()
        waiting.append(picture)
        if len(waiting) == painter.batch:
            yield from _paint_batch(waiting, painter, steadier, rounding, watch)
            waiting = []
    if waiting:
        yield from _paint_batch(waiting, painter, steadier, rounding, watch)


def _paint_batch(
    pictures: list[Picture],
    painter: Painter,
    steadier: Stabilizer | None,
    rounding: SteadyRounding | None,
    watch: Stopwatch,
) -> Iterator[ColoredPicture]:
    layout = painter.fit(pictures[0].layout)
    start = time.perf_counter()
    answers = painter.chroma([gray_of(picture.luma, picture.layout) for picture in pictures])
    watch.add("network", time.perf_counter() - start)
    for picture, (lightness, fresh) in zip(pictures, answers, strict=True):
        start = time.perf_counter()
        ab, state = fresh, None
        if painter.stabilizer is not None and steadier is not None:
            ab = steadier.steady(lightness, fresh)
            state = painter.stabilizer.state = steadier.state
            watch.add("stabilize", time.perf_counter() - start)
        steadied = time.perf_counter()
        saturated = ab * np.float32(painter.saturation)
        planes = chroma_planes(lightness, saturated, layout, painter.scratch, rounding)
        watch.add("enlarge", time.perf_counter() - steadied)
        yield ColoredPicture(picture, layout, planes, state)
