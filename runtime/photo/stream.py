"""Many photographs: reading, the network and writing overlap, in batches of one working shape."""

import os
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeVar

from ..color import U8
from .photo import Photo

MAX_PIXELS_AHEAD = 96_000_000
"""Of all photographs held at once, at about 8 bytes a pixel; a larger photograph is held alone."""

_GROUPS = 3  # one being read, one in the network, one being written
_BATCHES = 4  # in a group, which may mix portrait and landscape: each shape needs its own
_MOST_WORKERS = 8

Item = TypeVar("Item")
Result = TypeVar("Result")


class PhotoColorizer(Protocol):
    """What colors the photographs: a Colorizer."""

    @property
    def best_batch(self) -> int:
        """How many photographs the engine computes fastest together."""

    def working_shape(self, height: int, width: int) -> tuple[int, int]:
        """Return the (height, width) at which the network sees a photograph of this size."""

    def answers(self, grays: Sequence[U8], hints: Sequence[Any]) -> list[Any]:
        """Return what the network says of 8-bit grays (H, W) of one working shape."""

    def join(self, photo: Photo, answer: Any, threads: int = 1) -> Photo:
        """Color PHOTO with its one of `answers`, by THREADS; any thread may call this."""


@dataclass(frozen=True)
class Steps(Generic[Item, Result]):
    """What is done with an item; `read` and `finish` are called in several threads."""

    pixels: Callable[[Item], int]  # without decoding it
    read: Callable[[Item], Photo]
    finish: Callable[[Item, Photo], Result]  # what to do with the colored photograph
    hints: Callable[[Item], Any] = lambda _: None  # for `answers`; called as `read` is


@dataclass
class _Entry(Generic[Item, Result]):
    item: Item
    pixels: int
    threads: int = 1  # for its pixels: few photographs leave some idle
    reading: "Future[tuple[Photo, U8, Any]]" = field(default_factory=Future)
    result: "Future[Result]" = field(default_factory=Future)


def workers_of(most: int | None = None) -> int:
    """Return how many threads photographs are worked on in, at most MOST; a single one has all."""
    workers = min(_MOST_WORKERS, os.cpu_count() or 1)
    return workers if most is None else max(1, min(workers, most))


def stream(
    colorizer: PhotoColorizer, items: Iterable[Item], steps: Steps[Item, Result]
) -> Generator[tuple[Item, "Future[Result]"]]:
    """Yield (item, its finished future) in order; a failure of one stays in its own future.

    ITEMS and the network are used in the caller's thread alone, at most _GROUPS groups ahead. An
    error of ITEMS itself is raised after the results of the items before it.
    """
    workers = workers_of()
    pool = ThreadPoolExecutor(workers)
    try:
        yield from _Stream(colorizer, steps, pool, workers).run(items)
    finally:
        pool.shutdown(cancel_futures=True)


class _Stream(Generic[Item, Result]):
    def __init__(
        self,
        colorizer: PhotoColorizer,
        steps: Steps[Item, Result],
        pool: ThreadPoolExecutor,
        workers: int,
    ) -> None:
        self._colorizer = colorizer
        self._steps = steps
        self._pool = pool
        self._workers = workers

    def run(self, items: Iterable[Item]) -> Iterator[tuple[Item, "Future[Result]"]]:
        failure: list[Exception] = []
        # The last group in flight is the only one that the network has not seen yet.
        flight: deque[list[_Entry[Item, Result]]] = deque()
        for group in self._groups(_until_error(items, failure)):
            while flight and (len(flight) == _GROUPS or _too_many(*flight, group)):
                if len(flight) == 1:
                    self._color(flight[0])
                yield from _results(flight.popleft())
            for entry in group:
                entry.threads = max(1, self._workers // len(group))
                entry.reading = self._pool.submit(self._read, entry)
            if flight:
                self._color(flight[-1])
            flight.append(group)
        if flight:
            self._color(flight[-1])
        while flight:
            yield from _results(flight.popleft())
        if failure:
            raise failure[0]

    def _groups(self, items: Iterable[Item]) -> Iterator[list[_Entry[Item, Result]]]:
        most = _BATCHES * self._colorizer.best_batch
        group: list[_Entry[Item, Result]] = []
        for item in items:
            entry: _Entry[Item, Result] = _Entry(item, self._steps.pixels(item))
            if len(group) == most or (group and _too_many(*[[*group, entry]] * (_GROUPS + 1))):
                yield group
                group = []
            group.append(entry)
        if group:
            yield group

    def _read(self, entry: _Entry[Item, Result]) -> tuple[Photo, U8, Any]:
        photo = self._steps.read(entry.item)
        return photo, photo.gray(entry.threads), self._steps.hints(entry.item)

    def _color(self, group: list[_Entry[Item, Result]]) -> None:
        """Run the network on a group, shape by shape; threads do the rest."""
        alike: dict[tuple[int, int], list[_Entry[Item, Result]]] = {}
        for entry in group:
            error = entry.reading.exception()
            if error is not None:
                entry.result.set_exception(error)
                continue
            _, gray, _ = entry.reading.result()
            shape = self._colorizer.working_shape(*gray.shape)
            alike.setdefault(shape, []).append(entry)
        for entries in alike.values():
            self._answer(entries)

    def _answer(self, entries: list[_Entry[Item, Result]]) -> None:
        _, grays, hints = zip(*(entry.reading.result() for entry in entries), strict=True)
        try:
            answers = self._colorizer.answers(grays, hints)
        except Exception as error:
            if len(entries) == 1:
                entries[0].result.set_exception(error)
                return
            for entry in entries:  # one strange photograph must not spoil the others of its batch
                self._answer([entry])
            return
        for entry, answer in zip(entries, answers, strict=True):
            photo, _, _ = entry.reading.result()
            entry.reading = Future()  # frees the pixels as soon as the last step is done with them
            entry.result = self._pool.submit(self._finish, entry.item, photo, answer, entry.threads)

    def _finish(self, item: Item, photo: Photo, answer: Any, threads: int) -> Result:
        return self._steps.finish(item, self._colorizer.join(photo, answer, threads))


def _too_many(*groups: Iterable[_Entry[Any, Any]]) -> bool:
    return sum(entry.pixels for group in groups for entry in group) > MAX_PIXELS_AHEAD


def _until_error(items: Iterable[Item], failure: list[Exception]) -> Iterator[Item]:
    try:
        yield from items
    except Exception as error:
        failure.append(error)


def _results(group: list[_Entry[Item, Result]]) -> Iterator[tuple[Item, "Future[Result]"]]:
    for entry in group:
        wait([entry.result])
        yield entry.item, entry.result
