"""The head's side of the workers: who is there, what each does, and what to do when one dies."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import ray
from ray.exceptions import RayError

from ..errors import EngineError, ModelError
from ..notices import Notice
from .tasks import Equipment, Facts, Failed, FilmTask, Finished, Message, PhotoTask
from .worker import ColorizeWorker, facts, node_name

_PATIENCE = 30.0  # seconds in which no worker comes before the user is told
_TIMES = 20  # that the user is told before the run gives up
_CLOSING = 5.0  # seconds for workers to tidy up
_MOST_DEATHS = 10  # beyond three a worker

Context = TypeVar("Context")


Say = Callable[[Notice | str], None]
"""Tells the user a line."""


@dataclass(frozen=True)
class Lost:
    """The worker died at its task."""

    reason: str


@dataclass(frozen=True)
class Event(Generic[Context]):
    """What came back from a worker; `context` is what its task was given with."""

    context: Context
    message: Message | Lost


@dataclass(eq=False)
class _Worker:
    actor: Any
    asked: Any  # the reference to what it will return next; None: it is idle
    node: str = ""  # "": it has not come yet
    name: str = ""  # of its task
    context: Any = None  # None: nobody waits for what it does


class Crew:
    """The workers of one run, each with an open Colorizer."""

    def __init__(self, equipment: Equipment, say: Say, *, most: int | None = None) -> None:
        """Start a worker for each of the cluster's cores, or its GPUs if EQUIPMENT is for one.

        MOST is the most workers that are started. EngineError if there is nothing to compute on.
        """
        self._say, self._own, self._device = say, facts(equipment.backend), equipment.device
        self._equipment = ray.put(equipment)
        self._deaths = 0
        self._refused: dict[str, Exception] = {}  # by node
        self._processors = {self._own.processor}
        needs = {"num_gpus": 1, "num_cpus": 0} if on_gpu(equipment) else {"num_cpus": 1}
        self._kind = ray.remote(**needs, scheduling_strategy="SPREAD")(ColorizeWorker)  # type: ignore[call-overload]
        resource = "GPU" if on_gpu(equipment) else "CPU"
        self.size = int(ray.cluster_resources().get(resource, 0))  # type: ignore[no-untyped-call]
        if self.size == 0:
            raise EngineError(f"the cluster has no {resource}s; --list-devices --cluster shows it")
        self.size = min(self.size, most or self.size)
        self._workers = [self._hired() for _ in range(self.size)]

    def _hired(self) -> _Worker:
        actor = self._kind.remote()
        return _Worker(actor, actor.open.remote(self._equipment))

    def events(
        self, next_task: Callable[[], tuple[PhotoTask | FilmTask, Context] | None]
    ) -> Iterator[Event[Context]]:
        """Give NEXT_TASK's tasks to idle workers and yield what comes back, until none is left.

        Each is asked for its next message only when it has one to give, so that what waits is
        bounded. EngineError where no worker is left, or none may color as the head does.
        """
        for worker in self._workers:
            worker.context = None  # of a run that ended with an error: nobody waits for it
        while True:
            left = self._assign(next_task)
            if not left and not any(worker.context is not None for worker in self._workers):
                return
            worker = self._next_ready()
            message = self._answer(worker)
            if message is not None and worker.context is not None:
                context = worker.context
                if isinstance(message, Lost | Finished | Failed):
                    worker.context = None
                else:
                    worker.asked = worker.actor.more.options(name=worker.name).remote()
                yield Event(context, message)

    def gather(self) -> None:
        """Wait until all workers are there, before any has a task."""
        while any(not worker.node for worker in self._workers):
            self._answer(self._next_ready())

    def abandon(self, context: object) -> None:
        """Take no interest any more in the task that was given with CONTEXT."""
        for worker in self._workers:
            if worker.context is context:
                worker.context = None

    def close(self) -> None:
        """Send all workers home."""
        present = [worker.actor.close.remote() for worker in self._workers if worker.node]
        with suppress(RayError):
            ray.wait(present, num_returns=len(present), timeout=_CLOSING) if present else None
        for worker in self._workers:
            ray.kill(worker.actor)
        self._workers = []

    def _assign(self, next_task: Callable[[], tuple[PhotoTask | FilmTask, Context] | None]) -> bool:
        """Give idle workers tasks; return whether there may be more than they could take."""
        for worker in self._workers:
            if worker.asked is not None:
                continue
            given = next_task()
            if given is None:
                return False
            task, worker.context = given
            worker.name = task.name
            worker.asked = worker.actor.start.options(name=task.name).remote(task)
        return True

    def _next_ready(self) -> _Worker:
        asked = {worker.asked: worker for worker in self._workers if worker.asked is not None}
        at_work = any(worker.node for worker in asked.values())
        for _ in range(_TIMES):
            ready, _ = ray.wait(list(asked), timeout=None if at_work else _PATIENCE)
            if ready:
                return asked[ready[0]]
            self._say("waits for the cluster: no worker has started; does other work fill it?")
        raise EngineError(
            f"no worker has started within {_TIMES * _PATIENCE:.0f} seconds: the cluster has no "
            "free cores or memory; ray status tells who uses them"
        )

    def _answer(self, worker: _Worker) -> Message | Lost | None:
        """Return what WORKER gave; None where that was nothing for the task."""
        try:
            answer = ray.get(worker.asked)
        except RayError as error:
            return self._replaced(worker, error)
        worker.asked = None
        if worker.node:
            message: Message = answer
            return message
        self._welcome(worker, answer)
        return None

    def _welcome(self, worker: _Worker, answer: Facts | tuple[str, Exception]) -> None:
        """Take WORKER in if it colors as the head does."""
        if isinstance(answer, Facts):
            refuse_other_versions(self._own.versions, answer.versions, answer.node)
            worker.node = answer.node
            if answer.processor not in self._processors:
                self._processors.add(answer.processor)
                self._say(
                    f"{answer.node} has another processor ({answer.processor}) than this machine: "
                    "its colors may be rounded otherwise"
                )
            return
        node, error = answer
        if isinstance(error, ModelError):
            raise error
        if node not in self._refused:
            self._say(f"the node {node} is left out: {error}")
        self._refused[node] = error
        self._workers.remove(worker)
        ray.kill(worker.actor)
        if not self._workers:
            raise EngineError(f"no node can color as this machine does; {node}: {error}")

    def _replaced(self, worker: _Worker, error: RayError) -> Lost:
        """Hire another worker for one that died, and say so."""
        reason = " ".join(str(error).split())[:300]
        if "ModuleNotFoundError" in reason or "ImportError" in reason:
            raise EngineError(
                "a node of the cluster cannot import the toolkit: install the same version there, "
                f"with its extra cluster ({reason})"
            ) from error
        self._deaths += 1
        if self._deaths > _MOST_DEATHS + 3 * self.size:
            raise EngineError(f"workers keep dying, {self._deaths} by now; the last: {reason}")
        at = f" at {worker.name}" if worker.context is not None else ""
        self._say(f"a worker on {worker.node or 'some node'} died{at}; another takes over")
        with suppress(RayError):
            ray.kill(worker.actor)
        index = self._workers.index(worker)
        self._workers[index] = self._hired()
        return Lost(reason)


def on_gpu(equipment: Equipment) -> bool:
    """Whether the workers compute on NVIDIA's GPUs."""
    return equipment.device.startswith(("cuda", "tensorrt"))


def refuse_other_versions(own: Mapping[str, str], theirs: Mapping[str, str], node: str) -> None:
    """Raise EngineError if a node has other versions of what colors depend on."""
    for name, version in own.items():
        if theirs.get(name) != version:
            raise EngineError(
                f"the node {node} has {name} {theirs.get(name, 'not at all')}, and {node_name()} "
                f"has {version}: install the same on all nodes"
            )
