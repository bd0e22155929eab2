"""Workers of a cluster in this very process, with every fault that a test wants."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from colorize.runtime.cluster.crew import Event, Lost
from colorize.runtime.cluster.tasks import Failed, FilmTask, Finished, Message, PhotoTask
from colorize.runtime.cluster.worker import ColorizeWorker
from colorize.runtime.colorizer import Colorizer


class NearCrew:
    """Workers that take turns here; FAULT may put another message in the place of one."""

    def __init__(
        self,
        colorizer: Colorizer,
        folder: Path,
        size: int,
        fault: Callable[["NearCrew", Any, Message], Message | Lost] = lambda _crew, _, given: given,
    ) -> None:
        self.size, self._fault = size, fault
        self.tasks: list[PhotoTask | FilmTask] = []
        """All that were begun."""
        self.count = 0
        """Messages so far."""
        self._contexts: list[Any] = [None] * size
        self._workers = [ColorizeWorker() for _ in range(size)]
        for number, worker in enumerate(self._workers):
            worker._colorizer, worker._folder = colorizer, folder / f"worker{number}"
            worker._folder.mkdir()

    def events(self, next_task: Callable[[], Any]) -> Iterator[Event[Any]]:
        """See Crew."""
        try:
            before = -1
            while before != self.count:
                before = self.count
                for index, worker in enumerate(self._workers):
                    if self._contexts[index] is not None:
                        message = worker.more()
                    elif (given := next_task()) is not None:
                        task, self._contexts[index] = given
                        self.tasks.append(task)
                        message = worker.start(task)
                    else:
                        continue
                    yield from self._event(index, message)
        finally:
            for worker in self._workers:
                worker.stop()

    def _event(self, index: int, message: Message) -> Iterator[Event[Any]]:
        self.count += 1
        context = self._contexts[index]
        given = self._fault(self, context, message)
        if isinstance(given, Finished | Failed | Lost):
            self._contexts[index] = None
            self._workers[index].stop()
        yield Event(context, given)

    def abandon(self, context: object) -> None:
        """See Crew."""
        for index, own in enumerate(self._contexts):
            if own is context:
                self._contexts[index] = None
                self._workers[index].stop()
