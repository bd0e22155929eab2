"""Stages that overlap: order, errors, and threads that end."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest

from colorize.runtime.video.prefetch import Passage, Stopwatch, in_order, prefetch


def _threads() -> set[threading.Thread]:
    return set(threading.enumerate())


@pytest.mark.parametrize("depth", [1, 2, 100])
@pytest.mark.parametrize("count", [0, 1, 7, 500])
def test_items_come_in_order(depth: int, count: int) -> None:
    assert list(prefetch(range(count), depth)) == list(range(count))


def test_none_is_an_item_like_others() -> None:
    assert list(prefetch([None, 0, None], 2)) == [None, 0, None]


def test_items_are_made_in_another_thread() -> None:
    def makers() -> Iterator[int]:
        yield threading.get_ident()

    assert list(prefetch(makers(), 1)) != [threading.get_ident()]


def test_items_are_made_ahead_but_no_further_than_depth() -> None:
    made: list[int] = []
    third = threading.Event()

    def items() -> Iterator[int]:
        for number in range(100):
            made.append(number)
            if number == 2:
                third.set()
            yield number

    ahead = prefetch(items(), 2)
    assert next(ahead) == 0
    assert third.wait(10)  # made without being asked for
    assert len(made) <= 5
    ahead.close()
    assert len(made) <= 6


class _OddError(Exception):
    pass


@pytest.mark.parametrize("error", [_OddError, KeyboardInterrupt, MemoryError])
def test_errors_come_after_the_items_before_them(error: type[BaseException]) -> None:
    def items() -> Iterator[int]:
        yield 1
        yield 2
        raise error

    ahead = prefetch(items(), 1)
    assert [next(ahead), next(ahead)] == [1, 2]
    with pytest.raises(error):
        next(ahead)


def test_errors_pass_through_two_stages() -> None:
    def items() -> Iterator[int]:
        yield 1
        raise _OddError

    with pytest.raises(_OddError):
        list(prefetch(prefetch(items(), 1), 1))


@pytest.mark.parametrize("taken", [1, 3])
def test_closing_ends_the_thread(taken: int) -> None:
    before = _threads()

    def endless() -> Iterator[int]:
        while True:
            yield 0

    ahead = prefetch(endless(), 2)
    for _ in range(taken):
        next(ahead)
    assert _threads() - before
    ahead.close()
    assert not _threads() - before


def test_a_finished_stage_leaves_no_thread() -> None:
    before = _threads()
    assert sum(prefetch(range(10), 3)) == 45
    assert not _threads() - before


def test_closing_before_the_first_item_does_no_harm() -> None:
    before = _threads()
    prefetch(range(10), 3).close()
    assert not _threads() - before


def test_a_stage_that_starts_at_once_asks_nobody_and_is_closed_like_others() -> None:
    before, first = _threads(), threading.Event()

    def endless() -> Iterator[int]:
        while True:
            first.set()
            yield 0

    ahead = prefetch(endless(), 2, at_once=True)
    assert first.wait(10)
    ahead.close()
    assert not _threads() - before
    assert list(prefetch(range(5), 2, at_once=True)) == list(range(5))


def test_calls_are_answered_in_their_order_whichever_ends_first() -> None:
    second, begun = threading.Event(), list[int]()

    def first() -> int:
        assert second.wait(10)
        return 0

    def other(number: int) -> int:
        second.set()
        return number

    def calls() -> Iterator[Callable[[], int]]:
        for number in range(50):
            begun.append(number)
            yield partial(other, number) if number else first

    with ThreadPoolExecutor(2) as pool:
        answers = in_order(pool, calls(), 3)
        assert next(answers) == 0
        assert len(begun) == 4
        assert list(answers) == list(range(1, 50))


def _pass(items: Passage[int], count: int) -> None:
    for number in range(count):
        items.put(number)
    items.end()


def test_items_are_passed_on_to_another_thread() -> None:
    items = Passage[int](2, threading.Event())
    giver = threading.Thread(target=_pass, args=(items, 100))
    giver.start()
    assert list(items) == list(range(100))
    giver.join(10)
    assert not giver.is_alive()


@pytest.mark.parametrize("cancels", [True, False])
def test_who_passes_items_on_is_freed_when_nobody_takes_them(*, cancels: bool) -> None:
    cancelled = threading.Event()
    items = Passage[int](2, cancelled)
    giver = threading.Thread(target=_pass, args=(items, 100))
    giver.start()
    assert next(iter(items)) == 0
    if cancels:
        cancelled.set()
    else:
        items.leave()
    giver.join(10)
    assert not giver.is_alive()


def test_stopwatch_counts_each_stage_and_passes_items() -> None:
    watch = Stopwatch()
    assert list(watch.timed("one", [1, 2, 3])) == [1, 2, 3]
    assert list(watch.seconds) == ["one"]
    assert watch.seconds["one"] >= 0


def test_stopwatch_adds_up_the_times_of_a_stage(monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter([0.0, 1.5, 10.0, 10.25])
    monkeypatch.setattr("colorize.runtime.video.prefetch.time.perf_counter", lambda: next(times))
    watch = Stopwatch()
    with watch.stage("two"):
        pass
    with pytest.raises(_OddError), watch.stage("two"):
        raise _OddError
    assert watch.seconds == {"two": 1.75}


def test_stopwatch_passes_errors() -> None:
    def items() -> Iterator[int]:
        yield 1
        raise _OddError

    with pytest.raises(_OddError):
        list(Stopwatch().timed("one", items()))
