"""What a network that takes hints is asked: with guesses around them, as the runtime gives it."""

import numpy as np
import torch
from torch import Tensor

from ..runtime.steering.spread import extend_hints
from .architectures.blocks import EncoderDecoder

_EXTENDED = 0.8
"""Share of the crops whose hints are extended; image graphs give a network bare ones."""


def mostly_extended(
    L: Tensor, answers: Tensor, hints: Tensor, chance: np.random.Generator
) -> Tensor:
    """Return HINTS (B, 3, H, W), most of them with guesses around them: see `extended`."""
    chosen = torch.from_numpy(chance.random(len(hints)) < _EXTENDED).to(hints.device)
    return torch.where(chosen[:, None, None, None], extended(L, answers, hints), hints)


def extended(L: Tensor, answers: Tensor, hints: Tensor) -> Tensor:
    """Return HINTS (B, 3, H, W) with guesses around them, by runtime/steering/spread.py.

    ANSWERS (B, 2, H, W) are a network's for L (B, 1, H, W) when nothing is hinted.
    """
    planes = [
        extend_hints(light, np.ascontiguousarray(ab.transpose(1, 2, 0)), given)
        for light, ab, given in zip(
            L[:, 0].cpu().numpy(), answers.float().cpu().numpy(), hints.cpu().numpy(), strict=True
        )
    ]
    return torch.from_numpy(np.stack(planes)).to(hints.device)


def unhinted(network: EncoderDecoder, L: Tensor) -> Tensor:
    """Return what NETWORK answers (B, 2, H, W) when nothing is hinted, without gradients."""
    with torch.no_grad():
        answers: Tensor = network(L)
    return answers
