"""CIELAB to sRGB in torch, for losses that look at the picture; held to runtime.color by a test."""

import torch
from torch import Tensor

from ..runtime.color import FROM_XYZ


def lab_to_rgb(L: Tensor, ab: Tensor) -> Tensor:
    """Turn (B, 1, H, W) L* and (B, 2, H, W) ab into (B, 3, H, W) sRGB, clipped to 0..1.

    Differentiable; gradients are finite everywhere, and zero where a channel is clipped.
    """
    y = (L + 16) / 116
    f = torch.cat([y + ab[:, :1] / 500, y, y - ab[:, 1:] / 200], dim=1)
    xyz = torch.where(f > 6 / 29, f**3, (f - 4 / 29) * (3 * (6 / 29) ** 2))
    matrix = torch.from_numpy(FROM_XYZ).to(xyz)
    linear = torch.einsum("rx,bxhw->brhw", matrix, xyz).clamp(0, 1)
    low = linear * 12.92
    # The clamp keeps the power's slope finite in the branch that is not taken.
    high = 1.055 * linear.clamp(min=0.0031308) ** (1 / 2.4) - 0.055
    return torch.where(linear <= 0.0031308, low, high)
