"""Strokes of color that were painted on a picture, and the layer that they make."""

import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import cv2
import numpy as np

from ..color import U8
from ..errors import ArgumentError

_SHIFT = 4  # bits of a fraction of a pixel, in which strokes are drawn
_MOST_STROKES = 5_000
_MOST_POINTS = 200_000
_MOST_RADIUS = 2_000


@dataclass(frozen=True)
class Stroke:
    """A line painted on a picture."""

    color: str | None  # #rrggbb; None erases what is below
    radius: float  # of the brush, pixels of the picture
    points: tuple[tuple[float, float], ...]  # (x, y), pixels of the picture


@dataclass(frozen=True)
class Painting:
    """What the painter sends: all strokes on a picture, and which picture that is."""

    id: str
    strokes: tuple[Stroke, ...]


def read_painting(content: Any) -> Painting:
    """Check what a browser sent; ArgumentError for what cannot be a painting."""
    try:
        strokes = content["strokes"]
        if len(strokes) > _MOST_STROKES:
            raise ArgumentError(f"more than {_MOST_STROKES} strokes are painted; clear some")
        if sum(len(stroke["points"]) for stroke in strokes) > _MOST_POINTS:
            raise ArgumentError("the strokes are too long together; clear some")
        return Painting(str(content["id"]), tuple(_stroke(stroke) for stroke in strokes))
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise ArgumentError("the strokes are damaged; reload the page") from error


def _stroke(given: Any) -> Stroke:
    color = given["color"]
    if color is not None and not re.fullmatch("#[0-9a-f]{6}", color):
        raise ValueError(color)
    radius = float(given["radius"])
    points = tuple((float(x), float(y)) for x, y in given["points"])
    flat = np.array([radius, *(each for point in points for each in point)])
    if not points or not 0 < radius <= _MOST_RADIUS or not (np.abs(flat) < 1e5).all():
        raise ValueError(given)
    return Stroke(color, radius, points)


def strokes_from(text: str) -> tuple[Stroke, ...]:
    """Read strokes that were stored as JSON."""
    return read_painting({"id": "", "strokes": json.loads(text)}).strokes


def strokes_as_text(strokes: Sequence[Stroke]) -> str:
    """Return STROKES as JSON."""
    return json.dumps([asdict(stroke) for stroke in strokes])


def layer_of_strokes(strokes: Sequence[Stroke], size: tuple[int, int]) -> U8:
    """Return the layer (h, w, 4) of SIZE (h, w) that STROKES make, the later over the earlier."""
    layer = np.zeros((*size, 4), np.uint8)
    for stroke in strokes:
        mask = np.zeros(size, np.uint8)
        points = np.rint(np.array(stroke.points) * (1 << _SHIFT)).astype(np.int32)
        width = max(1, round(2 * stroke.radius))
        cv2.polylines(mask, [points], False, 255, width, cv2.LINE_AA, _SHIFT)
        reach = round(stroke.radius * (1 << _SHIFT))
        for x, y in (points[0], points[-1]):
            cv2.circle(mask, (int(x), int(y)), reach, 255, cv2.FILLED, cv2.LINE_AA, _SHIFT)
        if stroke.color is None:
            layer[..., 3] = np.minimum(layer[..., 3], 255 - mask)
            continue
        there = mask > 0
        code = [int(stroke.color[at : at + 2], 16) for at in (1, 3, 5)]
        layer[there, :3] = code
        layer[..., 3] = np.maximum(layer[..., 3], mask)
    layer[layer[..., 3] == 0] = 0
    return layer
