"""What the recipe may change: decoder and crops; and what compares the runs that changed it."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from click.testing import CliRunner
from helpers.train import train
from torch import Tensor, nn

from colorize.bench import compare_runs as recipe
from colorize.export.cli import main as export
from colorize.runtime.colorizer import Colorizer
from colorize.runtime.photo.reader import read_photo
from colorize.train import config, devices
from colorize.train.architectures.blocks import EncoderDecoder
from colorize.train.architectures.encoders import EfficientNetLiteEncoder
from colorize.train.architectures.unet import UNetConfig, build_unet
from colorize.train.checkpoints.checkpoint import load_checkpoint
from colorize.train.checkpoints.pretrained import read_weights
from colorize.train.checkpoints.state import TrainState
from colorize.train.config import TrainConfig, resolve
from colorize.train.devices import Machine
from colorize.train.run import read_config

QUICK = ("--size", "64", "--batch-size", "8", "--steps", "4")


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("runs")
    for name, more in (("plain", ()), ("narrow", ("--decoder", "32,24,16"))):
        result = train(*QUICK, "--encoder", "plain", *more, "-o", str(folder / name))
        assert result.exit_code == 0, result.output
    return [folder / "plain", folder / "narrow"]


def test_the_decoder_has_the_widths_that_were_asked_for(runs: list[Path]) -> None:
    plain, narrow = (load_checkpoint(run / "checkpoint.safetensors").network for run in runs)
    assert (plain.decoder.channels, plain.head.stride) == (32, 2)
    assert (narrow.decoder.channels, narrow.head.stride) == (16, 4)
    assert narrow(torch.zeros(1, 1, 64, 64)).shape == (1, 2, 64, 64)
    assert read_config(runs[1]).decoder == (32, 24, 16)


def test_a_run_with_another_decoder_goes_on(runs: list[Path]) -> None:
    result = train("--resume", str(runs[1]), "--steps", "5")
    assert result.exit_code == 0, result.output
    assert load_checkpoint(runs[1] / "checkpoint.safetensors").origin.steps == 5


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("--decoder", "160,x"), "'160,x' is not a list of widths; write 160,96,64"),
        (("--decoder", "160,0"), "'160,0' is not a list of widths"),
        (("--decoder", "8,8,8,8,8"), "5 levels, but this encoder leaves 1 to 4"),
        (("--decoder", "32,16", "--init-from", "default"), "leave encoder and decoder out"),
        (("--set", "start_size=48"), "start_size is 48; it must be a multiple of 32, at most 64"),
        (("--set", "start_size=96"), "start_size is 96; it must be a multiple of 32, at most 64"),
    ],
)
def test_what_cannot_be_is_refused_in_a_line(
    arguments: tuple[str, ...], complaint: str, tmp_path: Path
) -> None:
    result = train(*QUICK, *arguments, "-o", str(tmp_path / "run"))
    assert result.exit_code == 2, result.output
    assert complaint in result.stderr
    assert not (tmp_path / "run").exists()


def test_crops_grow_where_the_recipe_says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    seen: list[tuple[int, ...]] = []
    forward = EncoderDecoder.forward

    def watched(network: EncoderDecoder, L: Tensor) -> Tensor:
        if network.training:
            seen.append(tuple(L.shape))
        return forward(network, L)

    monkeypatch.setattr(EncoderDecoder, "forward", watched)
    growth = ("--set", "start_size=32", "--set", "grow_at=0.75")
    result = train(*QUICK, *growth, "-o", str(tmp_path / "run"))
    assert result.exit_code == 0, result.output
    assert seen == [(8, 1, 32, 32)] * 3 + [(8, 1, 64, 64)]
    assert load_checkpoint(tmp_path / "run" / "checkpoint.safetensors").origin.native_size == 64


def test_depthwise_gradients_are_those_of_float32() -> None:
    torch.manual_seed(0)
    encoder = EfficientNetLiteEncoder().train()
    depthwise = [m for m in encoder.modules() if isinstance(m, nn.Conv2d) and m.groups > 1]
    assert len(depthwise) == 15
    for conv in (conv for conv in depthwise if conv.kernel_size == (5, 5)):
        x = torch.randn(2, conv.in_channels, 9, 9, requires_grad=True)
        with torch.autocast("cpu", torch.bfloat16):
            answer = conv(x)
        assert answer.dtype == torch.float32
        [slope] = torch.autograd.grad(answer.sum(), conv.weight)
        whole = F.conv2d(x, conv.weight, stride=conv.stride, groups=conv.groups)
        [true] = torch.autograd.grad(whole.sum(), conv.weight)
        torch.testing.assert_close(slope, true)
    with torch.autocast("cpu", torch.bfloat16):
        assert depthwise[0].eval()(torch.randn(2, 32, 9, 9)).dtype == torch.bfloat16


@pytest.mark.parametrize(("processes", "workers"), [(1, 15), (2, 7), (8, 1), (32, 1)])
def test_processes_share_the_cores_for_decoding(
    processes: int, workers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: range(16))
    monkeypatch.setattr(devices, "_processes", lambda: (processes, 1))
    assert devices.loader_workers() == workers


def test_runs_are_compared_on_what_none_of_them_saw(runs: list[Path], tmp_path: Path) -> None:
    report = tmp_path / "figures.json"
    names = [str(run) for run in runs]
    result = CliRunner().invoke(
        recipe.main, [*names, "--size", "64,96", "--raw", "-o", str(report)]
    )
    assert result.exit_code == 0, result.output
    rows = json.loads(report.read_text())
    assert [(row["run"], row.get("size")) for row in rows] == [
        *(
            (name, size)
            for name in ("plain", "plain raw", "narrow", "narrow raw")
            for size in (64, 96)
        ),
        ("gray", None),
        ("truth", None),
    ]
    assert rows[0]["psnr_db"] != rows[1]["psnr_db"]  # sizes
    assert rows[0]["psnr_db"] != rows[2]["psnr_db"]  # averaged and last weights
    assert rows[-2]["colorfulness"] == pytest.approx(0, abs=0.2)
    assert "held-out photographs" in result.stderr


@pytest.mark.slow
def test_a_run_is_scored_by_the_colors_that_the_runtime_would_give(
    runs: list[Path], tmp_path: Path
) -> None:
    model = tmp_path / "plain.onnx"
    checkpoint = str(runs[0] / "checkpoint.safetensors")
    result = CliRunner().invoke(export, ["--checkpoint", checkpoint, "-o", str(model)])
    assert result.exit_code == 0, result.output
    [candidate] = recipe.run_candidates(runs[0], [96], [1.5], raw=False)
    photo = recipe.held_out(runs[:1])[0]
    truth = read_photo(Path(photo.name), photo.read()).rgb
    with Colorizer(model, backend="onnxruntime", size=96, saturation=1.5) as colorizer:
        colored = colorizer.image(truth)
    difference = np.abs(colored.astype(int) - candidate.colorize(truth).astype(int))
    assert difference.max() <= 1


def test_what_was_chosen_is_kept_with_its_figures(runs: list[Path], tmp_path: Path) -> None:
    kept = tmp_path / "kept.safetensors"
    choice = ["--size", "96", "--saturation", "1.5", "-o", str(tmp_path / "figures.json")]
    result = CliRunner().invoke(recipe.main, [str(runs[0]), *choice, "--keep", str(kept)])
    assert result.exit_code == 0, result.output
    before = load_checkpoint(runs[0] / "checkpoint.safetensors")
    after = load_checkpoint(kept)
    L = torch.rand(2, 1, 64, 96) * 100
    with torch.inference_mode():
        torch.testing.assert_close(after.network(L), before.network(L) * 1.5, atol=0.05, rtol=0)
    origin = after.origin
    assert (origin.native_size, origin.crop_size, origin.saturation) == (96, 64, 1.5)
    figures = json.loads((tmp_path / "figures.json").read_text())[0]
    assert origin.figures["psnr_db"] == figures["psnr_db"]
    assert "Seen in training: 32 crops of 64x64" in after.card
    assert "working size of 96, with colors 1.5 times the answers'" in after.card
    assert kept.stat().st_size < 0.51 * (runs[0] / "checkpoint.safetensors").stat().st_size


@pytest.mark.parametrize(
    ("choice", "complaint"),
    [
        (("--size", "96,128"), "--keep takes one run at one size and saturation"),
        (("--size", "100"), "size is 100; this network needs a multiple of 32"),
        (("--saturation", "5"), "saturation is 5.0; it must lie above 0, up to 4"),
    ],
)
def test_what_cannot_be_kept_is_refused(
    choice: tuple[str, ...], complaint: str, runs: list[Path], tmp_path: Path
) -> None:
    kept = tmp_path / "kept.safetensors"
    few = ("--limit", "1", "--keep", str(kept))
    result = CliRunner().invoke(recipe.main, [str(runs[0]), *choice, *few])
    assert result.exit_code == 2
    assert complaint in result.stderr
    assert not kept.exists()


def test_photographs_that_have_changed_since_are_refused(runs: list[Path], tmp_path: Path) -> None:
    changed = tmp_path / "changed"
    shutil.copytree(runs[0], changed)
    settings = json.loads((changed / "run.json").read_text())
    settings["data"]["fingerprint"] = "0" * 32
    (changed / "run.json").write_text(json.dumps(settings))
    result = CliRunner().invoke(recipe.main, [str(changed)])
    assert result.exit_code == 2
    assert "its photographs have changed since" in result.stderr


@pytest.mark.parametrize(
    ("network", "given", "scale"),
    [
        ("efficientnet_lite0", {"encoder_weights": "a file"}, 0.3),
        ("efficientnet_lite0", {"init_from": "a run"}, 0.3),
        ("efficientnet_lite0", {"encoder_weights": None}, 1.0),
        ("plain", {"init_from": "a run"}, 1.0),
    ],
)
def test_an_encoder_that_knows_much_learns_slowly(
    network: str, given: dict[str, str | None], scale: float
) -> None:
    settings = TrainConfig("unet", (), lr=1e-3, **given)  # type: ignore[arg-type]  # texts alone
    state = TrainState(settings, build_unet(UNetConfig(encoder=network)))
    rates = {group["name"]: group["lr"] for group in state.optimizer.param_groups}
    assert rates == {"encoder": pytest.approx(1e-3 * scale), "decoder": 1e-3, "head": 1e-3}


@pytest.mark.parametrize(
    ("arguments", "encoder", "weights"),
    [
        ((), "efficientnet_lite0", "DEFAULT"),
        (("--arch", "unetgan"), "efficientnet_lite0", "DEFAULT"),
        (("--preset", "base"), "plain", None),
        (("--encoder-weights", "none"), "efficientnet_lite0", None),
        (("--encoder", "plain"), "plain", None),
        (("--encoder", "resnet18"), "resnet18", None),
        (("--arch", "resnet"), "resnet18", None),
    ],
)
def test_bare_it_starts_from_what_an_encoder_has_learnt(
    arguments: tuple[str, ...], encoder: str, weights: str | None, tmp_path: Path
) -> None:
    quick = ("--size", "32", "--batch-size", "4", "--steps", "1")
    result = train(*quick, *arguments, "-o", str(tmp_path / "run"))
    assert result.exit_code == 0, result.output
    settings = json.loads((tmp_path / "run" / "run.json").read_text())
    assert (settings["model"]["encoder"], settings["config"]["encoder_weights"]) == (
        encoder,
        weights,
    )
    network = load_checkpoint(tmp_path / "run" / "checkpoint.safetensors").network
    if encoder == "efficientnet_lite0":
        published = read_weights(encoder, "DEFAULT")["_conv_stem.weight"]
        stem = network.encoder.state_dict()["stem.conv.weight"]
        assert torch.allclose(stem, published, atol=1e-2) == (weights is not None)


def test_many_photographs_on_a_gpu_get_larger_crops() -> None:
    def crops(photos: int, *, gpu: bool = True, **given: Any) -> tuple[int, int]:
        machine = Machine(gpu=gpu, bf16=gpu, threads=1)
        inherited = {"arch": "unet", "size": 64} if "init_from" in given else {}
        config = resolve({"data": ("photos",), **given}, machine, photos, inherited)
        return config.size, config.batch_size

    assert crops(1999) == (128, 16)
    assert crops(2000) == (256, 64)
    assert crops(2000, gpu=False) == (128, 16)
    assert crops(2000, size=96) == (96, 64)
    assert crops(2000, init_from="a run", batch_size=4) == (64, 4)


def test_the_command_counts_the_photographs(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(Machine, "here", lambda: Machine(gpu=True, bf16=False, threads=1))
    monkeypatch.setattr(config, "_MANY_PHOTOS", 24)
    result = train("-o", str(tmp_path / "run"), "--steps", "1", "--size", "32")
    assert result.exit_code == 0, result.output
    assert "batches of 20 crops of 32x32" in result.stderr
    assert "batches of 64 were asked for; there are no more photographs" in result.stderr


def test_a_gpu_without_memory_is_told_the_mend(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def full(_network: EncoderDecoder, _L: Tensor) -> Tensor:
        raise torch.OutOfMemoryError

    monkeypatch.setattr(EncoderDecoder, "forward", full)
    result = train(*QUICK, "-o", str(tmp_path / "run"))
    assert result.exit_code == 1
    assert "batches of 8 crops of 64x64; give a smaller --batch-size" in result.stderr
    monkeypatch.undo()
    assert train(*QUICK, "-o", str(tmp_path / "run")).exit_code == 0  # the folder is free for it
    monkeypatch.setattr(EncoderDecoder, "forward", full)
    result = train("--resume", str(tmp_path / "run"), "--steps", "9")
    assert "free that, and --resume" in result.stderr


def test_an_error_that_nobody_foresaw_ends_the_workers_too(tmp_path: Path) -> None:
    """They do not heed SIGTERM, which is how Python would end them."""
    code = (
        "from colorize.train import cli\nfrom colorize.train.losses import objective\n"
        "def fail(*_): raise RuntimeError('unforeseen')\n"
        "objective.Objective.regression = fail\n"
        f"cli.main(['--size', '32', '--batch-size', '8', '-o', {str(tmp_path / 'run')!r}])\n"
    )
    command = [sys.executable, "-c", code]
    result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert result.returncode == 1
    assert "RuntimeError: unforeseen" in result.stderr


def test_the_card_names_what_the_encoder_began_with(runs: list[Path], tmp_path: Path) -> None:
    quick = ("--size", "32", "--batch-size", "4", "--steps", "1")
    for name, arguments in (("one", ()), ("two", ("--init-from", str(tmp_path / "one")))):
        assert train(*quick, *arguments, "-o", str(tmp_path / name)).exit_code == 0
        card = load_checkpoint(tmp_path / name / "checkpoint.safetensors").card
        assert "an encoder with efficientnet_lite0 DEFAULT" in card
    assert "an encoder with" not in load_checkpoint(runs[0] / "checkpoint.safetensors").card


def test_runs_on_other_photographs_are_not_compared(runs: list[Path], tmp_path: Path) -> None:
    other = tmp_path / "other"
    result = train(*QUICK, "--set", "validation_limit=2", "-o", str(other))
    assert result.exit_code == 0, result.output
    result = CliRunner().invoke(recipe.main, [str(runs[0]), str(other)])
    assert result.exit_code == 2
    assert "compare them apart" in result.stderr


def test_what_is_kept_is_an_exponential_average_of_the_weights() -> None:
    """Held against the sum by hand: the first weights, then shares of 1 - decay, less at first."""
    network = build_unet(UNetConfig(encoder="plain", decoder_channels=(8, 8)))
    state = TrainState(TrainConfig("unet", ("photos",), ema_decay=0.3), network)
    [*_, live], [*_, kept] = state.network.parameters(), state.averaged.parameters()
    expected = 0.0
    for step, value in enumerate((5.0, 1.0, -2.0, 4.0, 8.0, 3.0)):
        torch.nn.init.constant_(live, value)
        state.average.update_parameters(state.network)
        decay = 0.0 if step == 0 else min(0.3, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * value
        torch.testing.assert_close(kept, torch.full_like(kept, expected))
