"""Spreading hints: what a model's answer lacks where hints are, carried to what looks alike.

The residual, hint minus answer, is interpolated by Gaussian process regression (Rasmussen and
Williams 2006, chapter 2) over x, y, L* and the model's own a*, b*: pixels that are near and look
alike to the model are corrected alike, and far from every hint the correction goes to 0. A color
cast, a small residual, reaches far; a thing repainted, a large one, stays that thing's affair.

A grid makes it cheap: see grid.py.
"""

import cv2
import numpy as np

from ..color import F32
from .grid import (
    Cells,
    gather,
    product,
    rational_quadratic,
    read_from_grid,
    squared_distances,
    texture,
)

_REACH = 70 / 256
"""Length scale of the kernel over x and y, as a share of the short side."""
_REACH_LIGHTNESS = 15.0
_REACH_AB = 10.0
"""Length scales over L* and over a* and b*."""
_REACH_TEXTURE = 1.0
"""Length scale over the texture, a logarithm."""
_WIDE = 2.5
"""By how much the kernel of casts is wider than that of things, in every direction."""
_CAST = 40.0
"""Residuals as large as this are no cast of the picture, but the wish for one thing."""
_NOISE, _CAST_NOISE = 0.05, 0.3
"""Variance of what ten pixels of confidence 1 say, over that of the residuals."""
_MOST = 0.8
"""Highest confidence of a guess: below a hint's, so that a network can tell them apart."""
_CHUNK = 256  # of the nodes: their distances stay in the processor's cache


def spread_hints(lightness: F32, ab: F32, hints: F32) -> F32:
    """Return AB (h, w, 2), a model's answer for L* LIGHTNESS (h, w), corrected by HINTS (3, h, w).

    HINTS are a*, b* and confidence in 0..1, the contract's planes at the working size. A pixel of
    confidence 1 gets its hint's color; what looks like it and is near follows; far from all hints
    ab stays as it was. Without hints AB itself is returned. The cost does not grow with the hints.
    """
    if not hints[2].any():
        return ab
    correction = _regressed(lightness, ab, hints)
    corrected = np.empty_like(ab)
    for index in range(2):  # one by one: NumPy takes several times as long along an axis of two
        np.add(ab[..., index], correction[..., index], out=corrected[..., index])
    there = np.nonzero(hints[2])
    answered = corrected[there]
    asked = np.stack([hints[0][there], hints[1][there]], axis=-1)
    answered += hints[2][there][:, None] * (asked - answered)
    corrected[there] = answered
    return corrected


def extend_hints(lightness: F32, ab: F32, hints: F32) -> F32:
    """Return HINTS (3, h, w) with guesses for a network where they leave room for them.

    A network with few layers carries a hinted color badly from one side of a picture to the other,
    so it is given what `spread_hints` answers, and judges, with all that it sees, where that is
    right. A guess's confidence is what the regression leaves of a constant 1: it falls with
    distance. Without hints HINTS itself is returned.
    """
    if not hints[2].any():
        return hints
    guess = _regressed(lightness, ab, hints).transpose(2, 0, 1)
    added = (1 - hints[2]) * _MOST * np.clip(guess[2], 0, 1)
    confidence = hints[2] + added
    colors = hints[:2] * hints[2] + (ab.transpose(2, 0, 1) + guess[:2]) * added
    return np.concatenate([colors / np.maximum(confidence, np.float32(1e-6)), confidence[None]])


def _regressed(lightness: F32, ab: F32, hints: F32) -> F32:
    """Return the correction of AB, and how sure it is, for each pixel: (h, w, 3)."""
    short = min(lightness.shape)
    lengths = [*[_REACH * short] * 2, _REACH_LIGHTNESS, *[_REACH_AB] * 2, _REACH_TEXTURE]
    scale = (1 / np.array(lengths)).astype(np.float32)
    looks = np.asarray(cv2.merge([ab, texture(lightness)]), np.float32)
    return read_from_grid(lightness, looks, _Regression(gather(lightness, looks, hints), scale))


class _Regression:
    """The correction that CELLS ask for, that of casts and of things over it, and a constant 1."""

    def __init__(self, cells: Cells, scale: F32) -> None:
        self._scale, self._cells = scale, cells.places * scale
        between = squared_distances(self._cells, self._cells)
        size = np.linalg.norm(cells.residuals, axis=1, keepdims=True)
        cast = cells.residuals * np.maximum(0, 1 - (size / _CAST) ** 2) ** 2  # Tukey's biweight
        half = np.full((len(cast), 1), 0.5, np.float32)  # of the constant, by either kernel
        wide = _wide(between)
        self._cast = _solved(wide, _CAST_NOISE * cells.noise, np.hstack([cast, half]))
        rest = cells.residuals - product(wide, self._cast[:, :2])
        narrow = rational_quadratic(between)
        self._rest = _solved(narrow, _NOISE * cells.noise, np.hstack([rest, half]))

    def __call__(self, places: F32) -> F32:
        """Places (T, 6) -> corrections and the constant (T, 3)."""
        correction = np.empty((len(places), 3), np.float32)
        for start in range(0, len(places), _CHUNK):
            part = slice(start, start + _CHUNK)
            distances = squared_distances(places[part] * self._scale, self._cells)
            correction[part] = product(_wide(distances), self._cast)
            correction[part] += product(rational_quadratic(distances), self._rest)
        return correction


def _solved(kernel: F32, noise: F32, values: F32) -> F32:
    covariance = (kernel + np.diag(noise)).astype(np.float64)
    _, solved = cv2.solve(covariance, values.astype(np.float64), flags=cv2.DECOMP_CHOLESKY)
    return np.asarray(solved, np.float32)


def _wide(squared: F32) -> F32:
    """Return the rational quadratic kernel of exponent 1/2 and a longer scale."""
    kernel: F32 = np.float32(1) / np.sqrt(1 + squared * np.float32(1 / _WIDE**2))
    return kernel
