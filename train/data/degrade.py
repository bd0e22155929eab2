"""Lightness as old, soft or noisy photographs have it, so that those are colored well too."""

import cv2
import numpy as np

from ...runtime.color import F32

_CURVE, _SHARPNESS, _GRAIN = 0.6, 0.6, 0.35
"""Shares of the degraded crops that get each; some get several, some none."""
_STEEPEST = 0.45  # natural logarithm of the exponent of a curve
_FADED = 0.25  # share of the range that a faded print loses at either end
_SOFTEST, _SHARPEST = 1.3, 0.9  # standard deviation in pixels; amount of an unsharp mask
_COARSEST = 6.0  # standard deviation of the grain, in L*


def degrade(lightness: F32, chance: np.random.Generator) -> F32:
    """Return L* LIGHTNESS (H, W) in 0..100 with a tone curve, other sharpness, or grain.

    All three are drawn from CHANCE; the result stays in 0..100.
    """
    result: F32 = lightness / np.float32(100)
    if chance.random() < _CURVE:
        exponent = np.exp(chance.uniform(-_STEEPEST, _STEEPEST))
        black, white = chance.uniform(0, _FADED, 2) * (chance.random(2) < 0.5)
        result = np.float32(black) + np.float32(1 - black - white) * result ** np.float32(exponent)
    if chance.random() < _SHARPNESS:
        soft = chance.random() < 0.5
        sigma = chance.uniform(0.3, _SOFTEST) if soft else 1.0
        blurred = cv2.GaussianBlur(result, (0, 0), sigma)
        amount = chance.uniform(0, _SHARPEST)
        result = np.asarray(blurred if soft else result + amount * (result - blurred), np.float32)
    if chance.random() < _GRAIN:
        grain = chance.standard_normal(result.shape, np.float32)
        size = chance.uniform(0.01, 0.8)  # of the grains, in pixels; blurring weakens them
        strength = np.float32(chance.uniform(0, _COARSEST / 100))
        result = result + strength * np.asarray(cv2.GaussianBlur(grain, (0, 0), size), np.float32)
    return np.asarray(np.clip(result, 0, 1) * 100, np.float32)
