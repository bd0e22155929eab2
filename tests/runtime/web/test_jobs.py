"""Jobs on the disk: whose they are, what a restart finds, what a client may know."""

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from helpers.web import ANN, job_for, jobs_of

from colorize.runtime.errors import ArgumentError, InputError
from colorize.runtime.web.jobs import Jobs, Progress, Settings
from colorize.runtime.web.media import Library
from colorize.runtime.web.workspace import Workspace, open_workspace


@pytest.fixture
def workspace(tmp_path: Path) -> Iterator[Workspace]:
    with open_workspace(tmp_path / "work") as opened:
        yield opened


@pytest.fixture
def jobs(workspace: Workspace, tiny_model: Path) -> Jobs:
    return jobs_of(workspace, tiny_model)


def test_a_restart_finds_jobs_as_they_were(
    jobs: Jobs, workspace: Workspace, tiny_model: Path, small_video: Path
) -> None:
    job = job_for(jobs, small_video, saturation=0.5, crf=20)
    made = jobs.update(
        job.id, progress=Progress(frames=3, total=9), notices=("one", "two"), error="why"
    )
    assert jobs_of(workspace, tiny_model).find(job.id, ANN) == made
    assert made.source.read_bytes() == small_video.read_bytes()


def test_what_was_running_is_queued_again_before_what_came_later(
    jobs: Jobs, workspace: Workspace, tiny_model: Path, small_video: Path
) -> None:
    later, first = (job_for(jobs, small_video) for _ in range(2))
    jobs.update(first.id, state="running", queued=1.0)
    jobs.update(later.id, state="queued", queued=2.0)
    again = jobs_of(workspace, tiny_model)
    assert [job.id for job in again.queue_of()] == [first.id, later.id]
    assert [again.find(job.id, ANN).position for job in (first, later)] == [1, 2]


def test_a_job_is_its_owners_alone(jobs: Jobs, small_video: Path) -> None:
    job = job_for(jobs, small_video)
    for attempt in (
        lambda: jobs.find(job.id, "bob"),
        lambda: jobs.delete(job.id, "bob"),
        lambda: jobs.configure(job.id, Settings(), "bob"),
        lambda: jobs.find("../" + job.id, ANN),
        lambda: jobs.find(f"{job.id}/../{job.id}", ANN),
    ):
        with pytest.raises(InputError, match="not in the list any more"):
            attempt()
    assert list(jobs.of("bob")) == []
    assert [each.id for each in jobs.of(ANN)] == [job.id]


def test_clients_learn_no_path_and_no_owner(jobs: Jobs, small_video: Path) -> None:
    job = job_for(jobs, small_video, owner="somebody-secret")
    told = json.dumps(job.public())
    assert str(jobs.library.workspace.path) not in told
    assert "somebody-secret" not in told
    assert job.public()["download_name"] == "small_colorized.mp4"


def test_progress_tells_speed_and_time_left() -> None:
    assert (Progress().fps, Progress().eta, Progress().share) == (0, None, None)
    half = Progress(frames=60, total=110, resumed=10, seconds=2.0)
    assert (half.fps, half.eta) == (25, 2)
    assert half.share == pytest.approx(60 / 110)
    assert Progress(frames=12, total=10, seconds=1).share == 1  # more than the file promised


def test_a_photograph_is_no_film(jobs: Jobs, photo: Path) -> None:
    with pytest.raises(InputError, match=r"tulips\.jpg: is a photograph"):
        job_for(jobs, photo)


def test_a_file_in_a_folder_is_opened_before_it_is_believed(
    workspace: Workspace, tiny_model: Path, tmp_path: Path, small_video: Path
) -> None:
    films = tmp_path / "films"
    films.mkdir()
    (films / "list.mp4").write_text(f"ffconcat version 1.0\nfile {small_video.name}\n")
    (films / small_video.name).write_bytes(small_video.read_bytes())
    jobs = Jobs(Library(workspace, [films]), {"default": tiny_model})
    wrong, right = jobs.library.listed()
    with pytest.raises(InputError, match="neither a picture nor a film"):
        jobs.create(wrong, Settings(), ANN)
    job = jobs.create(right, Settings(), ANN)
    assert job.source == films / small_video.name  # read where it is
    jobs.check_source(job)
    elsewhere = Jobs(Library(workspace), {"default": tiny_model})
    with pytest.raises(InputError, match="no folder that this page may read"):
        elsewhere.check_source(elsewhere.find(job.id, ANN))


@pytest.mark.parametrize(
    "wrong",
    [{"saturation": 5}, {"saturation": float("nan")}, {"size": 1}, {"container": "exe"}],
)
def test_settings_out_of_range_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ArgumentError, match="must"):
        Settings(**wrong)  # type: ignore[arg-type]  # one of its values


def test_a_model_is_one_that_the_server_names(jobs: Jobs, small_video: Path) -> None:
    with pytest.raises(ArgumentError, match="is not on this server"):
        job_for(jobs, small_video, model="/etc/passwd")


def test_a_busy_job_is_left_alone_and_an_idle_one_goes_whole(jobs: Jobs, small_video: Path) -> None:
    job = job_for(jobs, small_video)
    for state in ("queued", "running"):
        jobs.update(job.id, state=state)
        with pytest.raises(ArgumentError, match="cancel it first"):
            jobs.delete(job.id, ANN)
        with pytest.raises(ArgumentError, match="cancel it first"):
            jobs.configure(job.id, Settings(saturation=2), ANN)
    jobs.update(job.id, state="failed")
    assert jobs.configure(job.id, Settings(saturation=2), ANN).settings.saturation == 2
    jobs.delete(job.id, ANN)
    assert not job.folder.exists()
    assert list(jobs.of(ANN)) == []


@pytest.mark.parametrize("damage", ["", "{", "[]", '{"id": "x"}', '{"id": 1, "state": {}}', "null"])
def test_a_damaged_job_is_left_alone_and_said(
    jobs: Jobs, workspace: Workspace, tiny_model: Path, small_video: Path, damage: str
) -> None:
    bad, good = (job_for(jobs, small_video) for _ in range(2))
    (bad.folder / "job.json").write_text(damage)
    again = jobs_of(workspace, tiny_model)
    assert again.unreadable == [bad.folder]
    assert [job.id for job in again.of(ANN)] == [good.id]


def test_uploaded_sources_go_a_day_after_the_last_use(
    jobs: Jobs, small_video: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    idle, busy, painted, canceled = (job_for(jobs, small_video) for _ in range(4))
    jobs.update(busy.id, state="queued")
    jobs.update(canceled.id, state="canceled")
    assert jobs.sweep() == 0
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 25 * 3600)
    painted.references.mkdir()
    os.utime(painted.references, (now + 23 * 3600,) * 2)
    assert jobs.sweep() == 1
    assert not idle.source.exists()
    assert busy.source.exists()
    assert painted.source.exists()
    assert canceled.source.exists()
    monkeypatch.setattr(time, "time", lambda: now + 8 * 24 * 3600)
    assert jobs.sweep() == 2
    assert not canceled.source.exists()
    with pytest.raises(InputError, match="upload or choose it again"):
        jobs.check_source(jobs.find(idle.id, ANN))
