"""Shared by the tests of colorize-run: what lies in a folder."""

from pathlib import Path


def names_below(folder: Path) -> list[str]:
    """Return the files of any depth, as a/b.png."""
    found = (path for path in folder.rglob("*") if path.is_file())
    return sorted(path.relative_to(folder).as_posix() for path in found)
