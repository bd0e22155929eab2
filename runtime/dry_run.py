"""What a run would do, without doing it: results, scenes, and estimates of time and room."""

import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from .colorizer import Colorizer
from .errors import ColorizeError
from .files import numbered_name
from .jobs import Job
from .photo.reader import is_photo, pixels_of
from .steering.extract import find_scenes
from .steering.references import find_references
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


def dry_run(
    jobs: Sequence[Job],
    colorizer: Colorizer,
    options: VideoOptions,
    tell: Callable[[str], None],
) -> int:
    """TELL what would become of JOBS, line by line; return how many would fail.

    Time and room are estimated from one photograph and from a second of each film, which are
    colored and thrown away.
    """
    total, failing, films = Cost(), 0, False
    photo: Cost | None = None  # a pixel
    for job in jobs:
        try:
            job.check_target()
            if is_photo(job.source):
                pixels = pixels_of(job.source)
                if not pixels:
                    job.read()  # says what is wrong with it
                photo = photo or _photo_cost(job, colorizer).times(1 / pixels)
                cost = photo.times(pixels)
                tell(f"{job.source} -> {job.target}")
            else:
                films = True
                cost = _film(job, colorizer, options, tell)
        except ColorizeError as error:
            failing += 1
            tell(f"{job.source}: would fail: {error}")
        else:
            total += cost
    room = "; films need as much room again until their parts are joined" if films else ""
    tell(f"{len(jobs) - failing} of {len(jobs)} files: {total}{room}")
    return failing


def _photo_cost(job: Job, colorizer: Colorizer) -> Cost:
    with tempfile.TemporaryDirectory() as folder:
        sample = replace(job, target=Path(folder, f"sample{job.target.suffix}"))
        began = time.perf_counter()
        sample.write(colorizer.photo(sample.read(), hints=sample.hints()))
        return Cost(time.perf_counter() - began, sample.target.stat().st_size)


def _film(
    job: Job, colorizer: Colorizer, options: VideoOptions, tell: Callable[[str], None]
) -> Cost:
    """Tell of one film and return what it takes."""
    source = Source.of(job.source, options)
    with source.open() as container:
        stream = source.video(container)
        size = f"{stream.codec_context.width}x{stream.codec_context.height}"
        frames = Stretch.of(source, options).frames or frame_count(stream, container) or 0
    most = _SAMPLE_SECONDS if options.duration is None else min(options.duration, _SAMPLE_SECONDS)
    with tempfile.TemporaryDirectory() as folder:
        frames_apart = numbered_name(job.target)
        target = Path(folder, job.target.name if frames_apart else f"sample{job.target.suffix}")
        report = colorizer.video(
            job.source, target, replace(options, duration=most), references=job.references
        )
        cost = Cost(report.seconds, _size_in(folder)).times(frames / report.frames)
    tell(f"{job.source} -> {job.target}: {size}, {frames} frames, {cost}")
    for line in _scenes(job, source):
        tell(f"  {line}")
    return cost


def _size_in(folder: str) -> int:
    return sum(path.stat().st_size for path in Path(folder).iterdir())


def _scenes(job: Job, source: Source) -> list[str]:
    """Return a line for each scene with its references."""
    if job.references is None:
        return []
    given = find_references(job.references)
    return [
        f"scene {number}, frames {scene.first} to {scene.last}: "
        + (", ".join(reference.files[0].name for reference in own) or "the model alone")
        for number, scene in enumerate(find_scenes(source), 1)
        for own in [[given[frame] for frame in given if scene.first <= frame <= scene.last]]
    ]
