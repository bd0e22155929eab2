"""The encoder of a video and the container that it writes to."""

import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

import av
import av.error
import av.logging
import numpy as np
from av.codec.context import Flags
from av.container import OutputContainer
from av.video.reformatter import ColorRange
from av.video.stream import VideoStream

from ..errors import ArgumentError, OutputError
from ..files import ffmpeg_url
from .clock import AnyPacket
from .codecs import ENCODERS, device_of, encoder_settings, pixel_format
from .frames import FrameLayout, Plane, build_frame
from .interlacing import BOTTOM_FIRST, TOP_FIRST
from .options import VideoOptions
from .side_data import hdr_settings
from .source import StreamFacts

_TRIAL_FRAMES = 3
_NOISY_ROWS = 32
# What FFmpeg writes there without being asked for all.
_KEYS_OF_BOTH = (
    *("title", "artist", "album", "comment", "copyright", "date", "genre", "location"),
    *("creation_time", "encoder", "timecode", "language"),
    *("major_brand", "minor_version", "compatible_brands"),
)
_KEYS_OF_MOV = ("make", "model")
_KEYS_OF_MP4 = (
    *("album_artist", "compilation", "composer", "description", "disc", "episode_id"),
    *("episode_sort", "grouping", "hd_video", "keywords", "lyrics", "media_type", "network"),
    *("season_number", "show", "synopsis", "track"),
)

EncoderChoice = Callable[[FrameLayout], tuple[VideoOptions, FrameLayout]]
"""Names the encoder for frames of a layout, and the layout in which it stores them."""


def create_container(
    part: Path, target: Path, metadata: Mapping[str, str] | None = None
) -> OutputContainer:
    """Make the container that TARGET's suffix names; the file PART is opened at the first write.

    METADATA is what will be written to it, in the form that keeps all of it. That form is less
    known, so it is used only for keys that have no place in the other.
    """
    known = {*_KEYS_OF_BOTH, *(_KEYS_OF_MOV if target.suffix.lower() == ".mov" else _KEYS_OF_MP4)}
    unknown = not {key.lower() for key in metadata or ()} <= known
    options = {"movflags": "use_metadata_tags"} if unknown and _is_quicktime(target) else {}
    try:
        return av.open(ffmpeg_url(part), "w", container_options=options)
    except (av.error.FFmpegError, ValueError) as error:
        name = target.suffix or "a name without suffix"
        raise OutputError(f"{target}: no film container for {name}; use .mkv") from error


def keeps_all_keys(container: OutputContainer) -> bool:
    """Return whether `create_container` chose the form that keeps all keys of the metadata."""
    return "movflags" in container.container_options


def _is_quicktime(target: Path) -> bool:
    return target.suffix.lower() in (".mov", ".mp4", ".m4v")


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
    if layout.format in ENCODERS[codec].profiles:
        settings["profile"] = ENCODERS[codec].profiles[layout.format]
    for option, value in hdr_settings(codec, layout.hdr or ()).items():
        settings[option] = f"{settings[option]}:{value}" if option in settings else value
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
    if context.codec.canonical_name == "hevc" and _is_quicktime(target):
        context.codec_tag = "hvc1"  # QuickTime takes no other
    if layout.display:
        stream.set_display_matrix(layout.display)
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


def encoded_trial(
    target: Path, options: VideoOptions, layout: FrameLayout, facts: StreamFacts
) -> list[AnyPacket]:
    """Return a few frames of gray and noise, encoded as those of the film will be."""
    container = create_container(target, target)
    try:
        stream = add_encoder(container, target, options, layout, facts)
        deep = np.full((layout.height, layout.width, 1), 1 << layout.depth - 1, np.uint16)
        noisy = deep[:_NOISY_ROWS]  # a film without any content can be too small to be recognized
        noisy[:] = np.random.default_rng(0).integers(
            16 << layout.depth - 8, noisy[0, 0], noisy.shape
        )
        gray: Plane = deep if layout.depth > 8 else deep.astype(np.uint8)
        rows, columns = layout.chroma_shape
        luma, chroma = gray[..., 0], gray[:rows, :columns].repeat(2, axis=-1)
        step = max(1, round(1 / facts.rate / facts.time_base))
        packets = []
        for number in range(_TRIAL_FRAMES):
            frame = build_frame(luma, chroma, layout)
            frame.pts, frame.time_base, frame.duration = number * step, facts.time_base, step
            packets += stream.encode(frame)
        packets += stream.encode(None)
    except (av.error.FFmpegError, ValueError, OSError) as error:
        raise ArgumentError(f"codec {options.codec}: cannot encode here ({error})") from error
    finally:
        with suppress(av.error.FFmpegError, ValueError):
            container.close()
    late = max((packet.pts or 0 for packet in packets), default=0)
    for number, packet in enumerate(packets):
        packet.dts = number * step - late
    return packets
