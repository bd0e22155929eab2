"""What workers on Ray cost against one process, on films and photographs.

Example: python -m colorize.bench.cluster --height 720
"""

import json
import statistics
import tempfile
from contextlib import ExitStack
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
from rich.table import Table

from ...runtime.command import Command, console, require_extra
from ...runtime.files import whole_file
from ...runtime.models.catalog import DEFAULT_MODEL, find_model
from ...runtime.notices import Notice
from ...runtime.video.options import VideoOptions
from ..machine import describe_machine
from ..options import DEFAULTS_SHOWN, FILE, POSITIVE
from .material import copy_photos, make_cut_film
from .measure import ALONE, Throughput, open_ways

FILM_BOUND, PHOTO_BOUND = 0.90, 0.95
"""Least throughput of as many workers as one process has threads, over that of the process."""
TWICE_BOUND = 0.12
"""Most of the workers' time on a film that is spent before frames of their own."""
_BEYOND = 1


@click.command(
    cls=Command, name="python -m colorize.bench.cluster", context_settings=DEFAULTS_SHOWN
)
@click.option("--model", default=DEFAULT_MODEL, help="A bundled model or an ONNX file.")
@click.option(
    "--workers",
    type=POSITIVE,
    multiple=True,
    default=(1, 2),
    help="Workers, of one thread each; may be repeated.",
)
@click.option("--threads", type=POSITIVE, default=2, help="Of the engine in one process.")
@click.option("--height", type=click.IntRange(min=64), default=720, help="Height of the film.")
@click.option("--frames", type=POSITIVE, default=6000, help="Length of the film.")
@click.option("--scene", type=float, default=5.0, help="Seconds between its cuts.")
@click.option("--photos", type=click.IntRange(min=0), default=2000, help="Photographs; 0: none.")
@click.option("--codec", help="The film's encoder. Default: that of colorize-run.")
@click.option("--preset", help="The encoder's preset. Default: that of colorize-run.")
@click.option("--repeats", type=POSITIVE, default=3, help="Repetitions; the median counts.")
@click.option(
    "-o", "--output", type=FILE, default="cluster.json", help="File for the figures, as JSON."
)
def main(
    model: str,
    workers: tuple[int, ...],
    threads: int,
    height: int,
    frames: int,
    scene: float,
    photos: int,
    codec: str | None,
    preset: str | None,
    repeats: int,
    output: Path,
) -> int:
    """Compare workers of a Ray cluster on this machine with one process.

    All ways take turns. Starting Ray and the workers is not counted. The encoder takes as many
    threads in each way as it wants: the same number.

    Exit codes: 0 all within their bounds, 1 one is beyond, 2 bad arguments.

    Example: python -m colorize.bench.cluster --height 720 --frames 3000 --photos 500
    """
    require_extra("cluster", ["ray"])
    terminal = console()

    def say(line: Notice | str) -> None:
        terminal.print(str(line), markup=False)

    with whole_file(output) as part, ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        film = make_cut_film(folder / "film.mp4", height, frames, scene)
        options = VideoOptions(codec=codec, preset=preset)
        ways = open_ways(stack, find_model(model), workers, threads, options, say)
        out = folder / "colored"
        warm = copy_photos(folder / "warm", 16 * max(workers))
        ways.measure("warm-up", warm, out, 1)  # engines prepare at their first call
        measured = [ways.measure(f"film of {height} lines", [film], out, repeats)]
        if photos:
            sources = copy_photos(folder / "photos", photos)
            measured.append(ways.measure("photographs", sources, out, repeats))
        document: dict[str, Any] = {
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "machine": describe_machine(),
            "model": model,
            "threads": threads,
            "measured": [asdict(each) for each in measured],
        }
        part.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    table = Table("", "way", "a second", "of one process", "done twice")
    for each in measured:
        for way in each.costs:
            table.add_row(*_row(each, way))
    terminal.print(table)
    lines = [line for each in measured for line in _judged(each, threads)]
    for line in lines:
        click.echo(line)
    click.echo(output)
    return _BEYOND if any("BEYOND" in line for line in lines) else 0


def _row(measured: Throughput, way: str) -> tuple[str, ...]:
    wall = statistics.median(cost.wall for cost in measured.costs[way])
    ratio = statistics.median(measured.ratios(way))
    twice = measured.done_twice.get(way)
    share = f"{statistics.median(twice):.1%}" if twice else "-"
    return measured.what, way, f"{measured.count / wall:.1f}", f"{ratio:.3f}", share


def _judged(measured: Throughput, threads: int) -> list[str]:
    """Return a line for each bound."""
    film = bool(measured.done_twice)
    lines = []
    way = f"{threads} workers"
    if way in measured.costs:
        bound, ratio = FILM_BOUND if film else PHOTO_BOUND, measured.ratios(way)
        value = statistics.median(ratio)
        spread = f"({min(ratio):.3f} to {max(ratio):.3f})"
        verdict = "within" if value >= bound else "BEYOND"
        lines.append(
            f"{measured.what}, {way} over {ALONE}: {value:.3f} {spread}, {verdict} the bound "
            f"{bound:g}"
        )
    for own, shares in measured.done_twice.items():
        value = statistics.median(shares)
        verdict = "within" if value <= TWICE_BOUND else "BEYOND"
        lines.append(
            f"{measured.what}, {own}, work done twice: {value:.3f}, {verdict} the bound "
            f"{TWICE_BOUND:g}"
        )
    return lines


if __name__ == "__main__":
    main()
