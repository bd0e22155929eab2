"""Films to color, as folders on the disk: what a restart of the server must not lose.

A job's folder holds job.json, references/ with its reference frames, scenes/ with frames to paint,
and its result.
"""

import json
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal, get_args

from ..errors import ArgumentError, ColorizeError, InputError
from ..files import WORK_SUFFIX, is_pattern, numbered_files, whole_file
from ..inputs import MARK
from ..video.options import VideoOptions
from .media import Library, Medium, safe_suffix
from .pipe import Children
from .probing import check_film
from .workspace import DAY, is_id, link_or_copy, new_id, remove_folder

State = Literal["draft", "queued", "running", "done", "failed", "canceled"]
"""draft: being prepared, with its scenes looked at and painted; not asked to run yet."""

Container = Literal["mp4", "mkv", "mov", "webm"]

BUSY: tuple[State, ...] = ("queued", "running")
_FILE = "job.json"
_SOURCE = "source"  # the stem of a job's own link to an upload
_TARGET = "colored"
PLAYABLE = "playable.mp4"
"""Name of the copy of a result in a job's folder that browsers play."""
_MOST_JOBS = 500  # of one owner
_UNKNOWN = "this film is not in the list any more"


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How a film is colored; ArgumentError for values out of range."""

    model: str = "default"  # one of the names that the server knows
    size: int | None = None  # working size in pixels; None: the model's own
    saturation: float = 1.0  # 0..4
    stabilize: bool = True
    container: Container = "mp4"  # of the result; mp4 plays in browsers
    codec: str | None = None  # an FFmpeg encoder; None: the container's default
    crf: int | None = None
    preset: str | None = None
    segment_frames: int = VideoOptions.segment_frames  # a film that is stopped loses at most these

    def __post_init__(self) -> None:
        """Raise ArgumentError for what cannot be meant; the encoder finds the rest."""
        if not 0 <= self.saturation <= 4:
            raise ArgumentError(f"saturation is {self.saturation}; it must lie in 0..4")
        if self.size is not None and not 16 <= self.size <= 2048:
            raise ArgumentError(f"working size is {self.size}; it must lie in 16..2048")
        if not 1 <= self.segment_frames <= 100_000:
            raise ArgumentError(f"segments have {self.segment_frames} frames; give 1 to 100000")
        if self.container not in get_args(Container):
            known = ", ".join(get_args(Container))
            raise ArgumentError(f"container is {self.container!r}; it must be one of {known}")


@dataclass(frozen=True, kw_only=True)
class Progress:
    """How far a film is."""

    frames: int = 0  # finished, those of an earlier run too
    total: int | None = None  # None where the file does not tell
    resumed: int = 0  # of the frames, those that an earlier run had finished
    seconds: float = 0.0  # of this run
    stage: Literal["color", "copy"] = "color"  # copy: what browsers play is made of the result

    @property
    def fps(self) -> float:
        """Frames a second of this run; 0 before the first."""
        return (self.frames - self.resumed) / self.seconds if self.seconds > 0 else 0.0

    @property
    def eta(self) -> float | None:
        """Seconds until the end; None while nobody can tell."""
        if self.total is None or self.fps == 0:
            return None
        return max(self.total - self.frames, 0) / self.fps

    @property
    def share(self) -> float | None:
        """How much is done, 0..1; None where the total is not known."""
        return min(self.frames / self.total, 1.0) if self.total else None


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
    queued: float | None = None  # when; it decides the order
    position: int | None = None  # in the queue: 1 is the next

    @property
    def target(self) -> Path:
        """Where the result is, once the job is done."""
        return self.folder / f"{_TARGET}.{self.settings.container}"

    @property
    def playable(self) -> Path:
        """What browsers play: the result, or a copy where they do not know its codecs."""
        copy = self.folder / PLAYABLE
        return copy if copy.is_file() else self.target

    @property
    def download_name(self) -> str:
        """What the result is called when it is downloaded: NAME_colorized.EXT, without a folder."""
        name = self.name.rpartition("/")[2]
        # A folder of frames has a name of its own, in which a dot begins no suffix.
        stem = name if is_pattern(self.source) else name.removesuffix(Path(name).suffix) or name
        return f"{stem}{MARK}.{self.settings.container}"

    @property
    def references(self) -> Path:
        """Folder of its reference frames; not there before the first."""
        return self.folder / "references"

    @property
    def scenes(self) -> Path:
        """Folder of its scenes' frames."""
        return self.folder / "scenes"

    @property
    def previews(self) -> Path:
        """Folder of the clips of single scenes."""
        return self.folder / "previews"

    @property
    def spoken(self) -> dict[Path, str]:
        """What messages say in place of its paths."""
        frames = {self.source.parent: self.name} if is_pattern(self.source) else {}
        return frames | {
            self.source: self.name,
            self.target: self.download_name,
            self.references: "references",
            self.folder: "its folder",
        }

    def public(self) -> dict[str, Any]:
        """Return all that a client may know, as JSON: no path, no owner."""
        names = ("id", "name", "state", "created", "changed", "error", "position")
        now = self.progress
        return {
            **{name: getattr(self, name) for name in names},
            "notices": list(self.notices),
            "settings": asdict(self.settings),
            "progress": {**asdict(now), "fps": now.fps, "eta": now.eta, "share": now.share},
            "download_name": self.download_name,
        }


class Jobs:
    """The jobs of a workspace; threads may share it. A job is seen by its owner alone."""

    def __init__(self, library: Library, models: Mapping[str, str | Path]) -> None:
        """Read what is on the disk. MODELS are the names that settings may have, and their files.

        What was running is queued again: it goes on after its finished segments.
        """
        self.library, self.models = library, dict(models)
        self.unreadable: list[Path] = []
        """Folders of jobs that are damaged; they are left alone."""
        self.children = Children()
        """Who looks for scenes or makes previews."""
        self._folder = library.workspace.jobs
        self._lock = threading.RLock()
        self._jobs: dict[str, Job] = {}
        for folder in sorted(self._folder.iterdir()):
            job = _read(folder)
            if job is None:
                self.unreadable.append(folder)
            else:
                self._jobs[job.id] = job
                if job.state == "running":
                    self.update(job.id, state="queued")

    def create(self, medium: Medium, settings: Settings, owner: str) -> Job:
        """Make a draft for a film. InputError if it is no film, ArgumentError for the settings."""
        self._check(settings)
        if medium.kind != "film":
            raise InputError(f"{medium.name}: is a photograph; choose a film")
        check_film(medium.path, medium.name)  # in a folder it was known by its name alone
        if len(self.of(owner)) >= _MOST_JOBS:
            raise ArgumentError(f"{_MOST_JOBS} films are in your list; remove some of them first")
        job, now = new_id(), time.time()
        folder = self._folder / job
        folder.mkdir(mode=0o700)
        source = medium.path
        if medium.owner is not None:  # an upload, which goes after a day
            source = folder / f"{_SOURCE}{safe_suffix(medium.name)}"
            link_or_copy(medium.path, source)
        made = Job(
            id=job,
            owner=owner,
            name=medium.name,
            source=source,
            folder=folder,
            created=now,
            changed=now,
            settings=settings,
        )
        _write(made)
        with self._lock:
            self._jobs[job] = made
        return made

    def find(self, job: str, owner: str) -> Job:
        """Return the job whose id is JOB; InputError if OWNER has none of that id."""
        with self._lock:
            found = self._jobs.get(job) if is_id(job) else None
            if found is None or found.owner != owner:
                raise InputError(_UNKNOWN)
            return self._placed(found)

    def of(self, owner: str) -> Sequence[Job]:
        """Return the jobs of OWNER, the newest first."""
        with self._lock:
            own = [self._placed(job) for job in self._jobs.values() if job.owner == owner]
        return sorted(own, key=lambda job: -job.created)

    def configure(self, job: str, settings: Settings, owner: str) -> Job:
        """Give other settings to a job that is not queued or running; ArgumentError if it is."""
        self._check(settings)
        with self.idle(job, owner) as found:
            if found.settings == settings:
                return found
            return self.update(found.id, settings=settings)

    def delete(self, job: str, owner: str) -> None:
        """Remove a job with its folder and result; ArgumentError while it is queued or running.

        Who looks for its scenes, or makes a preview, is stopped first.
        """
        with self.idle(job, owner):
            pass  # others need not wait until they have stopped
        with self.children.stopped(job), self.idle(job, owner) as found:
            remove_folder(found.folder)
            del self._jobs[found.id]

    @contextmanager
    def idle(self, job: str, owner: str) -> Iterator[Job]:
        """Yield a job of OWNER that is neither queued nor running, and keep it so.

        InputError if there is none of that id, ArgumentError if it is busy.
        """
        with self._lock:
            found = self.find(job, owner)
            if found.state in BUSY:
                raise ArgumentError(f"{found.name}: is being colored; cancel it first")
            yield found

    def model_of(self, job: Job) -> str | Path:
        """Return the file of JOB's model; ArgumentError if the server has it no more."""
        self._check(job.settings)
        return self.models[job.settings.model]

    def queue_of(self) -> list[Job]:
        """Return the queued jobs of all owners, the next one first."""
        with self._lock:
            waiting = [job for job in self._jobs.values() if job.state == "queued"]
        return sorted(waiting, key=lambda job: (job.queued or 0, job.id))

    def update(self, job: str, *, save: bool = True, **changes: Any) -> Job:
        """Change fields of a job, whoever owns it, and return it; SAVE writes it to the disk."""
        with self._lock:
            now = replace(self._jobs[job], **changes, changed=time.time())
            if save:
                _write(now)
            self._jobs[job] = now
            return self._placed(now)

    def sweep(self, seconds: float = DAY) -> int:
        """Delete uploaded sources SECONDS after their jobs' last change; return how many.

        Results, references and settings stay, and so does the source of a job that is to run. What
        was canceled may be gone on with for a week.
        """
        now, deleted = time.time(), 0
        with self._lock:
            for job in self._jobs.values():
                own = job.source.parent == job.folder and job.source.exists()
                kept = seconds * (7 if job.state == "canceled" else 1)
                if own and job.state not in BUSY and _last_used(job) < now - kept:
                    job.source.unlink(missing_ok=True)
                    for parts in job.folder.glob(f".*{WORK_SUFFIX}"):
                        remove_folder(parts)
                    deleted += 1
        return deleted

    def check_source(self, job: Job) -> None:
        """Raise InputError unless the film of JOB is where it may be read."""
        frames = is_pattern(job.source)
        if not (numbered_files(job.source) if frames else job.source.exists()):
            raise InputError(f"{job.name}: is not here any more; upload or choose it again")
        if not self.library.may_read(job.source):
            raise InputError(f"{job.name}: lies in no folder that this page may read any more")

    def _check(self, settings: Settings) -> None:
        if settings.model not in self.models:
            known = ", ".join(self.models)
            raise ArgumentError(f"model {settings.model!r} is not on this server; it has {known}")

    def _placed(self, job: Job) -> Job:
        """Return JOB with its place in the queue."""
        if job.state != "queued":
            return job
        return replace(job, position=1 + [each.id for each in self.queue_of()].index(job.id))


def _last_used(job: Job) -> float:
    """Return when somebody last changed, painted or previewed JOB, in seconds since 1970."""
    folders = (job.references, job.scenes, job.previews)
    return max(job.changed, *(each.stat().st_mtime for each in folders if each.is_dir()), 0)


def _write(job: Job) -> None:
    own = job.source.parent == job.folder
    facts = {
        **asdict(job),
        "source": job.source.name if own else str(job.source),
    }
    for name in ("folder", "position"):
        del facts[name]
    with whole_file(job.folder / _FILE, lasting=True) as part:
        part.write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")


def _read(folder: Path) -> Job | None:
    """Return what `_write` wrote to FOLDER; None if it is damaged or of another kind."""
    try:
        facts = json.loads((folder / _FILE).read_text(encoding="utf-8"))
        known = {each.name for each in fields(Job)}
        if facts["id"] != folder.name or not facts.keys() <= known:
            return None
        if facts["state"] not in get_args(State):
            return None
        return Job(
            **{
                **facts,
                "folder": folder,
                "source": folder / facts["source"],  # an absolute one stays what it is
                "settings": Settings(**facts["settings"]),
                "progress": Progress(**facts["progress"]),
                "notices": tuple(facts["notices"]),
            }
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError, ColorizeError):
        return None
