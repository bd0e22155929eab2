"""Pictures of a training: loss curves, and a grid of validation photographs."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from ..runtime.color import U8
from ..runtime.files import whole_file

_GAP = 4


def save_curves(path: Path, log: Sequence[dict[str, float]]) -> None:
    """Draw every loss and measure of LOG over its steps as a PNG."""
    names = [
        n for n in dict.fromkeys(k for row in log for k in row) if n not in ("step", "seconds")
    ]
    columns = 3
    figure = Figure(figsize=(4 * columns, 3 * -(-len(names) // columns)), layout="constrained")
    FigureCanvasAgg(figure)
    for index, name in enumerate(names):
        axes = figure.add_subplot(-(-len(names) // columns), columns, index + 1)
        points = [(row["step"], row[name]) for row in log if name in row]
        axes.plot(*zip(*points, strict=True), marker=".")
        axes.set_title(name)
        axes.set_xlabel("step")
        axes.grid(alpha=0.3)
    with whole_file(path) as part:
        figure.savefig(part, dpi=100)


def save_grid(path: Path, rows: Sequence[Sequence[U8]]) -> None:
    """Save rows of equally large pictures (grey, prediction, truth) as a PNG, two rows abreast."""
    pairs = [
        [*rows[i], *(rows[i + 1] if i + 1 < len(rows) else ())] for i in range(0, len(rows), 2)
    ]
    size = rows[0][0].shape[0] + _GAP
    sheet = np.full((size * len(pairs), size * max(map(len, pairs)), 3), 255, np.uint8)
    for y, row in enumerate(pairs):
        for x, picture in enumerate(row):
            sheet[y * size :, x * size :][: size - _GAP, : size - _GAP] = picture
    with whole_file(path) as part:
        Image.fromarray(sheet).save(part)
