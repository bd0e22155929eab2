"""Everything that colorize-bench measures, in order: colors, speed, videos."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress

from rich.progress import Progress

from ..export.graphs.onnx import read_info
from ..runtime.errors import ColorizeError
from .quality.candidates import find_candidates
from .quality.dataset import DataSet
from .quality.evaluate import Quality, fid_refusal, measure_quality
from .quality.perceptual import FID_PHOTOS, Weights, find_inception, find_lpips
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
    lpips, inception, missing = _metric_networks(settings, len(part.photos))
    config = ScoringConfig(
        data=part,
        candidates=tuple(find_candidates(models, part, settings)),
        protocol=settings.protocol,
        lpips=tuple(lpips.items()),
        inception=inception,
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

    return measure_quality(config, data, missing, watch), wall


def _metric_networks(
    settings: Settings, photos: int
) -> tuple[dict[str, Weights], Weights | None, dict[str, str]]:
    """Return the weights of LPIPS' networks, those of FID, and why others are not measured."""
    nets = {
        net: find_lpips(net, settings.lpips_weights, download=settings.download)
        for net in settings.lpips
    }
    found = {net: weights for net, weights in nets.items() if isinstance(weights, Weights)}
    missing = {f"lpips_{net}": why for net, why in nets.items() if isinstance(why, str)}
    inception = find_inception(settings.fid_weights)
    if photos < FID_PHOTOS:
        inception = fid_refusal(photos)
    if isinstance(inception, Weights):
        return found, inception, missing
    return found, None, {**missing, "fid": inception}
