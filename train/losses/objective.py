"""What a training asks of the generator and of the discriminator, put together from the losses."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from ...runtime.errors import ArgumentError
from ..config import TrainConfig
from ..data.color_statistics import ColorShares
from .losses import (
    ADVERSARIAL_LOSSES,
    COLOR_WEIGHTS,
    PIXEL_LOSSES,
    ChromaLoss,
    paleness,
    r1_penalty,
)
from .perceptual import PerceptualLoss

PENALTIES = ("spectral", "r1")
Discriminator = Callable[[Tensor, Tensor], Tensor]
"""A discriminator: (L, ab) -> scores."""


class Objective(nn.Module):
    """The losses by name and their weights; `chroma` is the one on colors alone."""

    def __init__(self, config: TrainConfig, shares: ColorShares) -> None:
        super().__init__()
        _check_names(config)
        self.weights = {
            config.pixel_loss: 1.0,
            "perceptual": config.perceptual_weight,
            "paleness": config.paleness_weight,
            "adversarial": config.adversarial_weight,
            "kept": config.keep,
        }
        self._pixel_name = config.pixel_loss
        self.chroma = ChromaLoss(config, shares)
        self._perceptual = (
            PerceptualLoss(config.perceptual, config.perceptual_weights)
            if config.perceptual
            else None
        )
        self._adversarial = ADVERSARIAL_LOSSES[config.adversarial_loss]
        self._r1_weight = config.r1_weight if config.discriminator_penalty == "r1" else 0.0

    def regression(self, L: Tensor, predicted: Tensor, truth: Tensor) -> dict[str, Tensor]:
        """Return the generator's losses that need no discriminator."""
        losses = {self._pixel_name: self.chroma(predicted, truth)}
        if self._perceptual is not None:
            losses["perceptual"] = self._perceptual(L, predicted, truth)
        if self.weights["paleness"]:
            losses["paleness"] = paleness(L, predicted)
        return losses

    def kept(self, predicted: Tensor, answers: Tensor, hints: Tensor) -> Tensor:
        """Return how far PREDICTED is from the parent's ANSWERS in crops without HINTS."""
        free = (hints[:, 2] == 0).all(dim=(1, 2))
        if not free.any():
            return predicted.new_zeros(())
        loss: Tensor = self.chroma(predicted[free], answers[free].float())
        return loss * free.float().mean()

    def adversarial_loss(
        self, discriminator: Discriminator, L: Tensor, predicted: Tensor
    ) -> Tensor:
        """Return what the generator pays for not being believed."""
        return self._adversarial.generator(discriminator(L, predicted))

    def discriminator_loss(
        self, discriminator: Discriminator, L: Tensor, predicted: Tensor, truth: Tensor
    ) -> Tensor:
        """Return the discriminator's loss."""
        truth = truth.requires_grad_(self._r1_weight > 0)
        # One pass for both keeps the discriminator's buffers equal in all processes.
        scores = discriminator(torch.cat([L, L]), torch.cat([truth, predicted.detach()]))
        real, fake = scores.chunk(2)
        loss = self._adversarial.discriminator(real, fake)
        return loss + self._r1_weight * r1_penalty(real, truth) if self._r1_weight else loss

    def total(self, losses: dict[str, Tensor]) -> Tensor:
        """Return the weighted sum of the generator's losses."""
        return torch.stack([self.weights[name] * value for name, value in losses.items()]).sum()


def _check_names(config: TrainConfig) -> None:
    for option, value, names in (
        ("--loss", config.pixel_loss, PIXEL_LOSSES),
        ("--color-weights", config.color_weights, COLOR_WEIGHTS),
        ("--gan-loss", config.adversarial_loss, ADVERSARIAL_LOSSES),
        ("--set discriminator_penalty=", config.discriminator_penalty, PENALTIES),
    ):
        if value not in names:
            raise ArgumentError(f"unknown {option} {value!r}; choose one of {', '.join(names)}")
