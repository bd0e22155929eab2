"""Tests over a SIMULATED CUDA driver: they say nothing about a GPU's speed or arithmetic.

They run in a process of their own, which tests/test_simulated.py starts with that driver in it.
"""

import ctypes
import json
import os
from collections.abc import Callable, Iterator
from enum import IntEnum
from pathlib import Path
from typing import Any

import pytest

from colorize.runtime.engines.tensorrt.plan import BuildConfig, Profile, engine_path, store_engine
from colorize.runtime.files import sha256
from colorize.runtime.models.contract import ModelInfo

collect_ignore_glob = [] if "SIMULATED_CUDA" in os.environ else ["test_*.py"]

LANDSCAPE = Profile((1, 1, 16, 16), (4, 1, 32, 64), (8, 1, 64, 128))
PORTRAIT = Profile((1, 1, 16, 16), (4, 1, 64, 32), (8, 1, 128, 64))


class Count(IntEnum):
    """What the simulated driver counts, in driver.c's order."""

    DEVICE_BYTES = 0
    PINNED_BYTES = 1
    STREAMS = 2
    EVENTS = 3
    GRAPHS = 4
    CONTEXTS = 5
    PUSHED = 6


class Driver:
    """The knobs and counters of the simulated driver."""

    def __init__(self) -> None:
        self.library = ctypes.CDLL("libcuda.so.1")
        self.library.simulated_count.restype = ctypes.c_longlong

    def count(self, what: Count) -> int:
        """Return how many are live now; contexts pushed are the calling thread's."""
        return int(self.library.simulated_count(int(what)))

    def live(self) -> dict[str, int]:
        """Return everything that is live now."""
        return {what.name: found for what in Count if (found := self.count(what))}

    def set_memory(self, size: int) -> None:
        """Let each GPU have SIZE bytes."""
        self.library.simulated_set_memory(ctypes.c_size_t(size))

    def set_gpus(self, count: int) -> None:
        """Let there be COUNT GPUs."""
        self.library.simulated_set_gpus(count)


@pytest.fixture
def driver() -> Iterator[Driver]:
    """The simulated driver, of which nothing may stay held after the test."""
    found = Driver()
    yield found
    found.set_memory(1 << 30)
    found.set_gpus(2)
    assert found.live() == {}


@pytest.fixture
def store(tiny_model: Path, tiny_info: ModelInfo, tmp_path: Path) -> Callable[..., Path]:
    """`store(profiles, capabilities=, precision=, network=, info=, **plan)`: model and engine.

    It is `tiny_model` with `tiny_info` unless others are given; PLAN goes into the engine.
    """

    def make(
        *profiles: Profile,
        capabilities: tuple[str, ...] = (),
        precision: str = "fp16",
        network: Path = tiny_model,
        info: ModelInfo = tiny_info,
        **plan: Any,
    ) -> Path:
        model = tmp_path / "tiny.onnx"
        model.write_bytes(network.read_bytes())
        used = profiles or (LANDSCAPE, PORTRAIT)
        config = BuildConfig(
            onnx_sha256=sha256(model),
            variant="tensorrt",
            version="11.4.simulated",
            precision=precision,
            compute_capabilities=capabilities,
            device="SIMULATED GPU 0",
            profiles=used,
        )
        shapes = [[profile.low, profile.best, profile.high] for profile in used]
        content = json.dumps({"profiles": shapes, **plan}).encode()
        store_engine(engine_path(model, "tensorrt"), content, config, info.to_metadata())
        return model

    return make
