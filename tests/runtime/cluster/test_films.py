"""Films by several workers: the same frames, bit for bit, as by one process."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from helpers.video import content_of, messages_of

from colorize.runtime.cluster.films import FilmWorkers
from colorize.runtime.colorizer import Colorizer
from colorize.runtime.video.options import VideoOptions

FFV1 = VideoOptions(codec="ffv1", segment_frames=16)
Hire = Callable[..., Any]


def test_workers_make_the_film_that_one_process_makes(
    film: Path, colorizer: Colorizer, hire: Hire, tmp_path: Path
) -> None:
    alone = colorizer.video(film, tmp_path / "alone.mkv", FFV1)
    seen = list[int]()
    with hire(2) as crew:
        report = colorizer.video(
            film,
            tmp_path / "out.mkv",
            FFV1,
            lambda progress: seen.append(progress.frames),
            helpers=FilmWorkers(crew, stretch_segments=3),
        )
    assert content_of(tmp_path / "out.mkv") == content_of(tmp_path / "alone.mkv")
    assert (tmp_path / "out.mkv").read_bytes() == (tmp_path / "alone.mkv").read_bytes()
    assert messages_of(report) == messages_of(alone)
    assert (report.frames, report.resumed, seen[-1]) == (220, 0, 220)
    assert 0 < report.stages["lead-in"] < report.stages["workers"]


@pytest.mark.usefixtures("cluster")
def test_nothing() -> None: ...
