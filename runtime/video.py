"""Film: decode, shrink, infer, stabilize, enlarge, encode; sound and timing as they were."""

import heapq
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import av
import av.error
import numpy as np
from av.container import InputContainer
from av.video.stream import VideoStream

from .color import F32, U8
from .errors import InputError
from .files import whole_file
from .film_writer import (
    COPIED,
    AnyPacket,
    FilmOptions,
    FilmWriter,
    create_container,
    encoder_settings,
    film_stream,
)
from .frames import FrameLayout, Plane, chroma_planes, grey_of, layout_of, luma_of
from .pipeline import Stopwatch, prefetch
from .stabilize import Stabilizer

Chroma = Callable[[Sequence[U8]], list[tuple[F32, F32]]]
"""Turns 8-bit greys (H, W) of one size into L* (h, w) and ab (h, w, 2) at the working size."""

_PICTURE_DEMUXERS = ("image2", "_pipe", "tty")  # they take any file for a film of one picture
_COLORED_AHEAD = 8  # frames in colour that wait for the encoder: a batch, so that both work


@dataclass(frozen=True)
class Progress:
    """How far a film is; `total` is None where the file does not tell."""

    frames: int
    total: int | None
    seconds: float


@dataclass(frozen=True)
class FilmReport:
    """What was done: frames written, wall seconds, seconds of work by stage, what was left out."""

    frames: int
    seconds: float
    stages: dict[str, float]
    remarks: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class _Picture:
    """A decoded frame on its way."""

    luma: Plane  # (H, W), code values
    pts: int
    layout: FrameLayout


def colorize_film(
    chroma: Chroma,
    source: Path,
    target: Path,
    options: FilmOptions,
    *,
    batch: int = 8,
    saturation: float = 1.0,
    stabilizer: Stabilizer | None = None,
    on_progress: Callable[[Progress], None] = lambda _: None,
) -> FilmReport:
    """Write SOURCE in colour to TARGET, whole or not at all; its suffix names the container.

    The decoded luma plane reaches the encoder bit for bit; frame count, timestamps, sound,
    subtitles and chapters are kept. STABILIZER holds the colours still from frame to frame; where
    it comes from an earlier part of the film, it goes on from there.
    Raises InputError, OutputError or ArgumentError.
    """
    start, watch, damaged = time.monotonic(), Stopwatch(), list[str]()
    encoder_settings(target, options)  # refused before anything is opened
    with (
        open_film(source) as reader,
        whole_file(target) as part,
        create_container(part, target) as container,
    ):
        writer = FilmWriter(reader, container, target, options)
        total, source_frames = _frame_count(reader), film_stream(reader).frames
        decoded = prefetch(watch.timed("decode", _decode(reader, damaged)), 2 * batch)
        colored = prefetch(
            _colorize(decoded, chroma, batch, stabilizer, saturation, watch), _COLORED_AHEAD
        )
        with closing(decoded), closing(colored):
            for item in colored:
                began = time.perf_counter()
                if isinstance(item, av.Packet):
                    writer.copy(item)
                else:
                    picture, planes = item
                    writer.encode(picture.luma, planes, picture.pts, picture.layout)
                    on_progress(Progress(writer.frames, total, time.monotonic() - start))
                watch.add("encode", time.perf_counter() - began)
        if writer.frames == 0:
            raise InputError(f"{source}: not one frame of it could be decoded")
        writer.finish()
    remarks = [f"{what} was left out" for what in writer.left_out]
    if writer.frames < source_frames:
        remarks.append(f"only {writer.frames} of {source_frames} frames could be read")
    if damaged:
        remarks.append(f"{len(damaged)} damaged packets were skipped")
    return FilmReport(writer.frames, time.monotonic() - start, watch.seconds, remarks)


def open_film(path: Path) -> InputContainer:
    """Open a film; InputError if PATH has no video stream, whatever its name says."""
    if not path.exists():
        raise InputError(f"{path}: no such file")
    try:
        container = av.open(str(path), metadata_errors="replace")
    except (av.error.FFmpegError, OSError) as error:
        raise InputError(f"{path}: neither a picture nor a film that can be read") from error
    try:
        if any(name in container.format.name for name in _PICTURE_DEMUXERS):
            raise InputError(f"{path}: neither a picture nor a film that can be read")
        film_stream(container)
    except InputError:
        container.close()
        raise
    return container


def _frame_count(container: InputContainer) -> int | None:
    stream = film_stream(container)
    if stream.frames:
        return stream.frames
    if container.duration is None or stream.average_rate is None:
        return None
    return round(container.duration / av.time_base * stream.average_rate)


def _decode(reader: InputContainer, damaged: list[str]) -> Iterator[_Picture | AnyPacket]:
    """Yield frames of the film and packets to copy, in the order of the file."""
    video = film_stream(reader)
    video.thread_type = "AUTO"
    layout: FrameLayout | None = None
    stored: list[int] | None = [] if reader.format.name == "avi" else None
    for packet in _packets(reader, video):
        if packet.stream is not video:
            if packet.dts is not None:  # the empty packet that ends a stream has none
                yield packet
            continue
        if stored is not None and packet.dts is not None and packet.size:
            heapq.heappush(stored, packet.dts)
        try:
            frames = video.decode(packet)
        except av.error.InvalidDataError as error:
            damaged.append(str(error))
            if stored is not None and packet.dts in stored:
                stored.remove(packet.dts)
                heapq.heapify(stored)
            continue
        for frame in frames:
            layout = layout or layout_of(frame)
            # AVI tells when frames are decoded, not when shown: in that order, earliest first.
            pts = heapq.heappop(stored) if stored else frame.pts
            yield _picture(frame, pts, layout, reader.name)


def _packets(reader: InputContainer, video: VideoStream) -> Iterator[AnyPacket]:
    try:
        yield from reader.demux([video, *(s for s in reader.streams if s.type in COPIED)])
    except (av.error.FFmpegError, IndexError) as error:  # IndexError: streams that appear midway
        raise InputError(f"{reader.name}: damaged film ({error})") from error


def _picture(frame: av.VideoFrame, pts: int | None, layout: FrameLayout, source: str) -> _Picture:
    before = f"{layout.width}x{layout.height} {layout.source_format}"
    now = f"{frame.width}x{frame.height} {frame.format.name}"
    if now != before:
        raise InputError(
            f"{source}: the frame size changes from {before} to {now} in mid-film; "
            "split the film there"
        )
    if pts is None:
        raise InputError(f"{source}: a frame has no timestamp; remux the film first")
    return _Picture(luma_of(frame, layout), pts, layout)


def _colorize(
    items: Iterable[_Picture | AnyPacket],
    chroma: Chroma,
    batch: int,
    stabilizer: Stabilizer | None,
    saturation: float,
    watch: Stopwatch,
) -> Iterator[tuple[_Picture, Plane] | AnyPacket]:
    """Give pictures their chroma, a batch at a time; packets go on as they come."""
    waiting: list[_Picture] = []
    for item in items:
        if isinstance(item, av.Packet):
            yield item
            continue
        waiting.append(item)
        if len(waiting) == batch:
            yield from _colorize_batch(waiting, chroma, stabilizer, saturation, watch)
            waiting = []
    if waiting:
        yield from _colorize_batch(waiting, chroma, stabilizer, saturation, watch)


def _colorize_batch(
    pictures: list[_Picture],
    chroma: Chroma,
    stabilizer: Stabilizer | None,
    saturation: float,
    watch: Stopwatch,
) -> list[tuple[_Picture, Plane]]:
    start = time.perf_counter()
    answers = chroma([grey_of(picture.luma, picture.layout) for picture in pictures])
    inferred = time.perf_counter()
    watch.add("network", inferred - start)
    if stabilizer is not None:
        answers = [(lightness, stabilizer.steady(lightness, ab)) for lightness, ab in answers]
        watch.add("stabilize", time.perf_counter() - inferred)
    steadied = time.perf_counter()
    colored = [
        (picture, chroma_planes(lightness, ab * np.float32(saturation), picture.layout))
        for picture, (lightness, ab) in zip(pictures, answers, strict=True)
    ]
    watch.add("enlarge", time.perf_counter() - steadied)
    return colored
