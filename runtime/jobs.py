"""From what the user names to what is done: one job a file, each with its own target."""

import glob
import io
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, cast

from .errors import ArgumentError, InputError
from .files import PHOTO_SUFFIXES
from .notices import Notice

if TYPE_CHECKING:
    from .colorizer import Colorizer
    from .photo.photo import Photo
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
PIPE = Path("-")
"""Stands for standard input and output."""


@dataclass(frozen=True)
class Job:
    """One file to colorize."""

    source: Path
    target: Path
    overwrite: bool
    max_pixels: int | None = None  # of a photograph; None: images.MAX_PIXELS

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
                video = cast(BinaryIO, Prefixed(content, sys.stdin.buffer))
                return self._video(colorizer, video, options, on_progress)
            content += sys.stdin.buffer.read()
        if is_photo(self.source, content):
            return self._photo(colorizer, content)
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
        report = colorizer.video(source, target, options, on_progress)
        stages = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in report.stages.items())
        frames = report.frames - report.resumed
        rate = frames / max(report.seconds, 1e-9)
        speed = f"{frames} frames in {report.seconds:.1f} s, {rate:.1f} fps ({stages})"
        return [Notice(speed, topic="speed", source=str(self.source))]

    def _check_target(self) -> None:
        if self.target.exists() and not self.overwrite:
            raise ArgumentError(f"{self.target}: exists; give --overwrite or another -o")

    def _photo(self, colorizer: "Colorizer", content: bytes | None) -> list[Notice]:
        return self.write(colorizer.photo(self.read(content)))

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
        lambda job: pixels_of(job.source), Job.read, lambda job, photo: job.write(photo)
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


def plan(
    inputs: Sequence[Path],
    output: Path | None,
    *,
    overwrite: bool,
    recursive: bool,
    max_pixels: int | None = None,
) -> list[Job]:
    """Return the jobs for INPUTS: files, folders, globs, `-`; ArgumentError or InputError if none.

    MAX_PIXELS is the most that a photograph may have.
    """
    if PIPE in (*inputs, output):
        if len(inputs) > 1 or inputs[0].is_dir() or (output is not None and output.is_dir()):
            raise ArgumentError("-: takes one file in and one out")
        return [Job(inputs[0], output or PIPE, overwrite, max_pixels)]
    sources = [
        (path, base) for given in inputs for path, base in _files_of(given, recursive=recursive)
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


def _files_of(given: Path, *, recursive: bool) -> list[tuple[Path, Path]]:
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
    files = [
        (path, given)
        for path in found
        if path.suffix.lower() in PHOTO_SUFFIXES | VIDEO_SUFFIXES
        and not path.stem.endswith(MARK)  # results of an earlier run
        and not path.name.startswith(".")
        and path.is_file()
    ]
    if not files:
        raise InputError(f"{given}: no photographs or films in this folder")
    return files


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
