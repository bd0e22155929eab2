"""A loss on what a pre-trained classifier sees in the picture (Johnson et al. 2016)."""

from itertools import pairwise

import torch
import torchvision
from torch import Tensor, nn

from ...runtime.errors import ArgumentError, ModelError
from ..architectures.encoders import EfficientNetLiteEncoder
from ..checkpoints.pretrained import State, read_weights
from .lab import lab_to_rgb

_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # ImageNet's, in 0..1


class PerceptualLoss(nn.Module):
    """Squared distance of unit-length features, averaged over pixels and summed over layers.

    LPIPS (Zhang et al. 2018, arXiv:1801.03924) without its learned weights.
    """

    def __init__(self, network: str, weights: str) -> None:
        super().__init__()
        if network not in _NETWORKS:
            raise ArgumentError(
                f"unknown perceptual network {network!r}; choose one of {', '.join(_NETWORKS)}"
            )
        state = read_weights(network, weights)
        try:
            self.features = _NETWORKS[network](state)
        except RuntimeError as error:
            raise ModelError(f"{weights}: not weights of {network} ({error})") from error
        self.eval().requires_grad_(requires_grad=False)

    def forward(self, L: Tensor, predicted: Tensor, truth: Tensor) -> Tensor:
        """(B, 1, H, W) L*, (B, 2, H, W) predicted and true ab -> scalar, 0 if they are equal."""
        pictures = torch.cat([lab_to_rgb(L, predicted.float()), lab_to_rgb(L, truth)])
        total: Tensor = pictures.new_zeros(())
        for seen in self.features(pictures):
            ours, theirs = nn.functional.normalize(seen, dim=1).chunk(2)
            total = total + (ours - theirs).square().sum(dim=1).mean()
        return total


class _Lite(nn.Module):
    """EfficientNet-Lite0's features at each of its five strides."""

    def __init__(self, state: State) -> None:
        super().__init__()
        self.encoder = EfficientNetLiteEncoder()
        self.encoder.load_pretrained(state)

    def forward(self, rgb: Tensor) -> list[Tensor]:
        """(B, 3, H, W) in 0..1 -> features; to its normalization L* is a gray of 0..100."""
        return self.encoder(rgb * 100)  # type: ignore[no-any-return]


class _Vgg(nn.Module):
    """VGG-16's features after the layers that LPIPS compares."""

    _TAPS = (0, 4, 9, 16, 23, 30)

    def __init__(self, state: State) -> None:
        super().__init__()
        net = torchvision.models.vgg16(weights=None)
        net.load_state_dict(state)
        self.slices = nn.ModuleList(net.features[a:b] for a, b in pairwise(self._TAPS))
        self.normalize = torchvision.transforms.Normalize(_MEAN, _STD)

    def forward(self, rgb: Tensor) -> list[Tensor]:
        """(B, 3, H, W) in 0..1 -> features."""
        x, seen = self.normalize(rgb), []
        for part in self.slices:
            x = part(x)
            seen.append(x)
        return seen


_NETWORKS = {"efficientnet_lite0": _Lite, "vgg16": _Vgg}
"""Those that can be a loss; SqueezeNet is none of them, because the bench measures with it."""
