"""A few seconds of one scene before the film runs: before and after, as a browser plays them."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from .jobs import Job
from .scenes import SceneView


@dataclass(frozen=True, kw_only=True)
class Preview:
    """Two clips of the same frames: H.264 of 8 bits in MP4, without sound."""

    before: Path  # gray
    after: Path
    first: int  # frame of the film
    frames: int
    notices: tuple[str, ...] = ()


def preview(
    job: Job,
    scene: SceneView,
    model: Path,
    *,
    seconds: float = 4.0,
    on_progress: Callable[[int, int], None] = lambda _frames, _total: None,
) -> Preview:
    """Color SECONDS of SCENE around its frame, with the job's settings and references.

    The same job, settings and references give the stored clips again. A child process does the
    work; what ON_PROGRESS raises ends it. InputError or ArgumentError if a reference is unusable.
    """
    raise NotImplementedError
