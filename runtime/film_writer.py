"""The film that is being written: its encoder, its copied streams, its container."""

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import av
import av.error
from av.container import InputContainer, OutputContainer
from av.stream import Disposition, Stream
from av.video.reformatter import ColorRange
from av.video.stream import VideoStream

from .errors import ArgumentError, InputError, OutputError
from .frames import FrameLayout, Plane, build_frame

if TYPE_CHECKING:
    AnyPacket = av.Packet[Any]
else:
    AnyPacket = av.Packet  # generic in its stub alone
COPIED = ("audio", "subtitle")
"""Kinds of streams that are copied packet by packet."""

# Quality at which a stranger sees no loss; slower presets only make files smaller. An encoder
# takes --crf and --preset where it has a default for them here.
_ENCODERS = {
    "libx264": {"crf": "17", "preset": "medium"},
    "libx265": {"crf": "19", "preset": "medium", "x265-params": "log-level=error"},
    "libvpx-vp9": {"crf": "24", "b": "0", "row-mt": "1", "deadline": "good", "cpu-used": "3"},
    "libsvtav1": {"crf": "24", "preset": "8"},
    "ffv1": {"level": "3", "slicecrc": "1"},
}
_DEFAULT_ENCODER = {".webm": "libvpx-vp9"}
_TELL_ASPECT = ("libx264", "libx265")  # in their bitstream; PyAV cannot tell Matroska of it
_FALLBACK_RATE = Fraction(25)  # a hint for rate control; frames keep their own times


@dataclass(frozen=True)
class FilmOptions:
    """How a film is written; None: the encoder's default here."""

    codec: str | None = None  # an FFmpeg encoder: libx264, libx265, libvpx-vp9, libsvtav1, ffv1
    crf: int | None = None
    preset: str | None = None
    stabilize: bool = True  # colours are held still from frame to frame


def film_stream(container: InputContainer) -> VideoStream:
    """Return the film's own stream, not a cover picture; InputError if there is none."""
    for stream in container.streams.video:
        if not stream.disposition & Disposition.attached_pic:
            return stream
    raise InputError(f"{container.name}: has no video stream")


def create_container(part: Path, target: Path) -> OutputContainer:
    """Open PART for writing in the container that TARGET's suffix names."""
    try:
        return av.open(str(part), "w")
    except (av.error.FFmpegError, ValueError) as error:
        name = target.suffix or "a name without suffix"
        raise OutputError(f"{target}: no film container for {name}; use .mkv") from error


class FilmWriter:
    """Encodes the frames of one film and copies what goes with them."""

    def __init__(
        self, source: InputContainer, container: OutputContainer, target: Path, options: FilmOptions
    ) -> None:
        self.frames = 0
        self.left_out: list[str] = []
        self._container, self._target = container, target
        self._source = film_stream(source)
        self._video = self._add_encoder(options)
        self._copies: dict[int, Stream] = {}
        self._early: list[AnyPacket] = []
        for stream in source.streams:
            # PyAV lists some codecs by their decoder's name (dca), some by their own (dts).
            names = {stream.codec.name, stream.codec.canonical_name} & container.supported_codecs
            if stream.type in COPIED and names:
                copy = container.add_stream_from_template(stream)
                copy.metadata.update(stream.metadata)  # the language, above all
                copy.disposition = stream.disposition
                self._copies[stream.index] = copy
            elif stream is not self._source:
                self.left_out.append(f"{stream.type} stream {stream.index}")
        container.metadata.update(source.metadata)
        container.set_chapters(source.chapters())

    def _add_encoder(self, options: FilmOptions) -> VideoStream:
        codec, settings = encoder_settings(self._target, options)
        rate = self._source.average_rate or _FALLBACK_RATE
        try:
            stream = self._container.add_stream(codec, rate=rate, options=settings)
        except (av.error.FFmpegError, ValueError, TypeError) as error:
            raise ArgumentError(
                f"codec {codec}: cannot be used in {self._target.suffix} ({error})"
            ) from error
        if not isinstance(stream, VideoStream):
            raise ArgumentError(f"codec {codec}: does not encode pictures")
        return stream

    def copy(self, packet: AnyPacket) -> None:
        """Write a packet of sound or subtitles as it is."""
        copy = self._copies.get(packet.stream.index)
        if copy is None:
            return
        packet.stream = copy
        if self.frames == 0:
            self._early.append(packet)  # muxing opens every stream, and the film's is not known yet
        else:
            self._guard(lambda: self._container.mux(packet))

    def encode(self, luma: Plane, chroma: Plane, pts: int, layout: FrameLayout) -> None:
        """Encode one frame at its own time, PTS in the source's time base."""
        if self.frames == 0:
            self._configure(layout)
            self._open()
            self._guard(lambda: self._container.mux(self._early))
        frame = build_frame(luma, chroma, layout)
        frame.pts, frame.time_base = pts, self._source.time_base
        self._guard(lambda: self._container.mux(self._video.encode(frame)))
        self.frames += 1

    def finish(self) -> None:
        """Write what the encoder still holds, and the container's end."""
        self._guard(lambda: self._container.mux(self._video.encode(None)))
        self._guard(self._container.close)

    def _configure(self, layout: FrameLayout) -> None:
        context = self._video.codec_context
        context.width, context.height, context.pix_fmt = layout.width, layout.height, layout.format
        if layout.converted_from is not None:
            self.left_out.append(
                f"{layout.converted_from}, written as {layout.format}: its exactness"
            )
        if layout.interlaced:
            self.left_out.append("the mark that its frames are interlaced")
        if self._source.time_base is not None:
            context.time_base = self._source.time_base
        if self._source.sample_aspect_ratio:
            context.sample_aspect_ratio = self._source.sample_aspect_ratio
            in_matroska = self._container.format.name in ("matroska", "webm")
            if in_matroska and context.name not in _TELL_ASPECT:
                self.left_out.append(f"the pixel aspect {self._source.sample_aspect_ratio}")
        context.color_range = ColorRange.JPEG if layout.full_range else ColorRange.MPEG
        context.colorspace, context.color_primaries, context.color_trc = layout.tags
        context.thread_type = "AUTO"
        if layout.rotation:
            self._video.set_display_rotation(layout.rotation)

    def _open(self) -> None:
        context = self._video.codec_context
        formats = [known.name for known in context.codec.video_formats or []]
        if formats and context.pix_fmt not in formats:
            raise ArgumentError(
                f"codec {context.name} cannot store {context.pix_fmt}; --codec libx265, or ffv1 "
                "into .mkv, can"
            )
        try:
            self._container.start_encoding()
        except (av.error.FFmpegError, ValueError) as error:
            raise ArgumentError(
                f"{self._target}: codec {context.name} does not take these settings ({error})"
            ) from error

    def _guard(self, write: Callable[[], object]) -> None:
        try:
            write()
        except (av.error.FFmpegError, OSError) as error:
            raise OutputError(f"{self._target}: cannot encode or write it ({error})") from error


def encoder_settings(target: Path, options: FilmOptions) -> tuple[str, dict[str, str]]:
    """Return the encoder and its settings; ArgumentError for what it does not take."""
    codec = options.codec or _DEFAULT_ENCODER.get(target.suffix.lower(), "libx264")
    if codec not in _ENCODERS:
        raise ArgumentError(f"unknown codec {codec!r}; choose one of {', '.join(_ENCODERS)}")
    settings = dict(_ENCODERS[codec])
    for name in ("crf", "preset"):
        if getattr(options, name) is not None and name not in settings:
            raise ArgumentError(f"codec {codec} has no {name}; leave --{name} out")
    if target.suffix.lower() == ".avi":
        settings["bf"] = "0"  # AVI has no timestamps, so frames must be stored as they are shown
    if options.crf is not None:
        settings["crf"] = str(options.crf)
    if options.preset is not None:
        settings["preset"] = options.preset
    return codec, settings
