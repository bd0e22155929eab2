"""Jobs done one after another, with their progress on a terminal."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from .errors import ColorizeError
from .finished import FinishedJobs
from .jobs import Job, run_all
from .notices import Notice
from .outcomes import Names, printable
from .video.options import VideoOptions

if TYPE_CHECKING:
    from .colorizer import Colorizer
    from .video.colorize import VideoProgress

NOTHING_PRODUCED = 1
SOME_FAILED = 3


def _show_video(bar: Progress, job: Job) -> Callable[["VideoProgress"], None]:
    """Return what shows a film's progress; the bar appears with the first frame."""
    task: TaskID | None = None

    def show(progress: "VideoProgress") -> None:
        nonlocal task
        if task is None:
            task = bar.add_task(job.source.name, rate="", total=progress.total)
        rate = f"{(progress.frames - progress.resumed) / max(progress.seconds, 1e-9):.1f} fps"
        bar.update(task, completed=progress.frames, rate=rate)

    return show


def say_on(terminal: Console, line: Notice | str) -> None:
    """Print LINE as one."""
    terminal.print(printable(line), soft_wrap=True, markup=False)


def run_jobs(
    jobs: Sequence[Job],
    colorizer: "Colorizer",
    options: VideoOptions,
    terminal: Console,
    finished: FinishedJobs,
    outcomes: Names,
    skipped: int,
) -> int:
    """Do JOBS, SKIPPED of which an earlier run did, and return the exit code.

    The error of a job that alone was asked for is raised.
    """
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed:.0f}/{task.total} {task.fields[rate]}"),
        TimeRemainingColumn(),
    )
    alone = len(jobs) + skipped == 1
    failed = 0
    with Progress(
        *columns, console=terminal, transient=True, disable=not terminal.is_terminal
    ) as bar:
        overall = bar.add_task("files", total=len(jobs), rate="", visible=len(jobs) > 1)
        for job, outcome in run_all(jobs, colorizer, options, partial(_show_video, bar)):
            try:
                notices = outcome.result()
                for notice in notices:
                    say_on(terminal, notice)
                finished.add(job)
                outcomes.done(job, notices)
            except Exception as error:  # one strange file must not stop all that follow it
                outcomes.failed(job, error)
                if alone:
                    code = error.exit_code if isinstance(error, ColorizeError) else NOTHING_PRODUCED
                    outcomes.end(code, colored=0, failed=1, skipped=0)
                    raise
                failed += 1
                say_on(terminal, f"colorize-run: {_said(job, error)}")
            bar.advance(overall)
    code = NOTHING_PRODUCED if failed == len(jobs) + skipped else SOME_FAILED if failed else 0
    if 0 < failed < len(jobs):
        terminal.print(f"{failed} of {len(jobs)} files failed")
    outcomes.end(code, colored=len(jobs) - failed, failed=failed, skipped=skipped)
    return code


def _said(job: Job, error: Exception) -> str:
    """Return the line about ERROR; one that is not ours names neither its file nor its kind."""
    if isinstance(error, ColorizeError):
        return str(error)
    return f"{job.source}: {type(error).__name__}: {error}"
