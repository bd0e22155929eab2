"""The command colorize-bench: measures, writes the report, and tells what came of it."""

import io
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

from ..runtime.color import U8
from ..runtime.errors import InputError
from ..runtime.files import whole_file
from ..runtime.photo.contact_sheet import save_sheet, scaled
from .measure import measure
from .quality.dataset import open_data
from .quality.metrics import METRICS
from .report import compare
from .report.page import WallPhoto, build_page
from .report.results import PSNR_NOTE, read_document, to_json
from .report.tables import print_tables, tables, to_markdown
from .settings import Settings, find_models

_ALL_FAILED = 1
_SOME_FAILED = 3
_REGRESSION = 1
_WALL_HEIGHT = 180  # of a photograph on the wall, in pixels
_COLUMNS = ("{task.description}", BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())


def run(settings: Settings, terminal: Console) -> int:
    """Measure, write and print everything; return the command's exit code."""
    settings = settings.resolve()
    models = find_models(settings.models, settings.against)
    data = open_data(settings.data)
    for video in settings.videos:
        if not video.is_file():
            raise InputError(f"{video}: no such file")
    say = partial(terminal.print, soft_wrap=True, markup=False)
    with ExitStack() as stack:  # a folder that cannot be written to is refused at once
        names = ("results.json", "index.html", "results.md")
        parts = [stack.enter_context(whole_file(settings.output / name)) for name in names]
        with Progress(
            *_COLUMNS, console=terminal, transient=True, disable=not terminal.is_terminal
        ) as bars:
            results, wall = measure(settings, models, data, bars)
        document = results.document()
        texts = (to_json(document), build_page(document, wall), to_markdown(document))
        for part, text in zip(parts, texts, strict=True):
            part.write_text(text, encoding="utf-8")
    print_tables(tables(document), document["notes"])
    if settings.wall:
        save_sheet(settings.wall, [_decoded(photo) for photo in wall], abreast=2)
        say(f"pictures: {settings.wall}")
    for warning in results.warnings():
        say(f"warning: {warning}")
    for failure in results.failures():
        say(f"colorize-bench: {failure.backend}: {failure.error}")
    say(f"report: {settings.output / 'index.html'}")
    say(f"figures: {settings.output / 'results.json'}")
    if not results.failures():
        return 0
    return _SOME_FAILED if results.measured() else _ALL_FAILED


def compare_files(old: Path, new: Path, tolerance: float) -> int:
    """Print what changed from OLD to NEW, two results.json; return 1 on a regression, else 0."""
    changes, remarks = compare.compare(read_document(old), read_document(new), tolerance)
    if not changes:
        raise InputError(f"{old}, {new}: have nothing to compare ({'; '.join(remarks)})")
    regressions = sum(change.verdict == "regression" for change in changes)
    summary = f"{regressions} regressions among {len(changes)} figures"
    if any(change.figure == METRICS["psnr_db"].title for change in changes):
        remarks = [*remarks, PSNR_NOTE]
    print_tables([compare.compare_table(changes)], [*remarks, summary])
    return _REGRESSION if regressions else 0


def _decoded(photo: WallPhoto) -> list[U8]:
    pictures = []
    for jpeg in photo.pictures.values():
        with Image.open(io.BytesIO(jpeg)) as image:
            pictures.append(scaled(np.asarray(image), _WALL_HEIGHT))
    return pictures
