"""Videos: how fast a whole one is colored, what bounds that, and how steady its colors are."""

import statistics
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import av.error
import numpy as np

from ...runtime.color import U8
from ...runtime.colorizer import Colorizer
from ...runtime.errors import ColorizeError
from ...runtime.video.options import VideoOptions
from ...runtime.video.source import open_video, video_stream
from ...train.metrics import colorfulness
from ..quality.candidates import GRAY, TRUTH
from ..quality.metrics import finite
from ..settings import Failure, Model, Settings, noise
from ..speed.cost import cost_of
from .films import NEARLY_GRAY, frames_of, open_colorizer
from .references import ReferenceRow, measure_references
from .temporal import VideoColors, motion
from .transcode import transcode

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


@dataclass(frozen=True, kw_only=True)
class VideoColorRow:
    """The colors of one film; None where there is no truth to compare with."""

    model: str
    frames: int
    psnr_db: float | None = None
    temporal_psnr_db: float | None = None
    cdc: float | None = None
    flicker: float | None = None
    colorfulness: float


@dataclass(frozen=True)
class Video:
    """Everything that was measured on one film."""

    name: str
    speed: tuple[VideoRow | Failure, ...]
    colors: tuple[VideoColorRow, ...]
    references: tuple[ReferenceRow, ...] = ()  # colors given by the film's own frames


def measure_video(models: Sequence[Model], source: Path, settings: Settings) -> Video:
    """Color SOURCE with each of MODELS; the colors of its first frames are measured.

    InputError if SOURCE is no film; a model that fails gets a Failure and the others go on. All
    get one where SOURCE is damaged within: colorize-run steps over that, a comparison cannot.
    """
    open_video(source).close()
    try:
        return _measured(models, source, settings)
    except (av.error.FFmpegError, ColorizeError) as error:
        reason = f"{source.name}: cannot be measured ({error})"
        backend = settings.backends[0]
        return Video(source.name, tuple(Failure(s.name, backend, reason) for s in models), ())


def _measured(models: Sequence[Model], source: Path, settings: Settings) -> Video:
    speed: list[VideoRow | Failure] = []
    colored: dict[str, Path] = {}
    bare: dict[str, Path] = {}
    with tempfile.TemporaryDirectory() as folder:
        for index, model in enumerate(models):
            target = Path(folder, f"{index}.mkv")
            try:
                speed.append(_color(model, source, target, settings))
                colored[model.name] = target
                bare[_BARE.format(model.name)] = target.with_suffix(_UNSTEADY)
            except ColorizeError as error:
                speed.append(Failure(model.name, settings.backends[0], str(error)))
        measured = [model for model in models if model.name in colored]
        even = as_colorful(measured, colored | bare, source, settings)
        colors = video_colors(source, colored | bare | even, settings.video_frames)
    references = measure_references(measured, source, settings) if settings.references else ()
    return Video(source.name, tuple(speed), colors, references)


def as_colorful(
    models: Sequence[Model],
    videos: Mapping[str, Path],
    source: Path,
    settings: Settings,
) -> dict[str, Path]:
    """Color SOURCE unstabilized, but as colorful as stabilized, where VIDEOS differ in that.

    The mean of colors that waver is duller, and dull pictures flicker less, steady or not.
    VIDEOS are the stabilized one and the other by their rows' names, as is what is returned.
    """
    even: dict[str, Path] = {}
    for model in models:
        steady, bare = videos[model.name], videos[_BARE.format(model.name)]
        vivid = _mean_colorfulness(bare, settings.video_frames)
        if vivid < NEARLY_GRAY:
            continue
        share = _mean_colorfulness(steady, settings.video_frames) / vivid
        if abs(share - 1) <= _AS_COLORFUL:
            continue
        target = steady.with_suffix(_EVEN)
        with open_colorizer(model, settings, saturation=share) as colorizer:
            colorizer.video(source, target, VideoOptions(stabilize=False))
        even[f"{_BARE.format(model.name)}, as colorful"] = target
    return even


def _mean_colorfulness(video: Path, frames: int) -> float:
    with closing(frames_of(video)) as pictures:
        return statistics.fmean(colorfulness(rgb) for rgb, _ in islice(pictures, frames))


def _color(model: Model, source: Path, target: Path, settings: Settings) -> VideoRow:
    with open_colorizer(model, settings) as colorizer:
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
        model=model.name,
        backend=engine.name,
        precision=engine.precision,
        frames=report.frames,
        width=width,
        height=height,
        seconds=report.seconds,
        fps=report.frames / report.seconds,
        stages=dict(report.stages),
        transcode_seconds=transcoding,
        network_seconds=network,
        bound_share=(transcoding + network) / report.seconds,
        bound_by="network" if network > transcoding else "encoder",
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
    """Compare the first FRAMES frames of COLORED videos, by name, with those of SOURCE, the truth.

    Rows of the truth itself and of gray follow. Where SOURCE is black and white, it is no truth.
    """
    with ExitStack() as stack:
        truths = stack.enter_context(closing(frames_of(source)))
        others = {
            name: stack.enter_context(closing(frames_of(path))) for name, path in colored.items()
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
    if means[TRUTH]["colorfulness"] < NEARLY_GRAY:
        for name in (TRUTH, GRAY):
            del means[name]
        for own in means.values():
            own.pop("psnr_db", None)
            own.pop("temporal_psnr_db", None)
    return tuple(
        VideoColorRow(
            model=name,
            frames=counted,
            colorfulness=own.pop("colorfulness"),
            **{figure: finite(mean) for figure, mean in own.items()},
        )
        for name, own in means.items()
    )
