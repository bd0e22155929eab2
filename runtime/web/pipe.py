"""Both ends of the pipe between the server and a child process: one JSON object a line.

The child gets its task as the first line; any other, or the end of the pipe, asks it to stop. It
answers with events, of which the last is its end.
"""

import errno
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any, Self

from ..errors import ColorizeError
from ..notices import Notice

Event = dict[str, Any]
_WORKER = "colorize.runtime.web.worker"
_PATIENCE = 30.0  # seconds for a child to end a batch and what it writes
_OFTEN = 0.2  # seconds between reports of progress
_PAUSES = (0.1, 0.5, 2.0)  # seconds before a child is started again that could not be
# What a machine short of processes or memory says for a moment. EFAULT was seen once, on a busy
# virtual machine, for a command that was sound; why is not known.
_MOMENTARY = {errno.EAGAIN, errno.ENOMEM, errno.EFAULT}


class ChildError(ColorizeError):
    """A task that its child process could not do; the message is for the user."""


class CanceledError(ColorizeError):
    """A task that was stopped because somebody asked for it."""


class Child:
    """A child process at one task; a context manager, which stops it when left early."""

    def __init__(self, task: Mapping[str, Any], log: Path) -> None:
        """Start on TASK; what libraries print goes to the file LOG.

        ChildError if the system starts no process.
        """
        with log.open("wb") as errors:
            self._process = _started(errors)
        self._write(json.dumps(task))

    @property
    def pid(self) -> int:
        """Number of the process."""
        return self._process.pid

    def events(self) -> Iterator[Event]:
        """Yield what the child reports, until it is done.

        CanceledError if it was stopped, ChildError with its reason if it failed or died.
        """
        assert self._process.stdout is not None
        for line in self._process.stdout:
            event = json.loads(line)
            if event["event"] == "canceled":
                raise CanceledError(event["message"])
            if event["event"] == "failed":
                raise ChildError(event["message"])
            yield event
            if event["event"] == "done":
                return
        raise ChildError(_died(self._process.wait()))

    def cancel(self) -> None:
        """Ask it to stop; any thread may call this."""
        self._write("cancel")

    def kill(self) -> None:
        """End it at once; any thread may call this."""
        self._process.kill()

    def _write(self, line: str) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(line.encode() + b"\n")
            self._process.stdin.flush()
        except (OSError, ValueError):  # it has ended, or this end was closed
            return

    def close(self) -> None:
        """Stop it if it is still at work: as Ctrl-C would, and by force after a while."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with suppress(OSError):  # it has ended
            self._process.stdin.close()
        try:
            self._process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Children:
    """Who is at work for which job besides its film, so that it can be stopped; for any threads."""

    def __init__(self) -> None:
        self._news = threading.Condition()
        self._at_work: dict[str, list[Child]] = {}
        self._ended: Counter[str] = Counter()  # jobs that nothing may be begun for

    @contextmanager
    def started(self, job: str, task: Mapping[str, Any], log: Path) -> Iterator[Child]:
        """Start a `Child` for JOB and stop it in the end; CanceledError if it is to have none."""
        with self._news:
            if self._ended[job]:
                raise CanceledError("it is being removed")
            child = Child(task, log)
            self._at_work.setdefault(job, []).append(child)
        try:
            with child:
                yield child
        finally:
            with self._news:
                self._at_work[job].remove(child)
                self._news.notify_all()

    @contextmanager
    def stopped(self, job: str) -> Iterator[None]:
        """Stop all that is at work for JOB; nothing can be begun until this is left by an error."""
        with self._news:
            self._ended[job] += 1
            for child in self._at_work.get(job, ()):
                child.cancel()
            if not self._news.wait_for(lambda: not self._at_work.get(job), _PATIENCE):
                for child in self._at_work[job]:
                    child.kill()
                self._news.wait_for(lambda: not self._at_work.get(job))
            self._at_work.pop(job, None)
        try:
            yield
        except BaseException:
            with self._news:
                self._ended[job] -= 1
            raise


def _started(errors: IO[bytes]) -> "subprocess.Popen[bytes]":
    """Start a worker; what the system refuses for a moment is asked for again, for some seconds."""
    words = [sys.executable, "-P", "-m", _WORKER]  # -P: no module from the current folder
    pauses = iter(_PAUSES)
    while True:
        try:
            return subprocess.Popen(
                words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors
            )
        except OSError as error:
            pause = next(pauses, None) if error.errno in _MOMENTARY else None
            if pause is None:
                raise ChildError(_not_started(error)) from error
        time.sleep(pause)


def _not_started(error: OSError) -> str:
    if error.errno in _MOMENTARY:
        fix = "the server has too little memory or too many processes; close some, then try again"
    else:
        fix = "restart the server, for its Python may have been moved or replaced"
    return f"the process that was to work on it could not be started ({error.strerror}): {fix}"


def _died(code: int) -> str:
    if code >= 0:
        how = f"exit code {code}"
    else:
        known = -code in set(signal.Signals)
        how = signal.Signals(-code).name if known else f"signal {-code}"
    return (
        f"the process that worked on it died ({how}): it may have had too little memory, or the "
        "file is damaged; try again, with a smaller working size"
    )


class Reporter:
    """The child's end: reports events, and knows when to stop.

    Libraries may print to stdout: what they print goes to stderr, for the pipe is not theirs.
    """

    def __init__(self) -> None:
        self.cancel = threading.Event()
        """Set once the server asks to stop, or is gone."""
        self._pipe = os.fdopen(os.dup(1), "wb", buffering=0)
        os.dup2(2, 1)
        self._lock = threading.Lock()
        self._next = 0.0
        self._rest = b""

    def read_task(self) -> dict[str, Any]:
        """Return the task, and listen from now on for the wish to stop."""
        line = self._line()
        threading.Thread(target=self._listen, daemon=True).start()
        return dict(json.loads(line))

    def _line(self) -> bytes:
        while b"\n" not in self._rest:
            more = os.read(0, 1 << 16)  # sys.stdin would hold a lock that the end waits for
            if not more:
                return self._rest
            self._rest += more
        line, _, self._rest = self._rest.partition(b"\n")
        return line

    def _listen(self) -> None:
        self._line()
        self.cancel.set()

    def check(self) -> None:
        """Raise KeyboardInterrupt, as Ctrl-C does, once the task is to stop."""
        if self.cancel.is_set():
            raise KeyboardInterrupt

    def send(self, event: str, **facts: Any) -> None:
        """Report an event."""
        data = json.dumps({"event": event, **facts}).encode() + b"\n"
        try:
            with self._lock:
                while data:
                    data = data[self._pipe.write(data) or 0 :]
        except OSError:  # the server is gone
            self.cancel.set()

    def progress(self, **facts: Any) -> None:
        """Report progress, if the last report is some time ago."""
        now = time.monotonic()
        if now >= self._next:
            self._next = now + _OFTEN
            self.send("progress", **facts)

    def notice(self, notice: Notice) -> None:
        """Report what the user should know."""
        figures = notice.figures or {}
        message = notice.message
        if "kept_bytes" in figures:  # its words are for those who type commands
            message = f"{figures['reused']:.0f} of {figures['segments']:.0f} segments were reused"
        if figures.get("reused") != 0:
            self.send("notice", message=message, severity=notice.severity)
