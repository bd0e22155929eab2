"""What is known of every photograph of a folder or tar, kept between trainings."""

import json
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import astuple, dataclass, replace
from pathlib import Path

from platformdirs import user_cache_path

from ...runtime.errors import InputError, OutputError
from ...runtime.files import sha256, whole_file
from .sources import PhotoFile, photographs

_FORMAT = "colorize-index-2"


@dataclass(frozen=True)
class Seen:
    """What one look at a photograph's bytes told."""

    sha256: str
    chroma: float | None  # mean over the picture, in units of ab; None if it is unreadable
    reason: str = ""
    tinted: bool = False  # in one hue, as sepia is


class Index:
    """Looks at every photograph of a folder or tar once; the next training reads what was seen."""

    def __init__(self, source: Path) -> None:
        """List the photographs of SOURCE; InputError if it is neither."""
        self.photographs = photographs(source)
        name = sha256(str(source.resolve()).encode())[:32]
        self._file = user_cache_path("colorize") / "photographs" / f"{name}.json"

    def look(self, at: Callable[[bytes], Seen]) -> Iterator[tuple[PhotoFile, Seen]]:
        """Yield every photograph with what AT says of its bytes, now or when it last changed."""
        known = self._read()
        seen = {}
        for photo in self.photographs:
            key = f"{photo.title} {photo.offset} {_stamp(photo.path)}"
            seen[key] = known[key] if key in known else _look_at(photo, at)
            yield replace(photo, sha256=seen[key].sha256), seen[key]
        if seen != known:
            self._write(seen)

    def _read(self) -> dict[str, Seen]:
        try:
            stored = json.loads(self._file.read_text())
            if stored["format"] != _FORMAT:
                return {}
            return {key: Seen(*values) for key, values in stored["seen"].items()}
        except (OSError, ValueError, KeyError, TypeError):
            return {}  # none yet, or damaged: it is made again

    def _write(self, seen: dict[str, Seen]) -> None:
        rows = {key: astuple(each) for key, each in seen.items()}
        # Without an index the next training only starts later.
        with suppress(OutputError), whole_file(self._file) as part:
            part.write_text(json.dumps({"format": _FORMAT, "seen": rows}))


def _stamp(path: Path) -> str:
    """Return what changes when the content of the file at PATH may have."""
    try:
        state = path.stat()
    except OSError:
        return ""
    return f"{state.st_size} {state.st_mtime_ns}"


def _look_at(photo: PhotoFile, at: Callable[[bytes], Seen]) -> Seen:
    try:
        data = photo.read()
    except InputError as error:
        return Seen("", None, str(error))
    return at(data)
