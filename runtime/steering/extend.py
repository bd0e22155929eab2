"""Guesses for the whole picture from a few hints, given to a network beside the hints themselves.

A network with few layers carries a hinted color badly from one side of a picture to the other. This
does it for the network, which then judges, with all that it sees, where the color belongs.
"""

import cv2
import numpy as np

from ..color import F32
from .grid import gather, rational_quadratic, read_from_grid, squared_distances, texture

_REACH, _REACH_LIGHTNESS, _REACH_TEXTURE = 0.35, 18.0, 1.2
"""Length scales of the kernel, as in spread.py, but without a model's a* and b*."""
_NOISE = 0.1
_MOST = 0.8
"""Highest confidence of a guess: below a hint's, so that the network can tell them apart."""


def extend_hints(lightness: F32, hints: F32) -> F32:
    """Return HINTS (3, h, w) with guesses for L* LIGHTNESS (h, w) where they leave room for them.

    Hinted colors are interpolated by Gaussian process regression (see spread.py) over x, y, L* and
    texture. A guess's confidence is what the regression leaves of a constant 1: it falls to 0 with
    distance. Without hints HINTS itself is returned.
    """
    if not hints[2].any():
        return hints
    height, width = lightness.shape
    looks = np.dstack([np.zeros((height, width, 2), np.float32), texture(lightness)])
    cells = gather(lightness, looks, hints)
    reach = _REACH * min(height, width)
    scale = np.array(
        [1 / reach, 1 / reach, 1 / _REACH_LIGHTNESS, 0, 0, 1 / _REACH_TEXTURE], np.float32
    )
    places = cells.places * scale
    kernel = rational_quadratic(squared_distances(places, places))
    values = np.column_stack([cells.residuals, np.ones_like(cells.weights)])  # answered was 0
    # By OpenCV and einsum: in a training's processes BLAS's threads would fight for the cores.
    covariance = (kernel + np.diag(_NOISE * cells.noise)).astype(np.float32)
    _, solved = cv2.solve(covariance, values.astype(np.float32), flags=cv2.DECOMP_CHOLESKY)

    def regression(nodes: F32) -> F32:
        near = rational_quadratic(squared_distances(nodes * scale, places))
        return np.asarray(np.einsum("ts,sc->tc", near, solved), np.float32)

    guess = read_from_grid(lightness, looks, regression)
    # Overshoots of the regression are no colors that anybody asked for.
    colors = np.clip(
        guess[..., :2] / np.maximum(guess[..., 2:], 0.05),
        cells.residuals.min(0),
        cells.residuals.max(0),
    )
    added = (1 - hints[2]) * _MOST * np.clip(guess[..., 2], 0, 1)
    confidence = hints[2] + added
    ab = hints[:2] * hints[2] + colors.transpose(2, 0, 1) * added
    return np.concatenate(
        [ab / np.maximum(confidence, 1e-6), confidence[None]], dtype=np.float32, casting="same_kind"
    )
