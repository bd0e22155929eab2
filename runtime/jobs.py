"""From what the user names to what is done: one job a file, each with its own target."""

import io
import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, cast

from .errors import ArgumentError, InputError
from .files import numbered_files, numbered_name
from .inputs import PIPE, find_inputs, targets_of
from .notices import Notice

if TYPE_CHECKING:
    from .colorizer import Colorizer
    from .photo.photo import Photo
    from .steering.hints import Hints
    from .steering.references import Reference
    from .video.colorize import VideoProgress
    from .video.options import VideoOptions
    from .video.sinks import SegmentMaker


@dataclass(frozen=True)
class Job:
    """One file to colorize."""

    source: Path
    target: Path
    overwrite: bool
    max_pixels: int | None = None  # of a photograph; None: photo.reader.MAX_PIXELS
    overlay: Path | None = None  # hints painted over the photograph
    points: tuple[str, ...] = ()  # more hints, as --hint takes them; they lie over the overlay
    references: "Mapping[int, Reference] | None" = None  # of a video, by their frames
    discard_work: bool = False  # after success, even if they are kept for other references

    def run(
        self,
        colorizer: "Colorizer",
        options: "VideoOptions",
        on_progress: Callable[["VideoProgress"], None],
        helpers: "SegmentMaker | None" = None,
    ) -> list[Notice]:
        """Do it and return what is to be said at its end; COLORIZER tells the rest as it arises.

        A file is what its content says, not its name. HELPERS make the segments of a video.
        """
        from .photo.reader import is_photo
        from .video.y4m import SIGNATURE, Prefixed

        self.check_target()
        content: bytes | None = None
        video: Path | BinaryIO = self.source
        if self.source == PIPE:
            content = sys.stdin.buffer.read(len(SIGNATURE))
            if content == SIGNATURE:
                self._refuse_hints()
                video = cast(BinaryIO, Prefixed(content, sys.stdin.buffer))
                return self._video(colorizer, video, options, on_progress, helpers)
            content += sys.stdin.buffer.read()
        if is_photo(self.source, content):
            return self._photo(colorizer, content)
        self._refuse_hints()
        if content is not None:
            raise InputError("-: standard input is neither a picture known here nor y4m")
        return self._video(colorizer, video, options, on_progress, helpers)

    def _video(
        self,
        colorizer: "Colorizer",
        source: Path | BinaryIO,
        options: "VideoOptions",
        on_progress: Callable[["VideoProgress"], None],
        helpers: "SegmentMaker | None",
    ) -> list[Notice]:
        target = sys.stdout.buffer if self.target == PIPE else self.target
        report = colorizer.video(
            source,
            target,
            options,
            on_progress,
            references=self.references,
            keep_segments=self.references is not None and not self.discard_work,
            helpers=helpers,
        )
        stages = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in report.stages.items())
        frames = report.frames - report.resumed
        rate = frames / max(report.seconds, 1e-9)
        speed = f"{frames} frames in {report.seconds:.1f} s, {rate:.1f} fps ({stages})"
        times = {"seconds": report.seconds} | {
            f"{name.replace(' ', '_')}_seconds": seconds for name, seconds in report.stages.items()
        }
        figures: dict[str, float] = {"frames": frames, "resumed": report.resumed}
        figures |= {name: round(seconds, 3) for name, seconds in times.items()}
        return [Notice(speed, topic="speed", source=str(self.source), figures=figures)]

    def check(self, options: "VideoOptions") -> None:
        """Raise what is known to be wrong with a video before an engine is loaded for it."""
        from .photo.reader import is_photo

        if PIPE in (self.source, self.target) or is_photo(self.source):
            return
        from .video.options import VideoSettings
        from .video.sequence import sink_of
        from .video.source import Source

        source = Source.of(self.source, options)
        source.open().close()
        sink_of(self.target).check(source, VideoSettings(options=options))

    def sources(self) -> list[Path]:
        """Return the files that the result depends on."""
        files = [self.source] if self.overlay is None else [self.source, self.overlay]
        for reference in (self.references or {}).values():
            files += reference.files
        return files

    def check_target(self) -> None:
        """Raise ArgumentError if the result is there already and may not be overwritten."""
        there = self.target.exists() or (
            numbered_name(self.target) and bool(numbered_files(self.target))
        )
        if there and not self.overwrite:
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

        self.check_target()
        if self.target != PIPE and format_of(self.target.suffix) is None:
            raise ArgumentError(f"{self.target}: cannot write {self.target.suffix}; use .png")
        limit = MAX_PIXELS if self.max_pixels is None else self.max_pixels
        return read_photo(self.source, content, limit)

    def write(self, photo: "Photo") -> list[Notice]:
        """Write the colored photograph and return what is to be said of it."""
        from .photo.writer import encode_photo, pipe_format, write_photo

        if self.target == PIPE:
            whole = io.BytesIO()
            lost = encode_photo(whole, pipe_format(photo), photo, "-")
            sys.stdout.buffer.write(whole.getbuffer())
        else:
            lost = write_photo(self.target, photo)
        return self.lost(photo, lost)

    def lost(self, photo: "Photo", remarks: Sequence[str]) -> list[Notice]:
        """Return what is to be said of PHOTO, of whose writing there are REMARKS."""
        messages = [*photo.remarks, *remarks]
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
    from .photo.reader import pixels_of
    from .photo.stream import Steps, stream

    steps = Steps[Job, list[Notice]](
        lambda job: pixels_of(job.source),
        Job.read,
        lambda job, photo: job.write(photo),
        Job.hints,
    )
    for photos, group in groupby(jobs, is_streamed):
        if photos:
            yield from stream(colorizer, group, steps)
        else:
            yield from run_each(group, colorizer, options, on_progress)


def is_streamed(job: Job) -> bool:
    """Tell whether JOB is a photograph in a file, which may be done together with others."""
    from .photo.reader import is_photo

    return job.source != PIPE and is_photo(job.source)


def run_each(
    jobs: Iterable[Job],
    colorizer: "Colorizer",
    options: "VideoOptions",
    on_progress: Callable[[Job], Callable[["VideoProgress"], None]],
    helpers: "SegmentMaker | None" = None,
) -> Iterator[tuple[Job, "Future[list[Notice]]"]]:
    """Do the jobs one by one, as `run_all` does films; HELPERS make their segments."""
    for job in jobs:
        done: Future[list[Notice]] = Future()
        try:
            done.set_result(job.run(colorizer, options, on_progress(job), helpers))
        except Exception as error:  # the caller's to judge, as that of a photograph
            done.set_exception(error)
        yield job, done


RunAll = Callable[
    [
        Iterable[Job],
        "Colorizer",
        "VideoOptions",
        Callable[[Job], Callable[["VideoProgress"], None]],
    ],
    Iterator[tuple[Job, "Future[list[Notice]]"]],
]
"""What does jobs, as `run_all` does."""


def plan(
    inputs: Sequence[Path],
    output: Path | None,
    *,
    overwrite: bool,
    recursive: bool,
    max_pixels: int | None = None,
    as_film: bool = False,
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
    found = [
        source
        for given in inputs
        for source in find_inputs(
            given, recursive=recursive, as_film=as_film, leave_out=leave_out, on_note=on_note
        )
    ]
    return [
        Job(source.path, target, overwrite, max_pixels)
        for source, target in zip(found, targets_of(found, output), strict=True)
    ]
