"""Film: how fast a whole one is colored, what bounds that, and whether its colors hold still."""

import math
import statistics
import tempfile
import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import av.error
import numpy as np

from ...runtime.color import U8
from ...runtime.colorizer import Colorizer
from ...runtime.errors import ColorizeError
from ...runtime.video.frames import gray_of, layout_of, luma_of
from ...runtime.video.options import VideoOptions
from ...runtime.video.source import open_video, video_stream
from ...train.metrics import colorfulness
from ..quality.candidates import GRAY, TRUTH
from ..settings import Failure, Settings, Subject, noise, nothing_less
from ..speed.cost import cost_of
from .temporal import VideoColors, motion
from .transcode import transcode

_NEARLY_GRAY = 1.0  # colorfulness: a film below it is black and white, with its codec's noise
_UNSTEADY, _EVEN = ".unsteady.mkv", ".even.mkv"
_BARE = "{}, not stabilized"
_AS_COLORFUL = 0.03  # films whose colorfulness differs by less are compared as they are


@dataclass(frozen=True)
class VideoRow:
    """One model coloring one whole film, sound and all, with the default encoder settings."""

    model: str
    backend: str
    precision: str
    frames: int
    width: int
    height: int
    seconds: float
    fps: float
    stages: dict[str, float]  # seconds of work; stages overlap
    transcode_seconds: float  # decoded, encoded with the same settings, its sound copied
    network_seconds: float  # the network alone on as many frames
    bound_share: float  # both of these over `seconds`: 1 is as fast as they are one after another
    bound_by: str  # encoder or network: the larger of the two


@dataclass(frozen=True)
class VideoColorRow:
    """The colors of one film; None where there is no truth to compare with."""

    model: str
    frames: int
    psnr_db: float | None
    temporal_psnr_db: float | None
    cdc: float | None
    flicker: float | None
    colorfulness: float


@dataclass(frozen=True)
class Video:
    """Everything that was measured on one film."""

    name: str
    speed: tuple[VideoRow | Failure, ...]
    colors: tuple[VideoColorRow, ...]


def measure_video(
    subjects: Sequence[Subject], source: Path, settings: Settings, frames: int
) -> Video:
    """Color SOURCE with each of SUBJECTS; the colors of its first FRAMES frames are measured.

    InputError if SOURCE is no film; a model that fails gets a Failure and the others go on. All
    get one where SOURCE is damaged within: colorize-run steps over that, a comparison cannot.
    """
    open_video(source).close()
    try:
        return _measured(subjects, source, settings, frames)
    except (av.error.FFmpegError, ColorizeError) as error:
        reason = f"{source.name}: cannot be measured ({error})"
        backend = settings.backends[0]
        return Video(source.name, tuple(Failure(s.name, backend, reason) for s in subjects), ())


def _measured(subjects: Sequence[Subject], source: Path, settings: Settings, frames: int) -> Video:
    speed: list[VideoRow | Failure] = []
    colored: dict[str, Path] = {}
    bare: dict[str, Path] = {}
    with tempfile.TemporaryDirectory() as folder:
        for index, subject in enumerate(subjects):
            target = Path(folder, f"{index}.mkv")
            try:
                speed.append(_color(subject, source, target, settings))
                colored[subject.name] = target
                bare[_BARE.format(subject.name)] = target.with_suffix(_UNSTEADY)
            except ColorizeError as error:
                speed.append(Failure(subject.name, settings.backends[0], str(error)))
        measured = [subject for subject in subjects if subject.name in colored]
        even = as_colorful(measured, colored | bare, frames, source, settings)
        colors = video_colors(source, colored | bare | even, frames)
    return Video(source.name, tuple(speed), colors)


def as_colorful(
    subjects: Sequence[Subject],
    videos: Mapping[str, Path],
    frames: int,
    source: Path,
    settings: Settings,
) -> dict[str, Path]:
    """Color SOURCE unstabilized, but as colorful as stabilized, where FILMS differ in that.

    Means of wavering colors are duller, and dull pictures flicker less: that is no steadiness.
    FILMS are the stabilized and the other one by their rows' names; so are those returned.
    """
    even: dict[str, Path] = {}
    for subject in subjects:
        steady, bare = videos[subject.name], videos[_BARE.format(subject.name)]
        vivid = _mean_colorfulness(bare, frames)
        if vivid < _NEARLY_GRAY:
            continue
        share = _mean_colorfulness(steady, frames) / vivid
        if abs(share - 1) <= _AS_COLORFUL:
            continue
        target = steady.with_suffix(_EVEN)
        with _colorizer(subject, settings, saturation=share) as colorizer:
            colorizer.video(source, target, VideoOptions(stabilize=False))
        even[f"{_BARE.format(subject.name)}, as colorful"] = target
    return even


def _mean_colorfulness(video: Path, frames: int) -> float:
    with closing(_frames(video)) as pictures:
        return statistics.fmean(colorfulness(rgb) for rgb, _ in islice(pictures, frames))


def _colorizer(subject: Subject, settings: Settings, saturation: float = 1.0) -> Colorizer:
    return Colorizer(
        subject.path,
        backend=settings.backends[0],
        precision=settings.precisions[0],
        device=settings.device,
        size=settings.sizes[0],
        saturation=saturation,
        on_notice=nothing_less,
    )


def _color(subject: Subject, source: Path, target: Path, settings: Settings) -> VideoRow:
    with _colorizer(subject, settings) as colorizer:
        report = colorizer.video(source, target)
        colorizer.video(source, target.with_suffix(_UNSTEADY), VideoOptions(stabilize=False))
        with closing(open_video(target)) as video:
            stream = video_stream(video)
            width, height = stream.codec_context.width, stream.codec_context.height
        network = _network_seconds(colorizer, report.frames, (height, width))
        engine = colorizer.engine
    bare = target.with_suffix(".bare.mkv")
    transcoding = cost_of(lambda: transcode(source, bare, VideoOptions())).wall
    return VideoRow(
        subject.name,
        engine.name,
        engine.precision,
        report.frames,
        width,
        height,
        report.seconds,
        report.frames / report.seconds,
        dict(report.stages),
        transcoding,
        network,
        (transcoding + network) / report.seconds,
        "network" if network > transcoding else "encoder",
    )


def _network_seconds(colorizer: Colorizer, frames: int, shape: tuple[int, int]) -> float:
    """Return what the network alone takes for so many FRAMES of (height, width) SHAPE."""
    engine = colorizer.engine
    lightness = noise(engine.best_batch, colorizer.working_shape(*shape))
    engine.infer(lightness)
    start = time.perf_counter()
    for first in range(0, frames, engine.best_batch):
        engine.infer(lightness[: frames - first])
    return time.perf_counter() - start


def video_colors(
    source: Path, colored: Mapping[str, Path], frames: int
) -> tuple[VideoColorRow, ...]:
    """Compare the first FRAMES frames of COLORED films, by name, with those of SOURCE, the truth.

    Rows of the truth itself and of gray follow. Where SOURCE is black and white, it is no truth.
    """
    with ExitStack() as stack:
        truths = stack.enter_context(closing(_frames(source)))
        others = {
            name: stack.enter_context(closing(_frames(path))) for name, path in colored.items()
        }
        sums = {name: VideoColors() for name in (*others, TRUTH, GRAY)}
        before: U8 | None = None
        counted = 0
        for truth, gray in islice(truths, frames):
            moved = None if before is None else motion(before, gray)
            before = gray
            pictures = {name: next(video)[0] for name, video in others.items()}
            pictures |= {TRUTH: truth, GRAY: np.dstack([gray] * 3)}
            for name, picture in pictures.items():
                sums[name].add(picture, None if name == TRUTH else truth, moved)
            counted += 1
    means = {name: colors.means() for name, colors in sums.items()}
    if means[TRUTH]["colorfulness"] < _NEARLY_GRAY:
        for name in (TRUTH, GRAY):
            del means[name]
        for own in means.values():
            own.pop("psnr_db", None)
            own.pop("temporal_psnr_db", None)
    return tuple(_color_row(name, counted, own) for name, own in means.items())


def _frames(path: Path) -> Generator[tuple[U8, U8]]:
    """Yield each frame of a film as 8-bit RGB (H, W, 3) and gray (H, W)."""
    with closing(open_video(path)) as video:
        layout = None
        for frame in video.decode(video_stream(video)):
            layout = layout or layout_of(frame)
            rgb: U8 = frame.to_ndarray(format="rgb24").astype(np.uint8, copy=False)
            yield rgb, gray_of(luma_of(frame, layout), layout)


def _color_row(name: str, frames: int, means: Mapping[str, float]) -> VideoColorRow:
    def known(figure: str) -> float | None:
        value = means.get(figure)
        return value if value is not None and math.isfinite(value) else None

    return VideoColorRow(
        name,
        frames,
        known("psnr_db"),
        known("temporal_psnr_db"),
        known("cdc"),
        known("flicker"),
        means["colorfulness"],
    )
