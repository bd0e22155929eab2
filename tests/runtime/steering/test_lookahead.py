"""What runs ahead of a film with references: no further than it must, and safely."""

import threading
from pathlib import Path

import pytest
from helpers.references import FFV1, give
from helpers.video import content_of

from colorize.runtime.color import U8
from colorize.runtime.colorizer import Colorizer
from colorize.runtime.errors import OutputError
from colorize.runtime.steering import lookahead

_SECOND = "decode ahead"


def test_after_its_last_reference_a_film_is_decoded_once(
    film: Path, truth: list[U8], colorizer: Colorizer, tmp_path: Path
) -> None:
    stages = []
    for frames in [(0,), (0, 15)]:
        references = give(tmp_path / f"refs{len(frames)}", truth, *frames)
        report = colorizer.video(film, tmp_path / f"{len(frames)}.mkv", FFV1, references=references)
        stages.append(report.stages)
    assert _SECOND not in stages[0]
    assert stages[1][_SECOND] > 0


@pytest.mark.timeout(120)
@pytest.mark.parametrize("batch", [1, 3, 16, 64])
@pytest.mark.parametrize("frames", [(0,), (1,), (20, 47), (5, 22)])
def test_no_batch_waits_for_itself(
    batch: int,
    frames: tuple[int, ...],
    film: Path,
    truth: list[U8],
    colorizer: Colorizer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    references = give(tmp_path / "refs", truth, *frames)
    monkeypatch.setattr(type(colorizer.engine), "best_batch", batch)
    report = colorizer.video(film, tmp_path / "out.mkv", FFV1, references=references)
    assert report.frames == 48


@pytest.mark.timeout(120)
@pytest.mark.parametrize("measures", ["rough_flow", "flow"])
def test_an_error_ahead_ends_the_run(
    measures: str,
    film: Path,
    truth: list[U8],
    colorizer: Colorizer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fails(*_: U8) -> None:
        raise OutputError("/disk: cannot keep carried colors there (No space left on device)")

    references = give(tmp_path / "refs", truth, 0, 12)
    monkeypatch.setattr(lookahead, measures, fails)
    monkeypatch.setattr(type(colorizer.engine), "best_batch", 8)
    before = set(threading.enumerate())
    with pytest.raises(OutputError, match="No space left"):
        colorizer.video(film, tmp_path / "out.mkv", FFV1, references=references)
    assert set(threading.enumerate()) <= before, "no decoder waits in a thread"


def test_colors_do_not_depend_on_references_of_later_scenes(
    film: Path, truth: list[U8], colorizer: Colorizer, tmp_path: Path
) -> None:
    """Flow is rough where no reference follows; one that follows in another scene is none."""
    contents = []
    for frames in [(3,), (3, 45)]:
        references = give(tmp_path / f"refs{len(frames)}", truth, *frames)
        target = tmp_path / f"{len(frames)}.mkv"
        colorizer.video(film, target, FFV1, references=references)
        contents.append(content_of(target))
    assert contents[0][:32] == contents[1][:32]
    assert contents[0][40:] != contents[1][40:]
