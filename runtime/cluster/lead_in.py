"""Where a worker begins a stretch in the middle of a film: at the last cut before it.

At a cut nothing is remembered of the frames before, so that what comes after it can be computed
without them. The head checks afterwards that what is remembered where the stretch begins is what
the worker before it left there.
"""

from collections.abc import Generator
from contextlib import closing
from dataclasses import dataclass
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..steering.scenes import CutDetector
from ..video.frames import gray_of
from ..video.picture import Flaws, Picture, Position
from ..video.protocols import Run, Start
from ..video.reader import VideoReader

MOST_FRAMES = 2000
"""That a cut is looked for before a stretch."""
_LEAD = 48  # frames: the detector must have seen two with details to tell cuts as it would have


@dataclass(frozen=True)
class LeadIn:
    """Where to begin for a stretch."""

    start: Start
    interlaced: bool = False  # whether the frame before is


def lead_in(run: Run, boundary: int, times: NDArray[np.int64]) -> LeadIn | None:
    """Return where to begin so that all is right from frame BOUNDARY on; None: at no cut.

    TIMES are when the frames before BOUNDARY are shown: all, or the last `known_times` of them. The
    beginning lies on the film's own grid of batches. InputError where the film cannot be read.
    """
    settings = run.settings
    if not (settings.options.stabilize or settings.references is not None):
        return _look(run, boundary, boundary, times).at_end  # the cut detector alone remembers
    end = boundary
    while end > 0 and boundary - end < MOST_FRAMES:
        begin = max(end - settings.segment_frames, 0)
        look = _look(run, begin, end, times[: len(times) - (boundary - end)])
        if look.at_cut is not None:
            return look.at_cut
        end = begin
    return LeadIn(Start()) if end == 0 else None


def known_times(segment_frames: int) -> int:
    """Return of how many frames before a stretch `lead_in` wants the times."""
    return MOST_FRAMES + segment_frames + _LEAD + 1


@dataclass(frozen=True)
class _Look:
    """What was found among some frames."""

    at_cut: LeadIn | None  # at or before the last cut
    at_end: LeadIn | None


def _look(run: Run, begin: int, end: int, times: NDArray[np.int64]) -> _Look:
    """Look through the frames BEGIN to END, before which frames are shown at TIMES."""
    lead, batch = max(begin - _LEAD, 0), run.settings.batch
    detector = CutDetector()
    before: Picture | None = None
    here: LeadIn | None = None
    at_cut: LeadIn | None = None

    def known(number: int) -> LeadIn | None:
        """Return the beginning at frame NUMBER, if all is known of it."""
        scene = detector.state
        if before is None:
            return LeadIn(Start()) if number == 0 else None
        if scene is None or (lead > 0 and len(scene) < 2):
            return None
        start = Start(Position.of(number, before), {"scene": scene})
        return LeadIn(start, before.layout.interlaced)

    number = lead
    with closing(_pictures(run, lead, end, times)) as pictures:
        for picture in islice(pictures, end - lead):
            if number % batch == 0:
                here = known(number)
            if detector.is_cut(gray_of(picture.luma, picture.layout)) and here is not None:
                at_cut = here
            before, number = picture, number + 1
    if number < end:
        raise InputError(f"{run.source.path}: ends before frame {end}")
    return _Look(at_cut, known(end))


def _pictures(run: Run, first: int, end: int, times: NDArray[np.int64]) -> Generator[Picture]:
    """Yield the frames from FIRST on; TIMES are when those before END are shown."""
    reader, position = VideoReader(run.source, run.container), None
    if first > 0:
        time = int(times[len(times) - (end - first) - 1])
        position = Position(frames=first, pts=time, luma_sha256="", flaws=Flaws())
    yield from reader.pictures(position)
