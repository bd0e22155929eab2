"""One run: from a config to a folder with the checkpoint, its log, curves and pictures."""

import csv
import json
import math
import platform
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.tensorboard.writer import SummaryWriter

from ..runtime.color import U8, lab_to_rgb, to_bytes
from ..runtime.errors import ArgumentError, ModelError, OutputError, TrainingError
from ..runtime.files import whole_file
from ..runtime.sheet import save_sheet
from .architectures import architecture
from .architectures.blocks import Generator
from .architectures.encoders import PRETRAINED, EfficientNetLite0Encoder, ResNetEncoder
from .checkpoint import Checkpoint, Origin
from .config import TrainConfig
from .curves import save_curves
from .data import CropDataset, PhotoSet
from .loop import Report, Step, predictions, train
from .metrics import colourfulness, psnr
from .schedule import Budget
from .state import TrainState

_GRID_PHOTOS = 8
OnFigures = Callable[[Step, dict[str, float]], None]


class Run:
    """Trains one network into one folder."""

    def __init__(self, config: TrainConfig, photos: PhotoSet, folder: Path) -> None:
        self.config, self.photos, self.folder = config, photos, folder
        self.training, held_out = photos.split(config.validation_share, config.validation_limit)
        if config.batch_size > len(self.training):
            raise ArgumentError(
                f"batch-size {config.batch_size} is larger than the {len(self.training)} "
                "training photographs"
            )
        self.validation = CropDataset(held_out, config.size)
        self.model_config, network = build_network(config)
        self.state = TrainState(config, network)
        self._log: list[dict[str, float]] = []

    @property
    def checkpoint(self) -> Path:
        """Where the trained network is saved."""
        return self.folder / "checkpoint.safetensors"

    @property
    def _saved_state(self) -> Path:
        return self.folder / "state.safetensors"

    def start(
        self, on_step: Report, on_figures: OnFigures = lambda *_: None, *, resume: bool = False
    ) -> Step:
        """Train to the end of the budget and return the last step; RESUME goes on where it stopped.

        ON_FIGURES gets the measures of every validation; the folder is complete up to each.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(f"{self.folder}: cannot write there ({error.strerror})") from error
        if resume:
            self._check_data()
            self._log = self._read_log()
        elif (self.folder / "run.json").exists():
            raise ArgumentError(
                f"{self.folder}: holds a run; give another -o, or go on with it by --resume"
            )
        else:
            self._write_settings()
        last: list[Step] = []

        def validate(step: Step) -> None:
            last[:] = [step]
            figures = self._validate(step)
            self.state.save(self._saved_state)
            on_figures(step, figures)

        budget = Budget.of(self.config, len(self.training))
        train(
            self.config,
            self.state,
            self.training,
            budget,
            resume=self._saved_state if resume else None,
            on_step=on_step,
            on_validation=validate,
        )
        return last[0]

    def _validate(self, step: Step) -> dict[str, float]:
        """Measure, draw and save the averaged network."""
        network = self.state.averaged
        measures: list[tuple[float, float, float]] = []
        rows: list[list[U8]] = []
        for L, predicted, truth in predictions(network, self.validation, self.config.batch_size):
            picture, original = _to_rgb(L, predicted), _to_rgb(L, truth)
            error = float((predicted - truth).abs().mean())
            measures.append((error, psnr(picture, original), colourfulness(picture)))
            if len(rows) < _GRID_PHOTOS:
                rows.append([_to_rgb(L, torch.zeros_like(truth)), picture, original])
        error, ratio, colour = np.mean(measures, axis=0)
        if not math.isfinite(error):
            raise TrainingError(f"the network answers {error} at step {step.number}; lower --lr")
        figures = {"ab_error": float(error), "psnr": float(ratio), "colourfulness": float(colour)}
        # A kill between saving the log and the state leaves rows that are done again.
        self._log = [row for row in self._log if row["step"] < step.number]
        self._log.append(
            {"step": step.number, "seconds": round(step.seconds, 1), **step.losses, **figures}
        )
        origin = Origin(
            self.photos.name,
            self.photos.fingerprint,
            self.config.size,
            self.config.licence,
            step.number,
            step.number * self.config.batch_size,
        )
        Checkpoint(self.config.arch, self.model_config, network, origin).save(self.checkpoint)
        self._write_log()
        self._write_events(step)
        save_curves(self.folder / "curves.png", self._log)
        save_sheet(self.folder / "validation.png", rows, abreast=2)
        return figures

    def _check_data(self) -> None:
        """A run goes on with the photographs it began with: others would be no resumption."""
        began = json.loads((self.folder / "run.json").read_text())["data"]["fingerprint"]
        if began != self.photos.fingerprint:
            raise ArgumentError(
                f"{self.folder}: its photographs have changed since; start a new run for them"
            )

    def _read_log(self) -> list[dict[str, float]]:
        with (self.folder / "log.csv").open(newline="") as file:
            rows = csv.DictReader(file)
            return [{k: _number(v) for k, v in row.items() if v} for row in rows]

    def _write_log(self) -> None:
        columns = list(dict.fromkeys(key for row in self._log for key in row))
        with whole_file(self.folder / "log.csv") as part, part.open("w", newline="") as file:
            writer = csv.DictWriter(file, columns)
            writer.writeheader()
            writer.writerows(self._log)

    def _write_events(self, step: Step) -> None:
        """Add the newest row of the log for TensorBoard."""
        with SummaryWriter(self.folder / "tensorboard") as writer:
            for name, value in self._log[-1].items():
                if name != "step":
                    writer.add_scalar(name, value, step.number)

    def _write_settings(self) -> None:
        packages = ("colorize-toolkit", "torch", "torchvision", "numpy", "pillow")
        settings: dict[str, Any] = {
            "config": asdict(self.config),
            "model": asdict(self.model_config),
            "data": {
                "name": self.photos.name,
                "fingerprint": self.photos.fingerprint,
                "training": len(self.training),
                "validation": len(self.validation),
                "grey_left_out": self.photos.grey,
                "unreadable": self.photos.unreadable,
            },
            "versions": {"python": platform.python_version()} | {p: version(p) for p in packages},
        }
        with whole_file(self.folder / "run.json") as part:
            part.write_text(json.dumps(settings, indent=2) + "\n")


def _number(text: str) -> float:
    return int(text) if text.isdecimal() else float(text)


def read_config(folder: Path) -> TrainConfig:
    """Return the config of the run in FOLDER; ArgumentError if there is no run to go on with."""
    try:
        settings = json.loads((folder / "run.json").read_text())["config"]
        return TrainConfig(**{**settings, "data": tuple(settings["data"])})
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ArgumentError(f"{folder}: not a run folder of colorize-train ({error})") from error


def new_run_folder(arch: str) -> Path:
    """Return an unused folder name below runs/."""
    base = Path("runs") / arch / time.strftime("%Y%m%d-%H%M%S")
    folder, number = base, 1
    while folder.exists():
        number += 1
        folder = base.with_name(f"{base.name}-{number}")
    return folder


def build_network(config: TrainConfig) -> tuple[Any, Generator]:
    """Return the architecture's config and its network, with encoder weights if asked for."""
    entry = architecture(config.arch)
    if config.preset not in entry.presets:
        raise ArgumentError(
            f"{config.arch} has no preset {config.preset!r}; "
            f"choose one of {', '.join(entry.presets)}"
        )
    model_config = entry.presets[config.preset]
    if config.encoder is not None:
        if not hasattr(model_config, "encoder"):
            raise ArgumentError(f"{config.arch} has an encoder of its own; leave --encoder out")
        model_config = replace(model_config, encoder=config.encoder)
    torch.manual_seed(config.seed)
    network = entry.build(model_config)
    if config.encoder_weights is not None:
        _load_encoder(network, config.encoder_weights)
    return model_config, network


def _load_encoder(network: Generator, path: str) -> None:
    encoder = network.encoder
    if not isinstance(encoder, ResNetEncoder | EfficientNetLite0Encoder):
        raise ArgumentError(
            f"--encoder-weights needs a pre-trained kind of --encoder: {', '.join(PRETRAINED)}"
        )
    if not Path(path).is_file():
        raise ModelError(f"{path}: no such file of encoder weights")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        encoder.load_pretrained(state)
    except Exception as error:  # torch.load raises many kinds; the file is at fault in each
        raise ModelError(f"{path}: not weights of this encoder ({error})") from error


def _to_rgb(L: torch.Tensor, ab: torch.Tensor) -> U8:
    lab = torch.cat([L, ab]).permute(1, 2, 0).numpy()
    return to_bytes(lab_to_rgb(np.ascontiguousarray(lab)))
