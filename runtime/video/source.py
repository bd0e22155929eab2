"""Where a video comes from: a file, opened as often as needed, or a pipe that is read once."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, BinaryIO

import av
import av.error
from av.container import InputContainer
from av.format import Flags
from av.stream import Disposition
from av.video.stream import VideoStream

from ..errors import ArgumentError, InputError
from ..files import (
    FRAME_SUFFIXES,
    PHOTO_SUFFIXES,
    ffmpeg_url,
    is_pattern,
    numbered_files,
    source_identity,
)
from .clock import is_format
from .numbered import open_sequence, pattern_name, sequence_identity
from .options import VideoOptions

_PICTURE_DEMUXERS = ("image2", "_pipe", "tty")  # they read any file as a video of one picture
_Y4M = "yuv4mpegpipe"
_DURATION = re.compile(r"(\d+):(\d+):(\d+(?:\.\d+)?)")
_FALLBACK_RATE = Fraction(25)  # for rate control; frames keep their own times


@dataclass(frozen=True)
class Source:
    """A video file, or a binary stream of y4m that need not seek."""

    path: Path
    pipe: BinaryIO | None = None  # read in place of the file
    stream: int | None = None  # the file's number of its video stream; None: the best
    rate: Fraction | None = None  # frames a second, of numbered frames
    full_range: bool = False  # RGB becomes YUV of full range, which keeps its grays exactly

    @classmethod
    def of(
        cls, source: "str | Path | BinaryIO", options: VideoOptions, *, full_range: bool = False
    ) -> "Source":
        """Return the source that a path names or a binary stream is, to be read by OPTIONS."""
        path, pipe = (Path(source), None) if isinstance(source, str | Path) else (Path("-"), source)
        rate = None if options.fps is None else Fraction(options.fps).limit_denominator(1001)
        return cls(path, pipe, options.stream, rate, full_range)

    def open(self) -> InputContainer:
        """Open it, a pipe only once; InputError if it is no video."""
        if self.pipe is not None:
            return _open(self.pipe, self.path, _Y4M)
        if is_pattern(self.path):
            return open_sequence(self.path, self.rate)
        return open_video(self.path)

    def identity(self) -> str:
        """Return what tells its file from others; InputError if it is gone."""
        if is_pattern(self.path):
            return sequence_identity(self.path)
        return source_identity(self.path)

    @property
    def first_number(self) -> int:
        """Of its numbered frames; that of a film is 1."""
        return next(iter(numbered_files(self.path)), 1) if is_pattern(self.path) else 1

    def video(self, container: InputContainer) -> VideoStream:
        """Return the stream to be colored in CONTAINER, which is this file, open.

        ArgumentError if the file has no such video stream.
        """
        return video_stream(container, self.stream)

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
        rate = rate_of(stream)
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
            if path.suffix.lower() in FRAME_SUFFIXES - PHOTO_SUFFIXES:
                raise InputError(
                    f"{path}: is one frame of a film; name them all, by their folder or as "
                    f"{pattern_name(path)}"
                )
            raise InputError(f"{path}: neither a picture nor a film that can be read")
        video_stream(container)
    except InputError:
        container.close()
        raise
    return container


def open_sound(path: Path) -> InputContainer:
    """Open a file for its sound; InputError if it has none."""
    try:
        container = av.open(ffmpeg_url(path), metadata_errors="replace")
    except (av.error.FFmpegError, OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read as sound") from error
    if not container.streams.audio:
        container.close()
        raise InputError(f"{path}: has no sound")
    return container


def video_stream(container: InputContainer, number: int | None = None) -> VideoStream:
    """Return the video's own stream: the largest picture, then the most frames, then the first.

    Cover pictures are none. NUMBER, as FFmpeg counts a file's streams, picks another; ArgumentError
    if that is no video stream. InputError if there is none, or no decoder for it.
    """
    videos = video_streams(container)
    if not videos:
        raise InputError(f"{path_of(container)}: has no video stream")
    usable = [stream for stream in videos if _has_decoder(stream)]
    if number is None:
        if not usable:
            raise InputError(f"{path_of(container)}: no decoder for its video stream")
        return max(usable, key=_worth)
    for stream in usable:
        if stream.index == number:
            return stream
    known = ", ".join(f"{stream.index} ({stream.width}x{stream.height})" for stream in usable)
    raise ArgumentError(
        f"{path_of(container)}: stream {number} is no video that can be read; choose one of {known}"
    )


def video_streams(container: InputContainer) -> list[VideoStream]:
    """Return the video streams of CONTAINER that are no cover pictures."""
    covers = Disposition.attached_pic | Disposition.timed_thumbnails
    return [stream for stream in container.streams.video if not stream.disposition & covers]


def _has_decoder(stream: VideoStream) -> bool:
    return getattr(stream, "codec_context", None) is not None


def _worth(stream: VideoStream) -> tuple[int, int]:
    return stream.width * stream.height, stream.frames


def rate_of(stream: VideoStream) -> Fraction:
    """Return the frames a second, on average."""
    average, guessed = stream.average_rate, stream.guessed_rate
    container = stream.container
    if guessed and isinstance(container, InputContainer) and is_untimed(container):
        return guessed  # the average is FFmpeg's assumption, the same for every raw stream
    if average and guessed and stream.time_base and average == 1 / stream.time_base:
        return guessed  # raw DV knows no average: the ticks of its clock stand in its place
    return average or guessed or _FALLBACK_RATE


def is_untimed(container: InputContainer) -> bool:
    """Tell whether CONTAINER is a raw stream, which stores frames without times."""
    return is_format(container, Flags.no_timestamps)


def is_linear(stream: VideoStream) -> bool:
    """Tell whether STREAM stores linear light, as OpenEXR does, and its decoder can undo that."""
    return stream.codec_context.name == "exr"


def path_of(container: InputContainer) -> str:
    """Return the name of CONTAINER's file as the user gave it."""
    return container.name.removeprefix(ffmpeg_url(Path()).removesuffix("."))


def frame_count(stream: VideoStream, container: InputContainer) -> int | None:
    """Return how many frames of STREAM the file promises; None where it does not tell."""
    if promised := promised_frames(stream):
        return promised
    if container.duration is None:
        return None
    return round(container.duration / av.time_base * rate_of(stream))


def promised_frames(stream: VideoStream) -> int:
    """Return how many frames the file has by its index, or says that it has; 0: it does not tell.

    What an edit list cuts off, and frames that repeat the one before by having no data, are none.
    """
    shown = _indexed(stream)
    return min(shown, stream.frames) if shown and stream.frames else stream.frames


def said_end(stream: VideoStream) -> Fraction | None:
    """Return when STREAM ends by its own tag, in seconds; None: the file does not tell.

    Matroska, which has no index of all frames, has such a tag from most programs.
    """
    if "matroska" not in stream.container.format.name:
        return None
    said = _DURATION.fullmatch(stream.metadata.get("DURATION", ""))
    return said and Fraction(said[1]) * 3600 + Fraction(said[2]) * 60 + Fraction(said[3])


def hidden_frames(stream: VideoStream) -> int:
    """Return how many frames of a file players do not show, by its edit list."""
    if "mp4" not in stream.container.format.name.split(","):
        return 0
    return max(stream.frames - (_indexed(stream) or stream.frames), 0)


def _indexed(stream: VideoStream) -> int:
    return sum(1 for entry in stream.index_entries if entry.size and not entry.is_discard)
