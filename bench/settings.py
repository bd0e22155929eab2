"""What is measured, under which settings, and what happens to a model that fails."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..runtime.color import F32
from ..runtime.engines.base import Precision
from ..runtime.engines.select import available_backends
from ..runtime.errors import EngineError, ModelError, OutOfMemoryError
from ..runtime.files import sha256
from ..runtime.models.catalog import DEFAULT_MODEL, bundled_models, find_model
from ..runtime.notices import Notice


@dataclass(frozen=True)
class Settings:
    """What the user chose; it stands in the results."""

    backends: tuple[str, ...]  # the fastest first: it colors the photographs
    device: str = "auto"
    precisions: tuple[Precision, ...] = ("auto",)
    sizes: tuple[int | None, ...] = (None,)  # short sides in pixels; None: each model's own
    batches: tuple[int, ...] = (1, 8)
    runs: int = 30
    warmup: int = 5  # at least
    protocol: str = "native"
    limit_images: int | None = None
    seed: int = 0
    workers: int = 1  # processes that share the photographs
    lpips: tuple[str, ...] = ("squeeze",)
    every_backend: tuple[str, ...] | None = None  # models timed on all of them; None: all models


@dataclass(frozen=True)
class Subject:
    """One model to measure, by the name that the user gave it."""

    name: str
    path: Path
    sha256: str


@dataclass(frozen=True)
class Failure:
    """The row of a model that could not be measured."""

    model: str
    backend: str
    error: str


def find_subjects(names: Sequence[str], against: Sequence[str] = ()) -> list[Subject]:
    """Return the models called NAMES, all bundled ones if empty, and those AGAINST them.

    ModelError if there are none or one is missing.
    """
    chosen = list(dict.fromkeys([*(names or _bundled()), *against]))
    if not chosen:
        raise ModelError("no bundled model in this installation; name an ONNX file with --model")
    paths = {name: find_model(name) for name in chosen}
    return [Subject(name, path, sha256(path)) for name, path in paths.items()]


def _bundled() -> list[str]:
    """Return the bundled models, the default first."""
    return sorted(bundled_models(), key=lambda name: (name != DEFAULT_MODEL, name))


def choose_backends(names: Sequence[str], device: str = "auto") -> tuple[str, ...]:
    """Return the backends among NAMES that compute on DEVICE, all if empty, the fastest first.

    TensorRT must be named, as it runs only models with an engine. EngineError if one is not there.
    """
    available = available_backends(device)
    if not names:
        available = [name for name in available if name != "tensorrt"]
    missing = [name for name in names if name not in available]
    if missing:
        raise EngineError(
            f"backend {missing[0]} is unknown or not installed; here are: {', '.join(available)}"
        )
    return tuple(name for name in available if name in names or not names)


def nothing_less(notice: Notice) -> None:
    """Refuse a Colorizer's notice that it tries less: figures of that would be of another thing."""
    if notice.topic == "memory":
        raise OutOfMemoryError(f"cannot be measured as asked: {notice}")


def noise(batch: int, shape: tuple[int, int]) -> F32:
    """Return L* (batch, 1, *shape) to measure with; what it shows does not change the time."""
    values = np.random.default_rng(0).uniform(0, 100, (batch, 1, *shape))
    return values.astype(np.float32)
