"""index.html: one file that opens offline, with tables that sort, charts, and a wall of photos."""

import base64
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from matplotlib.ticker import LogLocator, MaxNLocator

from ..quality.candidates import GRAY, TRUTH
from ..quality.metrics import METRICS
from .results import Document
from .tables import Row, engine_of, quality_table, roofline_table, speed_table, video_tables

_TEMPLATE = Path(__file__).with_name("page.html")
_PLOTTED = ("lpips_squeeze", "ciede2000", "psnr_db")  # the first that was measured
_CURVES = ("psnr_db", "ciede2000", "lpips_squeeze", "lpips_alex", "lpips_vgg")
_CAPTION = ("psnr_db", "ciede2000", "lpips_squeeze", "colorfulness")
_COLORS = 6  # of the page's style sheet


@dataclass(frozen=True)
class WallPhoto:
    """One photograph on the wall: JPEGs by the candidate's title."""

    name: str
    pictures: Mapping[str, bytes]


@dataclass(frozen=True)
class Axis:
    """Maps values to pixels, and says where ticks stand."""

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def at(self, value: float) -> float:
        """Return the pixel of VALUE."""
        low, high, here = (self._scaled(v) for v in (self.low, self.high, value))
        return round(self.start + (here - low) / (high - low) * (self.end - self.start), 1)

    def _scaled(self, value: float) -> float:
        return math.log10(value) if self.log else value

    def ticks(self) -> list[tuple[float, str]]:
        """Return pixels and labels of round values: 1, 2, 5 and their tens."""
        low, high = sorted((self.low, self.high))
        locator = LogLocator(subs=(1, 2, 5)) if self.log else MaxNLocator(5, steps=(1, 2, 5, 10))
        return [(self.at(v), f"{v:g}") for v in locator.tick_values(low, high) if low <= v <= high]


def build_page(document: Document, wall: Sequence[WallPhoto]) -> str:
    """Return the whole page for DOCUMENT; it fetches nothing from the network."""
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATE.parent),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    speed = [speed_table(document)] if document["speed"] else []
    roof = [roofline_table(document)] if document["roofline"] else []
    return environment.get_template(_TEMPLATE.name).render(
        document=document,
        quality=quality_table(document),
        speed=[*speed, *roof],
        videos=[table for video in document["videos"] for table in video_tables(video)],
        scatter=scatter(document),
        strips=strips(document),
        curves=hint_curves(document),
        over_time=[plot for video in document["videos"] if (plot := psnr_over_time(video))],
        wall=_wall(wall, document),
    )


def scatter(document: Document) -> dict[str, Any] | None:
    """Return what the plot of speed against quality shows; None without points."""
    scored = [row for row in document["quality"] if "means" in row]
    [gray] = [row["means"] for row in scored if row["title"] == GRAY]
    figure = next(name for name in _PLOTTED if gray[name] is not None)
    timed = [row for row in document["speed"] if "error" not in row]
    first = [row for row in timed if row["batch"] == min(row["batch"] for row in timed)]
    points = [(row, value) for row in first if (value := _quality(row, scored, figure)) is not None]
    if not points:
        return None
    milliseconds = [row["p50_ms"] / row["batch"] for row, _ in points]
    values = [value for _, value in points] + [gray[figure]]
    margin = 0.15 * (max(values) - min(values)) or 0.1 * max(values)
    x = Axis(min(milliseconds) / 1.6, max(milliseconds) * 1.6, 70, 700, log=True)
    bottom, top = min(values) - margin, max(values) + margin
    y = Axis(bottom, top, 300, 20) if METRICS[figure].better > 0 else Axis(top, bottom, 300, 20)
    engines = _engines(document)
    return {
        "figure": METRICS[figure].title,
        "better": "higher" if METRICS[figure].better > 0 else "lower",
        "x_ticks": x.ticks(),
        "y_ticks": y.ticks(),
        "gray": y.at(gray[figure]),
        "points": [
            {
                "x": x.at(ms),
                "y": y.at(value),
                "color": engines[engine_of(row)],
                "model": row["model"],
                "label": f"{row['model']}, {engine_of(row)}",
                "text": f"{ms:.1f} ms a picture, {METRICS[figure].text(value)}",
            }
            for ms, (row, value) in zip(milliseconds, points, strict=True)
        ],
        "engines": engines,
    }


def _quality(timed: Row, scored: Sequence[Row], figure: str) -> float | None:
    """Return the FIGURE of the colors that belong to a row of speed.

    Colors are scored on one engine; rows of other precisions are shown with its figures.
    """
    own = [row for row in scored if all(row[key] == timed[key] for key in ("model", "size"))]
    own.sort(key=lambda row: (row["precision"] != timed["precision"], row.get("hints") or 0))
    value: float | None = own[0]["means"][figure] if own else None
    return value


def hint_curves(document: Document) -> list[dict[str, Any]]:
    """Return a plot of each figure against the number of hints; none where that does not vary."""
    scored = [row for row in document["quality"] if "means" in row]
    given = [row for row in scored if row.get("hints") is not None]
    counts = sorted({row["hints"] for row in given})
    if len(counts) < 2:
        return []
    names = list(dict.fromkeys(row["title"].rpartition(", hints: ")[0] for row in given))
    [gray] = [row["means"] for row in scored if row["title"] == GRAY]
    shown = [name for name in _CURVES if gray[name] is not None]
    return [_hint_curve(name, given, counts, names, gray[name]) for name in shown]


def _hint_curve(
    figure: str, given: Sequence[Row], counts: Sequence[int], names: Sequence[str], gray: float
) -> dict[str, Any]:
    values = [row["means"][figure] for row in given if row["means"][figure] is not None] + [gray]
    margin = 0.1 * (max(values) - min(values)) or 0.1 * max(values)
    x = Axis(counts[0] + 1, counts[-1] + 1, 80, 690, log=True)  # log(n + 1) has a place for none
    y = Axis(min(values) - margin, max(values) + margin, 300, 20)
    lines = {
        name: [
            {
                "x": x.at(row["hints"] + 1),
                "y": y.at(row["means"][figure]),
                "text": f"{row['title']}: {METRICS[figure].text(row['means'][figure])}",
            }
            for row in sorted(given, key=lambda row: int(row["hints"]))
            if row["title"].startswith(f"{name}, hints: ") and row["means"][figure] is not None
        ]
        for name in names
    }
    return {
        "figure": METRICS[figure].title,
        "better": "higher" if METRICS[figure].better > 0 else "lower",
        "x_ticks": [(x.at(count + 1), str(count)) for count in counts],
        "y_ticks": y.ticks(),
        "gray": y.at(gray),
        "lines": [
            {
                "name": name,
                "color": index % _COLORS,
                "path": " ".join(f"{point['x']},{point['y']}" for point in points),
                "points": points,
            }
            for index, (name, points) in enumerate(lines.items())
        ],
    }


def psnr_over_time(video: Row) -> dict[str, Any] | None:
    """Return a plot of PSNR against the frame, a line for each row of references; None without."""
    rows = video.get("references") or []
    values = [value for row in rows for value in row["psnr_by_frame"] if value is not None]
    if not values:
        return None
    frames = max(len(row["psnr_by_frame"]) for row in rows)
    x = Axis(0, max(frames - 1, 1), 80, 690)
    y = Axis(min(values) - 1, max(values) + 1, 300, 20)
    return {
        "name": video["name"],
        "x_ticks": x.ticks(),
        "y_ticks": y.ticks(),
        "lines": [
            {
                "name": _given(row),
                "color": index % _COLORS,
                "path": " ".join(
                    f"{x.at(frame)},{y.at(value)}"
                    for frame, value in enumerate(row["psnr_by_frame"])
                    if value is not None
                ),
            }
            for index, row in enumerate(rows)
        ],
    }


def _given(row: Row) -> str:
    if not row["references"]:
        return str(row["model"])
    return f"{row['model']}, references: {', '.join(map(str, row['references']))}"


def strips(document: Document) -> dict[str, Any] | None:
    """Return every timed run as a dot on one axis of milliseconds a picture; None without runs."""
    timed = [row for row in document["speed"] if "error" not in row]
    if not timed:
        return None
    samples = [[ms / row["batch"] for ms in row["samples_ms"]] for row in timed]
    x = Axis(min(map(min, samples)) / 1.15, max(map(max, samples)) * 1.15, 300, 880, log=True)
    engines = _engines(document)
    return {
        "ticks": x.ticks(),
        "height": 34 * len(timed) + 50,
        "rows": [
            {
                "y": 30 + 34 * index,
                "label": f"{row['model']}, {engine_of(row)}, batch {row['batch']}",
                "color": engines[engine_of(row)],
                "dots": [(x.at(ms), (i % 5) * 3 - 6) for i, ms in enumerate(own)],
                "median": x.at(row["p50_ms"] / row["batch"]),
                "text": f"p50 {row['p50_ms']:.1f} ms, spread {row['spread_ms']:.1f} ms",
            }
            for index, (row, own) in enumerate(zip(timed, samples, strict=True))
        ],
    }


def _engines(document: Document) -> dict[str, int]:
    """Return a color number for each engine, the same in all charts."""
    names = dict.fromkeys(engine_of(row) for row in document["speed"] if "error" not in row)
    return {name: index % _COLORS for index, name in enumerate(names)}


def _wall(wall: Sequence[WallPhoto], document: Document) -> dict[str, Any] | None:
    if not wall:
        return None
    titles = [title for title in wall[0].pictures if title not in (GRAY, TRUTH)]
    return {
        "titles": [GRAY, *titles, TRUTH],
        "right": titles[0] if titles else TRUTH,
        "photos": [
            {
                "name": photo.name,
                "figures": {
                    row["title"]: _caption(row, document["data"]["names"].index(photo.name))
                    for row in document["quality"]
                    if "means" in row
                },
                "pictures": {title: _data_uri(jpeg) for title, jpeg in photo.pictures.items()},
            }
            for photo in wall
        ],
    }


def _caption(row: Row, index: int) -> str:
    """Return the figures of one photograph of one row of quality."""
    values = {name: row["per_photo"].get(name, [None] * (index + 1))[index] for name in _CAPTION}
    return ", ".join(METRICS[name].text(v) for name, v in values.items() if v is not None)


def _data_uri(jpeg: bytes) -> str:
    return f"data:image/jpeg;base64,{base64.b64encode(jpeg).decode()}"
