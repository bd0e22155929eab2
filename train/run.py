"""One run: from a config to a folder with the checkpoint, its log, curves and pictures."""

import csv
import json
import math
import platform
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.tensorboard.writer import SummaryWriter

from ..runtime.color import U8, lab_to_rgb, to_bytes
from ..runtime.errors import ArgumentError, OutputError, TrainingError
from ..runtime.files import whole_file
from ..runtime.photo.contact_sheet import save_sheet
from .architectures import architecture
from .architectures.blocks import EncoderDecoder
from .checkpoints.build import Start, build, rebuild
from .checkpoints.card import model_card
from .checkpoints.checkpoint import Checkpoint, Origin
from .checkpoints.state import TrainState
from .config import BUDGET, EPOCHS, TrainConfig
from .curves import save_curves
from .data.color_statistics import ColorShares
from .data.crops import CropDataset, decoded_side
from .data.decoded_cache import decoded_cache
from .data.hints import fixed_patches, simulate_hints
from .data.photos import PhotoSet
from .data.sources import PhotoFile
from .devices import is_main_process
from .loop import OnStep, Step, predictions, train
from .losses.objective import Objective
from .metrics import colorfulness, psnr

_FIGURES = ("validation_loss", "ab_error", "psnr", "colorfulness")
_GRID_PHOTOS = 8
_HINT_COUNTS = (1, 10, 100)
OnFigures = Callable[[Step, dict[str, float]], None]


class Run:
    """Trains one network into one folder; RESUME goes on with the run that is there.

    A run that was killed before it first saved starts again with the same settings.
    """

    def __init__(
        self, config: TrainConfig, photos: PhotoSet, folder: Path, *, resume: bool = False
    ) -> None:
        self.photos, self.folder, self._resume = photos, folder, resume
        self.training, held_out = photos.split(config.validation_share, config.validation_limit)
        config = self.config = _with_batch_of(config, len(self.training))
        self.validation = CropDataset(held_out, config.size)
        self._saved = resume and self._saved_state.exists()
        self._start = self._continued() if resume else build(config)
        self.objective = Objective(config, ColorShares.of(self.training))
        self.state = TrainState(config, self._start.network)
        self._log: list[dict[str, float]] = self._read_log() if self._saved else []

    @property
    def checkpoint(self) -> Path:
        """Where the trained network is saved."""
        return self.folder / "checkpoint.safetensors"

    @property
    def best_step(self) -> float:
        """After which step the validation loss was lowest; best.safetensors is of that step."""
        return min(self._log, key=lambda row: row["validation_loss"])["step"]

    @cached_property
    def _events(self) -> SummaryWriter:
        # One writer a run: TensorBoard may read several files in the wrong order.
        return SummaryWriter(self.folder / "tensorboard")

    @property
    def _saved_state(self) -> Path:
        return self.folder / "state.safetensors"

    def start(self, on_step: OnStep, on_figures: OnFigures = lambda *_: None) -> Step | None:
        """Train to the end of the budget and return the last step; None but in the main process.

        ON_FIGURES gets the measures of every validation; the folder is complete up to each.
        """
        if is_main_process():
            if self._resume:  # with a budget that may have changed
                settings = read_settings(self.folder)
                self._write_settings({**settings, "config": asdict(self.config)})
            else:
                self._claim_folder()
        last: list[Step] = []

        def note(step: Step) -> None:
            last[:] = [step]
            on_step(step)

        def validate(step: Step) -> None:
            figures = self._validate(step)
            self.state.save(self._saved_state)
            on_figures(step, figures)

        with training_crops(self.config, self.training) as crops:
            try:
                train(
                    self.config,
                    self.state,
                    self.objective,
                    crops,
                    resume=self._saved_state if self._saved else None,
                    on_step=note,
                    on_validation=validate,
                    parent=self._parent(),
                )
            except torch.OutOfMemoryError as error:
                raise self._out_of_memory() from error
        return last[0] if last else None

    def _parent(self) -> EncoderDecoder | None:
        """Return the network whose answers shall be kept, if any."""
        return build(self.config).network.eval() if self.config.keep else None

    def _out_of_memory(self) -> TrainingError:
        said = (
            f"the GPU's memory does not hold batches of {self.config.batch_size} crops of "
            f"{self.config.size}x{self.config.size}"
        )
        if self._saved_state.exists():
            return TrainingError(f"{said} besides what else is in it; free that, and --resume")
        if is_main_process():  # nothing was saved: the folder can be used again
            (self.folder / "run.json").unlink(missing_ok=True)
        return TrainingError(f"{said}; give a smaller --batch-size or --size")

    def _claim_folder(self) -> None:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(f"{self.folder}: cannot write there ({error.strerror})") from error
        if (self.folder / "run.json").exists():
            raise ArgumentError(
                f"{self.folder}: holds a run; give another -o, or go on with it by --resume"
            )
        self.photos.save_left_out(self.folder / "left_out.csv")
        self._write_settings(self._settings())

    def _validate(self, step: Step) -> dict[str, float]:
        """Measure, draw and save the averaged network."""
        network = self.state.averaged
        measures: list[tuple[float, float, float, float]] = []
        rows: list[list[U8]] = []
        for L, predicted, truth in predictions(network, self.validation, self.config.batch_size):
            picture, original = _to_rgb(L, predicted), _to_rgb(L, truth)
            loss = self.objective.chroma(predicted[None], truth[None])
            error = float((predicted - truth).abs().mean())
            measures.append((float(loss), error, psnr(picture, original), colorfulness(picture)))
            if len(rows) < _GRID_PHOTOS:
                rows.append([_to_rgb(L, torch.zeros_like(truth)), picture, original])
        figures = dict(zip(_FIGURES, np.mean(measures, axis=0).tolist(), strict=True))
        if self.config.hints:
            figures |= self._validate_hints(network)
        if not math.isfinite(figures["validation_loss"]):
            raise TrainingError(f"the network answers no numbers at step {step.number}; lower --lr")
        # After a kill between saving log and state, the last rows are computed again.
        self._log = [row for row in self._log if row["step"] < step.number]
        self._log.append(
            {"step": step.number, "seconds": round(step.seconds, 1), **step.losses, **figures}
        )
        self._save_checkpoint(network, step, figures)
        self._write_log()
        self._write_events(step)
        save_curves(self.folder / "curves.png", self._log)
        for name in (f"validation/step-{step.number:06d}.png", "validation.png"):
            save_sheet(self.folder / name, rows, abreast=2)
        return figures

    def _validate_hints(self, network: EncoderDecoder) -> dict[str, float]:
        """Return the PSNR with a few and many hints, the same ones every time."""
        figures = {}
        held_out, size = self.validation.photos, self.validation.size
        for count in _HINT_COUNTS:
            hinted = CropDataset(held_out, size, hints=fixed_patches(count))
            measured = [
                psnr(_to_rgb(L, predicted), _to_rgb(L, truth))
                for L, predicted, truth in predictions(network, hinted, self.config.batch_size)
            ]
            figures[f"psnr_{count}_hints"] = float(np.mean(measured))
        return figures

    def _save_checkpoint(
        self, network: EncoderDecoder, step: Step, figures: dict[str, float]
    ) -> None:
        origin = Origin(
            data_name=self.photos.name,
            data_fingerprint=self.photos.fingerprint,
            native_size=self.config.size,
            license=self.config.license,
            steps=step.number,
            photos_seen=step.number * self.config.batch_size,
            parent=self._start.parent,
            figures=figures,
            encoder_weights=self._start.encoder_weights,
            extended_hints=self.config.hints,
        )
        card = model_card(f"{self.config.arch} {self.config.preset}", origin)
        checkpoint = Checkpoint(
            arch=self.config.arch,
            config=self._start.config,
            network=network,
            origin=origin,
            card=card,
        )
        checkpoint.save(self.checkpoint)
        if step.number == self.best_step:  # on few photographs later steps overfit
            checkpoint.save(self.folder / "best.safetensors")

    def _continued(self) -> Start:
        """Return the network of the run that goes on; other photographs would be no resumption."""
        settings = read_settings(self.folder)
        if settings["data"]["fingerprint"] != self.photos.fingerprint:
            raise ArgumentError(
                f"{self.folder}: its photographs have changed since; start a new run for them"
            )
        return rebuild(self.config, settings) if self._saved else build(self.config)

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
        for name, value in self._log[-1].items():
            if name != "step":
                self._events.add_scalar(name, value, step.number)
        self._events.flush()  # so that a kill does not lose it

    def _settings(self) -> dict[str, Any]:
        packages = ("colorize-toolkit", "torch", "torchvision", "numpy", "pillow")
        return {
            "config": asdict(self.config),
            "model": asdict(self._start.config),
            "parent": self._start.parent,
            "encoder_weights": self._start.encoder_weights,
            "data": {
                "name": self.photos.name,
                "fingerprint": self.photos.fingerprint,
                "training": len(self.training),
                "validation": len(self.validation),
                "gray_left_out": len(self.photos.gray),
                "tinted_left_out": len(self.photos.tinted),
                "unreadable": len(self.photos.unreadable),
            },
            "versions": {"python": platform.python_version()} | {p: version(p) for p in packages},
            "source": git_state(Path(__file__).parent),
        }

    def _write_settings(self, settings: dict[str, Any]) -> None:
        with whole_file(self.folder / "run.json") as part:
            part.write_text(json.dumps(settings, indent=2) + "\n")


@contextmanager
def training_crops(config: TrainConfig, photos: Sequence[PhotoFile]) -> Iterator[CropDataset]:
    """Yield the crops of PHOTOS that CONFIG trains on; their cache is deleted at the end."""
    side = decoded_side(config.size, config.smallest_crop)
    with decoded_cache(len(photos), side, int(config.cache_gib * 2**30)) as cache:
        yield CropDataset(
            photos,
            config.size,
            seed=config.seed,
            smallest=config.smallest_crop,
            degraded=config.degraded,
            cache=cache,
            hints=simulate_hints if config.hints else None,
        )


def git_state(folder: Path) -> dict[str, Any] | None:
    """Return the commit of FOLDER's code and whether it was changed since; None outside of git."""
    try:
        commit, changed = (
            subprocess.run(
                ["git", "-C", str(folder), *command], capture_output=True, text=True, check=True
            ).stdout.strip()
            for command in (["rev-parse", "HEAD"], ["status", "--porcelain", "--", "."])
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return {"commit": commit, "changed": bool(changed)}


def _number(text: str) -> float:
    return int(text) if text.isdecimal() else float(text)


def read_settings(folder: Path) -> dict[str, Any]:
    """Return the run.json of the run in FOLDER; ArgumentError if there is no run."""
    try:
        settings: dict[str, Any] = json.loads((folder / "run.json").read_text())
    except (OSError, ValueError) as error:
        raise ArgumentError(f"{folder}: not a run folder of colorize-train ({error})") from error
    return settings


def _with_batch_of(config: TrainConfig, photos: int) -> TrainConfig:
    """Return CONFIG with batches no larger than PHOTOS; ArgumentError if these are too few."""
    if photos < 2:
        raise ArgumentError(f"{photos} training photograph; batch norm needs at least 2 of them")
    return replace(config, batch_size=min(config.batch_size, photos))


def read_config(folder: Path) -> TrainConfig:
    """Return the config of the run in FOLDER; ArgumentError if there is no run to go on with."""
    try:
        settings = read_settings(folder)["config"]
        settings |= {k: tuple(v) for k, v in settings.items() if isinstance(v, list)}
        if settings.get("adversarial_from") is None:  # of an earlier version
            joins = architecture(settings["arch"]).adversarial_from
            settings["adversarial_from"] = 0.0 if joins is None else joins
        settings.setdefault("keep_tinted", True)  # earlier versions knew none
        if not any(settings[name] for name in BUDGET):  # theirs was the same default, unsaid
            settings["epochs"] = EPOCHS
        return TrainConfig(**settings)
    except (KeyError, TypeError) as error:
        raise ArgumentError(f"{folder}: not a run folder of colorize-train ({error})") from error


def new_run_folder(arch: str) -> Path:
    """Return an unused folder name below runs/."""
    base = Path("runs") / arch / time.strftime("%Y%m%d-%H%M%S")
    folder, number = base, 1
    while folder.exists():
        number += 1
        folder = base.with_name(f"{base.name}-{number}")
    return folder


def _to_rgb(L: torch.Tensor, ab: torch.Tensor) -> U8:
    lab = torch.cat([L, ab]).permute(1, 2, 0).numpy()
    return to_bytes(lab_to_rgb(np.ascontiguousarray(lab)))
