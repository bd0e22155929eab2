"""Shared by the tests of colorize-bench: the command, its settings, its model and photographs."""

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.commands import Finished, run_command
from PIL import Image

from colorize.bench.cli import main
from colorize.bench.settings import Settings
from colorize.runtime.color import U8
from colorize.runtime.files import photo_files
from colorize.runtime.models.catalog import SAMPLES
from colorize.runtime.models.contract import ModelInfo

Quick = Callable[..., tuple[Finished, dict[str, Any]]]
FAST = ("--backend", "onnxruntime", "--batch", "1")

INFO = ModelInfo(
    architecture="tiny",
    precision="fp32",
    native_size=32,
    size_multiple=8,
    checkpoint_sha256="0" * 64,
    data_name="none",
    data_fingerprint="0" * 32,
    license="CC0",
    toolkit_version="0",
)

bench = partial(run_command, main)


def small_photos(folder: Path) -> Path:
    """Write two small photographs in color."""
    folder.mkdir()
    for path in photo_files(SAMPLES / "test")[:2]:
        with Image.open(path) as image:
            image.resize((60, 45)).save(folder / f"{path.stem}.png")
    return folder


def quick_bench(folder: Path, photos: Path, patch: pytest.MonkeyPatch) -> Quick:
    """Return what runs colorize-bench on PHOTOS, without other processes, and reads its JSON."""
    import torch

    patch.setattr("colorize.bench.speed.latency.peak_memory", lambda *_: None)
    patch.setattr(torch.hub, "_hub_dir", str(folder / "hub"))

    def call(*arguments: object) -> tuple[Finished, dict[str, Any]]:
        few = ("--runs", 2, "--warmup", 0, "--data", photos, "-o", folder / "report")
        result = bench(*few, *arguments)
        target = folder / "report" / "results.json"
        return result, json.loads(target.read_text()) if target.exists() else {}

    return call


def settings_of(**changes: object) -> Settings:
    """Return the command's defaults with CHANGES."""
    options = main.make_context("colorize-bench", []).params | changes
    return Settings(**{k: v for k, v in options.items() if k not in ("documents", "tolerance")})


def near(truth: U8) -> U8:
    """TRUTH under some noise."""
    rng = np.random.default_rng(3)
    noisy: U8 = np.clip(truth + rng.integers(-30, 31, truth.shape), 0, 255).astype(np.uint8)
    return noisy
