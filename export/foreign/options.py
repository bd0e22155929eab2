"""The options of `--import`, gathered into one argument."""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ...runtime.command import refuse_given

if TYPE_CHECKING:
    from .signature import Gives, IOSignature, Takes


@dataclass(frozen=True)
class ImportOptions:
    """What the user said of another's colorizer."""

    file: Path
    takes: "Takes | None"
    takes_range: str | None
    gives: "Gives | None"
    gives_range: str
    ab_scale: float
    native_size: int
    size_multiple: int
    license: str
    source: str

    def signature(self) -> "IOSignature | None":
        """Return what an ONNX file takes and gives; None if neither was said."""
        from .signature import IOSignature, Range

        if self.takes is None and self.gives is None:
            return None
        if self.takes is None or self.gives is None:
            raise click.BadParameter("--takes and --gives belong together")
        default = "0,100" if self.takes == "L" else "0,1"
        try:
            takes_range = Range.parse(self.takes_range or default)
            gives_range = Range.parse(self.gives_range)
        except ValueError as error:
            raise click.BadParameter(f"a range is LOW,HIGH or imagenet ({error})") from error
        return IOSignature(self.takes, takes_range, self.gives, gives_range, self.ab_scale)


_OPTIONS = (
    click.option(
        "--import",
        "import_file",
        type=click.Path(path_type=Path),
        metavar="FILE",
        help="Import another colorizer: DDColor, siggraph17 or eccv16 (.pth), or any ONNX file.",
    ),
    click.option(
        "--takes", type=click.Choice(["L", "gray-rgb"]), help="Import: input of the ONNX file."
    ),
    click.option(
        "--takes-range",
        metavar="LOW,HIGH|imagenet",
        help="Import: range of its input. Default: 0,100 for L, else 0,1.",
    ),
    click.option(
        "--gives", type=click.Choice(["ab", "rgb"]), help="Import: output of the ONNX file."
    ),
    click.option(
        "--gives-range",
        metavar="LOW,HIGH|imagenet",
        default="0,1",
        help="Import: range of its rgb output.",
    ),
    click.option(
        "--ab-scale",
        type=float,
        default=1.0,
        help="Import: factor by which its ab output is multiplied, often 110.",
    ),
    click.option(
        "--native-size",
        type=click.IntRange(1, 4096),
        default=256,
        show_default=True,
        help="Import: best short side in pixels, of an ONNX file that takes any size.",
    ),
    click.option(
        "--size-multiple",
        type=click.IntRange(1, 1024),
        default=32,
        show_default=True,
        help="Import: number of which the sides of its input must be multiples.",
    ),
    click.option("--license", default="unstated", help="Import: license of the weights."),
    click.option("--source", default="unstated", help="Import: where the weights come from."),
)


def import_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options to COMMAND, which gets them as `foreign`: ImportOptions or None."""

    @functools.wraps(command)
    def gathered(import_file: Path | None, **others: Any) -> None:
        names = ImportOptions.__dataclass_fields__.keys() - {"file"}
        given = {name: others.pop(name) for name in names}
        if import_file is None:
            refuse_given(sorted(names), "belongs to --import FILE")
        command(foreign=ImportOptions(import_file, **given) if import_file else None, **others)

    decorated: Callable[..., None] = gathered
    for option in reversed(_OPTIONS):
        decorated = option(decorated)
    return decorated
