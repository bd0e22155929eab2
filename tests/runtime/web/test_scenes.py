"""Scenes, reference frames and previews, as the page asks for them."""

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest
from helpers.video import chroma_distance, read_frames
from helpers.web import ANN, job_for, jobs_of
from numpy.typing import NDArray
from PIL import Image

from colorize.runtime.colorizer import Colorizer
from colorize.runtime.errors import ArgumentError, InputError
from colorize.runtime.web.jobs import Job, Jobs
from colorize.runtime.web.previews import _stretch, preview
from colorize.runtime.web.scenes import (
    SceneView,
    find_scenes,
    known_scenes,
    reference_frames,
    remove_reference,
    set_picture,
    set_strokes,
)
from colorize.runtime.web.workspace import open_workspace

SIZE = 288, 512  # (height, width) of the sample film


@pytest.fixture(scope="module")
def jobs(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path) -> Iterator[Jobs]:
    with open_workspace(tmp_path_factory.mktemp("work")) as workspace:
        yield jobs_of(workspace, tiny_model)


@pytest.fixture(scope="module")
def looked_at(jobs: Jobs, clip: Path, tiny_model: Path) -> tuple[Job, list[SceneView], list[int]]:
    """A job for the sample film, its scenes, and the progress of the search."""
    job, seen = job_for(jobs, clip), list[int]()
    assert known_scenes(job) is None
    return job, find_scenes(job, tiny_model, seen.append), seen


@pytest.fixture
def job(looked_at: tuple[Job, list[SceneView], list[int]]) -> Iterator[Job]:
    """The same job, whose references are forgotten after the test."""
    yield looked_at[0]
    for frame in reference_frames(looked_at[0]):
        remove_reference(looked_at[0], frame)


def _red(height: int = SIZE[0], width: int = SIZE[1], *, alpha: int = 255) -> NDArray[np.uint8]:
    return np.full((height, width, 4), (200, 30, 30, alpha), np.uint8)


def test_scenes_are_those_of_the_film(
    looked_at: tuple[Job, list[SceneView], list[int]], clip: Path
) -> None:
    job, views, seen = looked_at
    found = Colorizer.scenes(clip)
    assert [(view.first, view.last, view.frame, view.start) for view in views] == [
        (scene.first, scene.last, *scene.chosen, scene.time) for scene in found
    ]
    assert [view.number for view in views] == [1, 2, 3]
    assert sum(view.duration for view in views) == pytest.approx(4.0)
    assert known_scenes(job) == views
    assert seen == sorted(seen)
    assert seen[0] == 1
    for view in views:
        with Image.open(view.thumbnail) as small, Image.open(view.picture) as large:
            assert small.size == (320, 180)
            assert large.size == SIZE[::-1]


def test_what_progress_raises_ends_the_search(jobs: Jobs, clip: Path, tiny_model: Path) -> None:
    job = job_for(jobs, clip)

    def stop(_: int) -> None:
        raise TimeoutError

    with pytest.raises(TimeoutError):
        find_scenes(job, tiny_model, stop)
    assert known_scenes(job) is None


def test_a_film_that_is_searched_can_be_removed(jobs: Jobs, clip: Path, tiny_model: Path) -> None:
    job, begun, ended = job_for(jobs, clip), threading.Event(), list[str]()

    def search() -> None:
        try:
            find_scenes(job, tiny_model, lambda _: begun.set(), jobs.children)
        except InputError as error:
            ended.append(str(error))

    searching = threading.Thread(target=search)
    searching.start()
    assert begun.wait(60)
    jobs.delete(job.id, ANN)
    searching.join()
    assert not job.folder.exists(), "nobody made it anew"
    search()  # by somebody who still knew it
    assert set(ended) == {f"{job.name}: was stopped"}
    assert not job.folder.exists()


def test_a_scene_knows_of_its_reference(
    job: Job, looked_at: tuple[Job, list[SceneView], list[int]]
) -> None:
    _, views, _ = looked_at
    set_picture(job, views[1].last, _red())
    now = known_scenes(job)
    assert now is not None
    assert [view.has_reference for view in now] == [False, True, False]
    assert reference_frames(job) == [views[1].last]
    remove_reference(job, views[1].last)
    assert reference_frames(job) == []


def test_references_are_files_that_the_command_takes(job: Job, tmp_path: Path) -> None:
    Image.fromarray(_red()).convert("RGB").save(tmp_path / "painted.jpg", quality=95)
    set_picture(job, 20, tmp_path / "painted.jpg")
    strokes = _red(alpha=0)
    strokes[:9, :9] = (0, 255, 0, 255)
    set_strokes(job, 20, strokes)
    names = sorted(path.name for path in job.references.iterdir())
    assert names == ["ref_000020.png", "ref_000020_hints.png"]
    np.testing.assert_array_equal(
        np.asarray(Image.open(job.references / "ref_000020_hints.png")), strokes
    )
    set_strokes(job, 20, _red(alpha=0))  # nothing is painted any more
    assert [path.name for path in job.references.iterdir()] == ["ref_000020.png"]


def test_what_does_not_fit_is_refused_and_the_first_one_stays(job: Job, tmp_path: Path) -> None:
    set_picture(job, 20, _red())
    before = (job.references / "ref_000020.png").read_bytes()
    (tmp_path / "no.png").write_bytes(b"no picture")
    wrong: list[tuple[int, NDArray[np.uint8] | Path, str]] = [
        (20, _red(300, 300), "the reference: its size 300x300 has another aspect"),
        (100, _red(), "the video has only 100 frames"),
        (-1, _red(), "has no frame -1"),
        (20, tmp_path / "no.png", "not a picture"),
    ]
    for frame, picture, why in wrong:
        with pytest.raises(InputError, match=why) as refused:
            set_picture(job, frame, picture)
        assert str(job.folder) not in str(refused.value)
    with pytest.raises(ArgumentError, match="give uint8"):
        set_picture(job, 20, np.zeros((9, 9, 3), np.float64))
    with pytest.raises(ArgumentError, match="transparent elsewhere"):
        set_strokes(job, 20, _red()[..., :3])
    assert (job.references / "ref_000020.png").read_bytes() == before
    assert [path.name for path in job.references.iterdir()] == ["ref_000020.png"]
    assert not list(job.folder.glob("trial*"))


def test_a_busy_job_cannot_be_painted(job: Job) -> None:
    running = replace(job, state="running")
    attempts: list[Callable[[], None]] = [
        lambda: set_picture(running, 20, _red()),
        lambda: set_strokes(running, 20, _red()),
        lambda: set_strokes(running, 20, _red(alpha=0)),
        lambda: remove_reference(running, 20),
    ]
    for attempt in attempts:
        with pytest.raises(ArgumentError, match="cancel it before you paint"):
            attempt()


def _redness(video: Path) -> float:
    frames = [frame.to_ndarray(format="rgb24").astype(float) for frame in read_frames(video)]
    return float(np.mean([frame[..., 0] - frame[..., 1] for frame in frames]))


@pytest.mark.slow
def test_a_preview_shows_the_scene_with_its_reference(
    job: Job, looked_at: tuple[Job, list[SceneView], list[int]], tiny_model: Path
) -> None:
    scene, seen = looked_at[1][1], list[tuple[int, int]]()
    plain = preview(job, scene, tiny_model, on_progress=lambda *done: seen.append(done))
    assert plain.frames == scene.last - scene.first + 1 == 32
    assert all(total == 32 for _, total in seen)
    assert seen
    before, after = (read_frames(path) for path in (plain.before, plain.after))
    assert len(before) == len(after) == 32
    assert max(map(chroma_distance, before)) == 0
    assert min(map(chroma_distance, after)) > 5
    with av.open(str(plain.after)) as clip:
        context = clip.streams.video[0].codec_context
        assert (context.name, context.pix_fmt) == ("h264", "yuv420p")
        assert not clip.streams.audio
    set_picture(job, scene.frame, _red())
    red = preview(job, scene, tiny_model)
    assert red.after != plain.after
    assert _redness(red.after) > _redness(plain.after) + 30
    assert preview(job, scene, tiny_model, on_progress=_unwanted) == red  # it is kept


def _unwanted(_frames: int, _total: int) -> None:
    raise AssertionError("it was colored again")


@pytest.mark.parametrize(("frame", "first"), [(100, 100), (150, 138), (199, 175)])
def test_a_long_scenes_preview_lies_around_its_frame(frame: int, first: int) -> None:
    none = Path()
    scene = SceneView(
        number=2,
        first=100,
        last=199,
        frame=frame,
        start=4.0,
        duration=4.0,
        thumbnail=none,
        picture=none,
    )
    start, duration = _stretch(scene, 1.0)
    shown = [n for n in range(300) if start <= n * 0.04 < start + duration]
    assert (shown[0], len(shown)) == (first, 25)
    assert frame in shown


def test_the_first_scene_begins_with_the_film() -> None:
    none = Path()
    scene = SceneView(
        number=1, first=0, last=9, frame=5, start=0.0, duration=0.4, thumbnail=none, picture=none
    )
    start, duration = _stretch(scene, 4.0)
    assert start == 0
    assert [n for n in range(300) if n * 0.04 < duration] == list(range(10))


def test_a_film_that_breaks_is_one_line(jobs: Jobs, small_video: Path, tiny_model: Path) -> None:
    job = job_for(jobs, small_video, owner=ANN)
    job.source.write_bytes(job.source.read_bytes()[:300])
    with pytest.raises(InputError, match=r"small\.mp4: neither a picture nor a film") as refused:
        find_scenes(job, tiny_model)
    assert str(job.folder) not in str(refused.value)
