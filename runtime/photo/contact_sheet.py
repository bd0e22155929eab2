"""Pictures side by side, for people to compare."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from ..color import U8
from ..errors import OutputError
from ..files import whole_file

_GAP = 4  # white pixels between pictures


def scaled(rgb: U8, height: int) -> U8:
    """Resize 8-bit (H, W, 3) to HEIGHT rows, its aspect kept."""
    width = max(1, round(rgb.shape[1] * height / rgb.shape[0]))
    return np.asarray(Image.fromarray(rgb).resize((width, height), Image.Resampling.LANCZOS))


def save_sheet(path: Path, rows: Sequence[Sequence[U8]], *, abreast: int = 1) -> None:
    """Write rows of pictures (H, W, 3) as one picture, ABREAST rows beside each other."""
    lines = [
        [picture for row in rows[first : first + abreast] for picture in row]
        for first in range(0, len(rows), abreast)
    ]
    widths = [sum(picture.shape[1] + _GAP for picture in line) - _GAP for line in lines]
    heights = [max(picture.shape[0] for picture in line) for line in lines]
    sheet = np.full((sum(heights) + _GAP * (len(lines) - 1), max(widths), 3), 255, np.uint8)
    top = 0
    for line, height in zip(lines, heights, strict=True):
        left = 0
        for picture in line:
            sheet[top : top + picture.shape[0], left : left + picture.shape[1]] = picture
            left += picture.shape[1] + _GAP
        top += height + _GAP
    with whole_file(path) as part:
        try:
            Image.fromarray(sheet).save(part, quality=90)
        except ValueError as error:
            raise OutputError(f"{path}: no picture format has this suffix; use .png") from error
