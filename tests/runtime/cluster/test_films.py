"""Films by several workers: the same frames, bit for bit, as by one process."""

import errno
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import av
import numpy as np
import pytest
from helpers.crew import NearCrew
from helpers.video import content_of, left_in, messages_of, scratched
from PIL import Image

from colorize.runtime.cluster import films, lead_in
from colorize.runtime.cluster.crew import Crew, Lost
from colorize.runtime.cluster.films import FilmWorkers
from colorize.runtime.cluster.tasks import Failed, FilmTask, Made, Message, Reached
from colorize.runtime.color import U8
from colorize.runtime.colorizer import Colorizer
from colorize.runtime.engines.memory_fallback import MemoryFallback
from colorize.runtime.errors import EngineError, InputError, OutOfMemoryError, OutputError
from colorize.runtime.steering.scenes import CutDetector
from colorize.runtime.video.colorize import VideoReport
from colorize.runtime.video.options import VideoOptions

FFV1 = VideoOptions(codec="ffv1", segment_frames=16)
Hire = Callable[..., Any]
Near = Callable[..., NearCrew]


def made_by(
    crew: Any, colorizer: Colorizer, film: Path, target: Path, stretch: int | None = 3, **more: Any
) -> VideoReport:
    options = more.pop("options", FFV1)
    workers = FilmWorkers(cast(Crew, crew), stretch_segments=stretch)
    return colorizer.video(film, target, options, helpers=workers, **more)


@pytest.fixture(scope="module")
def alone(film: Path, colorizer: Colorizer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The film as one process colors it."""
    target = tmp_path_factory.mktemp("alone") / "alone.mkv"
    colorizer.video(film, target, FFV1)
    return target


def test_workers_make_the_film_that_one_process_makes(
    film: Path, alone: Path, colorizer: Colorizer, hire: Hire, tmp_path: Path, said: list[str]
) -> None:
    seen = list[int]()
    with hire(2) as crew:
        report = colorizer.video(
            film,
            tmp_path / "out.mkv",
            FFV1,
            lambda progress: seen.append(progress.frames),
            helpers=FilmWorkers(crew, stretch_segments=3),
        )
    assert content_of(tmp_path / "out.mkv") == content_of(alone)
    assert left_in(tmp_path) == ["out.mkv"]
    assert (messages_of(report), said) == ([], [])
    assert (report.frames, report.resumed, seen[-1]) == (220, 0, 220)
    assert 0 < report.stages["lead in"] < report.stages["workers"]


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2, 4])
@pytest.mark.parametrize("way", ["steady", "not steady", "references", "strokes", "mp4", "y4m"])
def test_any_number_of_workers_makes_it(
    workers: int,
    way: str,
    film: Path,
    frames: list[U8],
    colorizer: Colorizer,
    near: Near,
    tmp_path: Path,
) -> None:
    more: dict[str, Any] = {"options": replace(FFV1, stabilize=way != "not steady")}
    if way in ("references", "strokes"):
        more["references"] = _references(tmp_path / "refs", frames, strokes=way == "strokes")
    if way in ("mp4", "y4m"):
        film = _as(film, tmp_path / f"film.{way}")
    colorizer.video(film, tmp_path / "alone.mkv", **more)
    crew = near(workers)
    report = made_by(crew, colorizer, film, tmp_path / "out.mkv", None, **more)
    assert content_of(tmp_path / "out.mkv") == content_of(tmp_path / "alone.mkv")
    assert report.frames == len(frames)
    begun = [cast(FilmTask, task).seam is None for task in crew.tasks]
    assert len(begun) == (workers if way == "y4m" else {1: 3}.get(workers, 4))
    assert sum(begun) == workers - 1  # the first part of a lane alone begins from a cut
    assert not any("once more" in message for message in messages_of(report))


def _references(folder: Path, frames: list[U8], *, strokes: bool) -> Path:
    """Give some scenes colors that the model would not, on whole frames or by strokes."""
    folder.mkdir()
    for frame in (30, 70, 84, 190):
        swapped = frames[frame][..., ::-1]
        if strokes:
            layer = np.zeros((*swapped.shape[:2], 4), np.uint8)
            layer[20:40, 20:90, :3], layer[20:40, 20:90, 3] = swapped[20:40, 20:90], 255
            Image.fromarray(layer).save(folder / f"ref_{frame:06}_hints.png")
        else:
            Image.fromarray(swapped).save(folder / f"ref_{frame:06}.png")
    return folder


def _as(film: Path, target: Path) -> Path:
    """Write FILM in another container: an MP4 of groups of pictures, or y4m, which has no index."""
    codec, fmt = ("libx264", "yuv420p") if target.suffix == ".mp4" else ("rawvideo", "yuv444p")
    if target.suffix == ".y4m":
        codec = "wrapped_avframe"
    with av.open(str(film)) as source, av.open(str(target), "w") as made:
        stream = made.add_stream(codec, rate=25)
        before = source.streams.video[0]
        stream.width, stream.height, stream.pix_fmt = before.width, before.height, fmt  # type: ignore[union-attr]
        for frame in source.decode(before):
            made.mux(stream.encode(frame.reformat(format=fmt)))  # type: ignore[union-attr, arg-type]
        made.mux(stream.encode(None))  # type: ignore[union-attr]
    return target


def test_a_film_without_cuts_is_colored_in_order(
    still: Path,
    colorizer: Colorizer,
    near: Near,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(lead_in, "MOST_FRAMES", 40)
    colorizer.video(still, tmp_path / "alone.mkv", FFV1)
    crew = near(2)
    report = made_by(crew, colorizer, still, tmp_path / "out.mkv", 4)
    assert content_of(tmp_path / "out.mkv") == content_of(tmp_path / "alone.mkv")
    [said] = [message for message in messages_of(report) if "without a cut" in message]
    assert "in order, by one worker" in said
    whole = [task for task in crew.tasks if cast(FilmTask, task).seam is not None]
    assert [cast(FilmTask, task).first for task in whole] == [0, 4, 8]


def _dies(at: int) -> Callable[[NearCrew, Any, Message], Message | Lost]:
    def fault(crew: NearCrew, _: Any, given: Message) -> Message | Lost:
        return Lost("killed") if crew.count == at else given

    return fault


@pytest.mark.parametrize(
    "at", [pytest.param(1, marks=pytest.mark.slow), 9, pytest.param(22, marks=pytest.mark.slow)]
)
def test_what_a_dead_worker_made_is_kept_and_the_rest_made_again(
    at: int, film: Path, alone: Path, colorizer: Colorizer, near: Near, tmp_path: Path
) -> None:
    crew = near(2, fault=_dies(at))
    report = made_by(crew, colorizer, film, tmp_path / "out.mkv")
    assert content_of(tmp_path / "out.mkv") == content_of(alone)
    assert len(crew.tasks) == 6  # five stretches, and what was left of one
    assert report.frames == 220


def test_a_stretch_at_which_every_worker_dies_ends_the_run_in_one_line(
    film: Path, colorizer: Colorizer, near: Near, tmp_path: Path
) -> None:
    def fault(_: NearCrew, part: Any, given: Message) -> Message | Lost:
        return Lost("killed") if part.first == 6 else given

    with pytest.raises(EngineError, match=r"3 workers died .* frames from 96 on"):
        made_by(near(2, fault=fault), colorizer, film, tmp_path / "out.mkv")


@pytest.mark.slow
def test_a_worker_out_of_memory_changes_no_color(
    film: Path,
    alone: Path,
    colorizer: Colorizer,
    near: Near,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    infer, calls = MemoryFallback.infer, list[int]()

    def scarce(self: MemoryFallback, *given: Any) -> Any:
        calls.append(0)
        ab, _ = infer(self, *given)
        return ab, 1 if len(calls) == 5 else 0  # as if it had tried a smaller size once

    monkeypatch.setattr(MemoryFallback, "infer", scarce)
    made_by(near(2), colorizer, film, tmp_path / "out.mkv")
    assert content_of(tmp_path / "out.mkv") == content_of(alone)
    monkeypatch.setattr(MemoryFallback, "infer", lambda self, *given: (infer(self, *given)[0], 1))
    with pytest.raises(OutOfMemoryError, match="give workers more, or a smaller --size"):
        made_by(near(2), colorizer, film, tmp_path / "again.mkv")


def test_a_full_disk_keeps_what_is_made_for_the_next_run(
    film: Path,
    alone: Path,
    colorizer: Colorizer,
    near: Near,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stored = list[int]()

    def full(number: int) -> None:
        stored.append(number)
        if len(stored) == 4:
            raise OSError(errno.ENOSPC, "No space left on device")
        os.fsync(number)

    with monkeypatch.context() as patch:
        patch.setattr(films, "os", SimpleNamespace(fsync=full))
        with pytest.raises(OutputError, match=r"out.mkv: cannot write it \(No space left.* resume"):
            made_by(near(2), colorizer, film, tmp_path / "out.mkv")
    report = made_by(near(2), colorizer, film, tmp_path / "out.mkv")
    assert report.resumed > 0
    assert content_of(tmp_path / "out.mkv") == content_of(alone)


@pytest.mark.parametrize("stop", [2, pytest.param(5, marks=pytest.mark.slow)])
def test_segments_that_wait_for_others_are_used_by_the_next_run(
    stop: int, film: Path, alone: Path, colorizer: Colorizer, near: Near, tmp_path: Path
) -> None:
    def fault(crew: NearCrew, part: Any, given: Message) -> Message:
        if isinstance(given, Made) and given.number == 3 + stop:
            raise KeyboardInterrupt
        return given

    with pytest.raises(KeyboardInterrupt):
        made_by(near(3, fault=fault), colorizer, film, tmp_path / "out.mkv")
    [work] = [path for path in tmp_path.iterdir() if path.suffix == ".parts"]
    before = {path.name for path in work.glob("*.npz")}
    crew = near(1)
    report = made_by(crew, colorizer, film, tmp_path / "out.mkv")
    assert report.resumed == sum(min(220 - 16 * int(name[:5]), 16) for name in before)
    assert content_of(tmp_path / "out.mkv") == content_of(alone)


@pytest.mark.slow
def test_a_run_of_one_process_goes_on_with_what_workers_made(
    film: Path, alone: Path, colorizer: Colorizer, near: Near, tmp_path: Path
) -> None:
    def fault(crew: NearCrew, part: Any, given: Message) -> Message:
        if isinstance(given, Reached) and part.first == 3:
            raise KeyboardInterrupt
        return given

    with pytest.raises(KeyboardInterrupt):
        made_by(near(2, fault=fault), colorizer, film, tmp_path / "out.mkv")
    report = colorizer.video(film, tmp_path / "out.mkv", FFV1)
    assert report.resumed >= 48
    assert content_of(tmp_path / "out.mkv") == content_of(alone)


def test_a_stretch_that_begins_otherwise_than_the_one_before_ended_is_made_again(
    film: Path,
    alone: Path,
    colorizer: Colorizer,
    near: Near,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A detector that tells other cuts makes workers begin in the middle of scenes."""

    def wrong(self: Any, gray: U8) -> bool:
        lead_in_detector(self, gray)
        return True

    lead_in_detector = CutDetector.is_cut
    monkeypatch.setattr(lead_in, "CutDetector", type("Wrong", (CutDetector,), {"is_cut": wrong}))
    report = made_by(near(3), colorizer, film, tmp_path / "out.mkv")
    assert content_of(tmp_path / "out.mkv") == content_of(alone)
    assert any("are colored once more" in message for message in messages_of(report))


@pytest.mark.slow
def test_a_damaged_film_is_bridged_as_by_one_process(
    clip: Path, colorizer: Colorizer, near: Near, tmp_path: Path
) -> None:
    film = scratched(clip, tmp_path / "film.mp4")
    before = colorizer.video(film, tmp_path / "alone.mkv", FFV1)
    report = made_by(near(2), colorizer, film, tmp_path / "out.mkv", 2)
    assert report.frames == before.frames
    assert messages_of(report)[-1:] == messages_of(before)[-1:]


@pytest.mark.slow
def test_numbered_frames_and_trials_are_made_by_workers_too(
    film: Path, colorizer: Colorizer, near: Near, tmp_path: Path
) -> None:
    trial = replace(FFV1, start=1.0, duration=1.5)
    colorizer.video(film, tmp_path / "alone.mkv", trial)
    made_by(near(2), colorizer, film, tmp_path / "out.mkv", options=trial)
    assert content_of(tmp_path / "out.mkv") == content_of(tmp_path / "alone.mkv")
    plain = VideoOptions(segment_frames=16)
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
    colorizer.video(film, tmp_path / "one" / "f_%03d.png", plain)
    made_by(near(2), colorizer, film, tmp_path / "two" / "f_%03d.png", options=plain)
    names = left_in(tmp_path / "one")
    assert len(names) == 220
    assert left_in(tmp_path / "two") == names
    for name in names[::20]:
        one, two = ((tmp_path / folder / name).read_bytes() for folder in ("one", "two"))
        assert one == two


def test_a_source_that_workers_do_not_see_is_refused_with_the_nodes_name(
    film: Path, colorizer: Colorizer, near: Near, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from colorize.runtime.cluster import photo_worker, stretches, worker

    seen = photo_worker.check_seen

    def elsewhere(path: Path, look: Any, known: str, node: str) -> None:
        def missing() -> str:
            raise InputError(f"{path}: cannot be read (No such file or directory)")

        seen(path, missing, known, node)

    monkeypatch.setattr(stretches, "check_seen", elsewhere)
    monkeypatch.setattr(worker, "node_name", lambda: "attic")
    with pytest.raises(InputError, match=r"node attic does not see it \(.*No such file.*all nodes"):
        made_by(near(2), colorizer, film, tmp_path / "out.mkv")
    assert left_in(tmp_path) == []


def test_an_error_of_the_film_itself_is_told_as_by_one_process(
    film: Path, colorizer: Colorizer, near: Near, tmp_path: Path
) -> None:
    def fault(_: NearCrew, part: Any, given: Message) -> Message:
        if part.first == 3 and isinstance(given, Reached):
            return Failed(InputError("film.mkv: cannot be read on (Input/output error)"))
        return given

    with pytest.raises(InputError, match=r"Input/output error\); 48 finished frames are kept in"):
        made_by(near(2, fault=fault), colorizer, film, tmp_path / "out.mkv")
