"""The queue of films: one at a time, in a child process that may die without the page."""

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from typing import Any, Self

from ..errors import ColorizeError
from .jobs import BUSY, PLAYABLE, Job, Jobs, Progress
from .media import said
from .pipe import CanceledError, Child
from .probing import check_film
from .scenes import reference_frames

_SAVED_EVERY = 2.0  # seconds between progresses that are written to the disk
_SWEPT_EVERY = 3600.0  # seconds
_MOST_NOTICES = 100  # of a job


class Films:
    """Runs the queued jobs in the order in which they were queued; a context manager.

    Entering goes on with what an earlier server left queued or running. Leaving stops the child
    as Ctrl-C would: finished segments stay, and the job stays queued for the next server.
    """

    def __init__(self, jobs: Jobs) -> None:
        self.jobs = jobs
        self._news = threading.Condition()  # something was queued, or has ended
        self._closing = threading.Event()
        self._running: tuple[str, Child] | None = None
        self._unwanted: set[str] = set()  # jobs that were canceled before their child knew
        self._threads = [
            threading.Thread(target=work, daemon=True) for work in (self._work, self._sweep)
        ]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        with self._news:
            self._closing.set()
            self._news.notify_all()
            if self._running is not None:
                self._running[1].cancel()
        for thread in self._threads:
            thread.join()

    def queue(self, job: str, owner: str) -> Job:
        """Ask for a job to be run, or run on: of any state but queued and running.

        InputError if OWNER has no such job, or its film cannot be used; ArgumentError if it is
        queued or running, or its model is not on this server.
        """
        found = self.jobs.find(job, owner)
        self.jobs.model_of(found)
        self.jobs.check_source(found)
        check_film(found.source, found.name)
        with self.jobs.idle(job, owner):
            queued = self.jobs.update(
                job,
                state="queued",
                queued=time.time(),
                error=None,
                notices=(),
                progress=Progress(frames=0, total=found.progress.total),
            )
        self._tell()
        return queued

    def cancel(self, job: str, owner: str) -> Job:
        """Stop a job that is queued or running; its finished segments stay for `queue`.

        Returns at once: a running job becomes canceled when its child has said so. What is neither
        queued nor running stays as it is.
        """
        with self._news:
            found = self.jobs.find(job, owner)
            if found.state == "queued":
                found = self.jobs.update(job, state="canceled")
                self._news.notify_all()
            elif found.state == "running":
                self._unwanted.add(job)
                if self._running is not None and self._running[0] == job:
                    self._running[1].cancel()
            return found

    def wait(self, job: str, owner: str, timeout: float | None = None) -> Job:
        """Return the job once it is neither queued nor running, or as it is after TIMEOUT seconds.

        For programs and tests; the page asks `Jobs.find` from a timer.
        """

        def ended() -> bool:
            return self.jobs.find(job, owner).state not in BUSY

        with self._news:
            self._news.wait_for(ended, timeout)
        return self.jobs.find(job, owner)

    def _tell(self) -> None:
        with self._news:
            self._news.notify_all()

    def _work(self) -> None:
        while (job := self._next()) is not None:
            try:
                changes = self._run(job)
            except Exception as error:  # the queue must go on
                changes = {"state": "failed", "error": said(error, job.spoken)}
            with self._news:
                self._unwanted.discard(job.id)
                try:
                    self.jobs.update(job.id, **changes)
                except (ColorizeError, OSError):  # a full disk: it is told, and the queue goes on
                    self.jobs.update(job.id, save=False, **changes)
                self._news.notify_all()

    def _next(self) -> Job | None:
        """Wait for a queued job and return it, running; None when the server ends."""
        with self._news:
            self._news.wait_for(lambda: self._closing.is_set() or self.jobs.queue_of())
            if self._closing.is_set():
                return None
            # On the disk it stays queued, which means the same to the next server.
            return self.jobs.update(self.jobs.queue_of()[0].id, save=False, state="running")

    def _run(self, job: Job) -> dict[str, Any]:
        """Color a film in a child process and return what has become of its job."""
        self.jobs.check_source(job)
        task = {
            "task": "film",
            "lock": str(job.folder / "film.lock"),
            "model": str(self.jobs.model_of(job)),
            "source": str(job.source),
            "target": str(job.target),
            "playable": str(job.folder / PLAYABLE),
            "references": str(job.references) if reference_frames(job) else None,
            "settings": asdict(job.settings),
        }
        try:
            with Child(task, job.folder / "film.log") as child:
                self._set_running(job.id, child)
                try:
                    follow(self.jobs, job, child)
                finally:
                    self._set_running(job.id, None)
        except CanceledError:
            # A server that ends stops its child too, but that is nobody's wish for the film.
            return {"state": "canceled" if job.id in self._unwanted else "queued"}
        except ColorizeError as error:
            return {"state": "failed", "error": said(error, job.spoken)}
        for old in job.folder.glob(f"{job.target.stem}.*"):
            if old != job.target:  # of earlier settings
                old.unlink()
        return {"state": "done"}

    def _set_running(self, job: str, child: Child | None) -> None:
        with self._news:
            self._running = None if child is None else (job, child)
            if child is not None and (job in self._unwanted or self._closing.is_set()):
                child.cancel()

    def _sweep(self) -> None:
        while True:
            for sweep in (self.jobs.library.workspace.sweep, self.jobs.sweep):
                with suppress(ColorizeError, OSError):  # what cannot be deleted now is tried again
                    sweep()
            if self._closing.wait(_SWEPT_EVERY):
                return


def follow(jobs: Jobs, job: Job, child: Child, clock: Callable[[], float] = time.monotonic) -> None:
    """Keep the JOB of JOBS up to date with what its CHILD reports, until that is done.

    CanceledError or ChildError if it is not done; see `Child.events`.
    """
    notices, saved = list[str](), clock()
    for event in child.events():
        if event["event"] == "progress":
            facts = {name: value for name, value in event.items() if name != "event"}
            now = clock()
            save = now >= saved + _SAVED_EVERY
            saved = now if save else saved
            jobs.update(job.id, progress=Progress(**facts), save=save)
        elif event["event"] == "notice" and len(notices) < _MOST_NOTICES:
            notices.append(said(event["message"], job.spoken))
            jobs.update(job.id, notices=tuple(notices))
