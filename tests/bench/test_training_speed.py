"""The benchmark of training: that it runs, and that its figures are those of the network."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from helpers.commands import Finished
from torch import nn

from colorize.bench import training_speed as training
from colorize.runtime.models.catalog import SAMPLES
from colorize.train.architectures import architecture
from colorize.train.architectures.blocks import count_flops
from colorize.train.config import TrainConfig
from colorize.train.data.color_statistics import ColorShares
from colorize.train.data.crops import CropDataset
from colorize.train.data.photos import collect


@pytest.mark.parametrize(
    ("arch", "encoder"),
    [
        ("gan", ()),
        pytest.param("unet", ("--encoder", "efficientnet_lite0"), marks=pytest.mark.slow),
    ],
)
def test_it_prints_a_row_of_measured_figures(
    arch: str, encoder: tuple[str, ...], in_subprocess: Callable[..., Finished]
) -> None:
    quick = ("--arch", arch, "--size", "32", "--batch-size", "8", "--steps", "6", "--rounds", "1")
    result = in_subprocess("-m", "colorize.bench.training_speed", *quick, *encoder)
    assert result.returncode == 0, result.stderr
    rows = [line.strip("│ ") for line in result.stderr.splitlines() if line.startswith("│")]
    shown, precision, weights, gflop, rate, share, memory = (
        cell.strip() for cell in rows[0].split("│")
    )
    assert shown == arch
    assert precision in ("fp32", "bf16")
    entry = architecture(arch)
    config = replace(entry.presets["small"], **({"encoder": encoder[1]} if encoder else {}))
    network = entry.build(config)
    assert weights == f"{sum(p.numel() for p in network.parameters()) / 1e6:.1f}"
    assert gflop == f"{count_flops(network) / 1e9:.1f}"
    assert float(rate) > 0
    assert float(share.removesuffix("%")) > 0
    assert float(memory) > 0.1


def test_the_rate_is_that_of_the_steps_after_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """Batches of 8 at steps that take half a second, after two of ten seconds."""
    now = 0.0

    def steps(*_: object, on_step: Callable[[object], None], **__: object) -> None:
        nonlocal now
        for seconds in (10, 10, 10, 0.5, 0.5, 0.5):
            now += seconds
            on_step(None)

    monkeypatch.setattr(training, "train", steps)
    monkeypatch.setattr("time.perf_counter", lambda: now)
    config = TrainConfig("unet", (str(SAMPLES / "train"),), batch_size=8, encoder_weights=None)
    photos = list(collect(config.data).photos)
    crops, shares = CropDataset(photos, 32), ColorShares.of(photos)
    assert training._rate(config, crops, shares) == pytest.approx(16)


def test_reading_is_told_from_the_one_crop(monkeypatch: pytest.MonkeyPatch) -> None:
    def rate(_config: object, crops: CropDataset, _shares: object) -> float:
        return 50.0 if isinstance(crops, training.SyntheticCrops) else 40.0

    monkeypatch.setattr(training, "_rate", rate)
    config = TrainConfig("unet", (str(SAMPLES / "train"),), encoder_weights=None)
    speed = training.measure(config, rounds=1)
    assert (speed.reading, speed.synthetic) == (40.0, 50.0)


def test_flops_are_those_of_every_convolution() -> None:
    """Two a multiply-add: kernel x inputs x outputs x places."""
    entry = architecture("unet")
    network = entry.build(entry.presets["small"])
    counted = 0

    def count(conv: nn.Module, _inputs: object, output: torch.Tensor) -> None:
        nonlocal counted
        assert isinstance(conv, nn.Conv2d)
        counted += 2 * conv.weight.numel() * output.shape[2] * output.shape[3]

    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_hook(count)
    assert count_flops(network, 64) == counted
