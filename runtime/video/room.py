"""Room on the disk: what a video will take while it is made, against what is free."""

import shutil
from itertools import pairwise
from pathlib import Path

from av.format import Flags

from ..errors import OutputError
from ..notices import Notice
from .clock import is_format
from .codecs import ENCODERS, encoder_settings
from .frames import CHROMA_STEPS, FrameLayout
from .options import VideoOptions
from .protocols import Run
from .source import frame_count

_CARRIED = 0.9e6  # bytes a frame whose carried colors wait for the reference behind it
_HALVING = 6  # steps of --crf that halve what lossy encoders write


def free_room(folder: Path) -> int:
    """Return how many bytes are free for FOLDER."""
    return shutil.disk_usage(folder).free


def check_room(
    run: Run, folder: Path, target: Path, options: VideoOptions, layout: FrameLayout
) -> None:
    """Raise OutputError if FOLDER has not even room for the plainest film; tell if it is tight.

    The segments and the finished film are there together, and colors that references give.
    """
    if is_format(run.container, Flags.ts_discont):
        return  # its length cannot be trusted
    frames = run.stretch.frames or frame_count(run.video, run.container) or 0
    pixels = frames * layout.width * layout.height
    codec, settings = encoder_settings(target, options)
    encoder, free = ENCODERS[codec], free_room(folder)
    needed = 2 * pixels * encoder.least_bits / 8
    if free < needed:
        raise OutputError(
            f"{target}: takes at least {needed / 1e9:.1f} GB while it is made, and only "
            f"{free / 1e9:.1f} GB are free; make room"
        )
    usual = 2 * pixels * encoder.usual_bits / 8
    if encoder.quality and options.crf is not None:
        step = float(encoder.settings[encoder.quality]) - float(settings[encoder.quality])
        usual *= 2 ** (step / _HALVING)
    elif encoder.quality is None:  # its size grows with what is stored of a pixel
        columns, rows = CHROMA_STEPS[layout.subsampling]
        usual *= (1 + 2 / (columns * rows)) / 1.5 * max(layout.depth, 8) / 8
    usual += _CARRIED * _longest_wait(run, frames)
    if free < usual:
        message = (
            f"{target} may take {usual / 1e9:.1f} GB while it is made, and only "
            f"{free / 1e9:.1f} GB are free; what is finished would be kept if the disk gets full"
        )
        run.tell(Notice(message, topic="output", severity="warning"))


def _longest_wait(run: Run, frames: int) -> int:
    """Return the most frames that lie before a reference, in one scene at worst."""
    given = sorted(run.settings.references or ())
    return min(max((after - before for before, after in pairwise([0, *given])), default=0), frames)
