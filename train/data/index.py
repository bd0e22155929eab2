"""What is known of every photograph of a folder or tar, kept between trainings."""

import json
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from platformdirs import user_cache_path

from ...runtime.errors import ArgumentError, OutputError
from ...runtime.files import PHOTO_SUFFIXES, photo_files, sha256, whole_file

_FORMAT = "colorize-index-1"


@dataclass(frozen=True)
class Seen:
    """What one look at a photograph's bytes told."""

    sha256: str
    chroma: float | None  # mean over the picture, in units of ab; None if it is unreadable
    reason: str = ""


@dataclass(frozen=True)
class Member:
    """One photograph of a source; its stamp changes when its content may have."""

    path: Path
    name: str
    stamp: str
    offset: int = 0
    length: int | None = None

    def read(self) -> bytes:
        """Return the encoded photograph."""
        with self.path.open("rb") as file:
            file.seek(self.offset)
            return file.read(-1 if self.length is None else self.length)


@dataclass(frozen=True)
class Source:
    """A folder of photographs, or a tar that is read in place."""

    path: Path
    members: tuple[Member, ...]

    @classmethod
    def at(cls, path: Path) -> "Source":
        """List the photographs at PATH; ArgumentError if it is neither a folder nor a tar."""
        return cls(path, tuple(_files(path) if path.is_dir() else _tarred(path)))


def _files(folder: Path) -> Iterator[Member]:
    for path in photo_files(folder):
        yield Member(path, str(path), _stamp(path))


def _tarred(path: Path) -> Iterator[Member]:
    try:
        stamp = _stamp(path)
        with tarfile.open(path, "r:") as tar:
            for entry in tar:
                if entry.isfile() and Path(entry.name).suffix.lower() in PHOTO_SUFFIXES:
                    name = f"{path}:{entry.name}"
                    yield Member(path, name, stamp, entry.offset_data, entry.size)
    except (tarfile.TarError, OSError) as error:
        raise ArgumentError(
            f"{path}: neither a folder nor an uncompressed tar ({error})"
        ) from error


def _stamp(path: Path) -> str:
    state = path.stat()
    return f"{state.st_size} {state.st_mtime_ns}"


class Index:
    """Looks at every photograph of a source once; the next training reads what was seen."""

    def __init__(self, source: Source) -> None:
        self.source = source
        name = sha256(str(source.path.resolve()).encode())[:32]
        self._file = user_cache_path("colorize") / "photographs" / f"{name}.json"

    def look(self, at: Callable[[bytes], Seen]) -> Iterator[tuple[Member, Seen]]:
        """Yield every member with what AT says of its bytes, now or when it was last changed."""
        known = self._read()
        seen = {}
        for member in self.source.members:
            key = f"{member.name} {member.offset} {member.stamp}"
            seen[key] = known[key] if key in known else _look_at(member, at)
            yield member, seen[key]
        if seen != known:
            self._write(seen)

    def _read(self) -> dict[str, Seen]:
        try:
            stored = json.loads(self._file.read_text())
            if stored["format"] != _FORMAT:
                return {}
            return {key: Seen(*values) for key, values in stored["seen"].items()}
        except (OSError, ValueError, KeyError, TypeError):
            return {}  # none yet, or damaged: made again

    def _write(self, seen: dict[str, Seen]) -> None:
        rows = {key: [each.sha256, each.chroma, each.reason] for key, each in seen.items()}
        try:
            with whole_file(self._file) as part:
                part.write_text(json.dumps({"format": _FORMAT, "seen": rows}))
        except OutputError:
            pass  # a home that cannot be written to costs time at the next start, nothing else


def _look_at(member: Member, at: Callable[[bytes], Seen]) -> Seen:
    try:
        data = member.read()
    except OSError as error:
        return Seen("", None, error.strerror or str(error))
    return at(data)
