"""A filter for VapourSynth: clips in color, with their own luma.

import colorize.runtime.vapoursynth as cvs
clip = cvs.colorize(clip, references="refs")
"""

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from threading import Event, RLock
from typing import Any, cast

import av
import numpy as np
from av.container import InputContainer
from av.video.reformatter import ColorRange
from av.video.stream import VideoStream

from .color import F32, U8, Codes, rgb_to_gray
from .colorizer import Colorizer, VideoNetwork
from .engines.base import Precision
from .errors import ArgumentError, MissingExtraError
from .models.catalog import DEFAULT_MODEL
from .notices import Notice
from .photo.photo import Photo, apply_chroma
from .steering.carrier import Carrier
from .steering.follow import SceneSteering
from .steering.lookahead import Past, outlooks
from .steering.references import Reference, find_references
from .steering.scenes import CutDetector
from .video.flaws import Flaws
from .video.frames import FrameLayout, Plane, gray_of, layout_of
from .video.options import VideoOptions, VideoSettings
from .video.prefetch import Stopwatch
from .video.protocols import FrameSteering, Run, Start
from .video.reader import Picture, Position
from .video.source import Source, StreamFacts
from .video.stages import FrameColorizer

try:
    import vapoursynth as vs
except ModuleNotFoundError as error:
    raise MissingExtraError(
        "needs vapoursynth: pip install 'colorize-toolkit[vapoursynth]' with Python 3.12 or newer"
    ) from error

_FURTHEST_BACK = 240  # frames that are colored before the one that a seek asks for, at most
_KEPT = 64  # frames, for requests that come out of order
_SUBSAMPLINGS = {(0, 0): "444", (1, 0): "422", (1, 1): "420"}
_SITINGS = ("left", "center", "topleft", "top", "bottomleft", "bottom")  # by _ChromaLocation
_MATRIX_CODES = {"bt601": 6, "bt709": 1, "bt2020": 9}  # ITU-T H.273
_UNSPECIFIED = 2
# Newer versions count as H.273 does and call the property _Range; older ones have it the other way.
_RANGE = "_Range" if int(vs.RANGE_FULL) == 1 else "_ColorRange"
_FULL = 65535  # what 1.0 of a clip in floating point is in here


def colorize(
    clip: Any,
    model: str | Path = DEFAULT_MODEL,
    *,
    references: str | Path | None = None,
    stabilize: bool = True,
    backend: str = "auto",
    device: str = "auto",
    precision: Precision = "auto",
    size: int | None = None,
    saturation: float = 1.0,
) -> Any:
    """Return a vapoursynth.VideoNode: CLIP in color.

    CLIP is GRAY, YUV (4:2:0, 4:2:2, 4:4:4) or RGB, with 8 to 16 bits, half or single float. Luma is
    untouched; GRAY becomes YUV 4:4:4 of the same depth; RGB, read as sRGB, keeps L* within 0.3.
    `_Matrix`, `_Range` (once `_ColorRange`) and `_ChromaLocation` of the first frame hold for all.

    Frames asked for in order are those of `colorize-run -o -`. A seek begins at the last cut, at
    most 240 frames back, so frames may differ a little from those asked for in order.

    REFERENCES is a folder of reference frames, the rest is as in Colorizer. Notices are logged as
    warnings of the core. Raises ArgumentError, InputError, ModelError or EngineError.
    """
    if clip.format is None or not (clip.width and clip.height):
        raise ArgumentError("clip: its format or size varies; make it constant first")
    kind = _Rgb if clip.format.color_family == vs.RGB else _Yuv
    found = None if references is None else find_references(Path(references))
    for reference in (found or {}).values():
        reference.check(clip.height, clip.width, clip.num_frames)
    colorizer = Colorizer(
        model,
        backend=backend,
        device=device,
        precision=precision,
        size=size,
        saturation=saturation,
        on_notice=_log,
    )
    look = kind(clip, colorizer)
    colors = _Colors(look, colorizer, found, stabilize=stabilize)

    def frame(n: int, f: Any) -> Any:
        made = f.copy()
        look.fill(made, colors.of(n))
        return made

    return vs.core.std.ModifyFrame(look.base, look.base, frame)


def _log(notice: Notice) -> None:
    vs.core.log_message(vs.MESSAGE_TYPE_WARNING, f"colorize: {notice.message}")


class _Yuv:
    """How frames of a GRAY or YUV clip are read and filled: their luma stays."""

    def __init__(self, clip: Any, _colorizer: Colorizer) -> None:
        form = clip.format
        steps = (form.subsampling_w, form.subsampling_h)
        if steps not in _SUBSAMPLINGS:
            raise ArgumentError("clip: its chroma is not 4:2:0, 4:2:2 or 4:4:4; resize it first")
        self.clip, self._float = clip, form.sample_type == vs.FLOAT
        self.base = clip
        if form.color_family == vs.GRAY:
            self.base = vs.core.std.ShufflePlanes([clip] * 3, [0, 0, 0], vs.YUV)
        self.layout = _layout(clip, _SUBSAMPLINGS[steps])
        self._props = _props(self.layout)

    def picture(self, number: int, frame: Any) -> Picture:
        """Return FRAME as the stages of a video take it."""
        plane = np.asarray(frame[0])
        if self._float:
            unit = np.asarray(plane, np.float32).clip(0, 1)
            luma: Plane = np.rint(unit * np.float32(_FULL)).astype(np.uint16)
        else:
            luma = plane.copy()
        return _picture(number, luma, self.layout)

    def stored(self, layout: FrameLayout) -> FrameLayout:
        """Return the layout in which colors are wanted."""
        return layout

    finish = None  # chroma planes, as in every video

    def fill(self, frame: Any, colors: Plane) -> None:
        """Put COLORS (rows, columns, 2) into a frame that has its luma already."""
        for index in (1, 2):
            plane = np.asarray(frame[index])
            codes = colors[..., index - 1]
            if self._float:
                plane[...] = (codes.astype(np.float32) - (_FULL + 1) // 2) / np.float32(_FULL)
            else:
                plane[...] = codes
        for name, value in self._props.items():
            frame.props[name] = value


class _Rgb:
    """How frames of an RGB clip are read and filled: their lightness stays."""

    def __init__(self, clip: Any, colorizer: Colorizer) -> None:
        self.clip = self.base = clip
        self._largest = 1.0 if clip.format.sample_type == vs.FLOAT else 2.0 ** _bits(clip) - 1
        self._depth = np.uint8 if self._largest == 255 else np.uint16
        gray = layout_of(av.VideoFrame(clip.width, clip.height, "gray"))
        self.layout = replace(gray, subsampling="444", full_range=True)
        height, width = colorizer.working_shape(clip.height, clip.width)
        self._small = replace(self.layout, width=width, height=height, depth=16)

    def picture(self, number: int, frame: Any) -> Picture:
        """Return FRAME's gray of the same lightness as the stages of a video take it."""
        return _picture(number, rgb_to_gray(self._codes(frame)), self.layout)

    def stored(self, _layout: FrameLayout) -> FrameLayout:
        """Return the layout in which colors are wanted."""
        return self._small

    @staticmethod
    def finish(_lightness: F32, ab: F32, *_: object) -> Plane:
        """Return ab (h, w, 2) in steps of 1/256 from -128 on: they are joined at full size."""
        steps = np.rint((ab + np.float32(128)) * np.float32(256))
        codes: Plane = steps.clip(0, _FULL).astype(np.uint16)
        return codes

    def fill(self, frame: Any, colors: Plane) -> None:
        """Give a copy of the source's frame the ab that `finish` returned."""
        ab = colors.astype(np.float32) / np.float32(256) - np.float32(128)
        rgb = apply_chroma(Photo(self._codes(frame)), ab).codes
        for index in range(3):
            plane = np.asarray(frame[index])
            if self._largest == np.iinfo(self._depth).max:
                plane[...] = rgb[..., index]
                continue
            values = rgb[..., index].astype(np.float32) * np.float32(self._largest / _FULL)
            plane[...] = values if self._largest == 1 else np.rint(values)

    def _codes(self, frame: Any) -> Codes:
        planes = np.dstack([np.asarray(frame[index]) for index in range(3)])
        if self._largest == np.iinfo(self._depth).max:
            return cast(Codes, planes)
        unit = planes.astype(np.float32).clip(0, self._largest) / np.float32(self._largest)
        return np.rint(unit * np.float32(_FULL)).astype(np.uint16)


class _Colors:
    """The colors of a clip's frames, whichever is asked for; any thread may ask."""

    def __init__(
        self,
        look: _Yuv | _Rgb,
        colorizer: Colorizer,
        references: Mapping[int, Reference] | None,
        *,
        stabilize: bool,
    ) -> None:
        self._look, self._clip = look, look.clip
        self._references = references
        self._network = VideoNetwork(colorizer, "clip")
        rate = Fraction(self._clip.fps) or Fraction(25)
        self._run = Run(
            source=Source(Path("clip")),
            container=cast(InputContainer, None),  # this and the next: for readers of files alone
            video=cast(VideoStream, None),
            facts=StreamFacts(rate=rate, time_base=1 / rate, aspect=None),
            settings=VideoSettings(
                options=VideoOptions(stabilize=stabilize),
                batch=colorizer.best_batch,
                saturation=colorizer.saturation,
            ),
            tell=_log,
            watch=Stopwatch(),
        )
        self._lock = RLock()
        self._kept: dict[int, Plane] = {}
        self._most = max(_KEPT, 2 * vs.core.num_threads)
        self._next, self._coming = 0, self._colored(0)

    def of(self, number: int) -> Plane:
        """Return what `look` fills the frame NUMBER with."""
        with self._lock:
            if number not in self._kept:
                try:
                    self._go_on_to(number)
                except BaseException:  # what failed once may work the next time
                    self._next = self._clip.num_frames + _FURTHEST_BACK
                    raise
            return self._kept[number]

    def _go_on_to(self, number: int) -> None:
        if not self._next <= number <= self._next + _FURTHEST_BACK:
            self._coming.close()
            self._next = self._beginning(number)
            self._coming = self._colored(self._next)
        while self._next <= number:
            self._kept[self._next] = next(self._coming)
            self._next += 1
            if len(self._kept) > self._most:
                del self._kept[next(iter(self._kept))]  # the oldest

    def _beginning(self, number: int) -> int:
        """Return the last cut up to frame NUMBER, at most _FURTHEST_BACK frames before it."""
        first = max(0, number - _FURTHEST_BACK)
        grays = self._grays(range(number, first - 1, -1))
        gray = next(grays)
        for begins, before in zip(range(number, first, -1), grays, strict=True):
            detector = CutDetector()
            detector.is_cut(before)
            if detector.is_cut(gray):
                return begins
            gray = before
        return first

    def _colored(self, first: int) -> Any:  # a generator of planes, to be closed
        start = Start()
        if first:
            start = Start(Position(frames=first, pts=first, luma_sha256="", flaws=Flaws()))
        look = self._look
        with self._steering(start) as steering:
            finish = {} if look.finish is None else {"finish": look.finish}
            colorizer = FrameColorizer(
                self._run, start, self._network, None, steering, look.stored, **finish
            )
            for item in colorizer.colored(self._pictures(range(first, self._clip.num_frames))):
                yield item.chroma

    def _steering(self, start: Start) -> AbstractContextManager[FrameSteering]:
        if self._references is None:
            return SceneSteering().follow(self._run, start)
        steady = self._run.settings.options.stabilize
        known = outlooks(
            self._grays(range(start.frames, self._clip.num_frames)),
            self._references,
            first=start.frames,
            past=Past(),
            folder=None,
            cancelled=Event(),
            steady=steady,
        )
        return nullcontext(Carrier(known, {}, steady=steady))

    def _pictures(self, numbers: range) -> Iterator[Picture]:
        for number in numbers:
            with self._clip.get_frame(number) as frame:
                yield self._look.picture(number, frame)

    def _grays(self, numbers: range) -> Iterator[U8]:
        for picture in self._pictures(numbers):
            yield gray_of(picture.luma, picture.layout)


def _picture(number: int, luma: Plane, layout: FrameLayout) -> Picture:
    return Picture(
        luma=luma, pts=number, duration=1, interlaced=False, layout=layout, flaws=Flaws()
    )


def _bits(clip: Any) -> int:
    return int(clip.format.bits_per_sample)


def _layout(clip: Any, subsampling: str) -> FrameLayout:
    """Return how the frames are stored, by the properties of the first, as for any video."""
    with clip.get_frame(0) as frame:
        props = dict(frame.props)
    floats = clip.format.sample_type == vs.FLOAT
    full = floats or int(props.get(_RANGE, vs.RANGE_LIMITED)) == int(vs.RANGE_FULL)
    siting = props.get("_ChromaLocation") if subsampling != "444" else None
    model = av.VideoFrame(clip.width, clip.height, "yuv444p")
    model.colorspace = int(props.get("_Matrix", _UNSPECIFIED)) or _UNSPECIFIED  # 0 is that of RGB
    model.color_range = ColorRange.JPEG if full else ColorRange.MPEG
    layout = layout_of(model, None if siting is None else _SITINGS[int(siting)])
    return replace(layout, subsampling=subsampling, depth=16 if floats else _bits(clip))


def _props(layout: FrameLayout) -> dict[str, int]:
    """Return the properties that say how the colors were computed."""
    tag = layout.tags[0]
    props = {
        "_Matrix": _MATRIX_CODES[layout.matrix] if tag == _UNSPECIFIED else tag,
        _RANGE: int(vs.RANGE_FULL if layout.full_range else vs.RANGE_LIMITED),
    }
    if layout.subsampling != "444":
        siting = layout.siting or ("center" if layout.full_range else "left")
        props["_ChromaLocation"] = _SITINGS.index(siting)
    return props
