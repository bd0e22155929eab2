"""From what the user names to what is done: one job a file, each with its own target."""

import glob
import io
import re
import sys
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, cast

from .errors import ArgumentError, InputError
from .files import PHOTO_SUFFIXES, WORK_SUFFIX
from .notices import Notice

if TYPE_CHECKING:
    from .colorizer import Colorizer
    from .photo.photo import Photo
    from .steering.hints import Hints
    from .video.colorize import VideoProgress
    from .video.options import VideoOptions

VIDEO_SUFFIXES = frozenset(
    [
        ".mp4",
        ".m4v",
        ".mkv",
        ".webm",
        ".mov",
        ".avi",
        ".mpg",
        ".mpeg",
        ".ts",
        ".m2ts",
        ".mts",
        ".wmv",
        ".flv",
        ".ogv",
        ".vob",
        ".3gp",
        ".y4m",
    ]
)
_WRITABLE_VIDEOS = frozenset([".mp4", ".m4v", ".mkv", ".webm", ".mov", ".avi"])
MARK = "_colorized"
"""Ends the name of a result that is not given one."""
OVERLAY_MARK = "_hints"
"""Ends the name of an overlay of hints."""
SCENES = "scenes.json"
"""Lies beside a film's reference frames."""
_REFERENCE = re.compile(r"ref_\d{6}")
PIPE = Path("-")
"""Stands for standard input and output."""


@dataclass(frozen=True)
class Job:
    """One file to colorize."""

    source: Path
    target: Path
    overwrite: bool
    max_pixels: int | None = None  # of a photograph; None: photo.reader.MAX_PIXELS
    overlay: Path | None = None  # hints painted over the photograph
    points: tuple[str, ...] = ()  # more hints, as --hint takes them; they lie over the overlay
    references: Path | None = None  # folder of a video's reference frames
    discard_work: bool = False  # after success, even if they are kept for other references

    def run(
        self,
        colorizer: "Colorizer",
        options: "VideoOptions",
        on_progress: Callable[["VideoProgress"], None],
    ) -> list[Notice]:
        """Do it and return what is to be said at its end; COLORIZER tells the rest as it arises.

        A file is what its content says, not its name.
        """
        from .photo.reader import is_photo
        from .video.y4m import SIGNATURE, Prefixed

        self._check_target()
        content: bytes | None = None
        video: Path | BinaryIO = self.source
        if self.source == PIPE:
            content = sys.stdin.buffer.read(len(SIGNATURE))
            if content == SIGNATURE:
                self._refuse_hints()
                video = cast(BinaryIO, Prefixed(content, sys.stdin.buffer))
                return self._video(colorizer, video, options, on_progress)
            content += sys.stdin.buffer.read()
        if is_photo(self.source, content):
            return self._photo(colorizer, content)
        self._refuse_hints()
        if content is not None:
            raise InputError("-: standard input is neither a picture known here nor y4m")
        return self._video(colorizer, video, options, on_progress)

    def _video(
        self,
        colorizer: "Colorizer",
        source: Path | BinaryIO,
        options: "VideoOptions",
        on_progress: Callable[["VideoProgress"], None],
    ) -> list[Notice]:
        target = sys.stdout.buffer if self.target == PIPE else self.target
        report = colorizer.video(
            source,
            target,
            options,
            on_progress,
            references=self.references,
            keep_segments=self.references is not None and not self.discard_work,
        )
        stages = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in report.stages.items())
        frames = report.frames - report.resumed
        rate = frames / max(report.seconds, 1e-9)
        speed = f"{frames} frames in {report.seconds:.1f} s, {rate:.1f} fps ({stages})"
        return [Notice(speed, topic="speed", source=str(self.source))]

    def _check_target(self) -> None:
        if self.target.exists() and not self.overwrite:
            raise ArgumentError(f"{self.target}: exists; give --overwrite or another -o")

    def _refuse_hints(self) -> None:
        if self.overlay or self.points:
            raise ArgumentError(f"{self.source}: is a film; --hint and --hints are for photographs")

    def _photo(self, colorizer: "Colorizer", content: bytes | None) -> list[Notice]:
        return self.write(colorizer.photo(self.read(content), hints=self.hints()))

    def hints(self) -> "Hints | None":
        """Read the hints, if there are any."""
        if self.overlay is None and not self.points:
            return None
        from .steering.hints import Hints

        painted = Hints() if self.overlay is None else Hints.file(self.overlay)
        return painted + Hints.points(self.points)

    def read(self, content: bytes | None = None) -> "Photo":
        """Read the photograph, if its result can be written; CONTENT is that of a pipe."""
        from .photo.reader import MAX_PIXELS, read_photo
        from .photo.writer import format_of

        self._check_target()
        if self.target != PIPE and format_of(self.target.suffix) is None:
            raise ArgumentError(f"{self.target}: cannot write {self.target.suffix}; use .png")
        limit = MAX_PIXELS if self.max_pixels is None else self.max_pixels
        return read_photo(self.source, content, limit)

    def write(self, photo: "Photo") -> list[Notice]:
        """Write the colored photograph and return what is to be said of it."""
        from .photo.writer import encode_photo, pipe_format, write_photo

        if self.target == PIPE:
            whole = io.BytesIO()
            encode_photo(whole, pipe_format(photo), photo, "-")
            sys.stdout.buffer.write(whole.getbuffer())
        else:
            write_photo(self.target, photo)
        messages = list(photo.remarks)
        if photo.pictures > 1:
            messages.append(f"only the first of its {photo.pictures} pictures was colored")
        return [Notice(said, topic="output", source=str(self.source)) for said in messages]


def run_all(
    jobs: Iterable[Job],
    colorizer: "Colorizer",
    options: "VideoOptions",
    on_progress: Callable[[Job], Callable[["VideoProgress"], None]],
) -> Iterator[tuple[Job, "Future[list[Notice]]"]]:
    """Do the jobs and yield each with its finished notices or error, in order.

    Photographs that follow each other are streamed; ON_PROGRESS returns what gets the progress of a
    video.
    """
    from .photo.reader import is_photo, pixels_of
    from .photo.stream import Steps, stream

    def streamed(job: Job) -> bool:
        return job.source != PIPE and is_photo(job.source)

    steps = Steps[Job, list[Notice]](
        lambda job: pixels_of(job.source),
        Job.read,
        lambda job, photo: job.write(photo),
        Job.hints,
    )
    for photos, group in groupby(jobs, streamed):
        if photos:
            yield from stream(colorizer, group, steps)
            continue
        for job in group:
            done: Future[list[Notice]] = Future()
            try:
                done.set_result(job.run(colorizer, options, on_progress(job)))
            except Exception as error:  # the caller's to judge, as that of a photograph
                done.set_exception(error)
            yield job, done


def with_references(
    jobs: Sequence[Job], folder: Path, *, discard_work: bool
) -> tuple[list[Job], list[Notice]]:
    """Return JOBS whose videos have the reference frames in FOLDER, and what is to be said.

    Several videos have a folder each in it, called as the video. Raises InputError or ArgumentError
    if references are unusable, before any work is done.
    """
    from .steering.references import check_references, find_references

    videos = _videos(jobs, "--references")
    notices, given = list[Notice](), dict[Job, Job]()
    for job in videos:
        own = folder if len(videos) == 1 else folder / job.source.name
        if len(videos) > 1 and not own.exists():
            message = f"has no references ({own}): the model alone colors it"
            notices.append(Notice(message, topic="source", source=str(job.source)))
            continue
        check_references(find_references(own), job.source)
        given[job] = replace(job, references=own, discard_work=discard_work)
    if len(videos) < len(jobs):
        message = "--references is for videos; photographs are colored without"
        notices.append(Notice(message, topic="source"))
    return [given.get(job, job) for job in jobs], notices


def extraction_folders(jobs: Sequence[Job], folder: Path) -> list[tuple[Path, Path]]:
    """Return each video of JOBS with the folder in FOLDER for its reference frames."""
    from .video.source import open_video

    videos = _videos(jobs, "--extract-references")
    if not videos:
        raise ArgumentError("--extract-references is for videos; there is none")
    for job in videos:
        open_video(job.source).close()
    if len(videos) == 1:
        return [(videos[0].source, folder)]
    return [(job.source, folder / job.source.name) for job in videos]


def _videos(jobs: Sequence[Job], option: str) -> list[Job]:
    from .photo.reader import is_photo

    if any(job.source == PIPE for job in jobs):
        raise ArgumentError(f"{option} needs a file: standard input cannot be read twice")
    return [job for job in jobs if not is_photo(job.source)]


def plan(
    inputs: Sequence[Path],
    output: Path | None,
    *,
    overwrite: bool,
    recursive: bool,
    max_pixels: int | None = None,
    leave_out: Collection[Path] = (),
    on_note: Callable[[str], None] = lambda _: None,
) -> list[Job]:
    """Return the jobs for INPUTS: files, folders, globs, `-`; ArgumentError or InputError if none.

    MAX_PIXELS is the most that a photograph may have. Folders leave out the folders LEAVE_OUT, with
    whatever belongs to hints, references and unfinished films; ON_NOTE is told how many files.
    """
    if PIPE in (*inputs, output):
        if len(inputs) > 1 or inputs[0].is_dir() or (output is not None and output.is_dir()):
            raise ArgumentError("-: takes one file in and one out")
        return [Job(inputs[0], output or PIPE, overwrite, max_pixels)]
    sources = [
        (path, base)
        for given in inputs
        for path, base in _files_of(
            given, recursive=recursive, leave_out=leave_out, on_note=on_note
        )
    ]
    single_file = output is not None and len(sources) == 1 and inputs[0].is_file()
    if single_file and output is not None and not output.is_dir() and output.suffix:
        targets = [output]
    else:
        targets = [_target(path, base, output) for path, base in sources]
    for (source, _), target in zip(sources, targets, strict=True):
        if target.exists() and target.samefile(source):
            raise ArgumentError(f"{target}: is the input itself; give another -o")
    counted = Counter(target.resolve() for target in targets)
    targets = [  # film.flv and film.ts both become film.mkv
        target
        if counted[target.resolve()] == 1
        else target.with_name(f"{source.stem}_{source.suffix[1:]}{MARK}{target.suffix}")
        for (source, _), target in zip(sources, targets, strict=True)
    ]
    counted = Counter(target.resolve() for target in targets)
    twice = [target for target, count in counted.items() if count > 1]
    if twice:
        raise ArgumentError(f"{min(twice)}: two inputs would be written there; colorize them apart")
    return [
        Job(source, target, overwrite, max_pixels)
        for (source, _), target in zip(sources, targets, strict=True)
    ]


def _files_of(
    given: Path, *, recursive: bool, leave_out: Collection[Path], on_note: Callable[[str], None]
) -> list[tuple[Path, Path]]:
    """Return (file, the folder that its place below the output folder is relative to)."""
    if given.is_file():
        return [(given, given.parent)]
    if not given.is_dir():
        matching = [Path(name) for name in sorted(glob.glob(str(given), recursive=True))]  # noqa: PTH207  # Path.glob takes no absolute pattern
        if not matching:
            raise InputError(f"{given}: no such file or folder")
        files = [(path, path.parent) for path in matching if path.is_file()]
        if not files:
            raise InputError(f"{given}: matches folders alone; name them, or files in them")
        return files
    found = sorted(given.rglob("*") if recursive else given.iterdir())
    candidates = [
        path
        for path in found
        if path.suffix.lower() in PHOTO_SUFFIXES | VIDEO_SUFFIXES
        and not path.stem.endswith(MARK)  # results of an earlier run
        and not path.name.startswith(".")
        and path.is_file()
    ]
    reasons = {path: _reason_to_leave_out(path, given, leave_out) for path in candidates}
    counted = Counter(filter(None, reasons.values()))
    if counted:
        listed = ", ".join(f"{count} {reason}" for reason, count in sorted(counted.items()))
        on_note(f"{given}: left out {listed}")
    files = [(path, given) for path, reason in reasons.items() if not reason]
    if not files:
        raise InputError(f"{given}: no photographs or films in this folder")
    return files


def _reason_to_leave_out(path: Path, given: Path, leave_out: Collection[Path]) -> str:
    """Return what the file at PATH, below the folder GIVEN, is if it is no input; "" if it is."""
    if path.stem.endswith(OVERLAY_MARK):
        return f"named *{OVERLAY_MARK}.*"
    if _REFERENCE.match(path.name) and (path.parent / SCENES).is_file():
        return f"reference frames beside a {SCENES}"
    below = [parent for parent in path.parents if parent.is_relative_to(given) and parent != given]
    if any(parent.suffix == WORK_SUFFIX for parent in below):
        return "in work folders of films"
    for folder in leave_out:
        if any(parent.resolve() == folder.resolve() for parent in below):
            return f"in {folder}"
    return ""


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


def _target(source: Path, base: Path, output: Path | None) -> Path:
    folder = source.parent if output is None else output / source.parent.relative_to(base)
    suffix = source.suffix.lower()
    if suffix in VIDEO_SUFFIXES - _WRITABLE_VIDEOS:
        suffix = ".mkv"  # takes every codec that the others do
    elif suffix not in PHOTO_SUFFIXES | VIDEO_SUFFIXES:
        suffix = _suffix_by_content(source)
    else:
        suffix = source.suffix
    return folder / f"{source.stem}{MARK}{suffix}"


def _suffix_by_content(source: Path) -> str:
    from .photo.reader import is_photo

    return ".png" if is_photo(source) else ".mkv"
