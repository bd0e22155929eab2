"""CIELAB to sRGB in torch, for losses that look at the picture; held to runtime.color by a test."""

import torch
from torch import Tensor

from ...runtime.color import FROM_XYZ, LAB_KNEE, LINEAR_KNEE, SRGB_GAMMA, SRGB_OFFSET, SRGB_SLOPE


def lab_to_rgb(L: Tensor, ab: Tensor) -> Tensor:
    """Turn (B, 1, H, W) L* and (B, 2, H, W) ab into (B, 3, H, W) sRGB, clipped to 0..1.

    Differentiable; gradients are finite everywhere, and zero where a channel is clipped.
    """
    y = (L + 16) / 116
    f = torch.cat([y + ab[:, :1] / 500, y, y - ab[:, 1:] / 200], dim=1)
    xyz = torch.where(f > LAB_KNEE, f**3, (f - 4 / 29) * (3 * LAB_KNEE**2))
    matrix = torch.from_numpy(FROM_XYZ).to(xyz)
    linear = torch.einsum("rx,bxhw->brhw", matrix, xyz).clamp(0, 1)
    low = linear * SRGB_SLOPE
    # The clamp keeps the power's slope finite in the branch that is not taken.
    power = linear.clamp(min=LINEAR_KNEE) ** (1 / SRGB_GAMMA)
    high = (1 + SRGB_OFFSET) * power - SRGB_OFFSET
    return torch.where(linear <= LINEAR_KNEE, low, high)
