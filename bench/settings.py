"""The options of colorize-bench, the models that they name, and the row of one that failed."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ..runtime.color import F32
from ..runtime.engines.base import Precision
from ..runtime.engines.select import available_backends
from ..runtime.errors import EngineError, ModelError, OutOfMemoryError
from ..runtime.files import sha256
from ..runtime.models.catalog import DEFAULT_MODEL, bundled_models, find_model
from ..runtime.notices import Notice

EAGER = "torch"
"""The name of torch eager among those of backends."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The options of the command, which has their help texts and defaults, by their names."""

    models: tuple[str, ...]
    against: tuple[str, ...]
    colored: tuple[Path, ...]
    data: Path
    protocol: str
    backends: tuple[str, ...]  # resolved: the fastest first, which colors the photographs
    device: str
    precisions: tuple[Precision, ...]
    hints: tuple[int | None, ...]  # numbers of simulated ones; None: not asked for
    sizes: tuple[int | None, ...]  # short sides in pixels; None: each model's own
    batches: tuple[int, ...]
    runs: int
    warmup: int  # at least
    roofline: bool
    videos: tuple[Path, ...]
    video_frames: int
    references: tuple[int, ...]  # numbers of the video's own frames that give it colors
    lpips: tuple[str, ...]
    lpips_weights: tuple[Path, ...]
    fid_weights: Path | None
    download: bool
    limit_images: int | None
    seed: int
    workers: int  # processes that share the photographs
    wall: Path | None
    output: Path
    every_backend: tuple[str, ...] | None = None  # models timed on all of them; None: all models

    def resolve(self) -> "Settings":
        """Return these with the backends that are here, the fastest first.

        TensorRT must be named, as it runs only models with an engine. EngineError if one that was
        named is not here. Where no model and no backend is named, few models get all backends.
        """
        available = available_backends(self.device)
        chosen = self.backends or tuple(name for name in available if name != "tensorrt")
        missing = [name for name in chosen if name not in available]
        if missing:
            raise EngineError(
                f"backend {missing[0]} is unknown or not installed; "
                f"here are: {', '.join(available)}"
            )
        named = bool(self.models or self.backends)
        return replace(
            self,
            backends=tuple(name for name in available if name in chosen),
            every_backend=None if named else (DEFAULT_MODEL, *self.against),
        )

    def document(self) -> dict[str, Any]:
        """Return those that change figures, as results.json holds them."""
        return {name: getattr(self, name) for name in _IN_RESULTS}


_IN_RESULTS = (
    *("backends", "device", "precisions", "sizes", "hints", "references", "batches", "runs"),
    *("warmup", "protocol", "limit_images", "seed", "workers", "lpips", "every_backend"),
)


@dataclass(frozen=True)
class Model:
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


def find_models(names: Sequence[str], against: Sequence[str] = ()) -> list[Model]:
    """Return the models called NAMES, all bundled ones if empty, and those AGAINST them.

    Of bundled ones the default comes first. ModelError if there are none or one is missing.
    """
    bundled = sorted(bundled_models(), key=lambda name: (name != DEFAULT_MODEL, name))
    chosen = list(dict.fromkeys([*(names or bundled), *against]))
    if not chosen:
        raise ModelError("no bundled model in this installation; name an ONNX file with --model")
    paths = {name: find_model(name) for name in chosen}
    return [Model(name, path, sha256(path)) for name, path in paths.items()]


def nothing_less(notice: Notice) -> None:
    """Refuse a Colorizer's notice that it tries less: figures of that would be of another thing."""
    if notice.topic == "memory":
        raise OutOfMemoryError(f"cannot be measured as asked: {notice}")


def noise(batch: int, shape: tuple[int, int]) -> F32:
    """Return random L* (batch, 1, *shape): the time of an inference does not depend on values."""
    values = np.random.default_rng(0).uniform(0, 100, (batch, 1, *shape))
    return values.astype(np.float32)
