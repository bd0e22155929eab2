"""A video in color, from its source to its sink; luma, sound and timing as they were."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from fractions import Fraction
from threading import Event

from av.container import InputContainer
from av.video.stream import VideoStream

from ..errors import ArgumentError, InputError
from ..files import is_pattern
from ..notices import Notice, NoticeLog, OnNotice
from .options import VideoSettings
from .prefetch import Stopwatch
from .protocols import Guide, Network, Run, Sink, Steering
from .sinks import FileWriter, SegmentMaker
from .source import (
    Source,
    StreamFacts,
    frame_count,
    hidden_frames,
    is_linear,
    is_untimed,
    promised_frames,
    rate_of,
    said_end,
    video_streams,
)
from .stages import colored_pictures
from .stretch import Stretch

_MOST_EARLY = Fraction(1, 10)  # second by which a film may end before what its file says


@dataclass(frozen=True)
class VideoProgress:
    """How far a video is; `total` is None where the file does not tell."""

    frames: int
    total: int | None
    seconds: float
    resumed: int = 0  # of the frames, those that an earlier run had finished


@dataclass(frozen=True, kw_only=True)
class VideoReport:
    """What was done: frames written, wall seconds, seconds of work a stage, and all notices."""

    frames: int
    seconds: float
    stages: dict[str, float]
    notices: list[Notice] = field(default_factory=list)
    resumed: int = 0  # of the frames, those that an earlier run had finished


def colorize_video(
    network: Network,
    source: Source,
    sink: Sink,
    settings: VideoSettings,
    steering: Steering,
    *,
    guide: Guide | None = None,
    helpers: SegmentMaker | None = None,
    on_progress: Callable[[VideoProgress], None] = lambda _: None,
    on_notice: OnNotice = lambda _: None,
    cancel: Event | None = None,
) -> VideoReport:
    """Write SOURCE in color to SINK, with the colors that NETWORK gives and GUIDE knows.

    STEERING tells scenes apart and has the last word on colors. HELPERS make the segments of a file
    in place of NETWORK.

    The decoded luma plane goes through bit for bit; frame count, timestamps and all else that the
    sink can hold are kept. ON_NOTICE gets each of the report's notices as it arises. CANCEL, set by
    another thread, ends the run as Ctrl-C does. Raises InputError, OutputError or ArgumentError.
    """
    began, watch = time.monotonic(), Stopwatch()
    tell = NoticeLog(str(source.path), on_notice)
    with source.open() as container:
        sink.check(source, settings)
        stream = source.video(container)
        due = said_end(stream)
        total, promised = frame_count(stream, container), promised_frames(stream)
        for notice in _choices(source, container, stream):
            tell(notice)
        run = Run(
            source=source,
            container=container,
            video=stream,
            facts=StreamFacts.of(stream),
            settings=settings,
            tell=tell,
            watch=watch,
            stretch=Stretch.of(source, settings.options),
            cancel=cancel or Event(),
        )
        if run.stretch.frames is not None:
            total, promised, due = run.stretch.frames, run.stretch.frames, None
        with sink.open(run) as writer:
            run = replace(run, folder=writer.folder)

            def progress(frames: int | None = None) -> None:
                done = writer.frames if frames is None else frames
                seconds = time.monotonic() - began
                on_progress(VideoProgress(done, total, seconds, resumed=writer.resumed))

            def reached() -> Fraction:
                position = writer.start.position
                if position is None:
                    return Fraction(0)
                return position.pts * run.facts.time_base + 1 / run.facts.rate

            more, end = helpers is None, Fraction(0)
            flaws = writer.start.flaws
            if helpers is not None:
                if not isinstance(writer, FileWriter):
                    raise ArgumentError("-: helpers write no stream; name a file as output")
                writer.take(helpers, steering, progress)
                flaws, end = writer.start.flaws, reached()
            while more:
                start, more = writer.start, False
                flaws, end = start.flaws, reached()
                if start.frames:
                    progress()
                with colored_pictures(run, start, network, guide, steering, writer.stored) as items:
                    for item in items:
                        more = not writer.add(item)
                        flaws = item.picture.flaws
                        end = (item.picture.pts + item.picture.duration) * run.facts.time_base
                        progress()
                        if more:
                            break
            if writer.frames == 0:
                raise InputError(f"{source.path}: not one frame of it could be decoded")
            writer.finish()
            frames, resumed = writer.frames, writer.resumed
    for notice in flaws.notices:
        tell(notice)
    if frames < promised:
        message = f"only {frames} of {promised} frames could be read"
        tell(Notice(message, topic="source", severity="warning"))
    elif due and end and due - end > _MOST_EARLY + 2 / run.facts.rate:
        message = (
            f"its picture ends at {float(end):.1f} s, and not at {float(due):.1f} s as it says"
        )
        tell(Notice(f"{message}: the rest could not be read", topic="source", severity="warning"))
    return VideoReport(
        frames=frames,
        seconds=time.monotonic() - began,
        stages=watch.seconds,
        notices=tell.notices,
        resumed=resumed,
    )


def _choices(source: Source, container: InputContainer, stream: VideoStream) -> Iterator[Notice]:
    """Yield what of the source was chosen for the user, who may want it otherwise."""
    others = [str(each.index) for each in video_streams(container) if each is not stream]
    if others:
        chosen = f"video stream {stream.index} ({stream.width}x{stream.height}) is colored"
        yield Notice(f"{chosen}; --stream takes another of {', '.join(others)}", topic="source")
    if hidden := hidden_frames(stream):
        message = f"{hidden} of its {stream.frames} frames are not shown, by its own edit list"
        yield Notice(message, topic="source")
    if is_linear(stream):
        yield Notice("its frames are linear light, which became sRGB", topic="source")
    if is_untimed(container):
        rate = f"{float(rate_of(stream)):.6g}"
        message = f"its frames carry no times: they are counted, {rate} a second"
        if is_pattern(source.path):
            message += "; --fps sets another rate"
        yield Notice(message, topic="source")
    if source.rate and not is_pattern(source.path):
        yield Notice("--fps is for numbered frames; this film keeps its own times", topic="source")
