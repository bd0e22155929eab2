"""How common colors are in the training photographs."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...runtime.color import U8, rgb_to_lab
from .crops import CropDataset
from .sources import PhotoFile

BIN = 10.0
"""Side of a cell of the ab plane (Zhang et al. 2016, arXiv:1603.08511, section 2.1)."""

_EDGES = np.arange(-110, 110 + BIN, BIN)
_SMOOTHING = 5.0 / BIN  # standard deviation in cells, as in the paper
_PHOTOS = 512  # more change every share by less than a thousandth
_SIDE = 64


@dataclass(frozen=True)
class ColorShares:
    """The share of every cell of the ab plane (22, 22), summing to 1; and the mean chroma."""

    shares: NDArray[np.float64]
    mean_chroma: float

    @classmethod
    def of(cls, photos: Sequence[PhotoFile]) -> "ColorShares":
        """Count the colors of up to 512 PHOTOS, always the same ones."""
        chosen = sorted(photos, key=lambda photo: photo.sha256)[:_PHOTOS]
        crops = CropDataset(chosen, _SIDE)
        ab = np.concatenate([crops[i][1].flatten(1).numpy().T for i in range(len(crops))])
        return cls(_histogram(ab), float(np.hypot(ab[:, 0], ab[:, 1]).mean()))

    def rarity_weights(self, mix: float) -> Tensor:
        """Return a weight (22, 22) for every cell, float32; their mean over the shares is 1.

        MIX is Zhang et al.'s lambda: near 0 it weighs by rarity alone, at 1 not at all. At 0 a cell
        without a photograph would weigh infinitely.
        """
        smooth = cv2.GaussianBlur(self.shares, (0, 0), _SMOOTHING, borderType=cv2.BORDER_CONSTANT)
        smooth = smooth / smooth.sum()
        weights = 1 / ((1 - mix) * smooth + mix / int(_shown_by_srgb().sum()))
        return torch.from_numpy(weights / (weights * self.shares).sum()).float()


def _histogram(ab: NDArray[np.float32]) -> NDArray[np.float64]:
    counts, _, _ = np.histogram2d(ab[:, 0], ab[:, 1], [_EDGES, _EDGES])
    shares: NDArray[np.float64] = counts / counts.sum()
    return shares


@cache
def _shown_by_srgb() -> NDArray[np.bool_]:
    """Return which cells hold a color of sRGB: 263 (the paper, by a wider rule, counts 313)."""
    steps = np.linspace(0, 255, 52).astype(np.uint8)
    cube: U8 = np.stack(np.meshgrid(steps, steps, steps), axis=-1).reshape(-1, 3)
    occupied: NDArray[np.bool_] = _histogram(rgb_to_lab(cube)[:, 1:]) > 0
    return occupied
