"""What a run would do, without doing it: results, scenes, and estimates of time and room."""

import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from .colorizer import Colorizer
from .errors import ColorizeError
from .files import numbered_name
from .jobs import Job
from .photo.reader import is_photo, pixels_of
from .steering.extract import find_scenes
from .video.options import VideoOptions
from .video.source import Source, frame_count
from .video.stretch import Stretch

_SAMPLE_SECONDS = 1.0  # of each film


@dataclass(frozen=True)
class Cost:
    """What results take."""

    seconds: float = 0.0
    size: float = 0.0  # bytes

    def times(self, factor: float) -> "Cost":
        """Return that of FACTOR times as much."""
        return Cost(self.seconds * factor, self.size * factor)

    def __add__(self, other: "Cost") -> "Cost":
        return Cost(self.seconds + other.seconds, self.size + other.size)

    def __str__(self) -> str:
        hours, rest = divmod(round(self.seconds), 3600)
        size = f"{self.size / 1e9:.1f} GB" if self.size >= 1e9 else f"{self.size / 1e6:.1f} MB"
        return f"about {hours}:{rest // 60:02}:{rest % 60:02} and {size}"


@dataclass(frozen=True, kw_only=True)
class PlannedScene:
    """A scene of a film, and the files of its references."""

    first: int  # frame, counted from 0
    last: int
    references: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Planned:
    """What would become of one file."""

    job: Job
    cost: Cost = field(default_factory=Cost)
    size: tuple[int, int] | None = None  # (width, height) of a film
    frames: int | None = None  # of a film
    scenes: tuple[PlannedScene, ...] = ()  # of a film with references
    error: ColorizeError | None = None  # it would fail

    @property
    def lines(self) -> list[str]:
        """They, for the user."""
        if self.error is not None:
            return [f"{self.job.source}: would fail: {self.error}"]
        line = f"{self.job.source} -> {self.job.target}"
        if self.size is not None:
            line += f": {self.size[0]}x{self.size[1]}, {self.frames} frames, {self.cost}"
        return [line] + [
            f"  scene {number}, frames {scene.first} to {scene.last}: "
            + (", ".join(scene.references) or "the model alone")
            for number, scene in enumerate(self.scenes, 1)
        ]


def planned(jobs: Sequence[Job], colorizer: Colorizer, options: VideoOptions) -> Iterator[Planned]:
    """Yield what would become of each of JOBS.

    Time and room are estimated from one photograph and from a second of each film, which are
    colored and thrown away.
    """
    photo: Cost | None = None  # a pixel
    for job in jobs:
        try:
            job.check_target()
            if not is_photo(job.source):
                yield _film(job, colorizer, options)
                continue
            pixels = pixels_of(job.source)
            if not pixels:
                job.read()  # says what is wrong with it
            photo = photo or _photo_cost(job, colorizer).times(1 / pixels)
            yield Planned(job=job, cost=photo.times(pixels))
        except ColorizeError as error:
            yield Planned(job=job, error=error)


def summary(plans: Sequence[Planned]) -> str:
    """Return the line about all of PLANS."""
    whole = [plan for plan in plans if plan.error is None]
    total = sum((plan.cost for plan in whole), Cost())
    films = any(plan.size is not None for plan in whole)
    room = "; films need as much room again until their parts are joined" if films else ""
    return f"{len(whole)} of {len(plans)} files: {total}{room}"


def _photo_cost(job: Job, colorizer: Colorizer) -> Cost:
    with tempfile.TemporaryDirectory() as folder:
        sample = replace(job, target=Path(folder, f"sample{job.target.suffix}"))
        began = time.perf_counter()
        sample.write(colorizer.photo(sample.read(), hints=sample.hints()))
        return Cost(time.perf_counter() - began, sample.target.stat().st_size)


def _film(job: Job, colorizer: Colorizer, options: VideoOptions) -> Planned:
    source = Source.of(job.source, options)
    with source.open() as container:
        stream = source.video(container)
        size = stream.codec_context.width, stream.codec_context.height
        frames = Stretch.of(source, options).frames or frame_count(stream, container) or 0
    most = _SAMPLE_SECONDS if options.duration is None else min(options.duration, _SAMPLE_SECONDS)
    with tempfile.TemporaryDirectory() as folder:
        frames_apart = numbered_name(job.target)
        target = Path(folder, job.target.name if frames_apart else f"sample{job.target.suffix}")
        report = colorizer.video(
            job.source, target, replace(options, duration=most), references=job.references
        )
        cost = Cost(report.seconds, _size_in(folder)).times(frames / report.frames)
    return Planned(job=job, cost=cost, size=size, frames=frames, scenes=_scenes(job, source))


def _size_in(folder: str) -> int:
    return sum(path.stat().st_size for path in Path(folder).iterdir())


def _scenes(job: Job, source: Source) -> tuple[PlannedScene, ...]:
    if job.references is None:
        return ()
    given = job.references
    return tuple(
        PlannedScene(
            first=scene.first,
            last=scene.last,
            references=tuple(
                given[frame].files[0].name for frame in given if scene.first <= frame <= scene.last
            ),
        )
        for scene in find_scenes(source)
    )
