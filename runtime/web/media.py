"""Photographs and films that the page may read: uploads, and files below given folders.

Clients name them by opaque ids. No path comes from a client, and none goes to one.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from .workspace import Workspace

Kind = Literal["photo", "film"]


@dataclass(frozen=True, kw_only=True)
class Medium:
    """A photograph or film."""

    id: str
    name: str  # for people: that of the upload, or below its folder; never used as a path
    kind: Kind  # by its content, if it was opened; else by its name
    size: int  # bytes
    path: Path  # for this server alone
    owner: str | None  # None: a file in a --media folder, which every user may read

    def public(self) -> dict[str, str | int]:
        """Return id, name, kind and size: what a client may know."""
        raise NotImplementedError


class Library:
    """The media of one server; threads may share it."""

    def __init__(self, workspace: Workspace, folders: Sequence[Path] = ()) -> None:
        """FOLDERS are those of --media; ArgumentError if one is none."""
        raise NotImplementedError

    def receive(self, path: str | Path, name: str, owner: str) -> Medium:
        """Take the uploaded file at PATH, which NAME names for people, for OWNER.

        The file must lie in the workspace's `incoming`, symlinks resolved; it is linked, not
        moved. InputError if it does not, or if its content is neither a photograph nor a film that
        can be read, or has more pixels than the runtime takes: one line for the page.
        """
        raise NotImplementedError

    def listed(self) -> list[Medium]:
        """Return the photographs and films below the --media folders, by their names, sorted.

        Hidden files, and those that symlinks lead out of the folders, are left out.
        """
        raise NotImplementedError

    def find(self, medium: str, owner: str) -> Medium:
        """Return the medium whose id is MEDIUM; InputError if there is none that OWNER may read.

        A file of a --media folder is checked anew: it must still lie in it, symlinks resolved.
        """
        raise NotImplementedError
