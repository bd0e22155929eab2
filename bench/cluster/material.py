"""What is colored: a film that cuts as often as films do, and many photographs."""

import shutil
from fractions import Fraction
from itertools import cycle, islice
from pathlib import Path

import av
import cv2
import numpy as np

from ...runtime.color import U8
from ...runtime.models.catalog import SAMPLES

_RATE = 25
_CRF, _PRESET = 16, "veryfast"  # only read again


def make_cut_film(target: Path, height: int, frames: int, scene_seconds: float) -> Path:
    """Write FRAMES frames of slow pans over the sample photographs, each SCENE_SECONDS long."""
    height -= height % 2
    width, length = height * 16 // 9 // 2 * 2, max(round(scene_seconds * _RATE), 1)
    photos = cycle(sorted((SAMPLES / "test").glob("*.jpg")))
    with av.open(str(target), "w") as film:
        video = film.add_stream(
            "libx264", rate=_RATE, options={"crf": str(_CRF), "preset": _PRESET}
        )
        video.width, video.height, video.pix_fmt = width, height, "yuv420p"
        for index in range(frames):
            if index % length == 0:
                photo = _filling(next(photos), height * 5 // 4, width * 5 // 4)
            share = index % length / length
            top, left = int(share * (height // 4)), int(share * (width // 4))
            view = np.ascontiguousarray(photo[top : top + height, left : left + width])
            frame = av.VideoFrame.from_ndarray(view, "rgb24").reformat(format="yuv420p")
            frame.pts, frame.time_base = index, Fraction(1, _RATE)
            film.mux(video.encode(frame))
        film.mux(video.encode(None))
    return target


def _filling(path: Path, height: int, width: int) -> U8:
    """Return the middle of a photograph at (HEIGHT, WIDTH): RGB."""
    bgr = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if bgr is None:
        raise FileNotFoundError(path)
    scale = max(height / bgr.shape[0], width / bgr.shape[1])
    size = max(round(bgr.shape[1] * scale), width), max(round(bgr.shape[0] * scale), height)
    large = cv2.resize(bgr, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
    top, left = (large.shape[0] - height) // 2, (large.shape[1] - width) // 2
    return np.asarray(large[top : top + height, left : left + width, ::-1], np.uint8)


def copy_photos(folder: Path, count: int) -> list[Path]:
    """Fill FOLDER with COUNT photographs, the samples again and again; return them."""
    folder.mkdir()
    made = list[Path]()
    samples = cycle(sorted((SAMPLES / "test").glob("*.jpg")))
    for number, sample in enumerate(islice(samples, count)):
        target = folder / f"{number:05}{sample.suffix}"
        shutil.copy(sample, target)
        made.append(target)
    return made
