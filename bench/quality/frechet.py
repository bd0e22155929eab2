"""Fréchet distances of what networks see in many pictures: FID, and one without Inception."""

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import torch
import torchvision
from numpy.typing import NDArray
from torch import Tensor, nn
from torchmetrics.image.fid import FrechetInceptionDistance, NoTrainInceptionV3

from ...runtime.color import U8
from ...runtime.errors import InputError
from ...runtime.files import sha256
from .perceptual import Weights, cache_of_one, load_weights, weights_cache

LEAST_PHOTOS = 2000
"""With fewer, the covariance of 2,048 features has not full rank, and the distance is biased."""

_INCEPTION = "weights-inception-2015-12-05-6726825d.pth"
_INCEPTION_SHA256 = "6726825d"  # its first digits, as in the file's name
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # ImageNet's, in 0..1

Features = NDArray[np.float32]


def too_few(photos: int) -> str:
    """Return why no distance is measured on so few PHOTOS."""
    return f"photographs: {photos}; it needs {LEAST_PHOTOS:,} or more"


def find_inception(given: Path | None) -> Weights | str:
    """Return the standard Inception weights, GIVEN or in torch's cache, or why there are none."""
    path = given or weights_cache() / _INCEPTION
    if not path.is_file():
        if given:
            raise InputError(f"{given}: no such file; --fid-weights wants {_INCEPTION}")
        return f"no Inception weights here: give --fid-weights {_INCEPTION}"
    digest = sha256(path)
    if not digest.startswith(_INCEPTION_SHA256):
        return f"{path.name} does not hold the standard Inception weights ({_INCEPTION})"
    return Weights(path, digest)


class Inception:
    """The features that FID is computed from."""

    def __init__(self, weights: Weights) -> None:
        with cache_of_one(_INCEPTION, weights) as path:
            self._network = NoTrainInceptionV3("inception-v3-compat", ["2048"], str(path))

    @torch.inference_mode()
    def __call__(self, rgb: U8) -> Features:
        """Return (2048,) for an 8-bit (H, W, 3) picture."""
        features: Features = self._network(_batch(rgb)).numpy().reshape(-1)
        return features


class SqueezeNet:
    """The last features of SqueezeNet 1.1 (Iandola et al. 2016, arXiv:1602.07360), averaged."""

    def __init__(self, weights: Weights) -> None:
        network = torchvision.models.squeezenet1_1(weights=None)
        network.load_state_dict(load_weights(weights.path))
        self._layers = network.features.eval()
        self._normalize = torchvision.transforms.Normalize(_MEAN, _STD)

    @torch.inference_mode()
    def __call__(self, rgb: U8) -> Features:
        """Return (512,) for an 8-bit (H, W, 3) picture, which is seen at its own size."""
        x = self._layers(self._normalize(_batch(rgb) / 255))
        features: Features = x.mean(dim=(2, 3)).numpy().reshape(-1)
        return features


FEATURES: Mapping[str, Callable[[Weights], Callable[[U8], Features]]] = {
    "fid": Inception,
    "fd_squeeze": SqueezeNet,
}
"""What computes the features of each distance, by the metric's name."""


class Frechet:
    """Fréchet distance of the features of pictures and truths, in constant memory."""

    def __init__(self, features: int) -> None:
        self._metric = FrechetInceptionDistance(_Given(features))

    def add(self, picture: Features, truth: Features) -> None:
        """Count one picture and its truth."""
        self._metric.update(torch.from_numpy(picture)[None], real=False)
        self._metric.update(torch.from_numpy(truth)[None], real=True)

    def value(self) -> float:
        """Return the distance (Heusel et al. 2017, arXiv:1706.08500)."""
        return float(self._metric.compute())


class _Given(nn.Module):
    """Takes Inception's place in torchmetrics: the features are computed in other processes."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.num_features = features

    def forward(self, features: Tensor) -> Tensor:
        return features


def _batch(rgb: U8) -> Tensor:
    return torch.from_numpy(rgb.transpose(2, 0, 1)[None].copy())
