"""Loss curves."""

from collections.abc import Sequence
from pathlib import Path

from matplotlib.figure import Figure

from ..runtime.files import whole_file


def save_curves(path: Path, log: Sequence[dict[str, float]]) -> None:
    """Draw every loss and measure of LOG over its steps as a PNG."""
    names = dict.fromkeys(name for row in log for name in row if name not in ("step", "seconds"))
    columns, rows = 3, -(-len(names) // 3)
    figure = Figure(figsize=(4 * columns, 3 * rows), layout="constrained")
    for index, name in enumerate(names):
        axes = figure.add_subplot(rows, columns, index + 1)
        points = [(row["step"], row[name]) for row in log if name in row]
        axes.plot(*zip(*points, strict=True), marker=".")
        axes.set_title(name)
        axes.set_xlabel("step")
        axes.grid(alpha=0.3)
    with whole_file(path) as part:
        figure.savefig(part, dpi=100)
