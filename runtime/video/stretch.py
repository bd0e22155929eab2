"""A stretch of a video, for trials: found by its times, with frames numbered as in the whole."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

from ..errors import ArgumentError
from .options import VideoOptions
from .reader import Picture, Position, VideoReader, shown_times
from .source import Source


@dataclass(frozen=True)
class Stretch:
    """Frames that follow each other; the default is a whole video."""

    first: int = 0  # frame, counted from 0 in the whole video
    frames: int | None = None  # how many; None: to the end
    pts: int = 0  # when the first is shown, in the source's time base; 0 if all are colored
    times: tuple[
        int, ...
    ] = ()  # the same of each frame of the whole video; none if all are colored

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
        first = chosen[0]
        return cls(first=first, frames=len(chosen), pts=times[first], times=tuple(times))

    def pictures(
        self, reader: VideoReader, begin: int, after: Position | None
    ) -> Iterator[Picture]:
        """Return what READER gives from frame BEGIN on, up to the end of the stretch.

        Of a whole video, they are those that follow AFTER.
        """
        end = None if self.frames is None else self.first + self.frames - begin
        return islice(self.onward(reader, begin, after), end)

    def onward(self, reader: VideoReader, begin: int, after: Position | None) -> Iterator[Picture]:
        """Return `pictures`, and those behind the end of the stretch too."""
        return reader.pictures(after) if not self.times else reader.pictures_from(begin, self.times)
