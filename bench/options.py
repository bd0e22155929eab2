"""What the options of several commands of the bench share: kinds of values, and whole options."""

from pathlib import Path

import click

DEFAULTS_SHOWN = {"show_default": True}
POSITIVE = click.IntRange(min=1)
PATH = click.Path(path_type=Path)
FILE = click.Path(path_type=Path, dir_okay=False)
lpips_weights = click.option(
    "--lpips-weights",
    multiple=True,
    type=PATH,
    help="torchvision's weights for LPIPS and FD-SqueezeNet1.1: a file or a folder; may be "
    "repeated.",
)
