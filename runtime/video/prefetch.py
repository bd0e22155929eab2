"""Stages of work that overlap: each has a thread of its own and a bounded queue."""

import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Executor, Future
from contextlib import contextmanager
from typing import Generic, TypeVar, cast

Item = TypeVar("Item")
_POLL_SECONDS = 0.1  # how soon a stage notices that it was closed


class Stopwatch:
    """Seconds of work of each stage, without its waiting for other stages."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    def timed(self, stage: str, items: Iterable[Item]) -> Iterator[Item]:
        """Yield ITEMS; the time that each takes to make counts for STAGE."""
        source = iter(items)
        while True:
            with self.stage(stage):
                try:
                    item = next(source)
                except StopIteration:
                    return
            yield item

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Count the seconds inside the context for the stage NAME."""
        start = time.perf_counter()
        try:
            yield
        finally:
            elapsed = time.perf_counter() - start
            self.seconds[name] = self.seconds.get(name, 0.0) + elapsed


class _End:
    """The last thing in a queue, with the error that ended the stage, if one did."""

    def __init__(self, error: BaseException | None) -> None:
        self.error = error


def prefetch(
    items: Iterable[Item],
    depth: int,
    check: Callable[[], None] = lambda: None,
    *,
    at_once: bool = False,
) -> Generator[Item]:
    """Yield ITEMS, made in a thread at most DEPTH ahead; its errors are raised here.

    So is what CHECK raises, which is called before each item and while one is waited for. The
    thread starts with the first item that is asked for, or AT_ONCE. Closing the generator stops it.
    """
    ready: queue.Queue[Item | _End] = queue.Queue(depth)
    unwanted = threading.Event()

    def put(entry: Item | _End) -> None:
        while not unwanted.is_set():
            try:
                ready.put(entry, timeout=_POLL_SECONDS)
            except queue.Full:
                continue
            return

    def work() -> None:
        error: BaseException | None = None
        try:
            for item in items:
                put(item)
                if unwanted.is_set():
                    break
        except BaseException as raised:  # passed on to the consumer
            error = raised
        put(_End(error))

    def taken() -> Item | _End:
        while True:
            check()
            try:
                return ready.get(timeout=_POLL_SECONDS)
            except queue.Empty:
                continue

    thread = threading.Thread(target=work, daemon=True)

    def made() -> Generator[Item]:
        thread.start()
        try:
            if at_once:
                yield cast(Item, None)  # to none but the call below
            while not isinstance(entry := taken(), _End):
                yield entry
            if entry.error is not None:
                raise entry.error
        finally:
            unwanted.set()
            thread.join()

    entries = made()
    if at_once:
        next(entries)
    return entries


def in_order(pool: Executor, calls: Iterable[Callable[[], Item]], ahead: int) -> Generator[Item]:
    """Yield what CALLS return, in their order; POOL makes so many of them AHEAD of the next."""
    pending = deque[Future[Item]]()
    for call in calls:
        pending.append(pool.submit(call))
        if len(pending) > ahead:
            yield pending.popleft().result()
    while pending:
        yield pending.popleft().result()


class Passage(Generic[Item]):
    """Hands items from one thread to another; CANCELLED frees both."""

    def __init__(self, depth: int, cancelled: threading.Event) -> None:
        """At most DEPTH items wait."""
        self._waiting: queue.Queue[Item | _End] = queue.Queue(depth)
        self._cancelled, self._left = cancelled, threading.Event()

    def put(self, item: Item) -> None:
        """Hand ITEM over once there is room; it is dropped if nobody takes items any more."""
        self._put(item)

    def end(self) -> None:
        """Tell that no more items come."""
        self._put(_End(None))

    def leave(self) -> None:
        """Tell that no more items are taken."""
        self._left.set()

    def _put(self, entry: Item | _End) -> None:
        while not (self._cancelled.is_set() or self._left.is_set()):
            try:
                self._waiting.put(entry, timeout=_POLL_SECONDS)
            except queue.Full:
                continue
            return

    def __iter__(self) -> Iterator[Item]:
        while not self._cancelled.is_set():
            try:
                entry = self._waiting.get(timeout=_POLL_SECONDS)
            except queue.Empty:
                continue
            if isinstance(entry, _End):
                return
            yield entry
