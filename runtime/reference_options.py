"""What colorize-run takes for the reference frames of films."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click
from rich.console import Console

from .command import refuse_given
from .guidance import extraction_folders
from .jobs import Job
from .outcomes import print_path
from .terminal import say_on

if TYPE_CHECKING:
    from .colorizer import Colorizer

Decorated = TypeVar("Decorated", bound=Callable[..., object])

_OPTIONS = (
    click.option(
        "--extract-references",
        type=click.Path(path_type=Path, file_okay=False),
        metavar="DIR",
        help="Film: color nothing, but write a frame of each scene, in color, to DIR to be "
        "repainted.",
    ),
    click.option(
        "--every",
        type=click.FloatRange(min=0, min_open=True),
        metavar="SECONDS",
        help="With --extract-references: more frames of long scenes, so far apart.",
    ),
    click.option(
        "--references",
        type=click.Path(path_type=Path, file_okay=False),
        metavar="DIR",
        help="Film: the frames ref_NNNNNN.png in DIR give their scenes the colors; for several "
        "films, those in DIR/FILM.",
    ),
    click.option(
        "--discard-work",
        is_flag=True,
        help="With --references: keep no segments for a run with other references.",
    ),
)


def reference_options(command: Decorated) -> Decorated:
    """Give COMMAND the options of reference frames."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def wanted_extractions(
    jobs: Sequence[Job], folder: Path | None, references: Path | None
) -> list[tuple[Path, Path]]:
    """Return each film of JOBS and where in FOLDER its frames go, none without a folder.

    ArgumentError for options that do not go with FOLDER and REFERENCES, or with their absence.
    """
    if folder is None:
        refuse_given(("every",), "goes with --extract-references")
    if references is None:
        refuse_given(("discard_work",), "goes with --references")
    if folder is None:
        return []
    refused = ("references", "output", "show", "as_json", "start", "duration", "dry_run")
    refuse_given(refused, "does not go with --extract-references")
    return extraction_folders(jobs, folder)


def extract(
    extractions: Sequence[tuple[Path, Path]],
    every: float | None,
    stream: int | None,
    colorizer: "Colorizer",
    terminal: Console,
) -> int:
    """Write the reference frames of each video to its folder."""
    for video, folder in extractions:
        made = colorizer.extract_references(video, folder, every, stream)
        line = f"{video}: {len(made.scenes)} scenes, {len(made.written)} reference frames written"
        if made.left:
            line += f"; {made.left} were there already and were left as they are"
        say_on(terminal, line)
        print_path(folder)
    return 0
