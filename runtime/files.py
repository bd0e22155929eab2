"""Write files whole or not at all; know files by their content."""

import hashlib
import os
import re
import secrets
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path

from .errors import InputError, OutputError

WORK_SUFFIX = ".parts"
"""Of the folder beside a film's target in which its finished segments wait."""
HEIF_SUFFIXES = frozenset([".heic", ".heif"])
PHOTO_SUFFIXES = HEIF_SUFFIXES | frozenset(
    [
        ".jpg",
        ".jpeg",
        ".jpe",
        ".jfif",
        ".png",
        ".webp",
        ".tif",
        ".tiff",
        ".bmp",
        ".gif",
        ".avif",
        ".jp2",
        ".ppm",
        ".pgm",
        ".pbm",
    ]
)
FRAME_SUFFIXES = PHOTO_SUFFIXES | {".dpx", ".exr", ".tga", ".j2k"}
"""Of numbered frames: those of photographs, and of what scanners of film write."""
REFERENCE_NAME = re.compile(r"ref_(\d+)(_hints)?\.(png|jpe?g|tiff?|webp)", re.IGNORECASE)
"""Names of reference frames: the frame's number, and whether it has strokes alone."""
SCENES_NAME = "scenes.json"
"""Of the list of scenes in a folder of reference frames."""
_NAME_BYTES = 255  # of a name in the file systems of today


_NUMBERED = re.compile(r"%(0\d+)?d")


def reference_name(frame: int) -> str:
    """Return the name of the reference for FRAME, counted from 0."""
    return f"ref_{frame:06}.png"


def is_pattern(path: Path) -> bool:
    """Tell whether PATH names numbered files, and no file that is really called so."""
    return numbered_name(path) and not path.exists()


def numbered_name(path: Path) -> bool:
    """Tell whether the name of PATH is one of numbered pictures, as FFmpeg's: f_%05d.png."""
    return bool(_NUMBERED.search(path.name)) and path.suffix.lower() in FRAME_SUFFIXES


def numbered_files(pattern: Path) -> dict[int, Path]:
    """Return the files that PATTERN names, by their numbers, in order."""
    start, end = _NUMBERED.split(pattern.name)[0], _NUMBERED.split(pattern.name)[-1]
    found = dict[int, Path]()
    names = pattern.parent.iterdir() if pattern.parent.is_dir() else ()
    for path in names:
        digits = path.name.removeprefix(start).removesuffix(end)
        if digits.isdecimal() and digits.isascii() and numbered(pattern, int(digits)) == path:
            found[int(digits)] = path
    return dict(sorted(found.items()))


def numbered(pattern: Path, number: int) -> Path:
    """Return the path of one file of PATTERN."""

    def digits(match: re.Match[str]) -> str:
        return f"{number:{match[1] or ''}}"

    return pattern.with_name(_NUMBERED.sub(digits, pattern.name, count=1))


def fitting(stem: str, end: str) -> str:
    """Return STEM, cut where STEM + END would be too long a name; cut ones differ as stems do."""
    room = _NAME_BYTES - len(os.fsencode(end))
    if len(os.fsencode(stem)) <= room:
        return stem
    mark = f"~{sha256(os.fsencode(stem))[:6]}"
    cut = os.fsencode(stem)[: room - len(mark)]
    return cut.decode(errors="ignore") + mark


def ffmpeg_url(path: Path) -> str:
    """Return PATH as FFmpeg takes it, which reads what stands before a colon as a protocol."""
    return f"file:{path}"


@contextmanager
def part_file(target: Path) -> Iterator[Path]:
    """Yield a hidden path beside TARGET to write to; whatever is left under it is deleted.

    The yielded name keeps TARGET's suffix, by which libraries choose a format. OutputError if the
    folder cannot be written to.
    """
    end = f".{secrets.token_hex(4)}.part{target.suffix}"
    part = target.with_name(f".{fitting(target.stem, f'.{end}')}{end}")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        part.touch(exist_ok=False)
    except OSError as error:
        raise OutputError(f"{target}: cannot write there ({error.strerror or error})") from error
    try:
        yield part
    except OSError as error:
        raise OutputError(f"{target}: cannot write it ({error.strerror or error})") from error
    finally:
        part.unlink(missing_ok=True)


@contextmanager
def whole_file(target: Path, *, lasting: bool = False) -> Iterator[Path]:
    """Yield a path as `part_file` does; it becomes TARGET only if nothing was raised.

    LASTING flushes it to the disk first, so that a power failure cannot leave it half written.
    """
    with part_file(target) as part:
        yield part
        if lasting:
            flush(part)
        part.replace(target)


def flush(path: Path) -> None:
    """Wait until the content of the file at PATH is on the disk."""
    with path.open("r+b") as file:  # Windows flushes only what is open for writing
        os.fsync(file.fileno())


def sha256(data: bytes | Path) -> str:
    """Return the SHA-256 of bytes or of a file's content as 64 hexadecimal digits."""
    if isinstance(data, bytes):
        return hashlib.sha256(data).hexdigest()
    with data.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def known_sha256(path: Path) -> str:
    """Return the SHA-256 of the file at PATH, read again only if the file has changed."""
    stat = path.stat()
    return _sha256_of(path, stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)


@lru_cache(maxsize=8)
def _sha256_of(path: Path, *_version: int) -> str:
    return sha256(path)


_HASHED = 1 << 20  # bytes at either end of a source; sound and index lie there, and size counts


def source_identity(source: Path) -> str:
    """Return what tells one file from another without reading it all; InputError if it is gone."""
    try:
        facts = source.stat()
        with source.open("rb") as file:
            digest = hashlib.sha256(file.read(_HASHED))
            file.seek(max(facts.st_size - _HASHED, 0))
            digest.update(file.read(_HASHED))
    except OSError as error:
        raise InputError(f"{source}: cannot be read ({error.strerror or error})") from error
    return f"{facts.st_size} bytes, {facts.st_mtime_ns}, {digest.hexdigest()}"


def fingerprint(content_hashes: Iterable[str]) -> str:
    """Return one name for a set of files: the same for the same contents, in whatever order."""
    return sha256("\n".join(sorted(set(content_hashes))).encode())[:32]


def photo_files(folder: Path) -> list[Path]:
    """Return the files below FOLDER named like photographs, sorted; hidden ones left out."""
    return sorted(
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in PHOTO_SUFFIXES
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
        and path.is_file()
    )
