"""Two results documents compared: what changed, and whether by more than noise."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import sqrt
from statistics import stdev
from typing import Any

from ..quality.metrics import METRICS
from .results import Document
from .tables import NONE, Cell, Row, Table

_COMPARED = tuple(name for name, metric in METRICS.items() if metric.better)
# How far one model's figure moves between machines and library versions, by the order of float
# sums and by bfloat16: a smaller change counts as none.
_FLOOR = {
    "psnr_db": 0.02,
    "ssim": 0.0005,
    "ciede2000": 0.02,
    "fid": 0.1,
    "fd_squeeze": 0.01,
    "colorfulness_delta": 0.2,
    "colorfulness_ddcolor_delta": 0.2,
}
_LPIPS_FLOOR = 0.0005
_NOTCH = 1.57  # McGill, Tukey & Larsen 1978: 95 % interval of a median, in IQR / sqrt(n)


@dataclass(frozen=True)
class Change:
    """One figure, before and after; NOISE is the size that a change must exceed to count."""

    model: str
    figure: str
    before: float | None  # None: it was not measured
    after: float | None
    noise: float
    worse: float  # the change in the bad direction

    @property
    def verdict(self) -> str:
        """Say regression, better, or same."""
        if self.before is None or self.after is None:
            return "regression" if self.after is None else "new"
        if abs(self.worse) <= self.noise:
            return "same"
        return "regression" if self.worse > 0 else "better"


def compare(old: Document, new: Document, tolerance: float) -> tuple[list[Change], list[str]]:
    """Return every change from OLD to NEW, and why something was not compared.

    Quality compares in pairs of photographs; speed by medians with notches, and beyond TOLERANCE,
    the share by which one machine's pace differs from day to day.
    """
    changes, remarks = [], []
    same_data = all(old["data"][key] == new["data"][key] for key in ("fingerprint", "protocol"))
    if same_data:
        changes += list(_quality(old, new))
    else:
        remarks.append("quality was not compared: other photographs or another protocol")
    same_machine = all(
        old["machine"].get(key, []) == new["machine"].get(key, [])
        for key in ("cpu", "cores", "gpus")
    )
    if same_machine:
        changes += list(_speed(old, new, tolerance))
    else:
        remarks.append("speed was not compared: another machine")
    return changes, remarks


def _quality(old: Document, new: Document) -> Iterator[Change]:
    def key(row: Row) -> str:
        return str(row.get("title", row["model"]))

    names = old["data"]["names"], new["data"]["names"]
    for title, (before, after) in _pairs(old["quality"], new["quality"], key).items():
        for figure in _COMPARED:
            was, now = (row and row.get("means", {}).get(figure) for row in (before, after))
            noise = worse = 0.0
            if was is not None and now is not None:
                noise = _FLOOR.get(figure, _LPIPS_FLOOR)
                noise += 2 * _paired_error(before["per_photo"], after["per_photo"], figure, names)
                worse = (was - now) * METRICS[figure].better
            if was is not None or now is not None:
                yield Change(title, METRICS[figure].title, was, now, noise, worse)


def _paired_error(before: Row, after: Row, figure: str, names: tuple[Any, Any]) -> float:
    """Return the standard error of the mean change over the photographs that both measured.

    Differences of colorfulness have no value for each photograph: that of colorfulness serves.
    """
    own = figure.removesuffix("_delta")
    was = dict(zip(names[0], before.get(own, []), strict=False))
    now = dict(zip(names[1], after.get(own, []), strict=False))
    changes = [
        now[name] - was[name]
        for name in was.keys() & now.keys()
        if was[name] is not None and now[name] is not None
    ]
    return stdev(changes) / sqrt(len(changes)) if len(changes) > 1 else 0.0


def _speed(old: Document, new: Document, tolerance: float) -> Iterator[Change]:
    def key(row: Row) -> str:
        if "error" in row:
            return f"{row['model']}, {row['backend']}"
        shape = f"{row['batch']}x{row['height']}x{row['width']}"
        return f"{row['model']}, {row['backend']} {row['precision']}, {shape}"

    for title, (before, after) in _pairs(old["speed"], new["speed"], key).items():
        was, now = (row and row.get("p50_ms") for row in (before, after))
        noise = worse = 0.0
        if was is not None and now is not None:
            notches = (_NOTCH * row["spread_ms"] / sqrt(row["runs"]) for row in (before, after))
            noise = tolerance * was + sqrt(sum(notch**2 for notch in notches))
            worse = now - was
        if was is not None or now is not None:
            yield Change(title, "p50 ms", was, now, noise, worse)


def _pairs(old: list[Row], new: list[Row], key: Callable[[Row], str]) -> dict[str, tuple[Any, Any]]:
    before, after = ({key(row): row for row in rows} for rows in (old, new))
    return {title: (before.get(title), after.get(title)) for title in (before | after)}


def compare_table(changes: list[Change]) -> Table:
    """Return the changes with their noise, regressions first."""
    order = {"regression": 0, "new": 1, "better": 2, "same": 3}
    ordered = sorted(changes, key=lambda change: order[change.verdict])
    return Table(
        "Changes, and the noise that one must exceed to count",
        ("row", "figure", "verdict"),
        ("before", "after", "change", "noise"),
        tuple(_line(change) for change in ordered),
    )


def _line(change: Change) -> tuple[Cell, ...]:
    before, after = change.before, change.after
    moved = None if before is None or after is None else after - before
    return (
        Cell(change.model),
        Cell(change.figure),
        Cell(change.verdict),
        *(_cell(value, "") for value in (before, after)),
        _cell(moved, "+"),
        Cell(f"±{change.noise:.4g}", change.noise),
    )


def _cell(value: float | None, sign: str) -> Cell:
    return Cell(NONE) if value is None else Cell(f"{value:{sign}.4g}", value)
