"""Film: decode, shrink, infer, enlarge, encode; sound and timing as they were."""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import av
import av.error
import numpy as np
from av.container import InputContainer, OutputContainer
from av.video.reformatter import ColorRange

from .color import F32, U8
from .errors import ArgumentError, InputError, OutputError
from .files import whole_file
from .frames import FrameLayout, Plane, build_frame, chroma_planes, grey_of, layout_of, luma_of
from .pipeline import Stopwatch, prefetch

Chroma = Callable[[Sequence[U8]], list[tuple[F32, F32]]]

# Quality at which a stranger sees no loss; slower presets only make files smaller.
_ENCODERS = {
    "libx264": {"crf": "17", "preset": "medium"},
    "libx265": {"crf": "19", "preset": "medium", "x265-params": "log-level=error"},
    "libvpx-vp9": {"crf": "24", "b": "0", "row-mt": "1", "deadline": "good", "cpu-used": "3"},
    "libsvtav1": {"crf": "24", "preset": "8"},
    "ffv1": {"level": "3", "slicecrc": "1"},
}
_DEFAULT_ENCODER = {".webm": "libvpx-vp9"}
_PICTURE_DEMUXERS = ("image2", "_pipe", "tty")  # they take any file for a film of one picture
_COPIED = ("audio", "subtitle")


@dataclass(frozen=True)
class FilmOptions:
    """How a film is encoded; None: the encoder's default here."""

    codec: str | None = None  # an FFmpeg encoder: libx264, libx265, libvpx-vp9, libsvtav1, ffv1
    crf: int | None = None
    preset: str | None = None


@dataclass(frozen=True)
class Progress:
    """How far a film is; `total` is None where the file does not tell."""

    frames: int
    total: int | None
    seconds: float


@dataclass(frozen=True)
class FilmReport:
    """What was done: frames written, wall seconds, seconds of work a stage, and what was left out."""

    frames: int
    seconds: float
    stages: dict[str, float]
    remarks: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class _Picture:
    """A decoded frame on its way: its luma and its time."""

    luma: Plane
    pts: int
    layout: FrameLayout
    source: av.VideoFrame


def is_film(path: Path) -> bool:
    """Return whether the content of PATH is a film with a video stream, whatever its name says."""
    try:
        with _open(path):
            return True
    except InputError:
        return False


def colorize_film(
    chroma: Chroma,
    source: Path,
    target: Path,
    options: FilmOptions,
    *,
    batch: int = 8,
    saturation: float = 1.0,
    on_progress: Callable[[Progress], None] = lambda progress: None,
) -> FilmReport:
    """Write SOURCE in colour to TARGET, whole or not at all; its suffix names the container.

    CHROMA turns 8-bit greys (H, W) into L* (h, w) and ab (h, w, 2). The decoded luma plane reaches
    the encoder bit for bit; frame count, timestamps, sound and subtitles are kept. Raises
    InputError, OutputError or ArgumentError.
    """
    start, watch, remarks = time.monotonic(), Stopwatch(), list[str]()
    with _open(source) as reader, whole_file(target) as part, _create(part, target) as writer:
        film = _Writer(reader, writer, target, options, remarks)
        total = _frame_count(reader)
        decoded = prefetch(watch.timed("decode", _decode(reader, remarks)), 2 * batch)
        with closing(decoded), closing(prefetch(_colorize(decoded, chroma, batch, saturation, watch), 2)) as done:
            for item in done:
                began = time.perf_counter()
                if isinstance(item, av.Packet):
                    film.copy(item)
                else:
                    film.encode(*item)
                    on_progress(Progress(film.frames, total, time.monotonic() - start))
                watch.add("encode", time.perf_counter() - began)
        if film.frames == 0:
            raise InputError(f"{source}: not one frame of it could be decoded")
        film.finish()
    return FilmReport(film.frames, time.monotonic() - start, watch.seconds, remarks)


def _open(path: Path) -> InputContainer:
    if not path.exists():
        raise InputError(f"{path}: no such file")
    try:
        container = av.open(str(path))
    except (av.error.FFmpegError, OSError) as error:
        raise InputError(f"{path}: neither a picture nor a film that can be read") from error
    if any(name in container.format.name for name in _PICTURE_DEMUXERS):
        container.close()
        raise InputError(f"{path}: neither a picture nor a film that can be read")
    if _video_stream(container) is None:
        container.close()
        raise InputError(f"{path}: has no video stream")
    return container


def _video_stream(container: InputContainer) -> av.VideoStream | None:
    cover = av.stream.Disposition.attached_pic
    return next((s for s in container.streams.video if not s.disposition & cover), None)


def _create(part: Path, target: Path) -> OutputContainer:
    try:
        return av.open(str(part), "w")
    except (av.error.FFmpegError, ValueError) as error:
        raise OutputError(f"{target}: no container for {target.suffix or 'no suffix'}; use .mkv") from error


def _frame_count(container: InputContainer) -> int | None:
    stream = _video_stream(container)
    assert stream is not None
    if stream.frames:
        return stream.frames
    if container.duration is None or stream.average_rate is None:
        return None
    return round(container.duration / av.time_base * stream.average_rate)


def _decode(reader: InputContainer, remarks: list[str]) -> Iterator[_Picture | av.Packet]:
    """Yield frames of the film and packets to copy, in the order of the file."""
    video = _video_stream(reader)
    assert video is not None
    video.thread_type = "AUTO"
    layout: FrameLayout | None = None
    damaged = 0
    for packet in reader.demux([video, *(s for s in reader.streams if s.type in _COPIED)]):
        if packet.stream is not video:
            if packet.dts is not None:  # the empty packet that ends a stream has none
                yield packet
            continue
        try:
            frames = video.decode(packet)
        except av.error.InvalidDataError:
            damaged += 1
            continue
        for frame in frames:
            layout = layout or layout_of(frame)
            yield _picture(frame, layout)
    if damaged:
        remarks.append(f"{damaged} damaged packets of the film were skipped")


def _picture(frame: av.VideoFrame, layout: FrameLayout) -> _Picture:
    if (frame.width, frame.height) != (layout.width, layout.height):
        raise InputError(
            f"the frame size changes from {layout.width}x{layout.height} to "
            f"{frame.width}x{frame.height} in mid-film; split the film there"
        )
    if frame.pts is None:
        raise InputError("a frame has no timestamp; remux the film first")
    return _Picture(luma_of(frame, layout), frame.pts, layout, frame)


def _colorize(
    items: Iterable[_Picture | av.Packet], chroma: Chroma, batch: int, saturation: float, watch: Stopwatch
) -> Iterator[tuple[_Picture, Plane] | av.Packet]:
    """Give pictures their chroma, a batch at a time; packets go on as they come."""
    waiting: list[_Picture] = []
    for item in items:
        if isinstance(item, av.Packet):
            yield item
            continue
        waiting.append(item)
        if len(waiting) == batch:
            yield from _colorize_batch(waiting, chroma, saturation, watch)
            waiting = []
    if waiting:
        yield from _colorize_batch(waiting, chroma, saturation, watch)


def _colorize_batch(
    pictures: list[_Picture], chroma: Chroma, saturation: float, watch: Stopwatch
) -> list[tuple[_Picture, Plane]]:
    start = time.perf_counter()
    answers = chroma([grey_of(picture.luma, picture.layout) for picture in pictures])
    inferred = time.perf_counter()
    colored = [
        (picture, chroma_planes(lightness, ab * np.float32(saturation), picture.layout))
        for picture, (lightness, ab) in zip(pictures, answers, strict=True)
    ]
    watch.add("network", inferred - start)
    watch.add("enlarge", time.perf_counter() - inferred)
    return colored


class _Writer:
    """The film that is being written."""

    def __init__(
        self,
        reader: InputContainer,
        writer: OutputContainer,
        target: Path,
        options: FilmOptions,
        remarks: list[str],
    ) -> None:
        source = _video_stream(reader)
        assert source is not None
        self._writer, self._target, self.frames = writer, target, 0
        self._source = source
        codec, settings = _encoder(target, options)
        try:
            self._video = writer.add_stream(codec, rate=source.average_rate or 25, options=settings)
        except (av.error.FFmpegError, ValueError) as error:
            raise ArgumentError(f"codec {codec}: cannot be used in {target.suffix} ({error})") from error
        self._copies: dict[int, av.stream.Stream] = {}
        self._early: list[av.Packet] = []
        for stream in reader.streams:
            if stream.type in _COPIED and stream.codec.canonical_name in writer.supported_codecs:
                self._copies[stream.index] = writer.add_stream_from_template(stream)
            elif stream is not source:
                remarks.append(f"the {stream.type} stream {stream.index} was left out")
        writer.metadata.update(reader.metadata)
        writer.set_chapters(reader.chapters())

    def copy(self, packet: av.Packet) -> None:
        """Write a packet of sound or subtitles as it is."""
        copy = self._copies.get(packet.stream.index)
        if copy is None:
            return
        packet.stream = copy
        if self.frames == 0:
            self._early.append(packet)  # the first packet opens all streams, also the film's
        else:
            self._guard(lambda: self._writer.mux(packet))

    def encode(self, picture: _Picture, chroma: Plane) -> None:
        """Encode one frame at its own time."""
        if self.frames == 0:
            self._configure(picture)
            self._guard(lambda: self._writer.mux(self._early))
        frame = build_frame(picture.luma, chroma, picture.layout)
        frame.pts, frame.time_base = picture.pts, self._source.time_base
        frame.color_range = self._video.codec_context.color_range
        frame.colorspace = self._video.codec_context.colorspace
        self._guard(lambda: self._writer.mux(self._video.encode(frame)))
        self.frames += 1

    def finish(self) -> None:
        """Write what the encoder still holds, and the container's end."""
        self._guard(lambda: self._writer.mux(self._video.encode(None)))
        self._guard(self._writer.close)

    def _configure(self, picture: _Picture) -> None:
        layout, first, context = picture.layout, picture.source, self._video.codec_context
        context.width, context.height, context.pix_fmt = layout.width, layout.height, layout.format
        context.time_base = self._source.time_base
        context.thread_type = "AUTO"
        if self._source.sample_aspect_ratio:
            context.sample_aspect_ratio = self._source.sample_aspect_ratio
        context.color_range = ColorRange.JPEG if layout.full_range else ColorRange.MPEG
        context.colorspace = first.colorspace
        context.color_primaries = first.color_primaries
        context.color_trc = first.color_trc
        if layout.convert_from is not None and first.format.is_rgb:
            context.colorspace = 1  # RGB is converted by BT.709

    def _guard(self, write: Callable[[], object]) -> None:
        try:
            write()
        except (av.error.FFmpegError, OSError) as error:
            raise OutputError(f"{self._target}: cannot encode or write it ({error})") from error


def _encoder(target: Path, options: FilmOptions) -> tuple[str, dict[str, str]]:
    codec = options.codec or _DEFAULT_ENCODER.get(target.suffix.lower(), "libx264")
    settings = dict(_ENCODERS.get(codec, {}))
    if options.crf is not None:
        settings["crf"] = str(options.crf)
    if options.preset is not None:
        settings["preset"] = options.preset
    return codec, settings
