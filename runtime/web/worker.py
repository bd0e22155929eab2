"""The child process of the web page: does one task, then ends. Not for people.

It goes on after nobody's death but its task's: if the server dies, it stops as by Ctrl-C.
"""

import os
import signal
import sys
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from ..command import without_converter
from ..errors import ColorizeError, OutputError
from ..notices import Notice
from .pipe import Reporter

_OPTIONS = ("codec", "crf", "preset", "stabilize", "segment_frames")
_NICE = 5  # the page must answer while films are colored
_OOM_SCORE, _FIRST_TO_GO = Path("/proc/self/oom_score_adj"), "500"
_WAIT = 120.0  # seconds for an earlier child, whose server died, to end


def color_film(task: dict[str, Any], reporter: Reporter) -> None:
    """Color the film that TASK names, going on after the segments that are finished."""
    from ..colorizer import Colorizer
    from ..video.colorize import VideoProgress
    from ..video.options import VideoOptions

    last: dict[str, Any] = {}

    def progress(now: VideoProgress) -> None:
        last.update(frames=now.frames, total=now.total, seconds=now.seconds, resumed=now.resumed)
        reporter.progress(**last)

    settings = task["settings"]
    options = VideoOptions(**{name: settings[name] for name in _OPTIONS})
    with Colorizer(
        task["model"],
        size=settings["size"],
        saturation=settings["saturation"],
        on_notice=reporter.notice,
    ) as colorizer:
        reporter.check()
        report = colorizer.video(
            task["source"],
            task["target"],
            options,
            progress,
            references=task["references"],
            cancel=reporter.cancel,
        )
    last["total"] = last["frames"] = report.frames
    with suppress(KeyboardInterrupt):  # the film is whole: that is no reason to color it again
        _copy_for_browsers(Path(task["target"]), Path(task["playable"]), report.frames, reporter)
    reporter.send("progress", **last)


def _copy_for_browsers(film: Path, target: Path, total: int, reporter: Reporter) -> None:
    """Make what browsers play of FILM, unless they play it as it is."""
    from av.error import FFmpegError

    from .playing import is_playable, write_playable

    target.unlink(missing_ok=True)  # that of an earlier run
    if is_playable(film):
        return
    began = time.monotonic()

    def progress(frames: int) -> None:
        reporter.check()
        seconds = time.monotonic() - began
        reporter.progress(frames=frames, total=total, seconds=seconds, stage="copy")

    try:
        write_playable(film, target, progress)
    except (ColorizeError, FFmpegError, OSError, ValueError) as error:
        said = f"browsers cannot play it, and no copy for them could be made ({error})"
        reporter.notice(Notice(said, topic="output", severity="warning"))


def _tasks() -> dict[str, Callable[[dict[str, Any], Reporter], None]]:
    from .previews import make_preview
    from .scenes import look_for_scenes

    return {"film": color_film, "scenes": look_for_scenes, "preview": make_preview}


def _reason(error: BaseException) -> str:
    """Return what ERROR says, without the advice on commands that a film's own error got."""
    cause = error.__cause__
    added = isinstance(cause, ColorizeError | MemoryError) and str(error).startswith(f"{cause};")
    return str(cause if added else error)


def main() -> int:
    """Do the task that stdin names and report on stdout; see pipe.py."""
    with suppress(ValueError):  # Ctrl-C is the server's: it tells its children
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    reporter = Reporter()
    task = reporter.read_task()
    if hasattr(os, "nice"):
        os.nice(_NICE)
    with suppress(OSError):  # where memory runs out, Linux ends this process, and not the server
        _OOM_SCORE.write_text(_FIRST_TO_GO)
    try:
        with without_converter(), FileLock(Path(task["lock"]), timeout=_WAIT):
            _tasks()[task["task"]](task, reporter)
    except KeyboardInterrupt as stopped:
        reporter.send("canceled", message=str(stopped))
    except Timeout:
        error = OutputError("an earlier run is still at work on it; try again in a minute")
        reporter.send("failed", message=str(error))
    except (ColorizeError, MemoryError) as error:
        reporter.send("failed", message=_reason(error) or "needs more memory than there is")
    except Exception as error:
        traceback.print_exc()  # to the log, beside the job
        reporter.send("failed", message=f"{type(error).__name__}: {error}")
    else:
        reporter.send("done")
        return 0
    return 1


if __name__ == "__main__":
    sys.exit(main())
