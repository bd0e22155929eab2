"""The frames of a film, and what colors it as the options of the bench say."""

from collections.abc import Generator
from contextlib import closing
from pathlib import Path

import av
import numpy as np

from ...runtime.color import U8
from ...runtime.colorizer import Colorizer
from ...runtime.video.frames import FrameLayout, gray_of, layout_of, luma_of
from ...runtime.video.source import open_video, video_stream
from ..settings import Model, Settings, nothing_less

NEARLY_GRAY = 1.0
"""Colorfulness: a film below it is black and white, with its codec's noise."""


def open_colorizer(model: Model, settings: Settings, saturation: float = 1.0) -> Colorizer:
    """Return what colors with MODEL; it refuses to try less where memory runs out."""
    return Colorizer(
        model.path,
        backend=settings.backends[0],
        precision=settings.precisions[0],
        device=settings.device,
        size=settings.sizes[0],
        saturation=saturation,
        on_notice=nothing_less,
    )


def decoded(path: Path) -> Generator[tuple[av.VideoFrame, FrameLayout]]:
    """Yield each frame of a film, and how the film stores them."""
    with closing(open_video(path)) as video:
        layout = None
        for frame in video.decode(video_stream(video)):
            layout = layout or layout_of(frame)
            yield frame, layout


def frames_of(path: Path) -> Generator[tuple[U8, U8]]:
    """Yield each frame of a film as 8-bit RGB (H, W, 3) and gray (H, W)."""
    with closing(decoded(path)) as frames:
        for frame, layout in frames:
            yield rgb_of(frame), gray_of(luma_of(frame, layout), layout)


def rgb_of(frame: av.VideoFrame) -> U8:
    """Return a frame as 8-bit RGB (H, W, 3)."""
    return frame.to_ndarray(format="rgb24").astype(np.uint8, copy=False)
