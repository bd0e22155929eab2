"""How a film is divided among workers, and who takes what next."""

import pytest

from colorize.runtime.cluster.parts import Part, next_part, parts_of


def _bounds(parts: list[Part]) -> list[tuple[int, int | None]]:
    return [(part.first, part.end) for part in parts]


def test_each_worker_has_a_lane_whose_parts_get_shorter() -> None:
    parts = parts_of(range(25), 25, 2, None)
    assert _bounds(parts) == [(0, 7), (7, 10), (10, 13), (13, 19), (19, 22), (22, None)]
    assert [part.first for part in parts if part.begins_lane] == [0, 13]
    assert _bounds(parts_of(range(10), 10, 2, None)) == [(0, 5), (5, None)]


@pytest.mark.parametrize("workers", [1, 2, 3, 8, 64])
@pytest.mark.parametrize("total", [0, 1, 4, 13, 100, 721])
def test_every_missing_segment_is_in_one_part(workers: int, total: int) -> None:
    missing = [number for number in range(total) if number % 50 > 6]
    parts = parts_of(missing, total, workers, None)
    assert parts[-1].end is None  # the film may be longer than its index says
    covered = [
        number for part in parts for number in range(part.first, part.end or max(total, part.first))
    ]
    assert covered == missing
    assert all(part.length <= 16 for part in parts)


def test_where_positions_cannot_be_sought_each_worker_has_one_part() -> None:
    parts = parts_of(range(90), 90, 3, None, in_lanes=False)
    assert _bounds(parts) == [(0, 30), (30, 60), (60, None)]


def _taken(queue: list[Part], running: list[Part], known: set[int]) -> int | None:
    part = next_part(queue, running, known.__contains__, 240)
    return None if part is None else part.first


def test_workers_begin_their_lanes_and_go_on_where_segments_end() -> None:
    queue = parts_of(range(25), 25, 2, None)
    assert _taken(queue, [], {0}) == 0
    running = [queue.pop(0)]
    assert _taken(queue, running, set()) == 13
    running.append(queue.pop(2))
    assert _taken(queue, running, {7}) == 7
    assert _taken(queue, running, {19, 7}) == 7  # the work folder's order


def test_a_worker_without_a_lane_takes_from_the_longest_run_and_leaves_its_begin() -> None:
    queue, running = [Part(8, 12), Part(12, 16), Part(16, 20)], [Part(4, 8)]
    assert _taken(queue, running, set()) == 12
    assert _taken([Part(8, 11)], running, set()) == 8


def test_what_a_worker_is_about_to_reach_is_left_to_it() -> None:
    running = Part(4, 8, reached=240 * 4 - 20)
    assert _taken([Part(8, 11)], [running], set()) is None
    assert _taken([Part(8, 11)], [running], {8}) == 8


def test_parts_that_wait_are_not_begun_from_a_cut() -> None:
    queue = [Part(4, 8, waits=True), Part(8, 12)]
    assert _taken(queue, [], set()) == 8
    assert _taken(queue[:1], [], set()) is None
    assert _taken(queue, [], {4}) == 4
