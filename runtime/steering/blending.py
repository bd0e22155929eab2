"""One picture's colors from all that is known of them: carried ones, and the model's answer.

Each counts by the inverse of its variance. What carried colors correct of the model's answer is
spread to pixels that have none, by kernel regression: to those that are near, as light, and
colored alike by the model.
"""

from collections.abc import Sequence

import cv2
import numpy as np

from ..color import F32
from ..resize import enlarge
from .tracking import Carried, towards

_MODEL_VARIANCE = 150.0  # of the model's answer with the correction spread over it
_CELL = 8  # pixels a side for which one correction is computed
_SAMPLES = 120  # of the cells, from which corrections are spread
_LEAST_WEIGHT = 0.2  # of a sample
_SURE = 100.0  # variance at which a color's weight as a sample is one half
_NEAR, _AS_LIGHT, _ALIKE = 0.12, 12.0, 10.0  # part of the height; L*; CIELAB units
_AS_ROUGH = 6.0  # L*: standard deviation of lightness around a cell
_PRIOR = 0.1  # weight of "no correction"
_LEAST_EXPONENT = -60.0  # of the kernel: farther cells count for nothing


def blend(lightness: F32, model_ab: F32, carried: Sequence[Carried]) -> F32:
    """Return ab (h, w, 2) for L* (h, w), the model's ab (h, w, 2) and what was CARRIED there."""
    known = merged(carried)
    confidence = known.weight / (known.weight + np.float32(1 / _SURE))
    filled = model_ab + correction(lightness, model_ab, known.ab, confidence)
    share: F32 = known.weight / (known.weight + np.float32(1 / _MODEL_VARIANCE))
    return towards(filled, known.ab, share)


def merged(carried: Sequence[Carried]) -> Carried:
    """Return the mean of colors by their weights, with the sum of the weights."""
    if len(carried) == 1:
        return carried[0]
    mean, weight = carried[0].ab, carried[0].weight
    for known in carried[1:]:
        weight = weight + known.weight
        share = known.weight / np.maximum(weight, np.float32(1e-9))
        mean = towards(mean, known.ab, np.asarray(share, np.float32))
    return Carried(mean, weight)


def correction(lightness: F32, model_ab: F32, ab: F32, confidence: F32) -> F32:
    """Spread what AB (h, w, 2), of CONFIDENCE 0..1, corrects of MODEL_AB over the picture."""
    height, width = lightness.shape
    cells = (max(1, width // _CELL), max(1, height // _CELL))
    half = (max(width // 2, cells[0]), max(height // 2, cells[1]))

    def shrunk(planes: F32) -> F32:
        halved = cv2.resize(planes, half)  # OpenCV's INTER_AREA is slow for such fractional scales
        return np.asarray(cv2.resize(halved, cells, interpolation=cv2.INTER_AREA), np.float32)

    weight = shrunk(confidence).ravel()
    chosen = np.random.default_rng(0).permutation(len(weight))[:_SAMPLES]
    chosen = chosen[weight[chosen] > _LEAST_WEIGHT]
    if not len(chosen):
        return np.zeros_like(model_ab)
    known = np.asarray(cv2.merge([confidence, confidence]), np.float32)
    known *= cv2.subtract(ab, model_ab)  # weighed residuals
    samples = np.column_stack([shrunk(known).reshape(-1, 2)[chosen], weight[chosen]])
    kinds = _kinds(shrunk(lightness), shrunk(lightness * lightness), shrunk(model_ab))
    spread = _nearness(kinds, kinds[chosen]) @ samples
    spread = spread[:, :2] / (spread[:, 2:] + np.float32(_PRIOR))
    return enlarge(spread.reshape(cells[1], cells[0], 2), (height, width))


def _kinds(lightness: F32, square: F32, model_ab: F32) -> F32:
    """Return what makes cells alike, (cells, 6), in units of the kernel's width."""
    height, width = lightness.shape
    y, x = np.mgrid[0:height, 0:width].astype(np.float32) / np.float32(height * _NEAR)
    mean = cv2.blur(lightness, (3, 3))
    rough = np.sqrt(np.maximum(cv2.blur(square, (3, 3)) - mean * mean, 0))
    planes = [
        x,
        y,
        lightness / _AS_LIGHT,
        *np.moveaxis(model_ab / _ALIKE, -1, 0),
        rough / _AS_ROUGH,
    ]
    return np.stack(planes, axis=-1).reshape(-1, len(planes)).astype(np.float32)


def _nearness(kinds: F32, others: F32) -> F32:
    """Return the Gaussian kernel (N, M) between (N, K) and (M, K)."""
    # Row by row, so that one product gives k.o - (k.k + o.o) / 2.
    one = np.ones((1, 1), np.float32)
    left = np.column_stack([kinds, _half_square(kinds), one.repeat(len(kinds), 0)])
    right = np.column_stack([others, one.repeat(len(others), 0), _half_square(others)])
    exponent = left @ right.T
    # Subnormal numbers would make the products that follow several times as slow.
    np.clip(exponent, _LEAST_EXPONENT, 0, out=exponent)
    return np.asarray(cv2.exp(exponent, exponent), np.float32)


def _half_square(kinds: F32) -> F32:
    return np.asarray(-0.5 * (kinds * kinds).sum(1), np.float32)
