"""Which container takes which encoder, found by writing a tiny film and reading it back.

Muxers do not tell: those of MPEG-TS, Ogg and MXF accept any codec, and some of the files that they
then write are of no use.
"""

import tempfile
from contextlib import suppress
from fractions import Fraction
from functools import cache
from pathlib import Path

import av
import av.error

from ..errors import ArgumentError, InputError, OutputError
from .codecs import choose_encoder, encoder_settings
from .encoder import add_encoder, create_container, encoded_trial
from .frames import FrameLayout
from .options import VideoOptions
from .source import StreamFacts, open_video, video_stream

# What is proposed, best first.
_CONTAINERS = (".mkv", ".mp4", ".mov", ".mxf", ".webm")
_CODECS = ("libx264", "libx265", "libvpx-vp9", "dnxhd")
_UNCHOOSY = Path("trial.ts")  # lets every encoder be opened
_FACTS = StreamFacts(rate=Fraction(25), time_base=Fraction(1, 25), aspect=None)
_LAYOUT = FrameLayout(  # large enough for DNxHR
    width=256,
    height=144,
    depth=8,
    subsampling="420",
    matrix="bt709",
    full_range=False,
    tags=(1, 1, 1),
    display=None,
    interlaced=False,
    top_first=True,
    source_format="yuv420p",
    converted_from=None,
)


def check_fit(target: Path, options: VideoOptions) -> None:
    """Raise ArgumentError if TARGET's container cannot hold the encoder, naming what can be done.

    OutputError if its suffix names no container.
    """
    codec, _ = encoder_settings(target, options)
    create_container(target, target).close()
    suffix = target.suffix.lower()
    if _takes(suffix, codec) or not _runs(codec):
        return
    other = next((each for each in _CONTAINERS if _takes(each, codec)), ".mkv")
    fixes = [f"name {target.stem}{other}"]
    if fit := next((each for each in _CODECS if _takes(suffix, each)), None):
        fixes.append(f"give --codec {fit}")
    raise ArgumentError(f"{target}: {suffix} cannot hold {codec}; {', or '.join(fixes)}")


def _runs(codec: str) -> bool:
    """Return whether the encoder runs here: if not, nothing is known of the container."""
    try:
        encoded_trial(_UNCHOOSY, *_choice(_UNCHOOSY, codec), _FACTS)
    except ArgumentError:
        return False
    return True


@cache
def _takes(suffix: str, codec: str) -> bool:
    """Return whether films that CODEC encodes here can be read from the container of SUFFIX."""
    with tempfile.TemporaryDirectory() as folder:
        return _written(Path(folder, f"trial{suffix}"), codec)


def _choice(target: Path, codec: str) -> tuple[VideoOptions, FrameLayout]:
    return choose_encoder(target, VideoOptions(codec=codec), _LAYOUT)


def _written(target: Path, codec: str) -> bool:
    try:
        options, layout = _choice(target, codec)
        packets = encoded_trial(target, options, layout, _FACTS)
        container = create_container(target, target)
    except (ArgumentError, OutputError):
        return False
    try:
        stream = add_encoder(container, target, options, layout, _FACTS)
        for packet in packets:
            packet.stream = stream
            container.mux(packet)
        container.close()
    except (ArgumentError, av.error.FFmpegError, OSError, ValueError):
        with suppress(av.error.FFmpegError, OSError, ValueError):
            container.close()
        return False
    return can_be_read(target, codec)


def can_be_read(film: Path, codec: str) -> bool:
    """Return whether FILM has a picture that CODEC encoded."""
    with suppress(InputError), open_video(film) as container:
        found = video_stream(container).codec_context.codec.canonical_name
        return found == av.Codec(codec, "w").canonical_name
    return False
