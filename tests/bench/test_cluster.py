"""Workers of a cluster: what is measured of them, and what is calculated from that."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import av
import pytest

from colorize.bench.cluster.__main__ import main
from colorize.bench.cluster.material import copy_photos, make_cut_film
from colorize.bench.cluster.measure import ALONE, Throughput
from colorize.bench.cluster.scaling import Measured, plan, saturating_workers
from colorize.bench.cluster.scaling import main as scaling
from colorize.bench.speed.cost import Cost
from colorize.runtime.steering.scenes import CutDetector

MEASURED = Measured(
    frame_seconds=0.25,
    decode_seconds=0.01,
    frame_bytes=100_000,
    cut_seconds=5.0,
    message_ms=1.0,
    megabyte_ms=1.0,
    network_mb=1000,
    disk_mb=100,
)


def test_a_plan_counts_what_is_done_twice_and_the_join() -> None:
    """One worker seeks before its second stretch and third; the second of two looks for a cut."""
    one = plan(3840, 24, 1, MEASURED)
    assert one.stretches == 3
    assert one.busy == pytest.approx(1.0)
    assert one.twice == pytest.approx(5 / (960 + 5))
    assert one.seconds == pytest.approx(960 + 5 + 2 * 384 / 100)
    two = plan(3840, 24, 2, MEASURED)
    lead = (2 * 250 + 288) * 0.01 + 5 * 24 / 2 * 0.25
    assert two.stretches == 4
    assert two.twice == pytest.approx((lead + 2 * 2.5) / (960 + lead + 2 * 2.5))
    assert two.seconds == pytest.approx(480 + lead + 2.5 + 2 * 384 / 100)


def test_more_workers_are_faster_until_stretches_or_the_head_run_out() -> None:
    plans = [plan(172_800, 24, workers, MEASURED) for workers in (1, 8, 64, 512, 4096)]
    seconds = [each.seconds for each in plans]
    assert seconds == sorted(seconds, reverse=True)
    assert seconds[3] == seconds[4]
    assert plans[4].busy == pytest.approx(180 / 4096, rel=0.01)
    slow = replace(MEASURED, disk_mb=1.0)
    full = plan(172_800, 24, 512, slow)
    assert full.limit == "the disk"
    assert full.seconds == pytest.approx(3 * 17_280, rel=1e-6)  # written, then read and written


def test_the_head_is_full_where_its_parts_say() -> None:
    full = saturating_workers(4.0, MEASURED)
    assert full["the network"] == 2500
    assert full["the disk"] == 250
    load = 4.0 * ((1 / 30 + 2 / 240 + 0.1 / 8) * 1.0 + 0.1 * 1.0) / 1000
    assert full["a core"] == int(1 / load)


def test_throughput_is_compared_repeat_by_repeat() -> None:
    def costs(*walls: float) -> tuple[Cost, ...]:
        return tuple(Cost(wall, wall, None) for wall in walls)

    one = Throughput("film", 10, {ALONE: costs(4, 6), "2 workers": costs(5, 6)}, {})
    assert one.ratios("2 workers") == [0.8, 1.0]


def test_the_film_cuts_where_it_says(tmp_path: Path) -> None:
    film = make_cut_film(tmp_path / "film.mp4", 96, 60, 0.8)
    detector = CutDetector()
    with av.open(str(film)) as opened:
        grays = [frame.to_ndarray(format="gray") for frame in opened.decode(video=0)]
    assert len(grays) == 60
    cuts = [number for number, gray in enumerate(grays) if detector.is_cut(gray)]  # type: ignore[arg-type]
    assert cuts == [20, 40]
    assert [path.name for path in copy_photos(tmp_path / "photos", 18)][-1] == "00017.jpg"


def test_the_script_prints_a_row_for_each_number_of_workers(
    in_process: Callable[..., Any],
) -> None:
    run = in_process(scaling, "--workers", 8, "--workers", 64)
    assert run.returncode == 0
    assert "of the head is full from" in run.stdout
    assert len([line for line in run.stdout.splitlines() if " h " in line]) == 2


@pytest.mark.slow
def test_all_ways_are_measured(
    in_process: Callable[..., Any], tiny_model: Path, tmp_path: Path
) -> None:
    words = ("--height", 64, "--frames", 60, "--scene", 0.8, "--photos", 4, "--repeats", 1)
    more = ("--workers", 1, "--threads", 1, "--preset", "ultrafast", "-o", tmp_path / "out.json")
    run = in_process(main, "--model", tiny_model, *words, *more)
    assert run.returncode in (0, 1), run.stderr
    film, photos = json.loads((tmp_path / "out.json").read_bytes())["measured"]
    assert (film["count"], photos["count"]) == (60, 4)
    assert set(film["costs"]) == {"one process", "1 worker"}
    assert "work done twice" in run.stdout
