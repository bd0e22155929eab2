"""The folder in which the web page keeps its jobs and uploads: one server at a time."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path


def default_workspace() -> Path:
    """Return the workspace where none is named: a folder among the user's data."""
    raise NotImplementedError


def new_id() -> str:
    """Return a name for a job or an upload that nobody can guess: 22 of A-Z a-z 0-9 - _."""
    raise NotImplementedError


def is_id(text: object) -> bool:
    """Tell whether TEXT has the form of what `new_id` returns, and so is safe as a file's name."""
    raise NotImplementedError


@dataclass(frozen=True)
class Workspace:
    """An open workspace, which is this process's alone."""

    path: Path

    @property
    def jobs(self) -> Path:
        """Folder with a folder for each job."""
        return self.path / "jobs"

    @property
    def media(self) -> Path:
        """Folder with a folder for each upload that was taken in."""
        return self.path / "media"

    @property
    def incoming(self) -> Path:
        """Folder into which the web server streams uploads: what GRADIO_TEMP_DIR must name."""
        return self.path / "incoming"

    @property
    def users(self) -> Path:
        """File of users and the hashes of their passwords; there only once a user was added."""
        return self.path / "users"

    @property
    def secret(self) -> bytes:
        """32 random bytes, the same in every run: from them the ids of media are made."""
        raise NotImplementedError

    def sweep(self, seconds: float = 24 * 3600) -> int:
        """Delete uploads older than SECONDS and return how many there were.

        A film's job has its own link to its source; that of a job that has ended goes too, as
        many seconds after its end, while its result stays.
        """
        raise NotImplementedError


@contextmanager
def open_workspace(path: Path) -> Iterator[Workspace]:
    """Make the folder PATH if need be, readable by this user alone, and hold it.

    ArgumentError (exit code 2) if another server holds it, OutputError if it cannot be written.
    """
    raise NotImplementedError
    yield
