"""Sharpen a small color map along the edges of lightness at full size.

The guided filter's local line ab = a L* + b (He, Sun, Tang: Guided Image Filtering, TPAMI 2013),
fitted at the small size as in He, Sun: Fast Guided Filter, 2015. The filter itself would put
that line in the place of ab, which costs 3.6 dB where ab is true; here only its slope is used, on
the detail of L* that the small size lacks.
"""

import cv2
import numpy as np

from ..color import F32

_WINDOW = 3  # pixels of the small size; a larger window mixes the colors of neighbors
_NOISE = 100.0  # below this variance of L*, slopes are mostly noise


def slopes(lightness: F32, ab: F32) -> F32:
    """Return how ab moves with L* around each pixel, (h, w, 2), for L* (h, w) and ab (h, w, 2)."""
    guide = lightness[..., None]
    mean, mean_ab = _mean(guide), _mean(ab)
    covariance = _mean(guide * ab) - mean * mean_ab
    variance = _mean(guide * guide) - mean * mean
    return _mean(np.asarray(covariance / (variance + _NOISE), np.float32))


def _mean(planes: F32) -> F32:
    blurred = cv2.blur(planes, (_WINDOW, _WINDOW), borderType=cv2.BORDER_REFLECT)
    return np.asarray(blurred, np.float32).reshape(planes.shape)
