"""FFmpeg's video encoders: their settings, and the pixel formats that they keep."""

from collections.abc import Mapping, Sequence
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


_OTHERS = "*"
"""In `default_for`: every container that no encoder names."""


@dataclass(frozen=True, kw_only=True)
class Encoder:
    """One of FFmpeg's encoders: all that this toolkit knows of it."""

    settings: Mapping[str, str]  # no loss can be seen; a slower preset would only save room
    quality: str | None = "crf"  # the setting that --crf sets
    takes_preset: bool = True
    most_depth: int = 16  # bits that it really keeps, whatever formats it takes
    rounds: bool = False  # deeper samples, as editors expect of it, and that is said
    device: str | None = None  # hardware that must be opened first
    keeps_aspect: bool = False  # its bitstream holds the shape of a pixel
    interlacing: Mapping[str, str] = field(default_factory=dict)  # settings that mark the frames so
    marks_each_frame: bool = False  # whether it is interlaced
    keeps_captions: bool = False
    least_bits: float = 0.002  # a pixel, of the plainest film
    usual_bits: float = 0.4  # a pixel in 4:2:0 and 8 bits; films take 0.3 to 1.6 times as much
    profiles: Mapping[str, str] = field(default_factory=dict)  # by the format of the frames
    environment: Mapping[str, str] = field(default_factory=dict)  # variables, where not set already
    default_for: Sequence[
        str
    ] = ()  # suffixes of containers; the first that keeps the depth is used


_FIELDS = {"flags": "+ildct+ilme"}
_NVENC = Encoder(
    settings={"preset": "p5", "rc": "vbr", "cq": "19"},
    quality="cq",
    most_depth=10,
    keeps_captions=True,
)
_QSV = Encoder(
    settings={"preset": "medium", "global_quality": "19"}, quality="global_quality", most_depth=12
)
_VAAPI = Encoder(
    settings={"qp": "19"}, quality="qp", takes_preset=False, device="vaapi", most_depth=10
)
_TOOLBOX = Encoder(  # quality 65 of 100, in FFmpeg's units
    settings={"flags": "+qscale", "global_quality": "7670"},
    quality=None,
    takes_preset=False,
    most_depth=10,
)
_AMF = Encoder(
    settings={"quality": "quality", "rc": "cqp", "qp_i": "19", "qp_p": "21"},
    quality=None,
    takes_preset=False,
    most_depth=10,
)
ENCODERS = {
    "libx264": Encoder(
        settings={"crf": "17", "preset": "medium"},
        keeps_aspect=True,
        interlacing=_FIELDS,
        marks_each_frame=True,
        keeps_captions=True,
        default_for=(".avi", _OTHERS),
    ),
    "libx265": Encoder(
        settings={
            "crf": "19",
            "preset": "medium",
            "x265-params": "log-level=error",
            "a53cc": "1",
        },
        keeps_aspect=True,
        keeps_captions=True,
        default_for=(_OTHERS,),
    ),
    "libvpx-vp9": Encoder(
        settings={"crf": "24", "b": "0", "row-mt": "1", "deadline": "good", "cpu-used": "3"},
        takes_preset=False,
        default_for=(".webm",),
    ),
    "libsvtav1": Encoder(
        settings={"crf": "24", "preset": "8"},
        environment={"SVT_LOG": "1"},  # errors alone; otherwise it prints its settings
        default_for=(".webm",),
    ),
    "ffv1": Encoder(
        settings={"level": "3", "slicecrc": "1"},
        quality=None,
        takes_preset=False,
        interlacing=_FIELDS,
        marks_each_frame=True,
        least_bits=0.2,
        usual_bits=3.7,
        default_for=(".avi", _OTHERS),
    ),
    "prores_ks": Encoder(  # its profile, HQ or 4444, is chosen by the format
        settings={"vendor": "apl0"},
        least_bits=0.2,
        usual_bits=3.2,
        quality=None,
        takes_preset=False,
        most_depth=10,
        rounds=True,  # FFmpeg gives all of its 4444 as 12 bits
        keeps_aspect=True,
        interlacing=_FIELDS,
    ),
    "dnxhd": Encoder(
        settings={},
        least_bits=0.2,
        usual_bits=2.6,
        quality=None,
        takes_preset=False,
        most_depth=10,
        rounds=True,
        profiles={
            "yuv422p": "dnxhr_hq",
            "yuv422p10le": "dnxhr_hqx",
            "yuv444p10le": "dnxhr_444",
        },
        default_for=(".mxf",),
    ),
    **dict.fromkeys(("h264_nvenc", "hevc_nvenc", "av1_nvenc"), _NVENC),
    **dict.fromkeys(("h264_qsv", "hevc_qsv", "av1_qsv"), _QSV),
    **dict.fromkeys(("h264_vaapi", "hevc_vaapi", "av1_vaapi"), _VAAPI),
    **dict.fromkeys(("h264_videotoolbox", "hevc_videotoolbox"), _TOOLBOX),
    **dict.fromkeys(("h264_amf", "hevc_amf"), _AMF),
}
"""The registry, by FFmpeg's names: an encoder that is not here is refused."""

_WITHOUT_FFV1 = (".mov", ".mp4", ".m4v")
_SUBSAMPLINGS = {"420": ("420", "422", "444"), "422": ("422", "420", "444"), "444": ("444", "422")}
_PLANAR = {
    "nv12": "yuv420p",
    "nv16": "yuv422p",
    "p010le": "yuv420p10le",
    "p012le": "yuv420p12le",
    "p210le": "yuv422p10le",
}


def _defaults(target: Path) -> list[str]:
    """Return the encoders for TARGET's container where the user names none, best first."""
    own = [name for name, one in ENCODERS.items() if target.suffix.lower() in one.default_for]
    return own or [name for name, one in ENCODERS.items() if _OTHERS in one.default_for]


def encoder_settings(target: Path, options: "VideoOptions") -> tuple[str, dict[str, str]]:
    """Return the encoder and its settings; ArgumentError for what it does not take."""
    codec = options.codec or _defaults(target)[0]
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
    quicktime = target.suffix.lower() in _WITHOUT_FFV1
    for codec in [options.codec] if options.codec else _defaults(target):
        stored = _nearest(codec, layout)
        if stored is not None and options.codec is None and codec == "ffv1" and quicktime:
            rounded = ", or give --codec prores_ks, which rounds it to 10 bits"
            raise ArgumentError(
                f"{target}: no encoder for {target.suffix} keeps {layout.source_format} whole; "
                f"name {target.stem}.mkv{rounded if target.suffix.lower() == '.mov' else ''}"
            )
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
    takes_444 = any("444" in name for name in formats)
    encoder = ENCODERS[codec]
    least = min(layout.depth, encoder.most_depth) if encoder.rounds else layout.depth
    for depth in (8, 9, 10, 12, 14, 16):
        if not least <= depth <= encoder.most_depth:
            continue
        for subsampling in _SUBSAMPLINGS[layout.subsampling]:
            shift = layout.shift + depth - layout.depth
            stored = replace(layout, depth=depth, subsampling=subsampling, shift=shift)
            odd = subsampling != "444" and (layout.width % 2 or layout.height % 2)
            if stored.format in formats and not (odd and takes_444):
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
