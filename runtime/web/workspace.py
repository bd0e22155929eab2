"""The folder in which the web page keeps its jobs and uploads: one server at a time."""

import os
import re
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from filelock import FileLock, Timeout
from platformdirs import user_data_path

from ..errors import ArgumentError, OutputError
from ..files import whole_file

DAY = 24 * 3600.0  # seconds after which uploads go

_ID = re.compile(r"[A-Za-z0-9_-]{22}")
_SECRET_BYTES = 32


def default_workspace() -> Path:
    """Return the workspace where none is named: a folder among the user's data."""
    return user_data_path("colorize") / "web"


def new_id() -> str:
    """Return a name for a job or an upload that nobody can guess: 22 of A-Z a-z 0-9 - _."""
    return secrets.token_urlsafe(16)


def is_id(text: object) -> bool:
    """Tell whether TEXT has the form of what `new_id` returns, and so is safe as a file's name."""
    return isinstance(text, str) and _ID.fullmatch(text) is not None


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

    @cached_property
    def secret(self) -> bytes:
        """32 random bytes, the same in every run: from them the ids of media are made."""
        file = self.path / "secret"
        if not file.is_file() or file.stat().st_size != _SECRET_BYTES:
            with whole_file(file, lasting=True) as part:
                part.chmod(0o600)
                part.write_bytes(secrets.token_bytes(_SECRET_BYTES))
        return file.read_bytes()

    def sweep(self, seconds: float = DAY) -> int:
        """Delete uploads older than SECONDS and return how many files that were.

        A film's job has a link of its own to its source, which is kept as `Jobs.sweep` says.
        """
        before = time.time() - seconds
        deleted = 0
        for folder in (self.incoming, self.media):
            deleted += sum(_delete_old(path, before) for path in folder.iterdir())
        return deleted


def _delete_old(path: Path, before: float) -> int:
    """Delete what at PATH was put there BEFORE, seconds since 1970; return how many files."""
    try:
        if path.is_dir() and not path.is_symlink():
            deleted = sum(_delete_old(each, before) for each in path.iterdir())
            if path.stat().st_mtime < before and not any(path.iterdir()):
                path.rmdir()
            return deleted
        facts = path.lstat()
        # An upload keeps its own times where the file was linked, but not when that was done.
        if max(facts.st_mtime, facts.st_ctime) >= before:
            return 0
        path.unlink()
    except OSError:
        return 0  # somebody else was faster, or it will be tried again
    return 1


def remove_folder(path: Path) -> None:
    """Delete the folder PATH with all that is in it; OutputError if some of it stays."""
    try:
        shutil.rmtree(path)
    except FileNotFoundError:
        return
    except OSError as error:
        raise OutputError(f"{path}: cannot be deleted ({error.strerror or error})") from error


def link_or_copy(source: Path, target: Path) -> None:
    """Make TARGET the file SOURCE, without a copy where the disk can; OutputError if it is full."""
    try:
        try:
            os.link(source, target)
        except OSError:
            with whole_file(target) as part:
                shutil.copy2(source, part)
    except OSError as error:
        raise OutputError(f"{target}: cannot be written ({error.strerror or error})") from error


def made_workspace(path: Path) -> Workspace:
    """Make the folder PATH if need be, readable by this user alone; another may hold it.

    OutputError if it cannot be written.
    """
    workspace = Workspace(path.resolve())
    try:
        workspace.path.mkdir(parents=True, exist_ok=True, mode=0o700)
        for folder in (workspace.jobs, workspace.media, workspace.incoming):
            folder.mkdir(exist_ok=True, mode=0o700)
    except OSError as error:
        raise OutputError(f"{path}: cannot write there ({error.strerror or error})") from error
    return workspace


@contextmanager
def open_workspace(path: Path) -> Iterator[Workspace]:
    """Make the folder PATH if need be, readable by this user alone, and hold it.

    ArgumentError (exit code 2) if another server holds it, OutputError if it cannot be written.
    """
    workspace = made_workspace(path)
    lock = FileLock(workspace.path / "lock", timeout=0)
    try:
        lock.acquire()
    except Timeout as error:
        raise ArgumentError(
            f"{path}: another colorize-web is using this workspace; open its page, or give "
            "--workspace another folder"
        ) from error
    except OSError as error:
        raise OutputError(f"{path}: cannot write there ({error.strerror or error})") from error
    try:
        yield workspace
    finally:
        lock.release()
