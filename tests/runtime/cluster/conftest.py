"""One small Ray cluster for all tests of a run, and films with cuts."""

import logging
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.crew import NearCrew
from helpers.scenes import scene, write_film

from colorize.runtime.cluster.crew import Crew
from colorize.runtime.cluster.run import equipment_of
from colorize.runtime.color import U8
from colorize.runtime.colorizer import Colorizer
from colorize.runtime.notices import Notice

LENGTHS = (26, 33, 20, 30, 27, 18, 35, 31)
"""Frames of the film's scenes."""

Hire = Callable[..., AbstractContextManager[Crew]]


@pytest.fixture(scope="session")
def cluster(own_cache: None) -> Iterator[Any]:
    """A node with two cores on this machine, whatever it has; this process has joined it."""
    import ray
    from ray.cluster_utils import Cluster

    facts = {"num_cpus": 2, "object_store_memory": 100 << 20, "include_dashboard": False}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("RAY_worker_niceness", "0")  # others may be at work on this machine
        patch.setenv("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
        made = _started(lambda: Cluster(initialize_head=True, head_node_args=facts))
        ray.init(address=made.address, log_to_driver=False, logging_level=logging.ERROR)
        yield made
        ray.shutdown()
        made.shutdown()


def _started(make: Callable[[], Any]) -> Any:
    """Return what MAKE makes; on a busy machine Ray does not always start within its 30 seconds."""
    for _ in range(2):
        with suppress(Exception):
            return make()
    return make()


@pytest.fixture
def said() -> list[str]:
    """What the crew of `hire` says."""
    return []


@pytest.fixture
def hire(cluster: Any, colorizer: Colorizer, said: list[str]) -> Hire:
    """`with hire(2) as crew`: two workers that color as `colorizer` does."""

    @contextmanager
    def crew(most: int, **changed: Any) -> Iterator[Crew]:
        def say(line: Notice | str) -> None:
            said.append(str(line))

        made = Crew(replace(equipment_of(colorizer), **changed), say, most=most)
        try:
            yield made
        finally:
            made.close()

    return crew


@pytest.fixture
def near(colorizer: Colorizer, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., NearCrew]:
    """`near(2)`: two workers in this process."""

    def crew(size: int, **faults: Any) -> NearCrew:
        return NearCrew(colorizer, tmp_path_factory.mktemp("workers"), size, **faults)

    return crew


@pytest.fixture(scope="session")
def frames() -> list[U8]:
    """The frames of `film`: RGB (H, W, 3)."""
    return [
        rgb
        for seed, length in enumerate(LENGTHS)
        for rgb in scene(seed, length, 1.0 if seed % 2 else -1.0)
    ]


@pytest.fixture(scope="session")
def film(frames: list[U8], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A film of 220 frames in eight scenes."""
    return write_film(tmp_path_factory.mktemp("film") / "film.mkv", frames)


@pytest.fixture(scope="session")
def still(frames: list[U8], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A film of 160 frames without a cut."""
    pictures = [np.roll(frames[0], index // 2, axis=1) for index in range(160)]
    return write_film(tmp_path_factory.mktemp("still") / "still.mkv", pictures)
