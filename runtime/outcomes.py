"""What colorize-run writes to stdout: the names of results, or JSON lines for programs."""

import json
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from .inputs import PIPE
from .jobs import Job
from .notices import Notice

if TYPE_CHECKING:
    from .colorizer import Colorizer
    from .dry_run import Planned


def printable(line: Notice | str) -> str:
    """Return LINE as text of one line, whatever is in the names that it holds."""
    return str(line).encode(errors="backslashreplace").decode().replace("\n", "\\n")


class Names:
    """Writes the name of each result."""

    def start(self, model: str, colorizer: "Colorizer", files: int) -> None:
        """MODEL, as the user named it, is loaded; FILES are to be colored."""

    def notice(self, notice: Notice | str) -> None:
        """Something that the user should hear; a string is on no file in particular."""

    def done(self, job: Job, _notices: Sequence[Notice], /) -> None:
        """JOB is done, and these are its last notices."""
        if job.target != PIPE:
            print_path(job.target)

    def failed(self, job: Job, error: Exception) -> None:
        """JOB failed."""

    def planned(self, plan: "Planned") -> None:
        """In a dry run: what would become of a file."""
        for line in plan.lines:
            click.echo(printable(line))

    def summary(self, plans: "Sequence[Planned]") -> None:
        """In a dry run: these are all files."""
        from .dry_run import summary

        click.echo(summary(plans))

    def end(self, code: int, *, colored: int, failed: int, skipped: int) -> None:
        """All is done, and the command ends with CODE."""


class JsonLines(Names):
    """Writes one JSON object a line; run.schema.json beside this file describes them."""

    def start(self, model: str, colorizer: "Colorizer", files: int) -> None:
        """Write what colors the files."""
        engine = colorizer.engine
        _print_event(
            "start",
            model=model,
            backend=engine.name,
            device=engine.device,
            precision=engine.precision,
            working_size=colorizer.size,
            files=files,
        )

    def notice(self, notice: Notice | str) -> None:
        """Write NOTICE with all that it tells."""
        if isinstance(notice, str):
            _print_event("notice", message=notice, topic=None, severity="info")
        else:
            _print_event("notice", **asdict(notice))

    def done(self, job: Job, notices: Sequence[Notice], /) -> None:
        """Write the result's name and what is known of its making."""
        speed = [notice.figures for notice in notices if notice.topic == "speed"]
        for notice in notices:
            if notice.topic != "speed":
                self.notice(notice)
        _print_event(
            "file",
            source=str(job.source),
            target=str(job.target),
            error=None,
            figures=speed[0] if speed else None,
        )

    def failed(self, job: Job, error: Exception) -> None:
        """Write the error in the place of a result."""
        _print_event("file", source=str(job.source), target=None, error=_said(error), figures=None)

    def planned(self, plan: "Planned") -> None:
        """Write what would become of a file; `end` has how many would fail."""
        failing = plan.error is not None
        _print_event(
            "plan",
            source=str(plan.job.source),
            target=None if failing else str(plan.job.target),
            error=None if plan.error is None else _said(plan.error),
            estimate=None if failing else asdict(plan.cost),
            film=None
            if plan.size is None
            else {
                "width": plan.size[0],
                "height": plan.size[1],
                "frames": plan.frames,
                "scenes": [asdict(scene) for scene in plan.scenes],
            },
        )

    def summary(self, plans: "Sequence[Planned]") -> None:
        """Programs add up the estimates that they need."""

    def end(self, code: int, *, colored: int, failed: int, skipped: int) -> None:
        """Write how many files went which way."""
        _print_event("end", exit_code=code, colored=colored, failed=failed, skipped=skipped)


def _said(error: Exception) -> dict[str, str]:
    return {"kind": type(error).__name__, "message": str(error)}


def _print_event(kind: str, **fields: object) -> None:
    """Write a line at once, for programs that wait for it."""
    click.echo(json.dumps({"type": kind, **fields}))


def print_path(path: Path) -> None:
    """Print PATH to stdout, one that is no text as its bytes."""
    try:
        str(path).encode()
    except UnicodeEncodeError:
        name = os.fsencode(path)
        click.echo(name if hasattr(sys.stdout, "buffer") else name.decode(errors="replace"))
    else:
        click.echo(path)
