"""A coarse grid over x, y and L*: hinted pixels gathered in its cells, answers read back from it.

As in a bilateral grid (Chen, Paris and Durand 2007), which makes a regression over all pixels
cheap: it is computed at the nodes alone, and each pixel reads it with linear interpolation.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ..color import F32

_WINDOW = 5
_MOST_PIXELS = 4096
_MOST_CELLS = 160
_NODE = 0.1
"""Side of the grid's cells over x and y, as a share of the short side."""
_NODE_LIGHTNESS = 8.0
_FINEST = 1 / 40
"""Side of the cells in which hinted pixels are gathered, as a share of the short side."""
_SURE = 10.0


@dataclass(frozen=True)
class Cells:
    """Hinted pixels that lie near each other and are about equally light, as one each."""

    places: F32  # (S, 6): x, y, L*, a*, b*, texture
    residuals: F32  # (S, 2): hinted less answered a*, b*
    weights: F32  # (S,): sum of the confidences

    @property
    def noise(self) -> F32:
        """Variance (S,) of what each says, over that of ten pixels of confidence 1, or more."""
        return np.asarray(_SURE / np.minimum(self.weights, _SURE), np.float32)


def texture(lightness: F32) -> F32:
    """Return a logarithm (h, w) of how much L* varies around each pixel, edges of things left out.

    The least of the standard deviations in windows around: that of a window beside the edge.
    """
    window = (_WINDOW, _WINDOW)
    mean = cv2.blur(lightness, window)
    variance = cv2.blur(lightness * lightness, window) - mean * mean
    deviation = np.sqrt(np.maximum(variance, 0))
    return np.asarray(np.log2(1 + cv2.erode(deviation, np.ones(window, np.uint8))), np.float32)


def gather(lightness: F32, looks: F32, hints: F32) -> Cells:
    """Return the hinted pixels of HINTS (3, h, w) in at most _MOST_CELLS cells.

    LOOKS (h, w, 3) are the answered a* and b*, and `texture`. At least one pixel is hinted.
    """
    height, width = lightness.shape
    hinted = np.flatnonzero(hints[2])
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
            return Cells(
                places=values[:, :6].astype(np.float32),
                residuals=values[:, 6:].astype(np.float32),
                weights=weights.astype(np.float32),
            )
        side *= 1.25


def read_from_grid(lightness: F32, looks: F32, regression: Callable[[F32], F32]) -> F32:
    """Return what REGRESSION, of places (T, 6) to values (T, C), has for each pixel: (h, w, C)."""
    height, width = lightness.shape
    node = max(2.0, _NODE * min(height, width))
    shape = (int(height / node) + 2, int(width / node) + 2, int(100 / _NODE_LIGHTNESS) + 2)
    y = ((np.arange(height, dtype=np.float32) + 0.5) / np.float32(node))[:, None]
    x = ((np.arange(width, dtype=np.float32) + 0.5) / np.float32(node))[None]
    z = lightness / np.float32(_NODE_LIGHTNESS)
    places, used = _nodes(y, x, z, looks, shape, node)
    values = regression(places)
    grid = np.zeros((*shape, values.shape[1]), np.float32)
    grid[used] = values
    # Rows of the grid are y, columns are x and L*: interpolated between rows and between layers by
    # one remap, between columns of x by two.
    plane = grid.reshape(shape[0], -1, values.shape[1])
    left = np.floor(x).astype(np.float32)
    share = x - left
    rows = np.ascontiguousarray(np.broadcast_to(y, (height, width)))
    columns = left * np.float32(shape[2]) + z
    near = np.asarray(cv2.remap(plane, columns, rows, cv2.INTER_LINEAR), np.float32)
    far = np.asarray(
        cv2.remap(plane, columns + np.float32(shape[2]), rows, cv2.INTER_LINEAR), np.float32
    )
    # In place and in whole rows: NumPy is slow along an axis of three.
    near_rows, far_rows = near.reshape(height, -1), far.reshape(height, -1)
    far_rows -= near_rows
    far_rows *= np.repeat(share, values.shape[1])
    far_rows += near_rows
    return far


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


def product(one: F32, other: F32, flags: int = 0) -> F32:
    """Return ONE @ OTHER, by OpenCV: in a training's processes BLAS's threads would fight."""
    return np.asarray(cv2.gemm(one, other, 1, np.empty((0, 0), np.float32), 0, flags=flags))


def squared_distances(one: F32, other: F32) -> F32:
    """Return the squared distances (T, S) between places ONE (T, D) and OTHER (S, D)."""
    squared: F32 = (one**2).sum(1)[:, None] + (other**2).sum(1)
    squared -= 2 * product(one, other, cv2.GEMM_2_T)
    return np.maximum(squared, 0, out=squared)


def rational_quadratic(squared: F32) -> F32:
    """Return the rational quadratic kernel of SQUARED distances, of exponent 4."""
    inverse: F32 = np.float32(1) / (1 + squared * np.float32(1 / 8))
    inverse *= inverse
    inverse *= inverse
    return inverse
