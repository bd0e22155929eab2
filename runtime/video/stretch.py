"""A stretch of a video, for trials: found by its times, with frames numbered as in the whole."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice

from av.stream import Disposition

from ..errors import ArgumentError
from .clock import AnyPacket
from .options import VideoOptions
from .reader import Picture, Position, VideoReader, shown_times
from .source import Source

_INTERLEAVED = 10  # seconds by which streams may lie apart in a file


@dataclass(frozen=True)
class Window:
    """A part of a source's time, in seconds; it begins at 0 in what is made of it."""

    begin: Fraction
    end: Fraction | None  # None: that of the source

    def takes(self, packet: AnyPacket) -> bool:
        """Tell whether PACKET begins in it, and move its times.

        Subtitles that are shown already begin with it.
        """
        if packet.stream.disposition & Disposition.attached_pic:
            return True
        time, base = packet.dts if packet.pts is None else packet.pts, packet.time_base
        if time is None:
            return False
        late = max(math.ceil(self.begin / base) - time, 0)
        if late and (packet.stream.type != "subtitle" or late >= (packet.duration or 0)):
            return False
        if self.end is not None and time * base >= self.end:
            return False
        if late:
            packet.duration = (packet.duration or 0) - late
        shift = round(self.begin / base) - late
        packet.pts = None if packet.pts is None else packet.pts - shift
        packet.dts = None if packet.dts is None else packet.dts - shift
        return True

    def ended(self, packet: AnyPacket) -> bool:
        """Tell whether what follows PACKET in the file is all behind the end."""
        if self.end is None or packet.dts is None:
            return False
        return packet.dts * packet.time_base > self.end + _INTERLEAVED


@dataclass(frozen=True)
class Stretch:
    """Frames that follow each other; the default is a whole video."""

    first: int = 0  # frame, counted from 0 in the whole video
    frames: int | None = None  # how many; None: to the end
    pts: int = 0  # when the first is shown, in the source's time base; 0 if all are colored
    times: tuple[
        int, ...
    ] = ()  # the same of each frame of the whole video; none if all are colored
    window: Window | None = None  # for sound and subtitles; None: all of them

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
        first, after = chosen[0], chosen[-1] + 1
        next_begins = times[after] * base if after < len(times) else None
        return cls(
            first=first,
            frames=len(chosen),
            pts=times[first],
            times=tuple(times),
            window=Window(begin=times[first] * base, end=next_begins),
        )

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
