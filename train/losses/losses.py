"""What is asked of the networks, by name. Every loss is a mean over the batch."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..architectures.blocks import AB_SCALE
from ..config import TrainConfig
from ..data.color_statistics import BIN, ColorShares
from .lab import lab_to_rgb

PixelLoss = Callable[[Tensor, Tensor, float], Tensor]
"""(predicted, true) ab of one shape and the delta -> errors of that shape in units of ab."""


def huber(predicted: Tensor, truth: Tensor, delta: float) -> Tensor:
    """Square below DELTA, absolute above (Huber 1964), over DELTA so that its slope is 1."""
    return F.huber_loss(predicted, truth, delta=delta, reduction="none") / delta


def l1(predicted: Tensor, truth: Tensor, _delta: float) -> Tensor:
    """Absolute difference."""
    return (predicted - truth).abs()


PIXEL_LOSSES: dict[str, PixelLoss] = {"huber": huber, "l1": l1}

ColorWeights = Callable[[Tensor], Tensor]
"""True ab (B, 2, H, W) -> weights (B, 1, H, W) whose mean over the training photographs is 1."""


def no_weights(_config: TrainConfig, _shares: ColorShares) -> ColorWeights:
    """Every pixel counts alike."""
    return lambda truth: torch.ones_like(truth[:, :1])


def vividness(config: TrainConfig, shares: ColorShares) -> ColorWeights:
    """Colorful pixels count more, in proportion to their chroma.

    Most pixels are nearly gray, and a plain mean answers that majority.
    """
    mean = 1 + config.vividness * shares.mean_chroma

    def weigh(truth: Tensor) -> Tensor:
        chroma = torch.linalg.vector_norm(truth, dim=1, keepdim=True)
        weights: Tensor = (1 + config.vividness * chroma) / mean
        return weights

    return weigh


def rarity(config: TrainConfig, shares: ColorShares) -> ColorWeights:
    """Rare colors count more (Zhang et al. 2016, arXiv:1603.08511, equation 4)."""
    table = shares.rarity_weights(config.rarity_mix)

    def weigh(truth: Tensor) -> Tensor:
        # Cells begin at multiples of BIN, so -5 lies in the cell of -10..0.
        column, row = ((truth + AB_SCALE) / BIN).long().clamp(0, len(table) - 1).unbind(1)
        weights: Tensor = table.to(truth.device)[column, row]
        return weights[:, None]

    return weigh


COLOR_WEIGHTS: dict[str, Callable[[TrainConfig, ColorShares], ColorWeights]] = {
    "none": no_weights,
    "vividness": vividness,
    "rarity": rarity,
}


class ChromaLoss(nn.Module):
    """A pixel loss on ab, weighted by the true color.

    The weights' mean is fixed by the data, not by the batch, so that the loss of a batch is the
    mean of the losses of its halves: with several processes too.
    """

    def __init__(self, config: TrainConfig, shares: ColorShares) -> None:
        super().__init__()
        self._loss, self._delta = PIXEL_LOSSES[config.pixel_loss], config.huber_delta
        self._weigh = COLOR_WEIGHTS[config.color_weights](config, shares)

    def forward(self, predicted: Tensor, truth: Tensor) -> Tensor:
        """(B, 2, H, W) predicted and true ab -> scalar, in units of ab."""
        errors = self._loss(predicted.float(), truth, self._delta)
        mean: Tensor = (errors * self._weigh(truth)).mean()
        return mean


def paleness(L: Tensor, ab: Tensor) -> Tensor:
    """(B, 1, H, W) L*, (B, 2, H, W) ab -> 1 - colorfulness / 100, as DDColor has it.

    Kang et al. 2023, arXiv:2212.11613, the colorfulness loss; of each picture, after Hasler &
    Suesstrunk 2003. It asks for any color, right or wrong.
    """
    r, g, b = (255 * lab_to_rgb(L, ab.float())).unbind(1)
    opponents = torch.stack([r - g, (r + g) / 2 - b], dim=1).flatten(2)
    # Of a gray picture both are zero, where a square root has no slope.
    spread = (opponents.var(dim=2, correction=0).sum(dim=1) + 1e-4).sqrt()
    mean = (opponents.mean(dim=2).square().sum(dim=1) + 1e-4).sqrt()
    return 1 - (spread + 0.3 * mean).mean() / 100


@dataclass(frozen=True)
class AdversarialLoss:
    """What discriminator and generator pay for the scores of true and predicted colors."""

    discriminator: Callable[[Tensor, Tensor], Tensor]  # (real, fake) scores
    generator: Callable[[Tensor], Tensor]  # fake scores


ADVERSARIAL_LOSSES = {
    # Lim & Ye 2017, arXiv:1705.02894
    "hinge": AdversarialLoss(
        discriminator=lambda real, fake: (1 - real).relu().mean() + (1 + fake).relu().mean(),
        generator=lambda fake: -fake.mean(),
    ),
    # Mao et al. 2017, arXiv:1611.04076, with a = 0, b = c = 1
    "lsgan": AdversarialLoss(
        discriminator=lambda real, fake: ((real - 1).square().mean() + fake.square().mean()) / 2,
        generator=lambda fake: (fake - 1).square().mean() / 2,
    ),
}


def r1_penalty(real: Tensor, ab: Tensor) -> Tensor:
    """Return R1 of Mescheder et al. 2018, arXiv:1801.04406: half the mean squared slope of REAL.

    At the true AB, which needs gradients and counts in units of AB_SCALE.
    """
    [slope] = torch.autograd.grad(real.sum(), ab, create_graph=True)
    return (slope * AB_SCALE).square().sum(dim=(1, 2, 3)).mean() / 2
