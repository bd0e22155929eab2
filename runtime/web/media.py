"""Photographs and films that the page may read: uploads, and files below given folders.

Clients name them by opaque ids. No path comes from a client, and none goes to one.
"""

import base64
import hashlib
import hmac
import json
import os
import re
import stat
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import ArgumentError, InputError
from ..files import FRAME_SUFFIXES, is_pattern, numbered_files, whole_file
from ..inputs import Kind, kind_by_name
from .probing import check_film, check_photo
from .workspace import Workspace, is_id, link_or_copy, new_id

_SUFFIX = re.compile(r"\.[a-z0-9]{1,5}")
_MOST_NAME = 200  # characters that are kept of an upload's name
_FACTS = "medium.json"
_LEAST_FRAMES = 12  # of a film: half a second; fewer numbered pictures are photographs
_LOOK_AGAIN = 5.0  # seconds: unknown ids must not make the folders be read all the time
_UNKNOWN = "this photograph or film is not here any more; choose or upload it again"


@dataclass(frozen=True, kw_only=True)
class Medium:
    """A photograph or film."""

    id: str
    name: str  # for people: that of the upload, or below its folder; never used as a path
    kind: Kind  # of an upload by its content, of a file in a --media folder by its name
    size: int  # bytes
    path: Path  # for this server alone; of numbered frames their pattern, as f_%05d.png
    owner: str | None  # None: a file in a --media folder, which every user may read

    def public(self) -> dict[str, str | int]:
        """Return id, name, kind and size: what a client may know."""
        return {"id": self.id, "name": self.name, "kind": self.kind, "size": self.size}


class Library:
    """The media of one server; threads may share it."""

    def __init__(self, workspace: Workspace, folders: Sequence[Path] = ()) -> None:
        """FOLDERS are those of --media; ArgumentError if one is none."""
        for folder in folders:
            if not folder.is_dir():
                raise ArgumentError(f"--media {folder}: no such folder")
        self.workspace = workspace
        self._roots = tuple(folder.resolve() for folder in folders)
        self._found: dict[str, Medium] = {}  # of the folders, by id
        self._looked = -_LOOK_AGAIN
        self._lock = threading.Lock()

    def receive(self, path: str | Path, name: str, owner: str) -> Medium:
        """Take the uploaded file at PATH, which NAME names for people, for OWNER.

        The file must lie in the workspace's `incoming`, symlinks resolved; it is linked, not
        moved. InputError if it does not, or if its content is neither a photograph nor a film that
        can be read, or has more pixels than the runtime takes: one line for the page.
        """
        name = shown_name(name)
        upload = _regular_within(Path(path), (self.workspace.incoming.resolve(),))
        if upload is None:
            raise InputError(f"{name}: is no upload; upload it again")
        folder = self.workspace.media / new_id()
        folder.mkdir(mode=0o700)
        taken = folder / f"source{safe_suffix(name)}"
        link_or_copy(upload, taken)
        try:
            kind = _kind_of(taken, name)
        except InputError:
            taken.unlink()
            folder.rmdir()
            raise
        facts = {"name": name, "kind": kind, "owner": owner, "file": taken.name}
        with whole_file(folder / _FACTS) as part:
            part.write_text(json.dumps(facts))
        size = taken.stat().st_size
        return Medium(id=folder.name, name=name, kind=kind, size=size, path=taken, owner=owner)

    def listed(self) -> list[Medium]:
        """Return the photographs and films below the --media folders, by their names, sorted.

        A folder whose pictures are the numbered frames of a film is that film. Hidden files, and
        those that symlinks lead out of the folders, are left out.
        """
        found = {each.id: each for root in self._roots for each in self._below(root)}
        with self._lock:
            self._found, self._looked = found, time.monotonic()
        return sorted(found.values(), key=lambda each: each.name)

    def find(self, medium: str, owner: str) -> Medium:
        """Return the medium whose id is MEDIUM; InputError if there is none that OWNER may read.

        A file of a --media folder is checked anew: it must still lie in it, symlinks resolved.
        """
        if not is_id(medium):
            raise InputError(_UNKNOWN)
        found = self._upload(medium, owner) or self._in_folder(medium)
        if found is None:
            raise InputError(_UNKNOWN)
        return found

    def may_read(self, path: Path) -> bool:
        """Tell whether PATH, symlinks resolved, is a file in the workspace or a --media folder.

        Or the pattern of numbered frames that are.
        """
        return _may_be_read(path, (self.workspace.path.resolve(), *self._roots))

    def _upload(self, medium: str, owner: str) -> Medium | None:
        folder = self.workspace.media / medium
        try:
            facts = json.loads((folder / _FACTS).read_bytes())
            path = folder / facts["file"]
            size = path.stat().st_size
        except (OSError, ValueError):
            return None
        if facts["owner"] != owner:
            return None
        kind, name = facts["kind"], facts["name"]
        return Medium(id=medium, name=name, kind=kind, size=size, path=path, owner=owner)

    def _in_folder(self, medium: str) -> Medium | None:
        if medium not in self._found and time.monotonic() > self._looked + _LOOK_AGAIN:
            self.listed()
        found = self._found.get(medium)
        if found is None or not _may_be_read(found.path, self._roots):
            return None
        return found

    def _below(self, root: Path) -> Iterator[Medium]:
        for folder, names, files in os.walk(root):
            names[:] = sorted(name for name in names if not name.startswith("."))
            pattern, size = _film_of_frames(Path(folder), files)
            if pattern is not None:
                yield self._listed(pattern, Path(folder), root, "film", size)
                files = [name for name in files if not _is_frame(name)]
            for file in files:
                path = Path(folder, file)
                kind = None if file.startswith(".") else kind_by_name(path)
                real = kind and _regular_within(path, self._roots)
                if kind and real:
                    yield self._listed(real, path, root, kind, real.stat().st_size)

    def _listed(self, path: Path, shown: Path, root: Path, kind: Kind, size: int) -> Medium:
        """Return what lies at PATH and is called as SHOWN is below ROOT."""
        name = shown.relative_to(root.parent).as_posix().encode(errors="replace").decode()
        return Medium(id=self._id_of(path), name=name, kind=kind, size=size, path=path, owner=None)

    def _id_of(self, path: Path) -> str:
        digest = hmac.digest(self.workspace.secret, os.fsencode(path), hashlib.sha256)
        return base64.urlsafe_b64encode(digest[:16]).decode().rstrip("=")


def _kind_of(path: Path, name: str) -> Kind:
    """Return what the content at PATH is; InputError, which speaks of NAME, if it is unusable."""
    from ..photo.reader import is_photo

    if path.stat().st_size == 0:
        raise InputError(f"{name}: is empty")
    if is_photo(path):
        check_photo(path, name)
        return "photo"
    check_film(path, name)
    return "film"


def _regular_within(path: Path, roots: Sequence[Path]) -> Path | None:
    """Return PATH, symlinks resolved, if it is a regular file in one of ROOTS; else None."""
    try:
        real = path.resolve(strict=True)
        regular = stat.S_ISREG(real.stat().st_mode)  # neither a device nor a pipe
    except (OSError, RuntimeError, ValueError):  # RuntimeError: a circle; ValueError: a null byte
        return None
    return real if regular and any(real.is_relative_to(root) for root in roots) else None


def _is_frame(name: str) -> bool:
    return not name.startswith(".") and Path(name).suffix.lower() in FRAME_SUFFIXES


def _film_of_frames(folder: Path, names: Sequence[str]) -> tuple[Path | None, int]:
    """Return the pattern of the film whose frames lie in FOLDER, and their bytes; else None.

    NAMES are all in it. A gap, a link or another picture among them make it none.
    """
    from ..video.numbered import frames_of, pattern_of

    if sum(map(_is_frame, names)) < _LEAST_FRAMES:
        return None, 0
    try:
        pattern = pattern_of(folder)
        frames = frames_of(pattern)
    except (InputError, OSError):
        return None, 0
    sizes = _sizes(frames.values())
    return (pattern, sum(sizes)) if sizes else (None, 0)


def _sizes(files: Iterable[Path]) -> list[int]:
    """Return the sizes of FILES in bytes; nothing if one is no regular file, or a link."""
    try:
        facts = [os.lstat(file) for file in files]
    except OSError:
        return []
    regular = all(stat.S_ISREG(each.st_mode) for each in facts)
    return [each.st_size for each in facts] if regular else []


def _may_be_read(path: Path, roots: Sequence[Path]) -> bool:
    """Tell whether PATH, or each frame of the pattern that it is, lies itself in one of ROOTS."""
    if not is_pattern(path):
        return _regular_within(path, roots) == path
    folder = path.parent
    within = any(folder.is_relative_to(root) for root in roots) and folder.resolve() == folder
    return within and bool(_sizes(numbered_files(path).values()))


def shown_name(name: str) -> str:
    """Return the last part of NAME as one line of printable text, for people."""
    last = re.split(r"[/\\]", name)[-1]
    last = "".join(c if c.isprintable() else "_" for c in last).strip()
    if len(last) > _MOST_NAME:
        suffix = safe_suffix(last)
        last = last[: _MOST_NAME - len(suffix)] + suffix
    return last if last.strip(".") else "unnamed"


def safe_suffix(name: str) -> str:
    """Return the suffix of NAME where it is a plain one, such as .mp4; else nothing."""
    suffix = Path(name).suffix.lower()
    return suffix if _SUFFIX.fullmatch(suffix) else ""


def said(error: object, names: Mapping[Path, str]) -> str:
    """Return ERROR as one line in which NAMES stand for paths: for people elsewhere."""
    text = " ".join(str(error).split())
    for path in sorted(names, key=lambda each: -len(str(each))):
        text = text.replace(str(path), names[path])
    return text
