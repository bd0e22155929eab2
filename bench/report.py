"""Results for people (tables on stdout) and for programs (one JSON document)."""

import json
import math
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from .latency import SpeedRow
from .machine import describe_machine
from .quality import Quality
from .subjects import Failure, Settings, Subject

SCHEMA = 1
"""Rises when a field of the JSON changes its meaning or goes away."""

PSNR_NOTE = "PSNR alone rewards grey pictures: read it together with colourfulness."
_FEW_RUNS = 100  # below it the 99th percentile lies between the two slowest runs
_PIPED_WIDTH = 160  # a file has no width, and cells must not be cut
_NONE = "-"


@dataclass(frozen=True)
class Results:
    """Everything that one call measured."""

    settings: Settings
    models: Sequence[Subject]
    quality: Quality
    speed: Sequence[SpeedRow | Failure]

    def failures(self) -> list[Failure]:
        """Return what could not be measured, each once: quality and speed often say the same."""
        rows = (*self.quality.rows, *self.speed)
        return list(dict.fromkeys(row for row in rows if isinstance(row, Failure)))

    def measured(self) -> bool:
        """Return whether any figure of any model was measured."""
        names = {model.name for model in self.models}
        return any(
            row.model in names and not isinstance(row, Failure)
            for row in (*self.quality.rows, *self.speed)
        )

    def warnings(self) -> list[str]:
        """Return one line for each model that was trained on the photographs it is measured on."""
        measured = self.quality.data_fingerprint
        return [
            f"{name}: trained on these very photographs (fingerprint {measured}), "
            "so its quality figures flatter it"
            for name, info in self.quality.infos.items()
            if info.data_fingerprint == measured
        ]

    def notes(self) -> list[str]:
        """Return how the figures must be read."""
        notes = [PSNR_NOTE]
        if self.settings.runs < _FEW_RUNS:
            notes.append(
                f"p99 of {self.settings.runs} runs lies between the two slowest; "
                f"--runs {_FEW_RUNS} or more makes it steady."
            )
        return notes

    def to_json(self) -> str:
        """Return the document, which ends in a newline."""
        quality = self.quality
        document = {
            "schema": SCHEMA,
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "machine": describe_machine(),
            "settings": asdict(self.settings),
            "data": {
                "name": quality.data_name,
                "fingerprint": quality.data_fingerprint,
                "photos": quality.photos,
                "grey_left_out": quality.grey,
                "unreadable": quality.unreadable,
            },
            "models": [self._model(model) for model in self.models],
            "quality": [_plain(row) for row in quality.rows],
            "speed": [_plain(row) for row in self.speed],
            "warnings": self.warnings(),
            "notes": self.notes(),
        }
        return json.dumps(document, indent=2, allow_nan=False) + "\n"

    def _model(self, model: Subject) -> dict[str, Any]:
        info = self.quality.infos.get(model.name)
        return {
            "name": model.name,
            "file": model.path.name,
            "sha256": model.sha256,
            "bytes": model.path.stat().st_size,
            "metadata": asdict(info) if info else None,
        }


def _plain(row: Any) -> dict[str, Any]:
    """Return a row for JSON, which has no infinity (the PSNR of a perfect answer)."""
    return {
        key: None if isinstance(value, float) and not math.isfinite(value) else value
        for key, value in asdict(row).items()
    }


def print_report(results: Results) -> None:
    """Print the tables of quality and speed, and how to read them, on stdout."""
    width = None if sys.stdout.isatty() else _PIPED_WIDTH
    out = Console(width=width, highlight=False, markup=False, emoji=False)
    out.print(_quality_table(results.quality))
    for model in results.models:
        rows = [row for row in results.speed if row.model == model.name]
        out.print(_speed_table(model.name, rows, results.settings.runs))
    for note in results.notes():
        out.print(note, soft_wrap=True)


def _table(title: str, names: Sequence[str], figures: Sequence[str]) -> Table:
    table = Table(
        title=title,
        title_justify="left",
        title_style="bold",
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),  # the speed of an engine fits 80 columns
    )
    for name in names:
        table.add_column(name, overflow="fold")
    for figure in figures:
        table.add_column(figure, justify="right", no_wrap=True)
    return table


def _quality_table(quality: Quality) -> Table:
    left_out = len(quality.grey) + len(quality.unreadable)
    title = f"Quality on {quality.data_name}, photographs: {quality.photos}"
    title += f" ({left_out} left out)" if left_out else ""
    table = _table(title, ["model", "engine"], ["PSNR dB", "colourfulness"])
    for row in quality.rows:
        if isinstance(row, Failure):
            table.add_row(row.model, row.backend, "failed", "failed")
        else:
            engine = f"{row.backend} {row.precision}" if row.backend else _NONE
            table.add_row(row.model, engine, _number(row.psnr_db, 2), _number(row.colourfulness, 1))
    return table


def _speed_table(model: str, rows: Sequence[SpeedRow | Failure], runs: int) -> Table:
    """Return one model's table; in one for all of them the figures would not fit a terminal."""
    shapes = {f" at {row.height}x{row.width}" for row in rows if isinstance(row, SpeedRow)}
    times = [f"{name}\nms" for name in ("p50", "p90", "p99")]
    table = _table(
        f"Speed of {model}{''.join(shapes)}, the network alone, runs: {runs}",
        ["engine"],
        ["batch", *times, "pictures\n/s", "vs ORT\nfp32", "load\nms", "first\nms"],
    )
    for row in rows:
        if isinstance(row, Failure):
            table.add_row(row.backend, _NONE, "failed")
            continue
        table.add_row(
            f"{row.backend} {row.precision}",
            str(row.batch),
            *(_number(value, 1) for value in (row.p50_ms, row.p90_ms, row.p99_ms)),
            _number(row.pictures_per_second, 1),
            _NONE if row.speedup is None else f"{row.speedup:.2f}x",
            _number(row.load_ms, 0),
            _number(row.first_ms, 0),
        )
    return table


def _number(value: float | None, digits: int) -> str:
    return _NONE if value is None else f"{value:.{digits}f}"
