"""Numbered frames as a film: which files they are, opened as one."""

import re
from fractions import Fraction
from pathlib import Path

import av
import av.error
from av.container import InputContainer

from ..errors import InputError
from ..files import (
    FRAME_SUFFIXES,
    ffmpeg_url,
    numbered,
    numbered_files,
    sha256,
    source_identity,
)

FPS = Fraction(24)
"""Frames a second of numbered frames, which do not say: that of most films."""
_NUMBERED = re.compile(r"(.*?)(\d+)(\D*)")


def pattern_of(folder: Path) -> Path:
    """Return the pattern of the numbered pictures in FOLDER; InputError if they are no such row."""
    names = sorted(
        path.name
        for path in folder.iterdir()
        if path.suffix.lower() in FRAME_SUFFIXES and not path.name.startswith(".")
    )
    if not names:
        raise InputError(f"{folder}: no pictures in this folder; --as-film takes numbered ones")
    found = [parts for name in names if (parts := _parts(name))]
    rows = {(start, end) for start, _, end in found}
    if len(rows) != 1 or len(found) != len(names):
        raise InputError(
            f"{folder}: its pictures are not one numbered row; name it by a pattern, as f_%05d.png"
        )
    [(start, end)] = rows
    widths = {len(number) for _, number, _ in found}
    digits = f"0{widths.pop()}" if len(widths) == 1 else ""
    return folder / f"{start}%{digits}d{end}"


def pattern_name(frame: Path) -> str:
    """Return the pattern's name for numbered files of which FRAME is one, or an example."""
    parts = _parts(frame.name)
    if parts is None:
        return f"f_%05d{frame.suffix}"
    start, number, end = parts
    return f"{start}%0{len(number)}d{end}"


def _parts(name: str) -> tuple[str, str, str] | None:
    """Return NAME before its last number, that number, and the rest; None if it has none."""
    path = Path(name)  # suffixes may have digits: .jp2
    found = _NUMBERED.fullmatch(path.stem)
    return found and (found[1], found[2], found[3] + path.suffix)


def frames_of(pattern: Path) -> dict[int, Path]:
    """Return the files of PATTERN by their numbers; InputError if there is none, or one lacks."""
    files = numbered_files(pattern)
    if not files:
        raise InputError(f"{pattern}: no such frames")
    numbers = list(files)
    for number, present in zip(range(numbers[0], numbers[-1]), numbers, strict=False):
        if number != present:
            raise InputError(
                f"{numbered(pattern, number)}: is missing among the frames; put it back, or a copy "
                "of the frame before it in its place"
            )
    return files


def open_sequence(pattern: Path, rate: Fraction | None) -> InputContainer:
    """Open the frames of PATTERN as a film of RATE frames a second (default: FPS)."""
    first = next(iter(frames_of(pattern)))
    folder = str(pattern.parent / "x").removesuffix("x").replace("%", "%%")
    options = {"framerate": str(rate or FPS), "start_number": str(first)}
    try:
        return av.open(
            f"{ffmpeg_url(Path(folder))}/{pattern.name}", format="image2", options=options
        )
    except (av.error.FFmpegError, OSError, ValueError) as error:
        raise InputError(f"{pattern}: its frames cannot be read") from error


def sequence_identity(pattern: Path) -> str:
    """Return what tells the frames of PATTERN from others, without reading them all."""
    files = [*frames_of(pattern).values()]
    facts = [(path.name, path.stat().st_size, path.stat().st_mtime_ns) for path in files]
    ends = source_identity(files[0]), source_identity(files[-1])
    return f"{len(files)} frames, {sha256(repr((facts, ends)).encode())}"
