"""A film of three scenes whose colors are known, and frames of it as references."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from colorize.runtime.color import U8
from colorize.runtime.video.options import VideoOptions

from .video import read_frames

FFV1 = VideoOptions(codec="ffv1", segment_frames=8)
LENGTHS = (20, 12, 16)  # frames of the film's scenes
FIRSTS = (0, 20, 32)


def rgb_of(film: Path) -> list[U8]:
    return [
        frame.to_ndarray(format="rgb24").astype(np.uint8, copy=False) for frame in read_frames(film)
    ]


def psnr(one: U8, other: U8) -> float:
    error = np.mean((one.astype(float) - other.astype(float)) ** 2)
    return float(10 * np.log10(255**2 / max(error, 1e-9)))


def give(folder: Path, truth: Sequence[U8], *frames: int) -> Path:
    folder.mkdir(exist_ok=True)
    for frame in frames:
        Image.fromarray(truth[frame]).save(folder / f"ref_{frame:06}.png")
    return folder
