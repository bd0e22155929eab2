"""Films to color, as folders on the disk: what a restart of the server must not lose.

A job's folder holds job.json, references/ with its reference frames, scenes/ with frames to paint,
and its result.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from .media import Medium
from .workspace import Workspace

State = Literal["draft", "queued", "running", "done", "failed", "canceled"]
"""draft: being prepared, with its scenes looked at and painted; not asked to run yet."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How a film is colored; ArgumentError for values out of range."""

    model: str = "default"  # one of the names that the server knows
    size: int | None = None  # working size in pixels; None: the model's own
    saturation: float = 1.0  # 0..4
    stabilize: bool = True
    container: Literal["mp4", "mkv", "mov", "webm"] = "mp4"  # of the result; mp4 plays in browsers
    codec: str | None = None  # an FFmpeg encoder; None: the container's default
    crf: int | None = None
    preset: str | None = None


@dataclass(frozen=True, kw_only=True)
class Progress:
    """How far a film is."""

    frames: int = 0  # finished, those of an earlier run too
    total: int | None = None  # None where the file does not tell
    resumed: int = 0  # of the frames, those that an earlier run had finished
    seconds: float = 0.0  # of this run

    @property
    def fps(self) -> float:
        """Frames a second of this run; 0 before the first."""
        raise NotImplementedError

    @property
    def eta(self) -> float | None:
        """Seconds until the end; None while nobody can tell."""
        raise NotImplementedError

    @property
    def share(self) -> float | None:
        """How much is done, 0..1; None where the total is not known."""
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class Job:
    """One film to color, as it stands now; what `Jobs` returns is never changed later."""

    id: str
    owner: str
    name: str  # the film's, for people
    source: Path  # for this server alone
    folder: Path  # for this server alone
    created: float  # seconds since 1970
    changed: float
    state: State = "draft"
    settings: Settings = field(default_factory=Settings)
    progress: Progress = field(default_factory=Progress)
    notices: tuple[str, ...] = ()  # of the last run
    error: str | None = None  # one line, if it failed
    position: int | None = None  # in the queue: 1 is the next

    @property
    def target(self) -> Path:
        """Where the result is, once the job is done."""
        raise NotImplementedError

    @property
    def download_name(self) -> str:
        """What the result is called when it is downloaded: NAME_colorized.EXT, without a folder."""
        raise NotImplementedError

    @property
    def references(self) -> Path:
        """Folder of its reference frames; not there before the first."""
        raise NotImplementedError

    def public(self) -> dict[str, Any]:
        """Return all that a client may know, as JSON: no path, no owner."""
        raise NotImplementedError


class Jobs:
    """The jobs of a workspace; threads may share it. A job is seen by its owner alone."""

    def __init__(self, workspace: Workspace, models: Mapping[str, str | Path]) -> None:
        """Read what is on the disk. MODELS are the names that settings may have, and their files.

        What was running is queued again: it goes on after its finished segments.
        """
        raise NotImplementedError

    def create(self, medium: Medium, settings: Settings, owner: str) -> Job:
        """Make a draft for a film. InputError if it is no film, ArgumentError for the settings."""
        raise NotImplementedError

    def find(self, job: str, owner: str) -> Job:
        """Return the job whose id is JOB; InputError if OWNER has none of that id."""
        raise NotImplementedError

    def of(self, owner: str) -> Sequence[Job]:
        """Return the jobs of OWNER, the newest first."""
        raise NotImplementedError

    def configure(self, job: str, settings: Settings, owner: str) -> Job:
        """Give other settings to a job that is not queued or running; ArgumentError if it is."""
        raise NotImplementedError

    def delete(self, job: str, owner: str) -> None:
        """Remove a job with its folder and result; ArgumentError while it is queued or running."""
        raise NotImplementedError
