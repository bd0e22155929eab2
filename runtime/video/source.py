"""Where a video comes from: a file, opened as often as needed, or a pipe that is read once."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, BinaryIO

import av
import av.error
from av.container import InputContainer
from av.stream import Disposition
from av.video.stream import VideoStream

from ..errors import InputError
from ..files import ffmpeg_url

_PICTURE_DEMUXERS = ("image2", "_pipe", "tty")  # they read any file as a video of one picture
_Y4M = "yuv4mpegpipe"
_FALLBACK_RATE = Fraction(25)  # for rate control; frames keep their own times


@dataclass(frozen=True)
class Source:
    """A video file, or a binary stream of y4m that need not seek."""

    path: Path
    pipe: BinaryIO | None = None  # read in place of the file

    @classmethod
    def of(cls, source: "str | Path | BinaryIO") -> "Source":
        """Return the source that a path names or a binary stream is."""
        if isinstance(source, str | Path):
            return cls(Path(source))
        return cls(Path("-"), source)

    def open(self) -> InputContainer:
        """Open it, a pipe only once; InputError if it is no video."""
        return open_video(self.path) if self.pipe is None else _open(self.pipe, self.path, _Y4M)

    @contextmanager
    def again(self, container: InputContainer) -> Iterator[InputContainer]:
        """Yield the file newly opened, or of a pipe the CONTAINER that is open already."""
        if self.pipe is not None:
            yield container
            return
        with self.open() as opened:
            yield opened


@dataclass(frozen=True)
class StreamFacts:
    """What a writer must know of the source's video stream."""

    rate: Fraction  # frames a second, on average
    time_base: Fraction  # seconds a step of its times
    aspect: Fraction | None  # of a pixel, width to height

    @classmethod
    def of(cls, stream: VideoStream) -> "StreamFacts":
        """Read them from the video's stream."""
        rate = stream.average_rate or _FALLBACK_RATE
        base = stream.time_base or 1 / rate
        return cls(rate=rate, time_base=base, aspect=stream.sample_aspect_ratio or None)


def open_video(path: Path) -> InputContainer:
    """Open a video; InputError if PATH has no video stream, whatever its name says."""
    if not path.exists():
        raise InputError(f"{path}: no such file")
    return _open(ffmpeg_url(path), path, None)


def _open(file: Any, path: Path, kind: str | None) -> InputContainer:
    try:
        container: InputContainer = av.open(file, metadata_errors="replace", format=kind)
    except (av.error.FFmpegError, OSError, ValueError) as error:
        raise InputError(f"{path}: neither a picture nor a film that can be read") from error
    try:
        if any(name in container.format.name for name in _PICTURE_DEMUXERS) and kind is None:
            raise InputError(f"{path}: neither a picture nor a film that can be read")
        video_stream(container)
    except InputError:
        container.close()
        raise
    return container


def video_stream(container: InputContainer) -> VideoStream:
    """Return the video's own stream, not a cover picture; InputError if there is none."""
    for stream in container.streams.video:
        if not stream.disposition & Disposition.attached_pic:
            if stream.codec_context is None:
                raise InputError(f"{path_of(container)}: no decoder for its video stream")
            return stream
    raise InputError(f"{path_of(container)}: has no video stream")


def path_of(container: InputContainer) -> str:
    """Return the name of CONTAINER's file as the user gave it."""
    return container.name.removeprefix(ffmpeg_url(Path()).removesuffix("."))


def frame_count(container: InputContainer) -> int | None:
    """Return how many frames the file says that it has; None where it does not."""
    stream = video_stream(container)
    if stream.frames:
        return stream.frames
    if container.duration is None or stream.average_rate is None:
        return None
    return round(container.duration / av.time_base * stream.average_rate)
