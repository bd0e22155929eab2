"""A loss on what a pre-trained classifier sees in the picture (Johnson et al. 2016)."""

from itertools import pairwise

import torch
import torchvision
from torch import Tensor, nn

from ...runtime.errors import ArgumentError, ModelError
from ..checkpoints.pretrained import read_weights
from .lab import lab_to_rgb

# After which layers of torchvision's `features` the two pictures are compared, as LPIPS does.
_TAPS = {
    "squeezenet1_1": (2, 5, 8, 10, 11, 12, 13),
    "vgg16": (4, 9, 16, 23, 30),
}
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # ImageNet's, in 0..1


class PerceptualLoss(nn.Module):
    """Squared distance of unit-length features, averaged over pixels and summed over layers.

    LPIPS (Zhang et al. 2018, arXiv:1801.03924) without its learned weights.
    """

    def __init__(self, network: str, weights: str) -> None:
        super().__init__()
        if network not in _TAPS:
            raise ArgumentError(
                f"unknown perceptual network {network!r}; choose one of {', '.join(_TAPS)}"
            )
        net = getattr(torchvision.models, network)(weights=None)
        try:
            net.load_state_dict(read_weights(network, weights))
        except RuntimeError as error:
            raise ModelError(f"{weights}: not weights of {network} ({error})") from error
        cuts = (0, *_TAPS[network])
        self.slices = nn.ModuleList(net.features[a:b] for a, b in pairwise(cuts))
        self.normalize = torchvision.transforms.Normalize(_MEAN, _STD)
        self.eval().requires_grad_(requires_grad=False)

    def forward(self, L: Tensor, predicted: Tensor, truth: Tensor) -> Tensor:
        """(B, 1, H, W) L*, (B, 2, H, W) predicted and true ab -> scalar, 0 if they are equal."""
        pictures = torch.cat([lab_to_rgb(L, predicted.float()), lab_to_rgb(L, truth)])
        x = self.normalize(pictures)
        total: Tensor = x.new_zeros(())
        for part in self.slices:
            x = part(x)
            ours, theirs = nn.functional.normalize(x, dim=1).chunk(2)
            total = total + (ours - theirs).square().sum(dim=1).mean()
        return total
