"""What colorize-bench does, in order: look, judge colors, time, draw up the report."""

import io
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from ..runtime.color import U8
from ..runtime.engines.base import Precision
from ..runtime.errors import ColorizeError, InputError
from ..runtime.files import whole_file
from ..runtime.models.catalog import DEFAULT_MODEL
from ..runtime.models.contract import ModelInfo
from ..runtime.photo.contact_sheet import save_sheet, scaled
from .quality.candidates import entrants
from .quality.dataset import DataSet, open_data
from .quality.evaluate import Quality, fid_refusal, measure_quality
from .quality.metrics import METRICS
from .quality.perceptual import FID_PHOTOS, Weights, find_inception, find_lpips
from .quality.scoring import Job, Verdict
from .report import compare
from .report.page import WallPhoto, build_page
from .report.results import PSNR_NOTE, Results, read_document, to_json
from .report.tables import print_tables, tables, to_markdown
from .settings import Failure, Settings, Subject, choose_backends, find_subjects
from .speed.latency import SpeedRow, measure_speed
from .speed.roofline import roofline
from .speed.torch_eager import metadata_of
from .video.evaluate import Video, measure_video

_ALL_FAILED = 1
_SOME_FAILED = 3
_REGRESSION = 1
_WALL_PHOTOS = 24
_WALL_HEIGHT = 180  # of a photograph on the wall, in pixels


@dataclass(frozen=True)
class Request:
    """The arguments of the command, as it took them."""

    models: tuple[str, ...]
    against: tuple[str, ...]
    colored: tuple[Path, ...]
    data: Path
    protocol: str
    backends: tuple[str, ...]
    device: str
    precisions: tuple[Precision, ...]
    sizes: tuple[int | None, ...]
    batches: tuple[int, ...]
    runs: int
    warmup: int
    roofline: bool
    videos: tuple[Path, ...]
    video_frames: int
    lpips: tuple[str, ...]
    lpips_weights: tuple[Path, ...]
    fid_weights: Path | None
    download: bool
    limit_images: int | None
    seed: int
    workers: int
    wall: Path | None
    output: Path

    def settings(self) -> Settings:
        """Return what the results hold of it."""
        chosen = bool(self.models or self.backends)
        return Settings(
            backends=choose_backends(self.backends, self.device),
            device=self.device,
            precisions=self.precisions,
            sizes=self.sizes,
            batches=self.batches,
            runs=self.runs,
            warmup=self.warmup,
            protocol=self.protocol,
            limit_images=self.limit_images,
            seed=self.seed,
            workers=self.workers,
            lpips=self.lpips,
            every_backend=None if chosen else (DEFAULT_MODEL, *self.against),
        )


def run(request: Request, terminal: Console) -> int:
    """Measure, write and print everything; return the command's exit code."""
    settings = request.settings()
    subjects = find_subjects(request.models, request.against)
    whole = open_data(request.data)
    for video in request.videos:
        if not video.is_file():
            raise InputError(f"{video}: no such file")
    with ExitStack() as stack:  # a folder that cannot be written to is refused at once
        names = ("results.json", "index.html", "results.md")
        parts = [stack.enter_context(whole_file(request.output / name)) for name in names]
        results, wall = _measure(request, settings, subjects, whole, terminal)
        document = results.document()
        texts = (to_json(document), build_page(document, wall), to_markdown(document))
        for part, text in zip(parts, texts, strict=True):
            part.write_text(text, encoding="utf-8")
    print_tables(tables(document), document["notes"])
    if request.wall:
        save_sheet(request.wall, [_decoded(photo) for photo in wall], abreast=2)
        _say(terminal, f"pictures: {request.wall}")
    failures = results.failures()
    for warning in results.warnings():
        _say(terminal, f"warning: {warning}")
    for failure in failures:
        _say(terminal, f"colorize-bench: {failure.backend}: {failure.error}")
    _say(terminal, f"report: {request.output / 'index.html'}")
    _say(terminal, f"figures: {request.output / 'results.json'}")
    if not failures:
        return 0
    return _SOME_FAILED if results.measured() else _ALL_FAILED


def compare_files(old: Path, new: Path, tolerance: float) -> int:
    """Print what changed from OLD to NEW, two results.json; return 1 on a regression, else 0."""
    changes, remarks = compare.compare(read_document(old), read_document(new), tolerance)
    if not changes:
        raise InputError(f"{old}, {new}: have nothing to compare ({'; '.join(remarks)})")
    regressions = sum(change.verdict == "regression" for change in changes)
    summary = f"{regressions} regressions among {len(changes)} figures"
    if any(change.figure == METRICS["psnr_db"].title for change in changes):
        remarks = [*remarks, PSNR_NOTE]
    print_tables([compare.compare_table(changes)], [*remarks, summary])
    return _REGRESSION if regressions else 0


def _say(terminal: Console, line: str) -> None:
    terminal.print(line, soft_wrap=True, markup=False)


def _decoded(photo: WallPhoto) -> list[U8]:
    pictures = []
    for jpeg in photo.pictures.values():
        with Image.open(io.BytesIO(jpeg)) as image:
            pictures.append(scaled(np.asarray(image), _WALL_HEIGHT))
    return pictures


def _measure(
    request: Request,
    settings: Settings,
    subjects: list[Subject],
    whole: DataSet,
    terminal: Console,
) -> tuple[Results, list[WallPhoto]]:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Progress(
        *columns, console=terminal, transient=True, disable=not terminal.is_terminal
    ) as bar:
        quality, wall = _judge(request, settings, subjects, whole, terminal, bar)
        timed = bar.add_task("models timed", total=len(subjects))
        speed: list[SpeedRow | Failure] = []
        limits = []
        for subject in subjects:
            rows = measure_speed(subject, settings)
            speed += rows
            if request.roofline:
                limits += roofline(subject, [row for row in rows if isinstance(row, SpeedRow)])
            bar.advance(timed)
        videos: list[Video] = []
        video_task = bar.add_task("videos", total=len(request.videos), visible=bool(request.videos))
        for video in request.videos:
            videos.append(measure_video(subjects, video, settings, request.video_frames))
            bar.advance(video_task)
    infos = {s.name: info for s in subjects if (info := _info(s)) is not None}
    return Results(settings, subjects, infos, quality, speed, limits, videos), wall


def _judge(
    request: Request,
    settings: Settings,
    subjects: list[Subject],
    whole: DataSet,
    terminal: Console,
    bar: Progress,
) -> tuple[Quality, list[WallPhoto]]:
    part = whole.sample(settings.limit_images, settings.seed)
    lpips, inception, missing = _networks(request, len(part.photos))
    job = Job(
        part,
        tuple(entrants(subjects, request.colored, part, settings)),
        settings.protocol,
        tuple(lpips.items()),
        inception,
        _WALL_PHOTOS,
        settings.workers,
    )
    judged = bar.add_task("photographs", total=len(part.photos))
    wall: list[WallPhoto] = []

    def note(verdict: Verdict) -> None:
        bar.advance(judged)
        if verdict.left_out is not None:
            _say(terminal, f"skipped: {verdict.name}: {verdict.left_out}")
        if verdict.pictures:
            wall.append(WallPhoto(verdict.name, verdict.pictures))

    return measure_quality(job, whole, missing, note), wall


def _networks(
    request: Request, photos: int
) -> tuple[dict[str, Weights], Weights | None, dict[str, str]]:
    """Return the weights of LPIPS' networks, those of FID, and why others are not measured."""
    found: dict[str, Weights] = {}
    missing: dict[str, str] = {}
    for net in request.lpips:
        weights = find_lpips(net, request.lpips_weights, download=request.download)
        if isinstance(weights, Weights):
            found[net] = weights
        else:
            missing[f"lpips_{net}"] = weights
    inception = find_inception(request.fid_weights)
    if photos < FID_PHOTOS:
        inception = fid_refusal(photos)
    if isinstance(inception, Weights):
        return found, inception, missing
    return found, None, {**missing, "fid": inception}


def _info(subject: Subject) -> ModelInfo | None:
    try:
        return ModelInfo.from_metadata(metadata_of(subject.path), str(subject.path))
    except ColorizeError:
        return None  # its rows say so
