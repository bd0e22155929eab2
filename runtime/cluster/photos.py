"""The head's side of photographs: chunks go out, results come back and are written here."""

from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace

from ..errors import ColorizeError, EngineError
from ..files import whole_file
from ..jobs import Job
from ..notices import Notice, OnNotice
from .crew import Crew, Lost
from .photo_worker import glance
from .tasks import Failed, PhotoDone, PhotoTask

_MOST_PHOTOS = 32  # in a chunk
_CHUNKS = 4  # a worker, so that none is left with a long one at the end
_MOST_ATTEMPTS = 3

Outcome = tuple[Job, "Future[list[Notice]]"]


@dataclass(eq=False)
class _Chunk:
    """Photographs for one worker."""

    jobs: list[Job]
    attempts: int = 0

    def __post_init__(self) -> None:
        self.left = set(range(len(self.jobs)))


def photo_results(crew: Crew, jobs: Sequence[Job], batch: int, tell: OnNotice) -> Iterator[Outcome]:
    """Yield each job with its finished notices or error, as they come; results are written here.

    BATCH is how many photographs the engine computes fastest together.
    """
    even = -(-len(jobs) // (_CHUNKS * crew.size))
    size = max(min(even, _MOST_PHOTOS), min(batch, _MOST_PHOTOS))
    queue = [_Chunk(list(jobs[start : start + size])) for start in range(0, len(jobs), size)]
    refused = list[Outcome]()

    def next_task() -> tuple[PhotoTask, _Chunk] | None:
        while queue:
            chunk = queue.pop(0)
            chunk = _Chunk(_seen(chunk.jobs, refused), chunk.attempts)
            if chunk.jobs:
                return _task(chunk), chunk
        return None

    for event in crew.events(next_task):
        yield from _drained(refused)
        chunk, message = event.context, event.message
        if isinstance(message, PhotoDone):
            chunk.left.discard(message.index)
            yield chunk.jobs[message.index], _result(chunk.jobs[message.index], message)
        elif isinstance(message, Notice):
            tell(message)
        elif isinstance(message, Lost | Failed):
            again = [chunk.jobs[index] for index in sorted(chunk.left)]
            yield from _failed(again, chunk, message, queue)
    yield from _drained(refused)


def _failed(
    jobs: Sequence[Job], chunk: _Chunk, message: Lost | Failed, queue: list[_Chunk]
) -> Iterator[Outcome]:
    """Queue JOBS, at which a worker died, again by halves; yield one that brings every one down."""
    attempts = chunk.attempts + 1
    if len(jobs) > 1:
        half = len(jobs) // 2
        queue[:0] = [_Chunk(list(part), attempts) for part in (jobs[:half], jobs[half:])]
    elif jobs and attempts < _MOST_ATTEMPTS:
        queue.insert(0, _Chunk(list(jobs), attempts))
    elif jobs:
        reason = message.error if isinstance(message, Failed) else message.reason
        error = EngineError(f"{jobs[0].source}: {attempts} workers died at it ({reason})")
        yield jobs[0], _future(error)


def _seen(jobs: Sequence[Job], refused: list[Outcome]) -> list[Job]:
    """Return the JOBS that may be done; the others go to REFUSED with the reason."""
    able = list[Job]()
    for job in jobs:
        try:
            job.check_target()
            glance(job.source)
        except ColorizeError as error:
            refused.append((job, _future(error)))
        else:
            able.append(job)
    return able


def _task(chunk: _Chunk) -> PhotoTask:
    jobs = [
        replace(
            job,
            source=job.source.absolute(),
            target=job.target.absolute(),
            overlay=job.overlay and job.overlay.absolute(),
        )
        for job in chunk.jobs
    ]
    return PhotoTask(jobs, [glance(job.source) for job in chunk.jobs])


def _result(job: Job, message: PhotoDone) -> "Future[list[Notice]]":
    """Write what came back and return what is to be said of it, or the error."""
    if message.error is not None:
        return _future(message.error)
    try:
        job.check_target()
        with whole_file(job.target) as part:
            part.write_bytes(message.content)
    except ColorizeError as error:
        return _future(error)
    done: Future[list[Notice]] = Future()
    done.set_result([replace(notice, source=str(job.source)) for notice in message.notices])
    return done


def _future(error: Exception) -> "Future[list[Notice]]":
    failed: Future[list[Notice]] = Future()
    failed.set_exception(error)
    return failed


def _drained(outcomes: list[Outcome]) -> Iterator[Outcome]:
    while outcomes:
        yield outcomes.pop(0)
