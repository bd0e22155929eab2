"""A film's scenes and its reference frames, as the page shows and takes them."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .jobs import Job


@dataclass(frozen=True, kw_only=True)
class SceneView:
    """A scene with one of its frames; indices are counted from 0 in the whole film."""

    number: int  # from 1
    first: int
    last: int
    frame: int  # that is shown, and painted
    start: float  # seconds
    duration: float
    thumbnail: Path  # JPEG, at most 320 pixels wide; in the job's folder
    picture: Path  # PNG of the frame at full size, as the model colors it
    has_reference: bool = False


def find_scenes(
    job: Job, model: Path, on_progress: Callable[[int], None] = lambda _: None
) -> list[SceneView]:
    """Return the scenes of a job's film, each with a frame; found once, then read from the disk.

    MODEL colors the frames. ON_PROGRESS gets the number of frames seen; what it raises ends the
    search. A child process does the work. InputError if the film cannot be read.
    """
    raise NotImplementedError


def known_scenes(job: Job) -> list[SceneView] | None:
    """Return what `find_scenes` found earlier, at once; None if it was not asked yet."""
    raise NotImplementedError


def set_picture(job: Job, frame: int, picture: Path | NDArray[np.uint8]) -> None:
    """Make PICTURE, a file or sRGB (H, W, 3 or 4), the reference for FRAME, in place of another.

    InputError if it is no picture or has another aspect than the film's frames.
    """
    raise NotImplementedError


def set_strokes(job: Job, frame: int, rgba: NDArray[np.uint8]) -> None:
    """Make the layer RGBA, sRGB (H, W, 4), the strokes on FRAME; an empty one removes them.

    It has the frames' aspect. InputError if not.
    """
    raise NotImplementedError


def remove_reference(job: Job, frame: int) -> None:
    """Forget picture and strokes of FRAME."""
    raise NotImplementedError


def reference_frames(job: Job) -> list[int]:
    """Return the frames that have a reference, in order."""
    raise NotImplementedError
