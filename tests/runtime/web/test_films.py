"""Films in a child process: their queue, cancel and resume, and deaths of child and server."""

import errno
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from helpers.video import content_of, parts_in, read_frames
from helpers.web import ANN, LOSSLESS, job_for, jobs_of
from PIL import Image

from colorize.runtime.colorizer import Colorizer
from colorize.runtime.errors import InputError, OutputError
from colorize.runtime.video.options import VideoOptions
from colorize.runtime.web import pipe
from colorize.runtime.web.films import Films
from colorize.runtime.web.jobs import Job, Jobs, Settings
from colorize.runtime.web.media import Library
from colorize.runtime.web.previews import preview
from colorize.runtime.web.scenes import find_scenes
from colorize.runtime.web.worker import _reason
from colorize.runtime.web.workspace import Workspace, open_workspace

WHOLE = 100  # frames of the sample film


@pytest.fixture
def workspace(tmp_path: Path) -> Iterator[Workspace]:
    with open_workspace(tmp_path / "work") as opened:
        yield opened


@pytest.fixture
def jobs(workspace: Workspace, tiny_model: Path) -> Jobs:
    return jobs_of(workspace, tiny_model)


@pytest.fixture(scope="module")
def whole(clip: Path, tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sample film as the command colors it, in one go."""
    target = tmp_path_factory.mktemp("whole") / "whole.mkv"
    with Colorizer(tiny_model, on_notice=lambda _: None) as colorizer:
        colorizer.video(clip, target, VideoOptions(codec="ffv1", segment_frames=16))
    return target


def _when(jobs: Jobs, happened: Callable[[], bool]) -> None:
    """Wait until a change of a job made HAPPENED true."""
    changed, update = threading.Event(), jobs.update

    def watched(*arguments: object, **named: object) -> Job:
        job = update(*arguments, **named)  # type: ignore[arg-type]  # passed on as they come
        if happened():
            changed.set()
        return job

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jobs, "update", watched)
        assert happened() or changed.wait(60)


def _frames(jobs: Jobs, job: Job) -> int:
    return jobs.find(job.id, ANN).progress.frames


@pytest.mark.slow
def test_a_film_is_colored_as_the_command_does(jobs: Jobs, clip: Path, whole: Path) -> None:
    job = job_for(jobs, clip, **LOSSLESS)
    with Films(jobs) as films:
        assert films.queue(job.id, ANN).position == 1
        done = films.wait(job.id, ANN, 60)
    assert (done.state, done.error) == ("done", None)
    assert (done.progress.frames, done.progress.total) == (WHOLE, WHOLE)
    assert done.progress.fps > 0
    assert content_of(done.target) == content_of(whole)
    assert done.playable != done.target  # FFV1 in Matroska
    assert len(read_frames(done.playable)) == WHOLE
    assert parts_in(done.folder) == []
    assert jobs_of(jobs.library.workspace, Path()).find(job.id, ANN) == done  # it is on the disk


@pytest.mark.slow
def test_numbered_frames_of_a_media_folder_are_previewed_and_colored(
    workspace: Workspace, small_video: Path, tiny_model: Path, tmp_path: Path
) -> None:
    scan = tmp_path / "films" / "scan"
    scan.mkdir(parents=True)
    for number, frame in enumerate(read_frames(small_video) * 2, 7):
        Image.fromarray(frame.to_ndarray(format="rgb24")).save(scan / f"oma {number:04}.png")
    jobs = Jobs(Library(workspace, [tmp_path / "films"]), {"default": tiny_model})
    [film] = jobs.library.listed()
    job = jobs.create(film, Settings(**LOSSLESS), ANN)
    scenes = find_scenes(job, tiny_model)
    assert (scenes[0].first, scenes[-1].last) == (0, 19)
    assert preview(job, scenes[0], tiny_model).frames == scenes[0].last + 1
    with Films(jobs) as films:
        films.queue(job.id, ANN)
        done = films.wait(job.id, ANN, 60)
    assert (done.state, done.error) == ("done", None)
    with Colorizer(tiny_model, on_notice=lambda _: None) as colorizer:
        options = VideoOptions(codec="ffv1", segment_frames=16)
        colorizer.video(scan / "oma %04d.png", tmp_path / "whole.mkv", options)
    assert content_of(done.target) == content_of(tmp_path / "whole.mkv")
    (scan / "oma 0009.png").unlink()
    with pytest.raises(InputError, match=r"^films/scan/oma 0009\.png: is missing") as refused:
        films.queue(job.id, ANN)
    assert str(tmp_path) not in str(refused.value)


@pytest.mark.slow
def test_a_canceled_film_goes_on_after_its_segments(jobs: Jobs, clip: Path, whole: Path) -> None:
    job = job_for(jobs, clip, **LOSSLESS)
    with Films(jobs) as films:
        films.queue(job.id, ANN)
        _when(jobs, lambda: _frames(jobs, job) >= 20)
        films.cancel(job.id, ANN)
        canceled = films.wait(job.id, ANN, 60)
        assert canceled.state == "canceled"
        assert not canceled.target.exists()
        assert parts_in(canceled.folder)
        films.queue(job.id, ANN)
        done = films.wait(job.id, ANN, 60)
    assert (done.state, done.error) == ("done", None)
    assert done.progress.resumed >= 16
    assert any("resumes after" in notice for notice in done.notices)
    assert content_of(done.target) == content_of(whole)


@pytest.mark.slow
def test_films_are_colored_one_at_a_time_and_in_order(
    jobs: Jobs, small_video: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second, third = (job_for(jobs, small_video, **LOSSLESS) for _ in range(3))
    states: list[list[str]] = []
    update = jobs.update

    def noted(*arguments: object, **named: object) -> Job:
        job = update(*arguments, **named)  # type: ignore[arg-type]  # passed on as they come
        states.append([jobs.find(each.id, ANN).state for each in (first, second, third)])
        return job

    monkeypatch.setattr(jobs, "update", noted)
    with Films(jobs) as films:
        for job in (first, second, third):
            films.queue(job.id, ANN)
        assert films.cancel(second.id, ANN).state == "canceled"  # at once: it only waited
        assert films.wait(third.id, ANN, 60).state == "done"
    assert max(each.count("running") for each in states) == 1
    assert ["done", "canceled", "running"] in states
    assert [jobs.find(each.id, ANN).state for each in (first, second)] == ["done", "canceled"]


@pytest.mark.slow
def test_a_server_that_ends_keeps_its_films_for_the_next(
    jobs: Jobs, clip: Path, whole: Path
) -> None:
    job = job_for(jobs, clip, **LOSSLESS)
    with Films(jobs) as films:
        films.queue(job.id, ANN)
        _when(jobs, lambda: _frames(jobs, job) >= 20)
    assert jobs.find(job.id, ANN).state == "queued"
    with Films(jobs) as films:
        done = films.wait(job.id, ANN, 60)
    assert (done.state, done.error) == ("done", None)
    assert done.progress.resumed >= 16
    assert content_of(done.target) == content_of(whole)


SERVER = """
import sys
from pathlib import Path
from helpers.web import ANN, LOSSLESS, job_for, jobs_of
from colorize.runtime.web.films import Films
from colorize.runtime.web.workspace import open_workspace

workspace, model, film = map(Path, sys.argv[1:])
with open_workspace(workspace) as opened:
    jobs = jobs_of(opened, model)
    job = job_for(jobs, film, **LOSSLESS)
    with Films(jobs) as films:
        films.queue(job.id, ANN)
        while True:
            print(jobs.find(job.id, ANN).progress.frames, flush=True)
            films.wait(job.id, ANN, 0.05)
"""


@pytest.mark.skipif(os.name == "nt", reason="kills as POSIX does")
def test_a_server_that_is_killed_loses_no_finished_segment(
    tmp_path: Path, tiny_model: Path, clip: Path, whole: Path
) -> None:
    path = os.pathsep.join([str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")])
    words = [sys.executable, "-c", SERVER, *map(str, (tmp_path / "work", tiny_model, clip))]
    server = subprocess.Popen(
        words, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": path}
    )
    assert server.stdout is not None
    for line in server.stdout:
        if int(line) >= 20:
            break
    server.kill()
    server.communicate()
    with open_workspace(tmp_path / "work") as workspace:
        jobs = jobs_of(workspace, tiny_model)
        [job] = jobs.of(ANN)
        assert job.state == "queued"
        with Films(jobs) as films:  # waits for the child, which ends by itself
            done = films.wait(job.id, ANN, 60)
    assert (done.state, done.error) == ("done", None)
    assert done.progress.resumed >= 16
    assert content_of(done.target) == content_of(whole)


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="kills as POSIX does")
def test_a_child_that_dies_fails_its_film_alone(jobs: Jobs, clip: Path, small_video: Path) -> None:
    job, other = job_for(jobs, clip, **LOSSLESS), job_for(jobs, small_video, **LOSSLESS)
    with Films(jobs) as films:
        films.queue(job.id, ANN)
        films.queue(other.id, ANN)
        _when(jobs, lambda: _frames(jobs, job) >= 20)
        assert films._running is not None
        os.kill(films._running[1].pid, signal.SIGKILL)
        failed = films.wait(job.id, ANN, 60)
        assert failed.state == "failed"
        assert failed.error is not None
        assert "died (SIGKILL)" in failed.error
        assert films.wait(other.id, ANN, 60).state == "done"
        films.queue(job.id, ANN)
        done = films.wait(job.id, ANN, 60)
    assert (done.state, done.error) == ("done", None)
    assert done.progress.resumed >= 16


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="signals are POSIX's")
def test_ctrl_c_is_for_the_server_to_pass_on(jobs: Jobs, clip: Path) -> None:
    job = job_for(jobs, clip, **LOSSLESS)
    with Films(jobs) as films:
        films.queue(job.id, ANN)
        _when(jobs, lambda: _frames(jobs, job) >= 20)
        assert films._running is not None
        child = films._running[1].pid
        if sys.platform == "linux":
            assert os.getpriority(os.PRIO_PROCESS, child) > os.getpriority(os.PRIO_PROCESS, 0)
            assert int(Path(f"/proc/{child}/oom_score_adj").read_text()) >= 500
        os.kill(child, signal.SIGINT)  # as a terminal sends it to both
        assert films.wait(job.id, ANN, 60).state == "done"


def test_what_goes_wrong_is_one_line_without_paths(jobs: Jobs, clip: Path) -> None:
    job = job_for(jobs, clip, container="webm", codec="libx264")
    with Films(jobs) as films:
        films.queue(job.id, ANN)
        failed = films.wait(job.id, ANN, 60)
    assert failed.state == "failed"
    assert failed.error is not None
    assert "webm" in failed.error
    assert str(jobs.library.workspace.path) not in failed.error
    assert "\n" not in failed.error


@pytest.mark.parametrize(
    ("number", "refusals", "asked", "error"),
    [
        (errno.EAGAIN, 1, 2, None),
        (errno.EFAULT, len(pipe._PAUSES), len(pipe._PAUSES) + 1, None),
        (errno.ENOMEM, 99, len(pipe._PAUSES) + 1, "too little memory or too many processes"),
        (errno.ENOENT, 99, 1, "No such file or directory): restart the server"),
    ],
)
def test_a_worker_that_cannot_be_started_for_a_moment_is_started_again(
    jobs: Jobs,
    small_video: Path,
    monkeypatch: pytest.MonkeyPatch,
    number: int,
    refusals: int,
    asked: int,
    error: str | None,
) -> None:
    tries, start = [], subprocess.Popen

    def refusing(words: list[str], **options: Any) -> "subprocess.Popen[bytes]":
        tries.append(words)
        if len(tries) <= refusals:
            raise OSError(number, os.strerror(number), words[0])
        return start(words, **options)

    monkeypatch.setattr(subprocess, "Popen", refusing)
    monkeypatch.setattr(pipe, "_PAUSES", (0,) * len(pipe._PAUSES))
    job = job_for(jobs, small_video)
    with Films(jobs) as films:
        films.queue(job.id, ANN)
        ended = films.wait(job.id, ANN, 60)
    assert len(tries) == asked
    if error is None:
        assert (ended.state, ended.error) == ("done", None)
    else:
        assert ended.state == "failed"
        assert error in str(ended.error)
        assert sys.executable not in str(ended.error)


def test_a_film_that_is_gone_is_refused_before_it_waits(jobs: Jobs, small_video: Path) -> None:
    job = job_for(jobs, small_video)
    job.source.unlink()
    with Films(jobs) as films:
        with pytest.raises(InputError, match="upload or choose it again"):
            films.queue(job.id, ANN)
        with pytest.raises(InputError, match="not in the list any more"):
            films.queue(job.id, "bob")
        with pytest.raises(InputError, match="not in the list any more"):
            films.cancel(job.id, "bob")
    assert jobs.find(job.id, ANN).state == "draft"


@pytest.mark.slow
def test_another_container_takes_the_place_of_the_first_result(
    jobs: Jobs, small_video: Path
) -> None:
    job = job_for(jobs, small_video)
    with Films(jobs) as films:
        films.queue(job.id, ANN)
        first = films.wait(job.id, ANN, 60)
        assert first.playable == first.target
        jobs.configure(job.id, type(job.settings)(container="mkv"), ANN)
        films.queue(job.id, ANN)
        second = films.wait(job.id, ANN, 60)
    assert second.target.suffix == ".mkv"
    assert not first.target.exists()
    assert second.target.exists()


def test_progress_is_written_now_and_then_and_not_each_time(
    jobs: Jobs, small_video: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from colorize.runtime.web import films as module

    job = job_for(jobs, small_video)
    saves: list[bool] = []
    monkeypatch.setattr(jobs, "update", lambda _, save=True, **changes: saves.append(save))
    ticks = iter([0.0, 1.0, 2.5, 3.0])
    facts = {"event": "progress", "frames": 1, "total": 9, "resumed": 0, "seconds": 1.0}

    class Talking:
        def events(self) -> Iterator[dict[str, object]]:
            yield from [facts] * 3
            yield {"event": "notice", "message": f"{job.source}: hm", "severity": "info"}

    module.follow(jobs, job, Talking(), lambda: next(ticks))  # type: ignore[arg-type]  # all it needs
    assert saves == [False, True, False, True]


def test_old_uploads_go_when_a_server_starts(jobs: Jobs, monkeypatch: pytest.MonkeyPatch) -> None:
    old = jobs.library.workspace.incoming / "old.mp4"
    old.write_bytes(b"old")
    swept, sweep, now = threading.Event(), jobs.sweep, time.time()

    def noted() -> int:
        deleted = sweep()
        swept.set()
        return deleted

    monkeypatch.setattr(jobs, "sweep", noted)
    monkeypatch.setattr(time, "time", lambda: now + 25 * 3600)
    with Films(jobs):
        assert swept.wait(30)
    assert not old.exists()


def test_advice_on_commands_is_left_out() -> None:
    full, advised = OutputError("the disk is full"), "the disk is full; run the same command again"
    error = OutputError(advised)
    error.__cause__ = full
    assert _reason(error) == "the disk is full"
    assert _reason(full) == "the disk is full"
    error.__cause__ = OSError("no space")
    assert _reason(error) == advised
