"""How a film is divided among workers, and who takes what next."""

import pytest

from colorize.runtime.cluster.lanes import FilmStretch, next_stretch, stretches_of


def _bounds(stretches: list[FilmStretch]) -> list[tuple[int, int | None]]:
    return [(stretch.first, stretch.end) for stretch in stretches]


def test_each_worker_has_a_lane_whose_stretches_get_shorter() -> None:
    stretches = stretches_of(range(25), 25, 2, None)
    assert _bounds(stretches) == [(0, 7), (7, 10), (10, 13), (13, 19), (19, 22), (22, None)]
    assert [stretch.first for stretch in stretches if stretch.begins_lane] == [0, 13]
    assert _bounds(stretches_of(range(10), 10, 2, None)) == [(0, 5), (5, None)]


@pytest.mark.parametrize("workers", [1, 2, 3, 8, 64])
@pytest.mark.parametrize("total", [0, 1, 4, 13, 100, 721])
def test_every_missing_segment_is_in_one_stretch(workers: int, total: int) -> None:
    missing = [number for number in range(total) if number % 50 > 6]
    stretches = stretches_of(missing, total, workers, None)
    assert stretches[-1].end is None  # the film may be longer than its index says
    covered = [
        number
        for stretch in stretches
        for number in range(stretch.first, stretch.end or max(total, stretch.first))
    ]
    assert covered == missing
    assert all(stretch.length <= 16 for stretch in stretches)


def test_a_short_film_has_short_lanes_rather_than_idle_workers() -> None:
    assert _bounds(stretches_of(range(5), 5, 5, None)) == [(0, 3), (3, None)]
    assert _bounds(stretches_of(range(10), 10, 4, None)) == [(0, 4), (4, 7), (7, None)]


def test_where_positions_cannot_be_sought_each_worker_has_one_stretch() -> None:
    stretches = stretches_of(range(90), 90, 3, None, in_lanes=False)
    assert _bounds(stretches) == [(0, 30), (30, 60), (60, None)]


def _taken(queue: list[FilmStretch], running: list[FilmStretch], known: set[int]) -> int | None:
    stretch = next_stretch(queue, running, known.__contains__, 240)
    return None if stretch is None else stretch.first


def test_workers_begin_their_lanes_and_go_on_where_segments_end() -> None:
    queue = stretches_of(range(25), 25, 2, None)
    assert _taken(queue, [], {0}) == 0
    running = [queue.pop(0)]
    assert _taken(queue, running, set()) == 13
    running.append(queue.pop(2))
    assert _taken(queue, running, {7}) == 7
    assert _taken(queue, running, {19, 7}) == 7  # the work folder's order


def test_a_worker_without_a_lane_takes_from_the_longest_run_and_leaves_its_begin() -> None:
    queue = [FilmStretch(8, 12), FilmStretch(12, 16), FilmStretch(16, 20)]
    running = [FilmStretch(4, 8)]
    assert _taken(queue, running, set()) == 12
    assert _taken([FilmStretch(8, 11)], running, set()) == 8


def test_what_a_worker_is_about_to_reach_is_left_to_it() -> None:
    running = FilmStretch(4, 8, reached=240 * 4 - 20)
    assert _taken([FilmStretch(8, 11)], [running], set()) is None
    assert _taken([FilmStretch(8, 11)], [running], {8}) == 8


def test_stretches_that_wait_are_not_begun_from_a_cut() -> None:
    queue = [FilmStretch(4, 8, waits=True), FilmStretch(8, 12)]
    assert _taken(queue, [], set()) == 8
    assert _taken(queue[:1], [], set()) is None
    assert _taken(queue, [], {4}) == 4
