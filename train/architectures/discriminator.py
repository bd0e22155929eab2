"""The opponent of `gan` and `unetgan`, used during training only."""

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from .blocks import AB_SCALE


class PatchDiscriminator(nn.Module):
    """Judge patches of 46x46 pixels (PatchGAN, Isola et al. 2017, arXiv:1611.07004).

    Spectral norm (Miyato et al. 2018, arXiv:1802.05957) holds its slope; without it, the losses'
    gradient penalty has to.
    """

    def __init__(self, width: int = 32, *, spectral: bool = True) -> None:
        super().__init__()
        norm = spectral_norm if spectral else nn.Identity()
        sizes = (3, width, 2 * width, 4 * width)
        layers: list[nn.Module] = []
        for inputs, outputs in pairwise(sizes):
            layers += [
                norm(nn.Conv2d(inputs, outputs, 4, 2, 1)),
                nn.LeakyReLU(0.2, inplace=True),
            ]
        self.layers = nn.Sequential(*layers, norm(nn.Conv2d(4 * width, 1, 4, 1, 1)))

    def forward(self, L: Tensor, ab: Tensor) -> Tensor:
        """(B, 1, H, W), (B, 2, H, W) -> (B, 1, H/8 - 1, W/8 - 1), high where it believes."""
        scores: Tensor = self.layers(torch.cat([L / 50 - 1, ab / AB_SCALE], dim=1))
        return scores
