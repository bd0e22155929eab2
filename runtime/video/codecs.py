"""The encoders of film that FFmpeg has: their settings, and the pixel formats that they keep."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import av
from av.codec.codec import UnknownCodecError
from av.codec.hwaccel import HWAccel

from ..errors import ArgumentError
from .frames import FrameLayout

if TYPE_CHECKING:
    from .options import VideoOptions


@dataclass(frozen=True)
class Encoder:
    """One of FFmpeg's encoders."""

    settings: dict[str, str]  # with which a stranger sees no loss; slower presets only save room
    quality: str | None = "crf"  # the setting that --crf sets
    takes_preset: bool = True
    device: str | None = None  # of hardware that must be opened first
    most_depth: int = 16  # bits that it really keeps, whatever formats it takes
    tags: tuple[str, ...] = field(default=())  # what its bitstream tells: aspect, interlacing


_NVENC = Encoder({"preset": "p5", "rc": "vbr", "cq": "19"}, "cq", most_depth=10)
_QSV = Encoder({"preset": "medium", "global_quality": "19"}, "global_quality", most_depth=12)
_VAAPI = Encoder({"qp": "19"}, "qp", takes_preset=False, device="vaapi", most_depth=10)
_TOOLBOX = Encoder(  # quality 65 of 100, in FFmpeg's units
    {"flags": "+qscale", "global_quality": "7670"}, None, takes_preset=False, most_depth=10
)
_AMF = Encoder(
    {"quality": "quality", "rc": "cqp", "qp_i": "19", "qp_p": "21"}, None, False, most_depth=10
)
_TELLS_BOTH = ("aspect", "interlaced")
ENCODERS = {
    "libx264": Encoder({"crf": "17", "preset": "medium"}, tags=_TELLS_BOTH),
    "libx265": Encoder(
        {"crf": "19", "preset": "medium", "x265-params": "log-level=error"}, tags=("aspect",)
    ),
    "libvpx-vp9": Encoder(
        {"crf": "24", "b": "0", "row-mt": "1", "deadline": "good", "cpu-used": "3"},
        takes_preset=False,
    ),
    "libsvtav1": Encoder({"crf": "24", "preset": "8"}),
    "ffv1": Encoder({"level": "3", "slicecrc": "1"}, None, False, tags=("interlaced",)),
    "h264_nvenc": _NVENC,
    "hevc_nvenc": _NVENC,
    "av1_nvenc": _NVENC,
    "h264_qsv": _QSV,
    "hevc_qsv": _QSV,
    "av1_qsv": _QSV,
    "h264_vaapi": _VAAPI,
    "hevc_vaapi": _VAAPI,
    "av1_vaapi": _VAAPI,
    "h264_videotoolbox": _TOOLBOX,
    "hevc_videotoolbox": _TOOLBOX,
    "h264_amf": _AMF,
    "hevc_amf": _AMF,
}
_DEFAULT_ENCODERS: dict[str, tuple[str, ...]] = {
    ".webm": ("libvpx-vp9", "libsvtav1"),
    ".avi": ("libx264", "ffv1"),
}
# The first that keeps the source's depth.
_ELSE = ("libx264", "libx265", "ffv1")
_SUBSAMPLINGS = {"420": ("420", "422", "444"), "422": ("422", "420", "444"), "444": ("444", "422")}
_PLANAR = {
    "nv12": "yuv420p",
    "nv16": "yuv422p",
    "p010le": "yuv420p10le",
    "p012le": "yuv420p12le",
    "p210le": "yuv422p10le",
}


def encoder_settings(target: Path, options: "VideoOptions") -> tuple[str, dict[str, str]]:
    """Return the encoder and its settings; ArgumentError for what it does not take."""
    codec = options.codec or _DEFAULT_ENCODERS.get(target.suffix.lower(), _ELSE)[0]
    if codec not in ENCODERS:
        raise ArgumentError(f"unknown codec {codec!r}; choose one of {', '.join(ENCODERS)}")
    encoder = ENCODERS[codec]
    if not _is_built_in(codec):
        raise ArgumentError(f"codec {codec}: this installation's FFmpeg does not have it")
    settings = dict(encoder.settings)
    if options.crf is not None:
        if encoder.quality is None:
            raise ArgumentError(f"codec {codec} has no crf; leave --crf out")
        settings[encoder.quality] = str(options.crf)
    if options.preset is not None:
        if not encoder.takes_preset:
            raise ArgumentError(f"codec {codec} has no preset; leave --preset out")
        settings["preset"] = options.preset
    if target.suffix.lower() == ".avi":
        settings["bf"] = "0"  # AVI has no timestamps, so frames must be stored as they are shown
    return codec, settings


def _is_built_in(codec: str) -> bool:
    try:
        return av.Codec(codec, "w").is_encoder
    except UnknownCodecError:
        return False


def choose_encoder(
    target: Path, options: "VideoOptions", layout: FrameLayout
) -> tuple["VideoOptions", FrameLayout]:
    """Return OPTIONS with the encoder named, and LAYOUT as it stores the frames.

    Where nobody named one, the first that keeps the depth is taken. ArgumentError if none does.
    """
    named = (options.codec,) if options.codec else None
    for codec in named or _DEFAULT_ENCODERS.get(target.suffix.lower(), _ELSE):
        stored = _nearest(codec, layout)
        if stored is not None:
            return replace(options, codec=codec), stored
    names = options.codec or f"the encoders for {target.suffix}"
    raise ArgumentError(
        f"codec {names} cannot store {layout.source_format} in its depth; --codec ffv1 into "
        ".mkv can"
    )


def _nearest(codec: str, layout: FrameLayout) -> FrameLayout | None:
    """Return LAYOUT in the format of CODEC that is nearest and keeps the depth; None if none is."""
    formats = _formats(codec)
    if not formats:
        return layout
    for depth in (8, 9, 10, 12, 14, 16):
        if not layout.depth <= depth <= ENCODERS[codec].most_depth:
            continue
        for subsampling in _SUBSAMPLINGS[layout.subsampling]:
            shift = layout.shift + depth - layout.depth
            stored = replace(layout, depth=depth, subsampling=subsampling, shift=shift)
            odd = subsampling != "444" and (layout.width % 2 or layout.height % 2)
            if stored.format in formats and not (odd and "444" in str(formats)):
                return stored
    return None


def _formats(codec: str) -> Sequence[str]:
    formats = [known.name for known in av.Codec(codec, "w").video_formats or []]
    return [_PLANAR.get(name, name) for name in formats]


def pixel_format(codec: str, layout: FrameLayout) -> str:
    """Return what CODEC calls the format of LAYOUT: hardware stores the chroma interleaved."""
    formats = [known.name for known in av.Codec(codec, "w").video_formats or []]
    if not formats or layout.format in formats:
        return layout.format
    return next(name for name in formats if _PLANAR.get(name) == layout.format)


def device_of(codec: str) -> HWAccel | None:
    """Return the hardware that CODEC needs opened; None if it opens its own, or needs none."""
    device = ENCODERS[codec].device
    return HWAccel(device) if device else None
