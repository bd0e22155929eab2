"""Shared by the tests of colorize-train: the command in this process, and what it logged."""

import csv
from pathlib import Path

from click.testing import CliRunner, Result

from colorize.train.cli import main

QUICK = ("--size", "32", "--batch-size", "8", "--steps", "3")


def train(*arguments: str) -> Result:
    return CliRunner().invoke(main, arguments)


def rows_of(folder: Path) -> list[dict[str, str]]:
    """Return the lines of the log in a run folder."""
    with (folder / "log.csv").open() as file:
        return list(csv.DictReader(file))
