"""A stretch of a video, for trials: found by its times, with frames numbered as in the whole."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

from ..errors import ArgumentError
from .options import VideoOptions
from .picture import Picture
from .reader import shown_times
from .source import Source


@dataclass(frozen=True)
class Stretch:
    """Frames that follow each other; the default is a whole video."""

    first: int = 0  # frame, counted from 0 in the whole video
    frames: int | None = None  # how many; None: to the end
    pts: int = 0  # when the first is shown, in the source's time base; 0 if all are colored

    @classmethod
    def of(cls, source: Source, options: VideoOptions) -> "Stretch":
        """Return what OPTIONS ask for of SOURCE; ArgumentError where it has no such frames."""
        if not options.is_trial:
            return cls()
        if source.pipe is not None:
            raise ArgumentError(f"{source.path}: a stretch of it needs a file")
        with source.open() as container:
            video = source.video(container)
            times, base = shown_times(container, video), video.time_base
        if not times or base is None:
            raise ArgumentError(f"{source.path}: its frames carry no times; color it whole")
        seconds = [float((time - times[0]) * base) for time in times]
        end = options.start + (math.inf if options.duration is None else options.duration)
        chosen = [index for index, each in enumerate(seconds) if options.start <= each < end]
        if not chosen:
            raise ArgumentError(
                f"{source.path}: none of its frames begins so late; its last is at "
                f"{seconds[-1]:.3f} seconds"
            )
        return cls(first=chosen[0], frames=len(chosen), pts=times[chosen[0]])

    def after(self, pictures: Iterator[Picture], begin: int) -> Iterator[Picture]:
        """Return PICTURES of the whole video from frame BEGIN on, up to the end of the stretch."""
        return islice(pictures, begin, None if self.frames is None else self.first + self.frames)
