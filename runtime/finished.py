"""Which results are finished: a record in the user's cache folder, so that a second run skips them.

A result is finished if it is the file that an earlier run wrote, from the same source, with the
same model, settings, hints and references.
"""

import json
import sqlite3
from collections.abc import Mapping
from contextlib import closing, suppress
from pathlib import Path

from platformdirs import user_cache_path

from .errors import InputError
from .files import is_pattern, sha256, source_identity
from .inputs import PIPE
from .jobs import Job

_MOST = 500_000  # results that are remembered, about 100 MB; the oldest are forgotten
_TABLE = "CREATE TABLE IF NOT EXISTS finished (target TEXT PRIMARY KEY, made TEXT, source TEXT)"


class FinishedJobs:
    """The record, for jobs that are done with SETTINGS; one that cannot be read is empty."""

    def __init__(self, settings: Mapping[str, object]) -> None:
        self._settings = {name: str(value) for name, value in settings.items()}
        self._file = user_cache_path("colorize") / "finished.sqlite"

    def __contains__(self, job: Job) -> bool:
        """Whether JOB's result is there and finished."""
        if job.target == PIPE:
            return False
        with suppress(sqlite3.Error, OSError, InputError), closing(self._open()) as record:
            row = record.execute(
                "SELECT made, source FROM finished WHERE target = ?", [_place(job.target)]
            ).fetchone()
            return bool(row == (_identity_of(job.target), self._identity(job)))
        return False

    def add(self, job: Job) -> None:
        """Remember JOB, which has just been done; without a cache folder nothing is remembered."""
        if job.target == PIPE or job.source == PIPE:
            return
        with suppress(sqlite3.Error, OSError, InputError), closing(self._open()) as record, record:
            row = [_place(job.target), _identity_of(job.target), self._identity(job)]
            record.execute("INSERT OR REPLACE INTO finished VALUES (?, ?, ?)", row)
            record.execute(
                "DELETE FROM finished WHERE rowid <= (SELECT max(rowid) FROM finished) - ?", [_MOST]
            )

    def _open(self) -> sqlite3.Connection:
        self._file.parent.mkdir(parents=True, exist_ok=True)
        record = sqlite3.connect(self._file, timeout=10)
        try:
            record.execute(_TABLE)
        except sqlite3.DatabaseError:
            record.close()
            raise
        return record

    def _identity(self, job: Job) -> str:
        """Return a hash of all that the result depends on."""
        files = [_identity_of(path) for path in job.sources()]
        facts = json.dumps([files, job.points, self._settings], sort_keys=True)
        return sha256(facts.encode())


def _identity_of(path: Path) -> str:
    """Return what tells a file, or numbered frames, from others; InputError if it is not there."""
    if not is_pattern(path):
        return source_identity(path)
    from .video.numbered import sequence_identity  # photographs do not wait for PyAV

    return sequence_identity(path)


def _place(target: Path) -> str:
    return str(target.resolve()).encode("utf-8", "backslashreplace").decode()
