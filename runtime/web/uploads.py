"""What uploads leave where Gradio writes them while they come."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


class Uploads:
    """Deletes what is left of uploads that came to nothing; for the thread that serves them alone.

    Gradio writes an upload to a plain file in FOLDER and moves it to a folder of its own once it is
    whole. Nothing tells which request made a plain file, but one that was there before a request
    began is none of its.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._running: dict[object, frozenset[str]] = {}
        """Of each request, the plain files that were there before it."""
        self._left: frozenset[str] = frozenset()
        """Plain files that came with requests, and are still there."""

    @contextmanager
    def one(self) -> Iterator[None]:
        """Serve one upload; at its end, what cannot be that of another one running is deleted."""
        request, before = object(), self._plain()
        self._running[request] = before
        try:
            yield
        finally:
            del self._running[request]
            there = self._plain()
            self._left = (self._left | (there - before)) & there
            for name in self._left.intersection(*self._running.values()):
                with suppress(OSError):  # Windows: still open; the next one tries again
                    (self._folder / name).unlink()

    def _plain(self) -> frozenset[str]:
        try:
            return frozenset(path.name for path in self._folder.iterdir() if path.is_file())
        except OSError:
            return frozenset()
