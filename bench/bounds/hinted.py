"""What hints cost a photograph: three points, as a command and with the model loaded."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from ...runtime.colorizer import Colorizer
from ...runtime.photo.reader import read_photo
from ...runtime.photo.writer import write_photo
from ...runtime.steering.hints import Hints
from ..speed.cost import Cost, cost_of
from .cold_start import run_python

# Blossoms in the sample, as shares of its width and height; a radius, as one of the short side
_POINTS = ((0.69, 0.48), (0.15, 0.45), (0.37, 0.26))
_RADIUS, _COLOR = 0.016, "#e8a0b4"


@dataclass(frozen=True)
class HintedPhoto:
    """What a photograph cost in every repeat, without hints and with them, in turns."""

    width: int
    height: int
    command: tuple[Cost, ...]
    command_hinted: tuple[Cost, ...]
    loaded: tuple[Cost, ...]  # read, colored and written by a Colorizer that is ready
    loaded_hinted: tuple[Cost, ...]


def measure_hinted(
    model: Path, photo: Path, folder: Path, sizes: Sequence[tuple[int, int]], repeats: int
) -> list[HintedPhoto]:
    """Color PHOTO at SIZES (width, height), REPEATS times each way; files go into FOLDER."""
    return [_measured(model, photo, folder, size, repeats) for size in sizes]


def _measured(
    model: Path, photo: Path, folder: Path, size: tuple[int, int], repeats: int
) -> HintedPhoto:
    width, height = size
    source, target = folder / f"{width}x{height}.jpg", folder / "loaded.jpg"
    with Image.open(photo) as opened:
        opened.convert("RGB").resize(size).save(source, quality=92)
    points = [
        (round(x * width), round(y * height), _COLOR, max(1, round(_RADIUS * min(size))))
        for x, y in _POINTS
    ]
    output = folder / "command.jpg"
    run = ["-m", "colorize.runtime.cli", str(source), "-o", str(output), "--overwrite"]
    run += ["--model", str(model)]
    given = [
        word for x, y, color, radius in points for word in ("--hint", f"{x},{y},{color},{radius}")
    ]
    hints = Hints.points(points)
    command = _alternated(lambda: run_python(run), lambda: run_python([*run, *given]), repeats)
    with Colorizer(model, on_notice=lambda _: None) as colorizer:

        def whole(hints: Hints | None) -> None:
            write_photo(target, colorizer.photo(read_photo(source), hints=hints))

        loaded = _alternated(lambda: whole(None), lambda: whole(hints), repeats)
    return HintedPhoto(width, height, *command, *loaded)


def _alternated(
    plain: Callable[[], object], hinted: Callable[[], object], repeats: int
) -> tuple[tuple[Cost, ...], tuple[Cost, ...]]:
    """Return what both cost, after one untimed turn, in which files are read and networks made."""
    turns = [(cost_of(plain), cost_of(hinted)) for _ in range(repeats + 1)][1:]
    return tuple(one for one, _ in turns), tuple(other for _, other in turns)
