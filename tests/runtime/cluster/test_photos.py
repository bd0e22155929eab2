"""Photographs by several workers: the same files as by one process, each error in its place."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from helpers.commands import Finished, run_command
from helpers.crew import NearCrew
from PIL import Image

from colorize.runtime.cli import main
from colorize.runtime.cluster import photo_worker, worker
from colorize.runtime.cluster.crew import Crew, Lost
from colorize.runtime.cluster.photos import photo_results
from colorize.runtime.cluster.run import equipment_of
from colorize.runtime.cluster.tasks import Message, PhotoDone
from colorize.runtime.colorizer import Colorizer
from colorize.runtime.errors import InputError
from colorize.runtime.jobs import Job
from colorize.runtime.models.catalog import SAMPLES
from colorize.runtime.steering.hints import Hints

Near = Callable[..., NearCrew]


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A folder of ten small photographs, of two shapes and several formats."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for number, path in enumerate(sorted((SAMPLES / "test").glob("*.jpg"))[:10]):
        small = Image.open(path).convert("RGB").resize((96, 64) if number % 2 else (60, 90))
        small.save(folder / f"{path.stem}{('.jpg', '.png', '.tif')[number % 3]}")
    return folder


def _jobs(photos: Path, out: Path, **more: Any) -> list[Job]:
    return [
        Job(path, out / f"{path.name}.png", overwrite=False, **more)
        for path in sorted(photos.iterdir())
    ]


def _results(crew: NearCrew, jobs: list[Job], batch: int = 2) -> dict[Path, Exception | None]:
    done = photo_results(cast(Crew, crew), jobs, batch, lambda _: None)
    return {job.source: outcome.exception() for job, outcome in done}  # type: ignore[misc]


def _contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_a_cluster_makes_the_photographs_that_one_process_makes(
    cluster: Any, photos: Path, tiny_model: Path, tmp_path: Path
) -> None:
    def run(out: str, *more: object) -> Finished:
        known = ("--model", tiny_model, "--backend", "openvino")
        return run_command(main, *known, photos, "-o", tmp_path / out, *more)

    assert run("alone").returncode == 0
    (photos / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 no photograph")
    done = run("out", "--cluster", cluster.address, "--json")
    assert done.returncode == 3, done.stderr
    assert "broken.jpg" in done.stderr
    assert "1 of 11 files failed" in done.stderr
    assert _contents(tmp_path / "out") == _contents(tmp_path / "alone")
    assert done.stdout.count('"type": "file"') == 11
    (photos / "broken.jpg").unlink()
    again = run("out", "--cluster", cluster.address)
    assert "10 of 10 finished by an earlier run" in again.stderr


def test_hints_reach_the_workers(
    photos: Path, colorizer: Colorizer, near: Near, tmp_path: Path
) -> None:
    jobs = [replace(job, points=("30,30,#c03020,9",)) for job in _jobs(photos, tmp_path / "out")]
    assert set(_results(near(2), jobs).values()) == {None}
    for job in jobs:
        alone = replace(job, target=tmp_path / "alone" / job.target.name)
        alone.write(colorizer.photo(alone.read(), hints=alone.hints()))
    assert _contents(tmp_path / "out") == _contents(tmp_path / "alone")


def test_a_photograph_that_brings_workers_down_fails_alone(
    photos: Path, near: Near, tmp_path: Path
) -> None:
    jobs = _jobs(photos, tmp_path / "out")
    bad = jobs[3].source

    def fault(_: NearCrew, chunk: Any, given: Message) -> Message | Lost:
        deadly = isinstance(given, PhotoDone) and chunk.jobs[given.index].source == bad
        return Lost("killed") if deadly else given

    crew = near(2, fault=fault)
    results = _results(crew, jobs, batch=8)
    failed = {path: error for path, error in results.items() if error}
    assert list(failed) == [bad]
    assert "workers died at it" in str(failed[bad])
    assert len(results) == 10
    assert len(_contents(tmp_path / "out")) == 9


def test_what_exists_or_is_gone_is_refused_by_itself(
    photos: Path, near: Near, tmp_path: Path
) -> None:
    jobs = _jobs(photos, tmp_path / "out")
    (tmp_path / "out").mkdir()
    shutil.copy(jobs[0].source, jobs[0].target)
    jobs[1].source.unlink()
    before = jobs[0].target.read_bytes()
    results = _results(near(2), jobs)
    assert "exists; give --overwrite" in str(results[jobs[0].source])
    assert "No such file" in str(results[jobs[1].source])
    assert [path for path, error in results.items() if error] == [jobs[0].source, jobs[1].source]
    assert jobs[0].target.read_bytes() == before


def test_a_photograph_that_a_node_does_not_see_is_named_with_the_node(
    photos: Path, near: Near, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = _jobs(photos, tmp_path / "out")[:2]
    look, seen = photo_worker.glance, list[Path]()

    def elsewhere(path: Path) -> str:
        seen.append(path)
        if path == jobs[0].source:
            raise InputError(f"{path}: cannot be read (No such file or directory)")
        return look(path) + " of another time"

    monkeypatch.setattr(photo_worker, "glance", elsewhere)
    results = _results(near(1), jobs)
    assert "does not see it" in str(results[jobs[0].source])
    assert "is another file on the node" in str(results[jobs[1].source])
    assert not (tmp_path / "out").exists()


def test_a_full_disk_leaves_no_half_photograph(
    photos: Path, near: Near, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: Path, _: bytes) -> int:
        self.touch()
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    results = _results(near(2), _jobs(photos, tmp_path / "out"))
    assert {"No space left" in str(error) for error in results.values()} == {True}
    assert list((tmp_path / "out").iterdir()) == []


def test_chunks_shrink_with_the_number_of_workers(photos: Path, near: Near, tmp_path: Path) -> None:
    crew = near(2)
    assert set(_results(crew, _jobs(photos, tmp_path / "out")).values()) == {None}
    sizes = [len(task.jobs) for task in crew.tasks]  # type: ignore[union-attr]
    assert sizes == [2] * 5
    assert np.sum(sizes) == 10


@pytest.mark.parametrize("expects_hints", [True, False])
def test_a_worker_loads_the_network_that_its_photographs_need(
    compiled_parts: list[str], tmp_path: Path, expects_hints: bool
) -> None:
    photo = np.full((40, 60, 3), 90, np.uint8)
    hints = Hints.points([(30, 20, "#c03030", 8)]) if expects_hints else None
    with Colorizer(backend="openvino", expects_hints=expects_hints) as colorizer:
        equipment = equipment_of(colorizer)
    compiled_parts.clear()
    with worker._opened(equipment, tmp_path, lambda _: None) as colorizer:
        colorizer.image(photo, hints=hints)
    assert compiled_parts == ["" if expects_hints else "without hints"]
