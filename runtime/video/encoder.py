"""The encoder of a video and the container that it writes to."""

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import av
import av.error
import av.logging
from av.codec.context import Flags
from av.container import OutputContainer
from av.video.reformatter import ColorRange
from av.video.stream import VideoStream

from ..errors import ArgumentError, OutputError
from ..files import ffmpeg_url
from .codecs import ENCODERS, device_of, encoder_settings, pixel_format
from .frames import FrameLayout
from .interlacing import BOTTOM_FIRST, TOP_FIRST
from .options import VideoOptions
from .source import StreamFacts

EncoderChoice = Callable[[FrameLayout], tuple[VideoOptions, FrameLayout]]
"""Names the encoder for frames of a layout, and the layout in which it stores them."""


def create_container(part: Path, target: Path) -> OutputContainer:
    """Make the container that TARGET's suffix names; the file PART is opened at the first write."""
    try:
        return av.open(ffmpeg_url(part), "w")
    except (av.error.FFmpegError, ValueError) as error:
        name = target.suffix or "a name without suffix"
        raise OutputError(f"{target}: no film container for {name}; use .mkv") from error


def add_encoder(
    container: OutputContainer,
    target: Path,
    options: VideoOptions,
    layout: FrameLayout,
    facts: StreamFacts,
) -> VideoStream:
    """Add the video stream to CONTAINER and open its encoder; ArgumentError if it refuses."""
    codec, settings = encoder_settings(target, options)
    for variable, value in ENCODERS[codec].environment.items():
        os.environ.setdefault(variable, value)
    if layout.siting is not None:
        settings["chroma_sample_location"] = layout.siting
    if layout.interlaced:
        settings |= ENCODERS[codec].interlacing
    try:
        stream = container.add_stream(
            codec, rate=facts.rate, options=settings, hwaccel=device_of(codec)
        )
    except (av.error.FFmpegError, ValueError, TypeError, NotImplementedError) as error:
        raise ArgumentError(
            f"codec {codec}: cannot be used in {target.suffix} ({error})"
        ) from error
    if not isinstance(stream, VideoStream):
        raise ArgumentError(f"codec {codec}: does not encode pictures")
    context = stream.codec_context
    context.width, context.height = layout.width, layout.height
    context.pix_fmt = pixel_format(codec, layout)
    context.time_base = facts.time_base
    if facts.aspect is not None:
        context.sample_aspect_ratio = facts.aspect
    context.color_range = ColorRange.JPEG if layout.full_range else ColorRange.MPEG
    context.colorspace, context.color_primaries, context.color_trc = layout.tags
    if layout.interlaced:
        context.field_order = TOP_FIRST if layout.top_first else BOTTOM_FIRST
    context.flags |= int(Flags.frame_duration)
    context.thread_type = "AUTO"
    if layout.rotation:
        stream.set_display_rotation(layout.rotation)
    _open(stream, target)
    return stream


def _open(stream: VideoStream, target: Path) -> None:
    """Open the encoder now, so that a setting that it refuses shows before the first frame."""
    level = av.logging.get_level()
    av.logging.set_level(av.logging.ERROR)  # why a device is missing is in FFmpeg's log alone
    try:
        stream.codec_context.open()
    except (av.error.FFmpegError, ValueError, NotImplementedError) as error:
        log = getattr(error, "log", None)
        reason = log[2].strip() if log else str(error)
        raise ArgumentError(
            f"{target}: codec {stream.codec_context.name} does not take these settings, or cannot "
            f"run here ({reason})"
        ) from error
    finally:
        av.logging.set_level(level)


def rehearse(
    folder: Path, target: Path, options: VideoOptions, layout: FrameLayout, facts: StreamFacts
) -> None:
    """Write the file's header once, so that what its container refuses shows before the work."""
    trial = folder / f".head{target.suffix}"
    container = create_container(trial, target)
    try:
        codec = add_encoder(container, target, options, layout, facts).codec_context.name
        container.start_encoding()
    except (av.error.FFmpegError, ValueError) as error:
        raise ArgumentError(
            f"codec {codec}: cannot be used in {target.suffix} ({error})"
        ) from error
    finally:
        with suppress(av.error.FFmpegError, ValueError):
            container.close()
        trial.unlink(missing_ok=True)
