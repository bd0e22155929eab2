"""Everything that colorize-bench measures, in order: colors, speed, videos."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress

from rich.progress import Progress

from ..export.graphs.onnx import read_info
from ..runtime.errors import ColorizeError
from .quality.candidates import find_candidates
from .quality.dataset import DataSet
from .quality.evaluate import Quality, measure_quality
from .quality.frechet import FEATURES, LEAST_PHOTOS, find_inception, too_few
from .quality.perceptual import Weights, find_lpips
from .quality.scoring import PhotoScores, ScoringConfig
from .report.page import WallPhoto
from .report.results import Results
from .settings import Failure, Model, Settings
from .speed.latency import SpeedRow, measure_speed
from .speed.roofline import RooflineRow, roofline
from .video.evaluate import measure_video

_WALL_PHOTOS = 24


def measure(
    settings: Settings, models: Sequence[Model], data: DataSet, bars: Progress
) -> tuple[Results, list[WallPhoto]]:
    """Measure MODELS; BARS show how far that is, their console which photographs are left out.

    InputError if no photograph can be used; a model that fails gets a Failure in its place.
    """
    quality, wall = _quality(settings, models, data, bars)
    speed: list[SpeedRow | Failure] = []
    limits: list[RooflineRow] = []
    for model in bars.track(models, description="models timed"):
        rows = measure_speed(model, settings)
        speed += rows
        if settings.roofline:
            limits += roofline(model, [row for row in rows if isinstance(row, SpeedRow)])
    videos = [
        measure_video(models, video, settings)
        for video in bars.track(settings.videos, description="videos")
    ]
    infos = {}
    for model in models:
        with suppress(ColorizeError):  # its rows say so
            infos[model.name] = read_info(model.path)
    return Results(settings, models, infos, quality, speed, limits, videos), wall


def _quality(
    settings: Settings, models: Sequence[Model], data: DataSet, bars: Progress
) -> tuple[Quality, list[WallPhoto]]:
    part = data.sample(settings.limit_images, settings.seed)
    lpips, missing = _weights(_lpips(settings))
    distances, none = _weights(_distances(settings, len(part.photos)))
    config = ScoringConfig(
        data=part,
        candidates=tuple(find_candidates(models, part, settings)),
        protocol=settings.protocol,
        lpips=tuple((name.removeprefix("lpips_"), weights) for name, weights in lpips),
        distances=distances,
        pictures=_WALL_PHOTOS,
        workers=settings.workers,
    )
    wall: list[WallPhoto] = []

    def watch(found: Iterable[PhotoScores]) -> Iterator[PhotoScores]:
        for scores in bars.track(found, len(part.photos), description="photographs"):
            if scores.left_out is not None:
                skipped = f"skipped: {scores.name}: {scores.left_out}"
                bars.console.print(skipped, soft_wrap=True, markup=False)
            if scores.pictures:
                wall.append(WallPhoto(scores.name, scores.pictures))
            yield scores

    return measure_quality(config, data, missing | none, watch), wall


_Found = dict[str, Weights | str]
"""Of each metric that is a network its weights, or why it is not measured."""


def _lpips(settings: Settings) -> _Found:
    return {
        f"lpips_{net}": find_lpips(net, settings.lpips_weights, download=settings.download)
        for net in settings.lpips
    }


def _distances(settings: Settings, photos: int) -> _Found:
    inception = find_inception(settings.fid_weights)
    if photos < LEAST_PHOTOS:
        return dict.fromkeys(FEATURES, too_few(photos))
    squeeze = find_lpips("squeeze", settings.lpips_weights, download=settings.download)
    return {"fid": inception, "fd_squeeze": squeeze}


def _weights(found: _Found) -> tuple[tuple[tuple[str, Weights], ...], dict[str, str]]:
    """Return the weights in FOUND, and the reasons in it."""
    here = tuple((name, each) for name, each in found.items() if isinstance(each, Weights))
    return here, {name: each for name, each in found.items() if isinstance(each, str)}
