"""colorize-train: what it leaves behind, and what it refuses."""

import itertools
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers.train import QUICK, rows_of, train
from PIL import Image, ImageOps
from skimage.color import lab2rgb
from skimage.metrics import peak_signal_noise_ratio
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from colorize.runtime.files import sha256
from colorize.runtime.models.catalog import MODELS, SAMPLES
from colorize.train import cli, devices, loop
from colorize.train import run as training_run
from colorize.train.architectures import ARCHITECTURES
from colorize.train.architectures.encoders import EfficientNetLiteEncoder
from colorize.train.checkpoints.checkpoint import load_checkpoint, newest_checkpoint
from colorize.train.checkpoints.pretrained import read_weights
from colorize.train.config import TrainConfig
from colorize.train.data.crops import CropDataset
from colorize.train.data.photos import collect
from colorize.train.data.sources import PhotoFile
from colorize.train.run import Run, read_config


@pytest.mark.parametrize("arch", sorted(ARCHITECTURES))
def test_every_architecture_trains_and_saves(
    arch: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = train("--arch", arch, *QUICK)
    assert result.exit_code == 0, result.output
    [folder] = (tmp_path / "runs" / arch).iterdir()
    assert newest_checkpoint(tmp_path / "runs") == folder / "checkpoint.safetensors"
    if arch == "unet":  # -o runs/mine is one level less deep
        mine = shutil.copytree(folder, tmp_path / "runs" / "mine") / "checkpoint.safetensors"
        mine.touch()
        assert newest_checkpoint(tmp_path / "runs") == mine
        shutil.rmtree(mine.parent)
    checkpoint = load_checkpoint(folder / "checkpoint.safetensors")
    assert checkpoint.arch == arch
    assert (checkpoint.origin.steps, checkpoint.origin.photos_seen) == (3, 24)
    assert checkpoint.origin.data_name == "samples/train"
    for name in ("curves.png", "validation.png"):
        with Image.open(folder / name) as picture:
            assert picture.width > 90
    events = EventAccumulator(str(folder / "tensorboard")).Reload()
    assert [event.step for event in events.Scalars("huber")] == [1, 2, 3]
    settings = json.loads((folder / "run.json").read_text())
    assert settings["config"]["arch"] == arch
    assert settings["data"]["training"] + settings["data"]["validation"] == len(
        list((SAMPLES / "train").glob("*.jpg"))
    )
    assert f"colorize-export --checkpoint {Path('runs', arch)}" in result.stderr
    judged = [bool(row.get("discriminator")) for row in rows_of(folder)]
    # Of the three steps, those that begin after 60% of the budget.
    assert judged == {"gan": [True] * 3, "unetgan": [False, False, True]}.get(arch, [False] * 3)


@pytest.mark.parametrize(("text", "seconds"), [("90", 90), ("90s", 90), ("1.5m", 90), ("2h", 7200)])
def test_durations_have_units(text: str, seconds: float, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[TrainConfig] = []
    monkeypatch.setattr(cli, "_train", lambda config, *_, **__: asked.append(config))
    assert train("--max-time", text).exit_code == 0
    assert asked[0].max_seconds == seconds


def test_bare_it_trains_three_minutes_on_the_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[TrainConfig] = []
    monkeypatch.setattr(cli, "_train", lambda config, *_, **__: asked.append(config))
    assert train().exit_code == 0
    assert (asked[0].arch, asked[0].data, asked[0].max_seconds) == (
        "unet",
        (str(SAMPLES / "train"),),
        180,
    )


@pytest.mark.parametrize(
    ("environment", "processes"),
    [
        ({}, (1, 1)),
        ({"SLURM_NTASKS": "8", "SLURM_NNODES": "2", "SLURM_JOB_NAME": "train"}, (4, 2)),
    ],
)
def test_slurm_says_how_many_processes_there_are(
    environment: dict[str, str], processes: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in os.environ if name.startswith("SLURM")]:
        monkeypatch.delenv(name)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert devices._processes() == processes


def test_photographs_from_two_places_and_gray_ones_left_out(tmp_path: Path) -> None:
    places = [tmp_path / "one", tmp_path / "two"]
    for place in places:
        place.mkdir()
    for index, path in enumerate(sorted((SAMPLES / "train").glob("*.jpg"))[:14]):
        with Image.open(path) as image:
            small = image.convert("L" if index < 2 else "RGB").resize((48, 40))
        small.save(places[index % 2] / f"{index}.png")
    run, given = tmp_path / "run", [word for place in places for word in ("--data", str(place))]
    result = train(*QUICK, *given, "-o", str(run))
    assert result.exit_code == 0, result.output
    assert "left out: 0 unreadable, 2 gray or nearly gray, 0 of a single hue" in result.stderr
    settings = json.loads((run / "run.json").read_text())["data"]
    assert (settings["training"], settings["validation"], settings["gray_left_out"]) == (9, 3, 2)
    (places[0] / "2.png").unlink()
    again = train("--resume", str(run), "--steps", "5")
    assert again.exit_code == 2
    assert "its photographs have changed since" in again.stderr.splitlines()[-1]


def test_a_runs_figures_are_those_of_its_network(tmp_path: Path) -> None:
    """PSNR by scikit-image, colorfulness by the formula of Hasler and Suesstrunk (2003)."""
    run = tmp_path / "run"
    assert train(*QUICK, "-o", str(run)).exit_code == 0
    config = read_config(run)
    network = load_checkpoint(run / "checkpoint.safetensors").network.eval()
    _, held_out = collect(config.data).split(config.validation_share, config.validation_limit)
    crops = CropDataset(held_out, config.size)
    figures = []
    for L, ab, _ in (crops[index] for index in range(len(crops))):
        with torch.inference_mode():
            answer = network(L[None])[0]
        rgb, truth = (
            lab2rgb(torch.cat([L, each]).numpy(), channel_axis=0) * 255 for each in (answer, ab)
        )
        r, g, b = rgb
        rg, yb = r - g, (r + g) / 2 - b
        vivid = np.hypot(rg.std(), yb.std()) + 0.3 * np.hypot(rg.mean(), yb.mean())
        error = float((answer - ab).abs().mean())
        decibels = peak_signal_noise_ratio(truth, rgb, data_range=255)  # type: ignore[no-untyped-call]
        figures.append((error, decibels, vivid))
    row = rows_of(run)[-1]
    logged = [float(row[name]) for name in ("ab_error", "psnr", "colorfulness")]
    # The pictures of the log are 8-bit, and colors beyond sRGB are clipped otherwise.
    assert logged == pytest.approx(np.mean(figures, axis=0).tolist(), rel=0.03)


@pytest.mark.slow
@pytest.mark.parametrize("arch", sorted(ARCHITECTURES))
def test_learns_eight_photos_by_heart(arch: str, tmp_path: Path) -> None:
    for path in sorted((SAMPLES / "train").glob("*.jpg"))[:10]:
        with Image.open(path) as image:
            ImageOps.fit(image, (64, 64)).save(tmp_path / f"{path.stem}.png")
    config = TrainConfig(
        arch, (str(tmp_path),), size=64, batch_size=8, steps=130, lr=2e-3, smallest_crop=1.0
    )
    losses: list[dict[str, float]] = []
    run = Run(config, collect(config.data), tmp_path / "run")
    run.start(lambda step: losses.append(step.losses))
    learned = sum(each["huber"] for each in losses[-8:]) / 8
    assert learned < losses[0]["huber"] / 5
    if ARCHITECTURES[arch].adversarial_from is not None:
        opponent = [each["discriminator"] for each in losses if "discriminator" in each]
        assert opponent[-1] < opponent[0] - 0.05


def test_the_same_seed_gives_the_same_weights(tmp_path: Path) -> None:
    weights = []
    for run in ("one", "two"):
        assert train(*QUICK, "--seed", "7", "-o", str(tmp_path / run)).exit_code == 0
        network = load_checkpoint(tmp_path / run / "checkpoint.safetensors").network
        weights.append(torch.cat([p.flatten() for p in network.parameters()]))
    assert torch.equal(*weights)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--arch", "vit"), "unknown architecture 'vit'; choose one of resnet"),
        (("--preset", "huge"), "no preset 'huge'; choose one of small"),
        (("--data", "missing"), "missing: no such folder"),
        (("--size", "0"), "size is 0"),
        (("--lr", "fast"), "'fast' is not a valid float"),
        (("--max-time", "soon"), "'soon' is not a duration"),
        (("--batch-size", "1"), "batch norm needs at least 2"),
        (("--seed", "-1"), "seed is -1"),
        (("--lr", "inf"), "lr is inf"),
        (("--encoder", "vgg"), "unknown encoder 'vgg'"),
        (("--arch", "gan", "--encoder", "resnet18"), "gan has an encoder of its own"),
        (("--arch", "gan", "--encoder-weights", "x.pth"), "needs a pre-trained kind of --encoder"),
        (("--encoder", "plain", "--freeze-encoder", "5"), "would keep random weights"),
        (("--encoder-weights", "none", "--freeze-encoder", "5"), "would keep random weights"),
        (("--init-from", "nothing"), "nothing: no such checkpoint"),
        (("--init-from", "default", "--encoder", "resnet18"), "brings its own network"),
        (("--init-from", "default", "--encoder-weights", "none"), "its encoder's weights"),
        (("--init-from", "default", "--arch", "gan"), "whose weights do not fit gan"),
        (("--loss", "l2"), "unknown --loss 'l2'; choose one of huber, l1"),
        (("--set", "ema"), "'ema' is not NAME=VALUE"),
        (("--set", "ema=0.9"), "no setting 'ema' to change; there are"),
        (("--epochs", "inf"), "epochs is inf; it must be a number"),
        (("--set", "huber_delta=nan"), "huber_delta is nan; it must be a number"),
        (("--set", "huber_delta=0"), "huber_delta is 0.0; it must be above 0"),
        (("--set", "ema_decay=7"), "ema_decay is 7.0; it must be below 1"),
        (("--set", "validation_share=2"), "validation_share is 2.0; it must be below 1"),
        (("--set", "threads=-1"), "threads is -1; it must be a number from 0 on"),
        (("--set", "start_size=-32"), "start_size is -32; it must be a number from 0 on"),
        (("--set", "smallest_crop=2"), "smallest_crop is 2.0; it must be at most 1"),
        (("--set", "rarity_mix=0"), "rarity_mix is 0.0; it must be above 0"),
        (("--set", "validation_limit=0"), "validation_limit is 0; it must be above 0"),
        (("--set", "grow_at=5"), "grow_at is 5.0; it must be at most 1"),
        (("--set", "ema_decay=slow"), "ema_decay is 'slow'; it must be a number"),
        (
            ("--perceptual", "vgg16", "--perceptual-weights", "x.pth"),
            "x.pth: no such file of vgg16",
        ),
        (
            ("--encoder", "resnet18", "--encoder-weights", "x.pth"),
            "x.pth: no such file of resnet18",
        ),
    ],
)
def test_bad_arguments_are_one_line_and_exit_code_2(
    arguments: tuple[str, ...], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = train(*arguments)
    assert result.exit_code == 2
    assert message in result.stderr.splitlines()[-1]
    assert "Traceback" not in result.output
    assert list(tmp_path.iterdir()) == []


def test_diverging_training_stops_with_the_mend(tmp_path: Path) -> None:
    result = train("--size", "32", "--batch-size", "8", "--lr", "1e30", "--steps", "200",
                   "-o", str(tmp_path / "run"))  # fmt: skip
    assert result.exit_code == 1
    assert "try a lower --lr" in result.stderr.splitlines()[-1]


def test_list_names_every_architecture_and_preset() -> None:
    lines = train("--list").stdout.splitlines()
    for name, entry in ARCHITECTURES.items():
        assert f"{name}: {entry.summary}" in lines
    assert sum("M parameters" in line for line in lines) == 3 * len(ARCHITECTURES)


def test_settings_reach_the_run(tmp_path: Path) -> None:
    run = tmp_path / "run"
    chosen = ("--loss", "l1", "--color-weights", "rarity", "--gan-loss", "lsgan", "--arch", "gan")
    more = ("--set", "discriminator_penalty=r1", "--set", "ema_decay=0.5", "--precision", "fp32")
    assert train(*QUICK, *chosen, *more, "-o", str(run)).exit_code == 0
    config = read_config(run)
    assert (config.pixel_loss, config.adversarial_loss) == ("l1", "lsgan")
    assert (config.discriminator_penalty, config.ema_decay) == ("r1", 0.5)
    assert {"l1", "adversarial", "discriminator", "psnr"} <= rows_of(run)[-1].keys()
    settings = json.loads((run / "run.json").read_text())
    assert settings["config"]["precision"] == "fp32"
    assert settings["source"] is None or len(settings["source"]["commit"]) == 40
    pictures = sorted(path.name for path in (run / "validation").iterdir())
    assert pictures == ["step-000001.png", "step-000002.png", "step-000003.png"]


def test_a_checkpoint_brings_its_model_card(tmp_path: Path) -> None:
    run = tmp_path / "run"
    assert train(*QUICK, "--license", "CC0", "-o", str(run)).exit_code == 0
    checkpoint = load_checkpoint(run / "checkpoint.safetensors")
    printed = train("--card", str(run / "checkpoint.safetensors")).stdout
    assert printed.strip() == checkpoint.card.strip()
    psnr = float(rows_of(run)[-1]["psnr"])
    for fact in ("24 crops of 32x32 in 3 steps", "weights: CC0", f"psnr: {psnr:.3f}"):
        assert fact in printed


def test_the_best_weights_are_kept_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Answers grow worse before and after the second of three validations."""
    validations = itertools.count()
    predictions = loop.predictions

    def off(*arguments: Any) -> Iterator[tuple[torch.Tensor, ...]]:
        wrong = 40.0 * abs(next(validations) - 1)
        return ((L, answer + wrong, truth) for L, answer, truth in predictions(*arguments))

    monkeypatch.setattr(training_run, "predictions", off)
    run = tmp_path / "run"
    result = train(*QUICK, "-o", str(run))
    assert result.exit_code == 0
    losses = [float(row["validation_loss"]) for row in rows_of(run)]
    assert min(losses) == losses[1]
    assert load_checkpoint(run / "best.safetensors").origin.steps == 2
    assert load_checkpoint(run / "checkpoint.safetensors").origin.steps == 3
    assert f"lowest after step 2: {run / 'best.safetensors'}" in result.stderr


def test_no_validation_photograph_is_trained_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not by its content either: every photograph is there twice."""
    for path in sorted((SAMPLES / "train").glob("*.jpg")):
        for name in (path.name, f"copy of {path.name}"):
            (tmp_path / name).write_bytes(path.read_bytes())
    config = TrainConfig("gan", (str(tmp_path),), size=32, batch_size=8, epochs=1, seed=1)
    run = Run(config, collect(config.data), tmp_path / "run")
    read: set[bytes] = set()
    read_photo = PhotoFile.read

    def noting(photo: PhotoFile) -> bytes:
        read.add(read_photo(photo))
        return read_photo(photo)

    monkeypatch.setattr(PhotoFile, "read", noting)
    monkeypatch.setattr(loop, "loader_workers", lambda: 0)
    monkeypatch.setattr(Run, "_validate", lambda *_: {})
    run.start(lambda _: None)
    held = {read_photo(photo) for photo in run.validation.photos}
    assert len(held) == 4
    assert len(read) == 20
    assert read.isdisjoint(held)


@pytest.mark.slow
def test_fine_tuning_beats_training_from_scratch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "VALIDATIONS", 1)  # the last one is enough
    losses = {}
    settings = ("--size", "128", "--batch-size", "8", "--steps", "12")
    for name, start in (("tuned", ["--init-from", "default"]), ("scratch", [])):
        assert train(*settings, *start, "-o", str(tmp_path / name)).exit_code == 0
        losses[name] = float(rows_of(tmp_path / name)[-1]["validation_loss"])
    assert losses["tuned"] < 0.9 * losses["scratch"]
    tuned = load_checkpoint(tmp_path / "tuned" / "checkpoint.safetensors")
    assert tuned.arch == load_checkpoint(MODELS / "default.safetensors").arch
    assert tuned.origin.parent == sha256(MODELS / "default.safetensors")
    assert read_config(tmp_path / "tuned").lr == 2e-4
    monkeypatch.undo()  # the first row must be of the first step
    again = tmp_path / "again"
    start = ["--init-from", str(tmp_path / "tuned"), "--arch", "unetgan", "--freeze-norm"]
    assert train(*QUICK, *start, "-o", str(again)).exit_code == 0
    assert train("--resume", str(again), "--steps", "4").exit_code == 0
    assert load_checkpoint(again / "checkpoint.safetensors").arch == "unetgan"
    assert float(rows_of(again)[0]["discriminator"]) > 0  # not after 60%


def test_a_frozen_encoder_stays_as_it_was(tmp_path: Path) -> None:
    encoders = {}
    for name, frozen in (("frozen", "2"), ("thawed", "1")):
        run = tmp_path / name
        arguments = (
            "--size",
            "32",
            "--batch-size",
            "8",
            "--steps",
            "2",
            "--freeze-encoder",
            frozen,
        )
        assert train(*arguments, "-o", str(run)).exit_code == 0
        encoders[name] = load_checkpoint(run / "checkpoint.safetensors").network.encoder
    published = EfficientNetLiteEncoder()
    published.load_pretrained(read_weights("efficientnet_lite0", "DEFAULT"))
    for key, value in published.state_dict().items():
        torch.testing.assert_close(encoders["frozen"].state_dict()[key], value, atol=0, rtol=1e-6)
    pairs = zip(encoders["thawed"].parameters(), published.parameters(), strict=True)
    assert any(not torch.allclose(ours, theirs) for ours, theirs in pairs)
