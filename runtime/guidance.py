"""Hints and reference frames that the user names, given to the jobs that they are for."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from .errors import ArgumentError, InputError
from .files import PHOTO_SUFFIXES
from .inputs import MARK, OVERLAY_MARK, PIPE
from .jobs import Job

if TYPE_CHECKING:
    from .video.options import VideoOptions


def with_references(
    jobs: Sequence[Job],
    folder: Path,
    *,
    discard_work: bool,
    options: "VideoOptions",
    on_note: Callable[[str], None] = lambda _: None,
) -> list[Job]:
    """Return JOBS whose videos have the reference frames in FOLDER.

    Several videos have a folder each in it, called as the video. ON_NOTE is told which have none.
    Raises InputError or ArgumentError if references are unusable, before any work is done.
    """
    from .steering.references import find_references, fitted_references
    from .video.source import Source

    videos = _videos(jobs, "--references")
    given = dict[Job, Job]()
    for job in videos:
        own = folder if len(videos) == 1 else folder / job.source.name
        if len(videos) > 1 and not own.exists():
            on_note(f"{job.source}: has no references ({own}): the model alone colors it")
            continue
        found = fitted_references(find_references(own), Source.of(job.source, options))
        given[job] = replace(job, references=found, discard_work=discard_work)
    if len(videos) < len(jobs):
        on_note("--references is for videos; photographs are colored without")
    return [given.get(job, job) for job in jobs]


def extraction_folders(jobs: Sequence[Job], folder: Path) -> list[tuple[Path, Path]]:
    """Return each video of JOBS with the folder in FOLDER for its reference frames."""
    from .video.source import Source

    videos = _videos(jobs, "--extract-references")
    if not videos:
        raise ArgumentError("--extract-references is for videos; there is none")
    for job in videos:
        Source(job.source).open().close()
    if len(videos) == 1:
        return [(videos[0].source, folder)]
    return [(job.source, folder / job.source.name) for job in videos]


def _videos(jobs: Sequence[Job], option: str) -> list[Job]:
    from .photo.reader import is_photo

    if any(job.source == PIPE for job in jobs):
        raise ArgumentError(f"{option} needs a file: standard input cannot be read twice")
    videos = [job for job in jobs if not is_photo(job.source)]
    counted = Counter(job.source.name for job in videos)
    if twice := [name for name, count in counted.items() if count > 1]:
        raise ArgumentError(f"{option}: two films are called {twice[0]}; color them apart")
    return videos


def with_hints(
    jobs: Sequence[Job],
    hints: Path | None,
    points: tuple[str, ...],
    on_note: Callable[[str], None] = lambda _: None,
) -> list[Job]:
    """Return JOBS with their hints: POINTS, and HINTS, an overlay or a folder of overlays.

    In a folder, that of NAME.jpg is NAME_hints.png or, where that is no input itself, NAME.png; any
    format that photographs have will do. ArgumentError where hints would count for nothing.
    """
    if not points and hints is None:
        return list(jobs)
    from .steering.hints import Point

    for point in points:
        Point.parse(point)
    folder = hints if hints is not None and hints.is_dir() else None
    if points or folder is None:
        option = "--hint" if points else "--hints FILE"
        if len(jobs) > 1:
            raise ArgumentError(f"{option} is for one photograph, here are {len(jobs)} inputs")
        if not _may_be_photo(jobs[0]):
            raise ArgumentError(f"{jobs[0].source}: is a film; {option} is for a photograph")
    if folder is None:
        if hints is not None and not hints.is_file():
            raise InputError(f"{hints}: no such file or folder; --hints takes one of them")
        return [replace(jobs[0], overlay=hints, points=points)]
    found = _overlays(jobs, folder, on_note)
    return [replace(job, overlay=found.get(job.source), points=points) for job in jobs]


def _may_be_photo(job: Job) -> bool:
    from .photo.reader import is_photo

    return job.source == PIPE or is_photo(job.source)


def _overlays(
    jobs: Sequence[Job], folder: Path, on_note: Callable[[str], None]
) -> dict[Path, Path]:
    """Return each photograph's overlay in FOLDER, and say which overlays are nobody's."""
    inputs = {job.source.resolve() for job in jobs}
    there = [
        path
        for path in sorted(folder.iterdir())
        if path.suffix.lower() in PHOTO_SUFFIXES
        and path.resolve() not in inputs
        and not path.stem.endswith(MARK)
        and not path.name.startswith(".")
    ]
    found: dict[Path, Path] = {}
    owners: dict[Path, Path] = {}
    photos = [job.source for job in jobs if _may_be_photo(job)]
    if len(photos) < len(jobs):
        on_note(f"--hints {folder}: is for photographs; the films here get none")
    for source in photos:
        for stem in (source.stem + OVERLAY_MARK, source.stem):
            fitting = [path for path in there if path.stem == stem]
            if len(fitting) > 1:
                raise ArgumentError(
                    f"{source}: has two overlays, {fitting[0]} and {fitting[1]}; remove one"
                )
            if not fitting:
                continue
            if fitting[0] in owners:
                raise ArgumentError(
                    f"{fitting[0]}: is the overlay of both {owners[fitting[0]]} and {source}; "
                    "colorize them apart"
                )
            found[source], owners[fitting[0]] = fitting[0], source
            break
    if not found:
        raise ArgumentError(
            f"--hints {folder}: no overlay there is named like a photograph, as NAME_hints.png"
        )
    unused = [path.name for path in there if path not in owners]
    if unused:
        on_note(f"--hints {folder}: of no photograph here: {', '.join(unused)}")
    return found
