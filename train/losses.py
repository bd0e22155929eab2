"""What is asked of the networks. Every loss is a mean over the batch, in units of a*, b*."""

import torch
import torch.nn.functional as F
from torch import Tensor


def chroma_huber(predicted: Tensor, truth: Tensor, delta: float, vividness: float) -> Tensor:
    """Return the Huber loss (Huber 1964) of (B, 2, H, W) ab over DELTA, weighted by colour.

    Most pixels are nearly grey, and a plain mean answers that majority (Zhang et al. 2016,
    arXiv:1603.08511, rebalance by rarity). A true chroma of 1/VIVIDNESS doubles a pixel's weight;
    weights are normalized, so that the loss stays a weighted mean.
    """
    errors = F.huber_loss(predicted, truth, delta=delta, reduction="none") / delta
    weights = 1 + vividness * torch.linalg.vector_norm(truth, dim=1, keepdim=True)
    mean: Tensor = (errors * weights).mean() / weights.mean()
    return mean


def discriminator_hinge(real: Tensor, fake: Tensor) -> Tensor:
    """Return the hinge loss of the discriminator's scores (Lim & Ye 2017, arXiv:1705.02894)."""
    return torch.relu(1 - real).mean() + torch.relu(1 + fake).mean()


def generator_hinge(fake: Tensor) -> Tensor:
    """Return what the generator pays for not being believed."""
    return -fake.mean()
