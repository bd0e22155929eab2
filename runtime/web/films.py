"""The queue of films: one at a time, in a child process that may die without the page."""

from .jobs import Job, Jobs


class Films:
    """Runs the queued jobs in the order in which they were queued; a context manager.

    Entering goes on with what an earlier server left queued or running. Leaving stops the child
    as Ctrl-C would: finished segments stay, and the job stays queued for the next server.
    """

    def __init__(self, jobs: Jobs) -> None:
        raise NotImplementedError

    def queue(self, job: str, owner: str) -> Job:
        """Ask for a job to be run, or run on: of any state but queued and running.

        InputError if OWNER has no such job, or its source or a reference cannot be used.
        """
        raise NotImplementedError

    def cancel(self, job: str, owner: str) -> Job:
        """Stop a job that is queued or running; its finished segments stay for `queue`.

        Returns at once: a running job becomes canceled when its child has said so.
        """
        raise NotImplementedError

    def wait(self, job: str, owner: str, timeout: float | None = None) -> Job:
        """Return the job once it is neither queued nor running, or as it is after TIMEOUT seconds.

        For programs and tests; the page asks `Jobs.find` from a timer.
        """
        raise NotImplementedError
