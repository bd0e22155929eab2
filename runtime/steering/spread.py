"""Spreading hints: what a model's answer lacks where hints are, carried to what looks alike.

The residual, hint minus answer, is interpolated by Gaussian process regression (Rasmussen and
Williams 2006, chapter 2) over x, y, L* and the model's own a*, b*: pixels that are near and look
alike to the model are corrected alike, and far from every hint the correction goes to 0. A color
cast, a small residual, reaches far; a thing repainted, a large one, stays that thing's affair.

Speed comes from two reductions, as in a bilateral grid (Chen, Paris and Durand 2007): hinted pixels
are gathered in cells, and the regression is computed on a coarse grid over x, y and L* alone,
from which each pixel's correction is read with linear interpolation.
"""

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ..color import F32

_REACH = 70 / 256
"""Length scale of the kernel over x and y, as a share of the short side."""
_REACH_LIGHTNESS = 15.0
_REACH_AB = 10.0
"""Length scales over L* and over a* and b*."""
_REACH_TEXTURE = 1.0
"""Length scale over the texture, a logarithm."""
_WINDOW = 5
_WIDE = 2.5
"""By how much the kernel of casts is wider than that of things, in every direction."""
_CAST = 40.0
"""Residuals as large as this are no cast of the picture, but the wish for one thing."""
_NOISE, _CAST_NOISE = 0.05, 0.3
"""Variance of what _SURE pixels of confidence 1 say, over that of the residuals."""
_SURE = 10.0
_CHUNK = 256  # of the nodes: their distances stay in the processor's cache
_MOST_PIXELS = 4096
_MOST_CELLS = 160
_NODE = 0.1
"""Side of the grid's cells over x and y, as a share of the short side."""
_NODE_LIGHTNESS = 8.0
_FINEST = 1 / 40
"""Side of the cells in which hinted pixels are gathered, as a share of the short side."""


@dataclass(frozen=True)
class _Cells:
    """Hinted pixels that lie near each other and are about equally light, as one each."""

    places: F32  # (S, 6): x, y, L*, a*, b*, texture, each over its length scale
    residuals: F32  # (S, 2)
    weights: F32  # (S,): sum of the confidences


def spread_hints(lightness: F32, ab: F32, hints: F32) -> F32:
    """Return AB (h, w, 2), a model's answer for L* LIGHTNESS (h, w), corrected by HINTS (3, h, w).

    HINTS are a*, b* and confidence in 0..1, the contract's planes at the working size. A pixel of
    confidence 1 gets its hint's color; what looks like it and is near follows; far from all hints
    ab stays as it was. Without hints AB itself is returned. The cost does not grow with the hints.
    """
    hinted = np.flatnonzero(hints[2])
    if not len(hinted):
        return ab
    height, width = lightness.shape
    short = min(height, width)
    lengths = [*[_REACH * short] * 2, _REACH_LIGHTNESS, *[_REACH_AB] * 2, _REACH_TEXTURE]
    scale = (1 / np.array(lengths)).astype(np.float32)
    looks = np.dstack([ab, _texture(lightness)])
    cells = _gathered(lightness, looks, hints, hinted, scale)
    corrected = ab + _on_grid(lightness, looks, cells, scale)
    corrected += hints[2][..., None] * (hints[:2].transpose(1, 2, 0) - corrected)
    return corrected


def _texture(lightness: F32) -> F32:
    """Return a logarithm (h, w) of how much L* varies around each pixel, edges of things left out.

    The least of the standard deviations in windows around: that of a window beside the edge.
    """
    window = (_WINDOW, _WINDOW)
    mean = cv2.blur(lightness, window)
    variance = cv2.blur(lightness * lightness, window) - mean * mean
    deviation = np.sqrt(np.maximum(variance, 0))
    return np.asarray(np.log2(1 + cv2.erode(deviation, np.ones(window, np.uint8))), np.float32)


def _gathered(
    lightness: F32, looks: F32, hints: F32, hinted: NDArray[np.intp], scale: F32
) -> _Cells:
    """Return the HINTED pixels, indices into the raveled picture, in at most _MOST_CELLS cells."""
    height, width = lightness.shape
    step = -(-len(hinted) // _MOST_PIXELS) | 1  # odd: an even one would leave out whole columns
    y, x = np.divmod(hinted[::step], width)
    seen, weights = looks[y, x], hints[2, y, x].astype(np.float64) * step
    values = np.column_stack([x, y, lightness[y, x], seen, hints[:2, y, x].T - seen[:, :2]])
    side = max(1.0, _FINEST * min(height, width))
    sums = values * weights[:, None]
    while True:
        columns, layers = int(width / side) + 1, int(100 / _NODE_LIGHTNESS) + 1
        key = (values[:, 1] / side).astype(int) * columns + (values[:, 0] / side).astype(int)
        key = key * layers + (values[:, 2] / _NODE_LIGHTNESS).astype(int)
        counted = np.bincount(key, weights)
        filled = np.nonzero(counted)[0]
        sums = np.column_stack([np.bincount(key, column)[filled] for column in sums.T])
        weights = counted[filled]
        values = sums / weights[:, None]
        if len(filled) <= _MOST_CELLS:
            places = values[:, :6] * scale
            return _Cells(
                places.astype(np.float32),
                values[:, 6:].astype(np.float32),
                weights.astype(np.float32),
            )
        side *= 1.25


def _on_grid(lightness: F32, looks: F32, cells: _Cells, scale: F32) -> F32:
    """Return the correction (h, w, 2) that CELLS ask for."""
    height, width = lightness.shape
    node = max(2.0, _NODE * min(height, width))
    shape = (int(height / node) + 2, int(width / node) + 2, int(100 / _NODE_LIGHTNESS) + 2)
    y = ((np.arange(height, dtype=np.float32) + 0.5) / np.float32(node))[:, None]
    x = ((np.arange(width, dtype=np.float32) + 0.5) / np.float32(node))[None]
    z = lightness / np.float32(_NODE_LIGHTNESS)
    places, used = _nodes(y, x, z, looks, shape, node)
    grid = np.zeros((*shape, 2), np.float32)
    grid[used] = _regression(places * scale, cells)
    # Rows of the grid are y, columns are x and L*: interpolated between rows and between layers by
    # one remap, between columns of x by two.
    plane = grid.reshape(shape[0], -1, 2)
    left = np.floor(x).astype(np.float32)
    share = (x - left)[..., None]
    rows = np.ascontiguousarray(np.broadcast_to(y, (height, width)))
    columns = left * np.float32(shape[2]) + z
    near = cv2.remap(plane, columns, rows, cv2.INTER_LINEAR)
    far = cv2.remap(plane, columns + np.float32(shape[2]), rows, cv2.INTER_LINEAR)
    return np.asarray(near + share * (far - near), np.float32)


def _nodes(
    y: F32, x: F32, z: F32, looks: F32, shape: tuple[int, int, int], node: float
) -> tuple[F32, tuple[NDArray[np.intp], ...]]:
    """Return the places (T, 6) of the grid's nodes that pixels lie beside, and their indices.

    They are x, y, L*, a*, b* and texture. A node's looks are the mean over the pixels
    nearest to it, and around it where there are none.
    """
    nearest = (np.rint(y).astype(np.int32) * shape[1] + np.rint(x).astype(np.int32)) * shape[2]
    nearest += np.rint(z).astype(np.int32)
    key = nearest.ravel()
    size = int(np.prod(shape))
    sums = np.stack(
        [
            np.bincount(key, minlength=size),
            *(np.bincount(key, looks[..., index].ravel(), size) for index in range(3)),
        ],
        axis=-1,
    ).reshape(*shape, 4)
    around = sums
    for axis in range(3):
        around = _box(around, axis)
    sums = sums + 0.01 * around
    used = np.nonzero(sums[..., 0])
    counted = sums[used]
    places = np.column_stack(
        [
            used[1] * node - 0.5,
            used[0] * node - 0.5,
            used[2] * _NODE_LIGHTNESS,
            counted[:, 1:] / counted[:, :1],
        ]
    )
    return places.astype(np.float32), used


def _box(values: NDArray[Any], axis: int) -> NDArray[Any]:
    """Return the sum of each value and its two neighbors along AXIS."""
    moved = np.moveaxis(values, axis, 0)
    total = moved.copy()
    total[1:] += moved[:-1]
    total[:-1] += moved[1:]
    return np.moveaxis(total, 0, axis)


def _regression(places: F32, cells: _Cells) -> F32:
    """Return the correction (T, 2) at PLACES (T, 6): that of casts, and of things over it."""
    between = _squared_distances(cells.places, cells.places)
    noise = _SURE / np.minimum(cells.weights, _SURE)
    size = np.linalg.norm(cells.residuals, axis=1, keepdims=True)
    cast = cells.residuals * np.maximum(0, 1 - (size / _CAST) ** 2) ** 2  # Tukey's biweight
    wide = _wide(between)
    cast = np.linalg.solve(wide + np.diag(_CAST_NOISE * noise), cast)
    rest = cells.residuals - wide @ cast
    rest = np.linalg.solve(_narrow(between) + np.diag(_NOISE * noise), rest)
    correction = np.empty((len(places), 2), np.float32)
    for start in range(0, len(places), _CHUNK):
        part = slice(start, start + _CHUNK)
        distances = _squared_distances(places[part], cells.places)
        correction[part] = _wide(distances) @ cast + _narrow(distances) @ rest
    return correction


def _squared_distances(one: F32, other: F32) -> F32:
    squared: F32 = (one**2).sum(1)[:, None] + (other**2).sum(1) - 2 * one @ other.T
    return np.maximum(squared, 0, out=squared)


def _narrow(squared: F32) -> F32:
    """Return the rational quadratic kernel of SQUARED distances, of exponent 4."""
    inverse: F32 = np.float32(1) / (1 + squared * np.float32(1 / 8))
    inverse *= inverse
    inverse *= inverse
    return inverse


def _wide(squared: F32) -> F32:
    """Return the rational quadratic kernel of exponent 1/2 and a longer scale."""
    kernel: F32 = np.float32(1) / np.sqrt(1 + squared * np.float32(1 / _WIDE**2))
    return kernel
