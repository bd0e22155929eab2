"""Simulated hints: the colors that a user, or the motion of a film, would give for a crop.

A hint plane set is (3, H, W) float32: a*, b*, and a confidence in 0..1; where that is 0, so are
a* and b*. Colors of full confidence are true; noise is left to those of lower confidence.
"""

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ...runtime.color import F32

Chance = np.random.Generator
DrawHints = Callable[[F32, F32, Chance], tuple[F32, F32]]
"""L* (H, W), true ab (2, H, W), a generator of random numbers -> ab (2, H, W), hints (3, H, W)."""

# Shares of the crops; the rest gets what flow brings.
_NONE, _PATCHES, _STROKES, _RECOLORED = 0.4, 0.3, 0.06, 0.12
_MOST_PATCHES = 400
_WIDEST_PATCH = 9
_SAME_THING = 15.0
"""A stroke stays where ab differs by less from where it began: users do not paint over edges."""
_ALIKE = (25.0, 12.0, 12.0)  # L*, a*, b*: by how much a thing's pixels differ from one of them
_NOISE = 12.0
"""Standard deviation of a* and b* at a confidence of 0; none at 1."""


def simulate_hints(lightness: F32, ab: F32, chance: Chance) -> tuple[F32, F32]:
    """Return AB and hints for it: none, patches, strokes, or most of the picture.

    Or AB with a thing recolored, and hints of that: what users ask for is seldom what was to be
    expected, and other things must keep their colors then.
    """
    kind = chance.random()
    if kind < _NONE:
        return ab, np.zeros((3, *ab.shape[1:]), np.float32)
    if kind < _NONE + _RECOLORED:
        return recolored(lightness, ab, chance)
    if kind < _NONE + _RECOLORED + _PATCHES:
        return ab, _less_sure(_random_patches(ab, chance), chance)
    if kind < _NONE + _RECOLORED + _PATCHES + _STROKES:
        return ab, _less_sure(strokes(ab, chance), chance)
    return ab, carried(ab, chance)


def recolored(lightness: F32, ab: F32, chance: Chance) -> tuple[F32, F32]:
    """Return AB with one thing in a random color, and patches of that color on the thing."""
    height, width = lightness.shape
    mask = _thing(lightness, ab, chance)
    hue, chroma = chance.uniform(0, 2 * np.pi), chance.uniform(0, 60)
    wished = np.array([np.cos(hue), np.sin(hue)]) * chroma
    soft = cv2.GaussianBlur(mask.astype(np.float32), (0, 0), 0.7)
    # sRGB shows little color in what is nearly black or white.
    soft *= np.clip(np.minimum(lightness, 100 - lightness) / 30, 0, 1)
    shift = wished - ab[:, mask].mean(axis=1)
    changed = np.asarray(ab + soft * shift[:, None, None], np.float32)
    inside = np.argwhere(mask)
    hints = np.zeros((3, height, width), np.float32)
    for _ in range(min(int(chance.geometric(0.35)), 8)):
        y, x = inside[chance.integers(len(inside))]
        reach = int(chance.integers(0, 5))
        place = np.s_[max(0, y - reach) : y + reach + 1, max(0, x - reach) : x + reach + 1]
        there = mask[place]
        for plane, colors in zip(hints, changed, strict=False):
            plane[place][there] = colors[place][there].mean()
        hints[2][place][there] = 1
    if chance.random() < 0.3:  # and the user likes the true colors of some other things
        others = patches(changed, chance.integers(1, _WIDEST_PATCH, 4, endpoint=True), chance)
        free = (hints[2] == 0) & ~mask
        hints[:, free] = others[:, free]
    return changed, hints


def _thing(lightness: F32, ab: F32, chance: Chance) -> NDArray[np.bool_]:
    """Return which pixels lie together and look alike around a random place."""
    lab = np.ascontiguousarray(np.dstack([lightness, *ab]), np.float32)
    height, width = lightness.shape
    mask = np.zeros((height + 2, width + 2), np.uint8)
    for _ in range(6):
        mask[:] = 0
        seed = int(chance.integers(width)), int(chance.integers(height))
        flags = 4 | cv2.FLOODFILL_MASK_ONLY | cv2.FLOODFILL_FIXED_RANGE
        area, *_ = cv2.floodFill(lab, mask, seed, 0, _ALIKE, _ALIKE, flags)
        if 0.01 < area / lightness.size < 0.6:
            break
    return np.asarray(mask[1:-1, 1:-1] > 0)


def _random_patches(ab: F32, chance: Chance) -> F32:
    # Geometric as Zhang et al. 2017 (arXiv:1705.02999), whose mean of 8 shows 100 to nobody: here
    # the mean is drawn too, evenly over its logarithm.
    mean = np.exp(chance.uniform(0, np.log(150)))
    count = min(int(chance.geometric(1 / mean)), _MOST_PATCHES)
    if chance.random() < 0.5:  # one brush
        widths = np.full(count, chance.integers(1, _WIDEST_PATCH, endpoint=True))
    else:
        widths = chance.integers(1, _WIDEST_PATCH, count, endpoint=True)
    return patches(ab, widths, chance)


def fixed_patches(count: int) -> DrawHints:
    """Return a drawer of COUNT patches: see `patches_of_256`."""

    def draw(_: F32, ab: F32, chance: Chance) -> tuple[F32, F32]:
        return ab, patches_of_256(ab, count, chance)

    return draw


def patches_of_256(ab: F32, count: int, chance: Chance) -> F32:
    """Return COUNT patches, 7 of 256 pixels wide: as in all published figures."""
    width = max(1, round(ab.shape[1] * 7 / 256))
    return patches(ab, np.full(count, width), chance)


def patches(ab: F32, widths: NDArray[np.int64], chance: Chance) -> F32:
    """Return a square of each of WIDTHS, anywhere, in the mean color of the pixels it covers."""
    height, width = ab.shape[1:]
    hints = np.zeros((3, height, width), np.float32)
    hints[2] = 1
    filled = np.zeros((height, width), np.bool_)
    sides = np.minimum(widths, min(height, width))
    lefts = (chance.random(len(sides)) * (width - sides + 1)).astype(int)
    tops = (chance.random(len(sides)) * (height - sides + 1)).astype(int)
    for left, top, side in zip(lefts.tolist(), tops.tolist(), sides.tolist(), strict=True):
        place = np.s_[top : top + side, left : left + side]
        hints[0][place], hints[1][place] = ab[0][place].mean(), ab[1][place].mean()
        filled[place] = True
    hints *= filled
    return hints


def strokes(ab: F32, chance: Chance) -> F32:
    """Return a few bent lines, each in the mean color of the thing that it lies on."""
    height, width = ab.shape[1:]
    hints = np.zeros((3, height, width), np.float32)
    for _ in range(int(chance.geometric(0.3))):
        points = np.cumsum(
            np.vstack(
                [chance.random(2) * (width, height), chance.normal(0, width / 8, (3, 2))],
            ),
            axis=0,
        )
        start = np.clip(points[0], 0, (width - 1, height - 1)).astype(int)
        thickness = int(min(chance.geometric(0.2), width // 4))
        drawn = np.zeros((height, width), np.uint8)
        cv2.polylines(
            drawn, [points.astype(np.int32)], isClosed=False, color=1, thickness=thickness
        )
        distance = np.hypot(*(ab - ab[:, start[1], start[0], None, None]))
        there = (drawn > 0) & (distance < _SAME_THING)
        if there.any():
            hints[0][there], hints[1][there] = ab[0][there].mean(), ab[1][there].mean()
            hints[2][there] = 1
    return hints


def _less_sure(hints: F32, chance: Chance) -> F32:
    """Make a quarter of the hints less confident, and wrong in that measure."""
    if chance.random() < 0.25:
        hints[2] *= np.float32(chance.uniform(0.2, 1))
        shape = hints.shape[1:]
        hints[:2] += _field(chance, 2, shape, 8) * _NOISE * (1 - hints[2]) * (hints[2] > 0)
    return hints


def carried(ab: F32, chance: Chance) -> F32:
    """Return what optical flow would bring from another frame: much, a little wrong, with holes.

    Colors come from the wrong place, and are wrong, in the measure in which they are unsure.
    """
    shape = ab.shape[1:]
    [sureness] = _field(chance, 1, shape, int(chance.integers(3, 10)))
    confidence = np.clip(chance.uniform(0.5, 1) + 0.2 * sureness, 0.05, 0.95)
    [gaps] = _field(chance, 1, shape, int(chance.integers(2, 12)))
    doubt = 1 - confidence
    confidence[gaps < chance.normal(0, 0.8)] = 0
    y, x = np.mgrid[: shape[0], : shape[1]].astype(np.float32)
    farthest = np.float32(chance.uniform(0, 0.06) * shape[1])
    moved_x, moved_y = _field(chance, 2, shape, 5) * farthest * doubt
    planes: NDArray[Any] = ab.transpose(1, 2, 0)
    planes = cv2.remap(planes, x + moved_x, y + moved_y, cv2.INTER_LINEAR, None, cv2.BORDER_REFLECT)
    blur = chance.uniform(0, 2)
    if blur > 0.3:
        planes = cv2.GaussianBlur(planes, (0, 0), blur)
    wrong = _field(chance, 2, shape, 6) * np.float32(chance.uniform(0.2, 1.5) * _NOISE) * doubt
    hints = np.empty((3, *shape), np.float32)
    hints[:2] = (planes.transpose(2, 0, 1) + wrong) * (confidence > 0)
    hints[2] = confidence
    return hints


def _field(chance: Chance, planes: int, shape: tuple[int, ...], cells: int) -> F32:
    """Return PLANES smooth random fields of about unit variance that change over CELLS cells."""
    coarse = chance.standard_normal((cells, cells, planes), np.float32)
    fine = cv2.resize(coarse, (shape[1], shape[0]), interpolation=cv2.INTER_CUBIC)
    fields: F32 = fine.reshape(*shape, planes).transpose(2, 0, 1).astype(np.float32)
    return fields
