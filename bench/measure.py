"""Everything that colorize-bench measures, in order: colors, speed, videos."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Protocol, TypeVar

from ..runtime.errors import ColorizeError
from ..runtime.models.contract import ModelInfo
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
from .speed.torch_eager import metadata_of
from .video.evaluate import measure_video

_WALL_PHOTOS = 24
T = TypeVar("T")


class Track(Protocol):
    """Yields ITEMS, TOTAL in number, and shows how many are done."""

    def __call__(self, items: Iterable[T], what: str, total: int) -> Iterable[T]:  # noqa: D102
        ...


def measure(
    settings: Settings,
    models: Sequence[Model],
    data: DataSet,
    track: Track,
    say: Callable[[str], None],
) -> tuple[Results, list[WallPhoto]]:
    """Measure MODELS; SAY is told of photographs that are left out.

    InputError if no photograph can be used; a model that fails gets a Failure in its place.
    """
    quality, wall = _quality(settings, models, data, track, say)
    speed: list[SpeedRow | Failure] = []
    limits: list[RooflineRow] = []
    for model in track(models, "models timed", len(models)):
        rows = measure_speed(model, settings)
        speed += rows
        if settings.roofline:
            limits += roofline(model, [row for row in rows if isinstance(row, SpeedRow)])
    videos = [
        measure_video(models, video, settings)
        for video in track(settings.videos, "videos", len(settings.videos))
    ]
    infos = {model.name: info for model in models if (info := _info(model)) is not None}
    return Results(settings, models, infos, quality, speed, limits, videos), wall


def _quality(
    settings: Settings,
    models: Sequence[Model],
    data: DataSet,
    track: Track,
    say: Callable[[str], None],
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
        for scores in track(found, "photographs", len(part.photos)):
            if scores.left_out is not None:
                say(f"skipped: {scores.name}: {scores.left_out}")
            if scores.pictures:
                wall.append(WallPhoto(scores.name, scores.pictures))
            yield scores

    return measure_quality(config, data, missing, watch), wall


def _metric_networks(
    settings: Settings, photos: int
) -> tuple[dict[str, Weights], Weights | None, dict[str, str]]:
    """Return the weights of LPIPS' networks, those of FID, and why others are not measured."""
    found: dict[str, Weights] = {}
    missing: dict[str, str] = {}
    for net in settings.lpips:
        weights = find_lpips(net, settings.lpips_weights, download=settings.download)
        if isinstance(weights, Weights):
            found[net] = weights
        else:
            missing[f"lpips_{net}"] = weights
    inception = find_inception(settings.fid_weights)
    if photos < FID_PHOTOS:
        inception = fid_refusal(photos)
    if isinstance(inception, Weights):
        return found, inception, missing
    return found, None, {**missing, "fid": inception}


def _info(model: Model) -> ModelInfo | None:
    try:
        return ModelInfo.from_metadata(metadata_of(model.path), str(model.path))
    except ColorizeError:
        return None  # its rows say so
