"""Color a video with flipped bits again and again, as a program of its own: it may crash.

Arguments: the video, an empty folder to work in, frames that it must keep, first seed, last seed.
"""

import faulthandler
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import av
import numpy as np

from colorize.runtime.color import F32, U8
from colorize.runtime.errors import ColorizeError
from colorize.runtime.resize import shrink
from colorize.runtime.steering.follow import SceneSteering
from colorize.runtime.video.colorize import colorize_video
from colorize.runtime.video.options import VideoOptions, VideoSettings
from colorize.runtime.video.sinks import FileSink
from colorize.runtime.video.source import Source

SETTINGS = VideoSettings(options=VideoOptions("ffv1", segment_frames=8))


class Gray:
    """A network that answers gray at once."""

    def shrink(self, grays: Sequence[U8]) -> U8:
        return np.stack([shrink(gray, (8, 8)) for gray in grays])

    def infer(self, batch: Any, _known: Any, _tell: Any) -> F32:
        return np.zeros((*batch.small.shape, 2), np.float32)


def flipped(data: U8, seed: int) -> U8:
    """Return DATA with some bits flipped."""
    rng = np.random.default_rng(seed)
    # Every other time the head alone, where containers keep what leads readers astray.
    reach = min(len(data), 2000) if seed % 2 else len(data)
    changed = data.copy()
    for place in rng.integers(0, reach, rng.integers(1, 30)):
        changed[place] ^= np.uint8(1 << rng.integers(8))
    return changed


def color(hostile: Path, target: Path, frames: int) -> None:
    """Color HOSTILE; what is written must be whole, or the error one line."""
    try:
        report = colorize_video(
            Gray(), Source(hostile), FileSink(target), SETTINGS, SceneSteering()
        )
    except ColorizeError as error:
        said = str(error)
        assert not target.exists()
        assert "\n" not in said
    else:
        with av.open(str(target)) as film:
            written = sum(1 for _ in film.decode(video=0))
        assert written == report.frames > 0, (written, report)
        assert report.frames >= frames or report.notices, report
        target.unlink()


def main(source: Path, folder: Path, frames: int, first: int, last: int) -> None:
    data = np.frombuffer(source.read_bytes(), np.uint8)
    for seed in range(first, last):
        print("seed", seed)
        faulthandler.dump_traceback_later(20, exit=True)
        hostile = folder / f"{seed}{source.suffix}"
        hostile.write_bytes(flipped(data, seed).tobytes())
        color(hostile, folder / f"{seed}_out.mkv", frames)
        hostile.unlink()
        assert not list(folder.iterdir()), list(folder.iterdir())
    print("survived")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), *map(int, sys.argv[3:]))
