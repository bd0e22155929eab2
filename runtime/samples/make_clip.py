"""Make clip.mp4, the short sample clip, from three of the test photographs.

Three scenes, each a slow pan and zoom over one photograph, joined by hard
cuts: 512x288, 25 frames a second, H.264 tagged BT.709 limited range. The sound
is a handful of soft synthesized notes, AAC stereo.

Run with ``python runtime/samples/make_clip.py``; needs av, numpy and pillow.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import av
import numpy as np
from av.video.reformatter import ColorRange, Colorspace
from numpy.typing import NDArray
from PIL import Image

HERE = Path(__file__).resolve().parent
OUTPUT = HERE / "clip.mp4"

WIDTH, HEIGHT = 512, 288
FRAME_RATE = 25
SAMPLE_RATE = 48_000
BT709 = 1  # code point shared by primaries, transfer and matrix in H.273


class View(NamedTuple):
    """A window on a photograph: its center and width, as fractions of the photograph."""

    x: float
    y: float
    width: float


class Scene(NamedTuple):
    """One photograph, the frames it lasts, and the windows it moves between."""

    photo: str
    frames: int
    first: View
    last: View


SCENES = (
    Scene("temple.jpg", 36, View(0.45, 0.55, 0.90), View(0.38, 0.46, 0.72)),
    Scene("tulips.jpg", 32, View(0.44, 0.36, 0.86), View(0.54, 0.60, 0.86)),
    Scene("mountain_path.jpg", 32, View(0.42, 0.44, 0.74), View(0.52, 0.52, 0.96)),
)

# Start in seconds, frequency in hertz, position from left (0) to right (1).
NOTES = (
    (0.00, 261.63, 0.35),
    (0.48, 329.63, 0.55),
    (0.96, 392.00, 0.65),
    (1.44, 440.00, 0.40),
    (1.92, 349.23, 0.60),
    (2.40, 293.66, 0.45),
    (2.72, 392.00, 0.60),
    (3.20, 523.25, 0.50),
)


def frames(scene: Scene) -> Iterator[Image.Image]:
    """Yield the pictures of one scene, easing from its first view to its last."""
    with Image.open(HERE / "test" / scene.photo) as file:
        photo = file.convert("RGB")
    for index in range(scene.frames):
        t = index / (scene.frames - 1)
        t = t * t * (3.0 - 2.0 * t)
        x, y, width = (a + (b - a) * t for a, b in zip(scene.first, scene.last, strict=True))
        half_w = width * photo.width / 2
        half_h = half_w * HEIGHT / WIDTH
        center_x = min(max(x * photo.width, half_w), photo.width - half_w)
        center_y = min(max(y * photo.height, half_h), photo.height - half_h)
        box = (center_x - half_w, center_y - half_h, center_x + half_w, center_y + half_h)
        yield photo.resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC, box=box)


def melody(seconds: float) -> NDArray[np.float32]:
    """Return the notes as float32 samples of shape (2, seconds * SAMPLE_RATE)."""
    sound = np.zeros((2, round(seconds * SAMPLE_RATE)))
    for start, pitch, pan in NOTES:
        first = round(start * SAMPLE_RATE)
        t = np.arange(sound.shape[1] - first) / SAMPLE_RATE
        tone = sum(np.sin(2 * np.pi * pitch * n * t) / n**2.5 for n in (1, 2, 3))
        tone *= np.minimum(t / 0.02, 1.0) * np.exp(-3.0 * t)
        sound[:, first:] += np.sqrt([[1.0 - pan], [pan]]) * tone
    fade = np.minimum((sound.shape[1] - np.arange(sound.shape[1])) / (0.15 * SAMPLE_RATE), 1.0)
    samples: NDArray[np.float32] = (0.2 * sound * fade / np.abs(sound).max()).astype(np.float32)
    return samples


def main() -> None:
    """Write the clip next to this script."""
    with av.open(str(OUTPUT), "w", options={"movflags": "+faststart"}) as container:
        video = container.add_stream("libx264", rate=FRAME_RATE)
        video.width, video.height, video.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        video.options = {"crf": "26", "preset": "slow", "threads": "1"}
        context = video.codec_context
        context.colorspace = context.color_primaries = context.color_trc = BT709
        context.color_range = ColorRange.MPEG
        audio = container.add_stream("aac", rate=SAMPLE_RATE, layout="stereo")
        audio.bit_rate = 96_000

        pictures = (picture for scene in SCENES for picture in frames(scene))
        for index, picture in enumerate(pictures):
            frame = av.VideoFrame.from_ndarray(np.asarray(picture), "rgb24").reformat(
                format="yuv420p",
                dst_colorspace=Colorspace.ITU709,
                dst_color_range=ColorRange.MPEG,
            )
            frame.colorspace, frame.color_range = BT709, ColorRange.MPEG
            frame.pts, frame.time_base = index, Fraction(1, FRAME_RATE)
            container.mux(video.encode(frame))
        container.mux(video.encode())

        sound = melody(sum(scene.frames for scene in SCENES) / FRAME_RATE)
        for start in range(0, sound.shape[1], 1024):
            block = np.ascontiguousarray(sound[:, start : start + 1024])
            chunk = av.AudioFrame.from_ndarray(block, format="fltp", layout="stereo")
            chunk.sample_rate, chunk.pts = SAMPLE_RATE, start
            chunk.time_base = Fraction(1, SAMPLE_RATE)
            container.mux(audio.encode(chunk))
        container.mux(audio.encode())


if __name__ == "__main__":
    main()
