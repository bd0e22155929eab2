"""Tables of a results document: one description for the terminal, Markdown and the page."""

import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table as RichTable

from ..quality.metrics import METRICS
from .results import Document

Row = dict[str, Any]
_PIPED_WIDTH = 160  # where stdout is no terminal: wide enough that no cell is cut
NONE = "-"
_SPEED = {  # title, decimal places
    "batch": ("batch", 0),
    "p50_ms": ("p50 ms", 1),
    "p90_ms": ("p90 ms", 1),
    "p99_ms": ("p99 ms", 1),
    "spread_ms": ("IQR ms", 1),
    "pictures_per_second": ("img /s", 1),
    "load_ms": ("load ms", 0),
    "first_ms": ("first ms", 0),
    "peak_rss_mb": ("peak MB", 0),
    "joules_per_picture": ("J /img", 2),
    "to_device_ms": ("to GPU ms", 2),
    "compute_ms": ("on GPU ms", 2),
    "to_host_ms": ("back ms", 2),
    "device_peak_mb": ("GPU MB", 0),
    "device_joules_per_picture": ("GPU J /img", 3),
}
_ALWAYS = ("batch", "p50_ms", "p90_ms", "spread_ms", "pictures_per_second", "load_ms", "first_ms")


@dataclass(frozen=True)
class Cell:
    """A text, and the number it stands for, by which columns sort."""

    text: str
    value: float | None = None


@dataclass(frozen=True)
class Table:
    """Names on the left, then figures."""

    title: str
    names: tuple[str, ...]
    figures: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]


def tables(document: Document) -> list[Table]:
    """Return every table of DOCUMENT that has rows; speed has one for each model."""
    models = dict.fromkeys(row["model"] for row in document["speed"])
    return [
        quality_table(document),
        *(speed_table(document, model) for model in models),
        *([roofline_table(document)] if document["roofline"] else []),
        *(table for video in document["videos"] for table in video_tables(video)),
    ]


def quality_table(document: Document) -> Table:
    """Return a row for each candidate, and every figure that was measured."""
    data, rows = document["data"], document["quality"]
    shown = [
        name
        for name in METRICS
        if any(row["means"].get(name) is not None for row in rows if "means" in row)
    ]
    left_out = f" ({data['left_out_count']} left out)" if data["left_out_count"] else ""
    return Table(
        f"Quality on {data['name']}, photographs: {data['photos']}{left_out}, {data['protocol']}",
        ("model", "engine"),
        tuple(METRICS[name].title for name in shown),
        tuple(_quality_row(row, shown) for row in rows),
    )


def _quality_row(row: Row, shown: Sequence[str]) -> tuple[Cell, ...]:
    if "error" in row:
        return (Cell(row["model"]), Cell(row["backend"]), *[Cell("failed")] * len(shown))
    engine = engine_of(row) if row["backend"] else NONE
    figures = (_number(row["means"].get(name), METRICS[name].digits) for name in shown)
    return (Cell(row["title"]), Cell(engine), *figures)


def speed_table(document: Document, model: str | None = None) -> Table:
    """Return the rows of MODEL, or of all models with a column that names them."""
    rows = [row for row in document["speed"] if model in (None, row["model"])]
    timed = [row for row in rows if "error" not in row]
    shapes = list(dict.fromkeys(f"{row['height']}x{row['width']}" for row in timed))
    baselines = dict.fromkeys(row["baseline"] for row in timed if row["baseline"])
    shown = [
        name
        for name in _SPEED
        if name in _ALWAYS or any(row.get(name) is not None for row in timed)
    ]
    cells = [_speed_row(row, shown, several_shapes=len(shapes) > 1) for row in rows]
    runs = document["settings"]["runs"]
    return Table(
        f"Speed of {model or 'the network alone'} at {' and '.join(shapes) or NONE}, runs: {runs}",
        ("engine",) if model else ("model", "engine"),
        (*(_SPEED[name][0] for name in shown), f"vs {'/'.join(baselines) or 'baseline'}"),
        tuple(
            line if model else (Cell(row["model"]), *line)
            for row, line in zip(rows, cells, strict=True)
        ),
    )


def _speed_row(row: Row, shown: Sequence[str], *, several_shapes: bool) -> tuple[Cell, ...]:
    if "error" in row:
        return (Cell(row["backend"]), Cell("failed"), *[Cell(NONE)] * len(shown))
    figures = (_number(row.get(name), _SPEED[name][1]) for name in shown)
    speedup = row["speedup"]
    ratio = Cell(NONE) if speedup is None else Cell(f"{speedup:.2f}x", speedup)
    shape = f" {row['height']}x{row['width']}" if several_shapes else ""
    return (Cell(f"{engine_of(row)}{shape}"), *figures, ratio)


def engine_of(row: Row) -> str:
    """Return the engine of ROW and the precision that ran."""
    return f"{row['backend']} {row['precision']}"


def roofline_table(document: Document) -> Table:
    """Return how near each timed engine comes to the machine's limit."""
    return Table(
        "Roofline: operations against this machine's matrix product in the same precision",
        ("model", "engine"),
        ("batch", "GFLOP /picture", "GFLOP/s", "peak GFLOP/s", "reached %"),
        tuple(
            (
                Cell(row["model"]),
                Cell(engine_of(row)),
                *_numbers(row, batch=0, gflop=2, gflop_per_second=1, peak_gflop_per_second=1),
                _number(100 * row["share"], 0),
            )
            for row in document["roofline"]
        ),
    )


def video_tables(video: Row) -> list[Table]:
    """Return the speed, the stages and the colors of one film."""
    done = [row for row in video["speed"] if "error" not in row]
    stages = list(dict.fromkeys(stage for row in done for stage in row["stages"]))
    speed = Table(
        f"Film {video['name']}: the bound is transcoding alone + the network alone",
        ("model", "engine", "bound by"),
        ("frames", "wall s", "fps", "of bound %"),
        tuple(_video_row(row) for row in video["speed"]),
    )
    work = Table(
        f"Seconds of work on {video['name']}: stages overlap",
        ("model",),
        (*(f"{stage} s" for stage in stages), "transcode alone", "network alone"),
        tuple(
            (
                Cell(row["model"]),
                *(_number(row["stages"].get(stage), 1) for stage in stages),
                *_numbers(row, transcode_seconds=1, network_seconds=1),
            )
            for row in done
        ),
    )
    colors = Table(
        f"Colors of {video['name']}: whether they hold still",
        ("model",),
        ("frames", "CDC", "flicker ab", "temporal PSNR dB", "PSNR dB", "CF"),
        tuple(
            (
                Cell(row["model"]),
                *_numbers(row, frames=0, cdc=5, flicker=3),
                *_numbers(row, temporal_psnr_db=2, psnr_db=2, colorfulness=1),
            )
            for row in video["colors"]
        ),
    )
    given = [reference_table(video)] if video.get("references") else []
    return [speed, work, colors, *given]


def reference_table(video: Row) -> Table:
    """Return what a film looks like whose colors come from some of its own frames."""
    rows = video["references"]
    distances = list(dict.fromkeys(distance for row in rows for distance in row["cdc"]))
    return Table(
        f"Colors of {video['name']} from its own frames as references, on all others",
        ("model", "references"),
        ("PSNR dB", METRICS["ciede2000"].title, "flicker ab", *(f"CDC {n}" for n in distances)),
        tuple(
            (
                Cell(row["model"]),
                Cell(", ".join(map(str, row["references"])) or NONE),
                *_numbers(row, psnr_db=2, ciede2000=2, flicker=3),
                *(_number(row["cdc"].get(distance), 5) for distance in distances),
            )
            for row in rows
        ),
    )


def _video_row(row: Row) -> tuple[Cell, ...]:
    if "error" in row:
        return (Cell(row["model"]), Cell(row["backend"]), Cell("failed"), *[Cell(NONE)] * 4)
    return (
        Cell(row["model"]),
        Cell(engine_of(row)),
        Cell(row["bound_by"]),
        *_numbers(row, frames=0, seconds=1, fps=1),
        _number(100 * row["bound_share"], 0),
    )


def _number(value: float | None, digits: int) -> Cell:
    return Cell(NONE) if value is None else Cell(f"{value:.{digits}f}", value)


def _numbers(row: Row, **digits: int) -> list[Cell]:
    """Return the figures of ROW that are named, with so many decimal places."""
    return [_number(row[name], places) for name, places in digits.items()]


def print_tables(found: Iterable[Table], notes: Iterable[str]) -> None:
    """Print tables, and how to read them, on stdout."""
    width = None if sys.stdout.isatty() else _PIPED_WIDTH
    out = Console(width=width, highlight=False, markup=False, emoji=False)
    for table in found:
        out.print(_rich(table))
    for note in notes:
        out.print(note, soft_wrap=True)


def _rich(table: Table) -> RichTable:
    drawn = RichTable(
        title=table.title,
        title_justify="left",
        title_style="bold",
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),  # the speed table fits 80 columns
    )
    for name in table.names:
        drawn.add_column(name, overflow="fold")
    for figure in table.figures:
        drawn.add_column(figure.replace(" ", "\n"), justify="right", no_wrap=True)
    for row in table.rows:
        drawn.add_row(*(cell.text for cell in row))
    return drawn


def to_markdown(document: Document) -> str:
    """Return the tables of DOCUMENT for a README, with where they were measured."""
    machine = document["machine"]
    parts = []
    for table in tables(document):
        header = [*table.names, *table.figures]
        rule = ["---"] * len(table.names) + ["---:"] * len(table.figures)
        lines = [header, rule, *([cell.text for cell in row] for row in table.rows)]
        body = "\n".join(f"| {' | '.join(_plain(text) for text in line)} |" for line in lines)
        parts.append(f"**{_plain(table.title)}**\n\n{body}")
    where = f"{machine['cpu']}, {machine['cores']} cores, {document['created'][:10]}."
    notes = "\n".join(f"- {_plain(note)}" for note in [*document["warnings"], *document["notes"]])
    return "\n\n".join([*parts, notes, f"Measured on {where}"]) + "\n"


def _plain(text: str) -> str:
    return text.replace("|", r"\|").replace("\n", " ")
