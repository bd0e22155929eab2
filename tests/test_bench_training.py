"""The benchmark of training: that it runs, and that its figures are those of the network."""

import subprocess
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import nn

from colorize.train.architectures import architecture
from colorize.train.architectures.blocks import count_flops

Finished = subprocess.CompletedProcess[str]


@pytest.mark.parametrize(
    ("arch", "encoder"), [("gan", ()), ("unet", ("--encoder", "efficientnet_lite0"))]
)
def test_it_prints_a_row_of_measured_figures(
    arch: str, encoder: tuple[str, ...], in_subprocess: Callable[..., Finished]
) -> None:
    quick = ("--arch", arch, "--size", "32", "--batch-size", "8", "--steps", "6", "--rounds", "1")
    result = in_subprocess("-m", "colorize.bench.training", *quick, *encoder)
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
