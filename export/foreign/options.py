"""The options of `--import`, gathered into one argument."""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ...runtime.command import refuse_given

if TYPE_CHECKING:
    from .signature import IOSignature


@dataclass(frozen=True)
class ImportOptions:
    """What the user said of another's colorizer."""

    file: Path
    takes: str | None
    takes_range: str | None
    gives: str | None
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
        takes: Any = self.takes
        gives: Any = self.gives
        return IOSignature(takes, takes_range, gives, gives_range, self.ab_scale)


_OPTIONS = (
    click.option(
        "--import",
        "import_file",
        type=click.Path(path_type=Path),
        metavar="FILE",
        help="Wrap another's colorizer: DDColor, siggraph17, eccv16 (.pth), or any ONNX file.",
    ),
    click.option(
        "--takes", type=click.Choice(["L", "gray-rgb"]), help="What that ONNX file takes,"
    ),
    click.option("--takes-range", metavar="LOW,HIGH|imagenet", help="as which values,"),
    click.option("--gives", type=click.Choice(["ab", "rgb"]), help="what it gives,"),
    click.option(
        "--gives-range", metavar="LOW,HIGH|imagenet", default="0,1", help="as which values of rgb,"
    ),
    click.option("--ab-scale", type=float, default=1.0, help="or ab divided by what (often 110)."),
    click.option(
        "--native-size",
        type=click.IntRange(1, 4096),
        default=256,
        show_default=True,
        help="Best short side of an ONNX file that takes any.",
    ),
    click.option(
        "--size-multiple",
        type=click.IntRange(1, 1024),
        default=32,
        show_default=True,
        help="Its sides must be multiples of this.",
    ),
    click.option("--license", default="unstated", help="Of the imported weights."),
    click.option("--source", default="unstated", help="Where they come from."),
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
