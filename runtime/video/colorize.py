"""Film: decode, shrink, infer, stabilize, enlarge, encode; sound and timing as they were."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, BinaryIO

from ..errors import ArgumentError, ColorizeError, InputError
from .codecs import choose_encoder, encoder_settings
from .encoder import StreamFacts, create_container
from .identity import video_identity
from .muxer import join
from .options import VideoOptions
from .prefetch import Stopwatch
from .reader import Flaws, VideoReader, frame_count, open_y4m, video_stream
from .reader import open_video as open_video
from .recorder import Recorder
from .segments import WorkFolder
from .stabilizer import Stabilizer
from .stages import Chroma, ColoredPicture, Painter, colored
from .y4m import Y4MWriter


@dataclass(frozen=True)
class Progress:
    """How far a film is; `total` is None where the file does not tell."""

    frames: int
    total: int | None
    seconds: float
    resumed: int = 0  # of the frames, those that an earlier run had finished


@dataclass(frozen=True)
class VideoReport:
    """What was done: frames written, wall seconds, seconds of work by stage, what was left out."""

    frames: int
    seconds: float
    stages: dict[str, float]
    remarks: list[str] = field(default_factory=list)
    resumed: int = 0  # of the frames, those that an earlier run had finished


def colorize_video(
    chroma: Chroma,
    source: Path,
    target: Path,
    options: VideoOptions,
    *,
    batch: int = 8,
    saturation: float = 1.0,
    stabilizer: Stabilizer | None = None,
    on_progress: Callable[[Progress], None] = lambda _: None,
    on_remark: Callable[[str], None] | None = None,
    made_by: Mapping[str, str] | None = None,
    pipe: Any = None,
) -> VideoReport:
    """Write SOURCE in color to TARGET, whole or not at all; its suffix names the container.

    The decoded luma plane reaches the encoder bit for bit; frame count, timestamps, sound,
    subtitles and chapters are kept. STABILIZER holds the colors still from frame to frame.

    The film is written in segments to a folder beside TARGET. Where MADE_BY names what CHROMA is
    (model, engine, working size), the segments that an unfinished run left are gone on with, and
    the errors say so. ON_REMARK gets at once what is else among the report's remarks at the end.
    PIPE, a binary stream of y4m, is read instead of SOURCE.
    Raises InputError, OutputError or ArgumentError.
    """
    start, watch, remarks = time.monotonic(), Stopwatch(), list[str]()
    tell = on_remark or remarks.append
    encoder_settings(target, options)  # refused before anything is opened
    create_container(target, target).close()
    if target.exists() and source.exists() and target.samefile(source):
        raise ArgumentError(f"{target}: is the input itself; name another output")
    with open_video(source) if pipe is None else open_y4m(pipe) as container:
        stream = video_stream(container)
        facts, total, promised = StreamFacts.of(stream), frame_count(container), stream.frames
        settings = {"saturation": saturation, "batch": batch, "stabilize": stabilizer is not None}
        identity = video_identity(source, options, made_by, settings)
        length = _whole_batches(options.segment_frames, batch)
        work = WorkFolder(target, identity, length)
        with _kept(work, resumable=made_by is not None and pipe is None), work:
            for line in work.unused():
                tell(line)
            end, state, resumed = work.end, work.state, work.frames
            if end is not None:
                tell(f"goes on after {resumed} finished frames")
                on_progress(Progress(resumed, total, time.monotonic() - start, resumed))
            if stabilizer is not None and state is not None:
                stabilizer.state = state
            fit = cache(lambda layout: choose_encoder(target, options, layout))
            painter = Painter(
                chroma, batch, saturation, stabilizer, length, lambda layout: fit(layout)[1]
            )
            reader = VideoReader(source, None if pipe is None else container)
            recorder = Recorder(work, target, fit, facts)
            with closing(recorder), colored(reader, end, painter, watch) as items:
                for item in items:
                    began = time.perf_counter()
                    recorder.add(item)
                    watch.add("encode", time.perf_counter() - began)
                    seconds = time.monotonic() - start
                    on_progress(Progress(recorder.frames, total, seconds, resumed))
                recorder.finish()
            if work.end is None:
                raise InputError(f"{source}: not one frame of it could be decoded")
            began = time.perf_counter()
            if pipe is None:
                work.check_source(source)
                with open_video(source) as again:
                    said = join(work, again, target, fit)
            else:
                said = join(work, container, target, fit)
            watch.add("join", time.perf_counter() - began)
            frames = work.frames
            remarks += [*said, *_shortcomings(work.end.flaws, frames, promised)]
            work.remove()
    return VideoReport(frames, time.monotonic() - start, watch.seconds, remarks, resumed)


def colorize_to_y4m(
    chroma: Chroma,
    source: Path,
    sink: BinaryIO,
    *,
    batch: int = 8,
    saturation: float = 1.0,
    stabilizer: Stabilizer | None = None,
    segment_frames: int = VideoOptions().segment_frames,
    on_progress: Callable[[Progress], None] = lambda _: None,
    pipe: Any = None,
) -> VideoReport:
    """Write SOURCE, or the y4m that PIPE gives, in color to SINK as y4m, frame by frame.

    Luma goes through bit for bit; sound is left out. The frames are those that `colorize_video`
    encodes, for which it must have the same SEGMENT_FRAMES. Raises InputError or OutputError.
    """
    start, watch = time.monotonic(), Stopwatch()
    with open_video(source) if pipe is None else open_y4m(pipe) as container:
        stream = video_stream(container)
        total, promised = frame_count(container), stream.frames
        writer = Y4MWriter(sink, StreamFacts.of(stream))
        reader = VideoReader(source, None if pipe is None else container)
        length = _whole_batches(segment_frames, batch)
        painter = Painter(chroma, batch, saturation, stabilizer, length, lambda layout: layout)
        last: ColoredPicture | None = None
        with colored(reader, None, painter, watch) as items:
            for item in items:
                began = time.perf_counter()
                writer.add(item)
                last = item
                watch.add("write", time.perf_counter() - began)
                on_progress(Progress(writer.frames, total, time.monotonic() - start))
        if last is None:
            raise InputError(f"{source}: not one frame of it could be decoded")
        others = len(container.streams) - 1
    remarks = [*last.layout.remarks, *writer.remarks]
    if others:
        remarks.append(f"y4m holds no sound: {others} other streams were left out")
    remarks += _shortcomings(last.picture.flaws, writer.frames, promised)
    return VideoReport(writer.frames, time.monotonic() - start, watch.seconds, remarks)


def _whole_batches(frames: int, batch: int) -> int:
    """Round up, for a network may answer a lone frame with other last bits."""
    return batch * -(-frames // batch)


def _shortcomings(flaws: Flaws, frames: int, promised: int) -> list[str]:
    said = list(flaws.remarks)
    if frames < promised:
        said.append(f"only {frames} of {promised} frames could be read")
    return said


@contextmanager
def _kept(work: WorkFolder, *, resumable: bool) -> Iterator[None]:
    """Say of a film that was stopped how it can be gone on with; forget it where it cannot."""
    try:
        yield
    except (ColorizeError, KeyboardInterrupt, MemoryError) as error:
        if not resumable:
            work.forget()
        if work.frames == 0:
            raise
        hint = (
            f"{work.frames} finished frames are kept in {work.path}: "
            "run the same command again to go on"
        )
        raise type(error)(f"{error}; {hint}" if str(error) else hint) from error
    except BaseException:
        if not resumable:
            work.forget()
        raise
