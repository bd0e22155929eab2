"""Hints: colors that a person gives for places of a photograph, and their planes."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import cv2
import numpy as np
from numpy.typing import NDArray

from ..color import (
    F32,
    U8,
    Codes,
    in_gamut,
    lab_to_rgb,
    linear_to_srgb,
    rgb_to_lab,
    to_bytes,
    to_codes,
)
from ..errors import ArgumentError
from ..photo.icc import to_linear
from ..photo.photo import Photo, strips
from ..photo.reader import read_photo

DEFAULT_RADIUS = 0.01
"""Of a point, as a share of the photograph's short side."""
_ASPECT_SLACK = 0.02
"""By how much an overlay's aspect may differ: that of a copy whose sides were rounded."""
_OUT_OF_GAMUT = 3.0
"""Chroma that a wish must lose to be called out of gamut."""
_SHARE_TO_SAY = 0.1
"""Of a stroke that is out of gamut, to be worth a word."""
_STEPS = 4
"""Into how many steps a working pixel's side is divided to see how much of it a point covers."""
_POINT = re.compile(
    r"(?P<x>-?\d+(?:\.\d+)?),(?P<y>-?\d+(?:\.\d+)?),"
    r"(?P<color>[^,]*)(?:,(?P<radius>-?\d+(?:\.\d+)?))?"
)


Box = tuple[slice, slice]
"""Rows and columns of working pixels: a stroke is computed where it lies, not all over."""


@dataclass(frozen=True)
class Point:
    """A round dab of one color on an upright photograph; X and Y are its middle's pixel."""

    x: float
    y: float
    color: str  # #RRGGBB
    radius: float | None = None  # pixels; None: DEFAULT_RADIUS of the short side

    def __post_init__(self) -> None:
        """Raise ArgumentError for what cannot be a point."""
        if not re.fullmatch("#[0-9a-fA-F]{6}", self.color):
            raise ArgumentError(f"hint {self}: {self.color!r} is no color; give one as #3a5f2b")
        if self.radius is not None and not 0 < self.radius < float("inf"):
            raise ArgumentError(f"hint {self}: its radius must be above 0 pixels")

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read X,Y,#RRGGBB[,RADIUS]; ArgumentError for anything else."""
        found = _POINT.fullmatch(text.replace(" ", ""))
        if found is None:
            raise ArgumentError(
                f"hint {text!r}: give X,Y,#RRGGBB or X,Y,#RRGGBB,RADIUS, as in 340,120,#3a5f2b"
            )
        radius = found["radius"]
        place = float(found["x"]), float(found["y"])
        return cls(*place, found["color"], None if radius is None else float(radius))

    def __str__(self) -> str:
        radius = "" if self.radius is None else f",{self.radius:g}"
        return f"{self.x:g},{self.y:g},{self.color}{radius}"


@dataclass(frozen=True, eq=False)
class Overlay:
    """A layer painted over a photograph, of its size or aspect."""

    colors: NDArray[Any]  # (H, W, 3) sRGB, uint8 or uint16, not premultiplied
    alpha: NDArray[Any]  # (H, W), as many bits: the confidence
    name: str = "the overlay"  # for messages


@dataclass(frozen=True)
class Hints:
    """What a person says of a photograph's colors: strokes in order, of which the later wins.

    Hints.points([(340, 120, "#3a5f2b")]), Hints.overlay(rgba) or Hints.file("photo_hints.png");
    one + other applies both.
    """

    strokes: tuple[Point | Overlay, ...] = ()

    @classmethod
    def points(cls, points: Iterable[Point | str | Sequence[Any]]) -> Self:
        """Return hints of points: (x, y, color) or (x, y, color, radius), or as --hint takes them.

        X, Y and radius are pixels of the upright photograph, color is #RRGGBB in sRGB.
        ArgumentError for what cannot be a point.
        """
        return cls(tuple(_point(point) for point in points))

    @classmethod
    def overlay(cls, rgba: Any) -> Self:
        """Return hints of an overlay: sRGB and alpha (H, W, 4), uint8 or uint16.

        It has the photograph's size or aspect; alpha is the confidence, 0: no hint there.
        ArgumentError for other arrays.
        """
        if (
            not isinstance(rgba, np.ndarray)
            or rgba.ndim != 3
            or rgba.shape[2] != 4
            or not rgba.size
            or rgba.dtype not in (np.uint8, np.uint16)
        ):
            shown = f"{rgba.dtype} {rgba.shape}" if isinstance(rgba, np.ndarray) else repr(rgba)
            raise ArgumentError(f"an overlay is {shown}; give uint8 or uint16 of shape (H, W, 4)")
        return cls((Overlay(rgba[..., :3], rgba[..., 3]),))

    @classmethod
    def file(cls, path: str | Path) -> Self:
        """Read an overlay: a picture with alpha, of 8 or 16 bits, in any RGB or gray profile.

        InputError if it cannot be read, ArgumentError if it has no alpha.
        """
        path = Path(path)
        photo = read_photo(path)
        if photo.alpha is None:
            raise ArgumentError(
                f"{path}: has no alpha, so all of it would be a hint; paint on a transparent layer "
                "and save that alone"
            )
        return cls((Overlay(_in_srgb(photo), photo.alpha, str(path)),))

    def __add__(self, later: "Hints") -> "Hints":
        """Return both, LATER over these."""
        return Hints(self.strokes + later.strokes)

    def check(self, height: int, width: int) -> None:
        """Raise ArgumentError if they do not fit a photograph of HEIGHT x WIDTH."""
        for stroke in self.strokes:
            if isinstance(stroke, Point):
                if not (0 <= stroke.x < width and 0 <= stroke.y < height):
                    raise ArgumentError(
                        f"hint {stroke}: lies outside the picture, which is {width}x{height} "
                        "pixels once it is upright"
                    )
            else:
                _check_aspect(stroke, height, width)

    def planes(self, size: tuple[int, int], lightness: F32) -> tuple[F32, tuple[str, ...]]:
        """Return the planes (3, h, w) for LIGHTNESS (h, w) of a photograph of SIZE, and remarks.

        They are ab and a confidence in 0..1. A working pixel that a stroke touches has the mean
        color of what covers it there, at the pixel's own lightness: what sRGB cannot show there is
        brought into gamut, and said. ArgumentError if the hints do not fit SIZE (H, W).
        """
        self.check(*size)
        planes = np.zeros((3, *lightness.shape), np.float32)
        remarks: list[str] = []
        for stroke in self.strokes:
            if isinstance(stroke, Point):
                box, layer = _dab(stroke, size, lightness.shape)
                name = f"hint {stroke}"
            else:
                box, layer = _painted(stroke, lightness.shape)
                name = stroke.name
            if not layer[2].any():
                remarks.append(f"{name}: nothing is painted on it")
                continue
            layer, remark = _into_gamut(layer, lightness[box], name)
            remarks += remark
            planes[:, *box] = _over(layer, planes[:, *box])
        return planes, tuple(remarks)


def _point(given: Point | str | Sequence[Any]) -> Point:
    if isinstance(given, Point):
        return given
    if isinstance(given, str):
        return Point.parse(given)
    try:
        x, y, color, *radius = tuple(given)
        return Point(float(x), float(y), str(color), *(float(each) for each in radius))
    except (TypeError, ValueError) as error:
        raise ArgumentError(
            f"hint {given!r}: give (x, y, '#RRGGBB') or (x, y, '#RRGGBB', radius)"
        ) from error


def _in_srgb(photo: Photo) -> Codes:
    if photo.profile is None:
        return photo.codes
    codes = np.empty(photo.codes.shape, np.uint16)  # deeper: 8 bits of a wide space are too few
    for strip in strips(photo.codes):
        linear = to_linear(photo.codes[strip], photo.profile)
        codes[strip] = to_codes(linear_to_srgb(linear), codes.dtype)
    return codes


def _check_aspect(overlay: Overlay, height: int, width: int) -> None:
    rows, columns = overlay.alpha.shape
    if abs(columns * height / (rows * width) - 1) > _ASPECT_SLACK + 1 / min(rows, columns):
        raise ArgumentError(
            f"{overlay.name}: is {columns}x{rows}, of another aspect than the picture, which is "
            f"{width}x{height} once it is upright; paint on a layer of its size"
        )


def _dab(point: Point, size: tuple[int, int], shape: tuple[int, ...]) -> tuple[Box, F32]:
    """Return the box of one point and its planes (3, h, w) there."""
    radius = DEFAULT_RADIUS * min(size) if point.radius is None else point.radius
    scale = np.array([shape[0] / size[0], shape[1] / size[1]])
    middle = (np.array([point.y, point.x]) + 0.5) * scale
    reach = max(radius, 0.5) * scale
    steps = (np.arange(_STEPS) + 0.5) / _STEPS
    # A middle in the last half pixel of the photograph may round to beyond the last working pixel.
    first = np.clip(np.floor(middle - reach), 0, np.array(shape) - 1).astype(int)
    last = np.minimum(shape, np.floor(middle + reach) + 1).astype(int)
    down, right = (
        (((np.arange(low, high)[:, None] + steps - center) / span) ** 2).ravel()
        for low, high, center, span in zip(first, last, middle, reach, strict=True)
    )
    inside = down[:, None] + right <= 1
    rows, columns = last - first
    covered = inside.reshape(rows, _STEPS, columns, _STEPS).mean((1, 3), dtype=np.float32)
    # What is smaller than a step is there too.
    row, column = np.minimum(middle.astype(int), last - 1) - first
    covered[row, column] = max(covered[row, column], 1e-3)
    code = np.array([int(point.color[at : at + 2], 16) for at in (1, 3, 5)], np.uint8)
    rgb = np.broadcast_to(np.asarray(code / 255, np.float32), (*covered.shape, 3))
    box = slice(first[0], last[0]), slice(first[1], last[1])
    return box, _layer(covered, covered, rgb)


def _painted(overlay: Overlay, shape: tuple[int, ...]) -> tuple[Box, F32]:
    """Return the box of what is painted on one overlay and its planes (3, h, w) there."""
    height, width = shape[0], shape[1]
    rows, columns = overlay.alpha.shape
    largest = float(np.iinfo(overlay.alpha.dtype).max)
    sums = np.zeros((5, height * width))
    at_row = np.arange(rows) * height // rows * width
    at_column = np.arange(columns) * width // columns
    for strip in strips(overlay.colors):
        y, x = _there(overlay.alpha[strip])
        if not len(y):
            continue
        first, last = at_row[strip][y[[0, -1]]]
        key = at_row[strip][y] - first + at_column[x]
        alpha = overlay.alpha[strip][y, x] / largest
        colors = overlay.colors[strip][y, x].T / np.iinfo(overlay.colors.dtype).max
        for total, values in zip(sums, (np.ones(len(y)), alpha, *(colors * alpha)), strict=True):
            total[first : last + width] += np.bincount(key, values, last - first + width)
    planes = sums.reshape(5, height, width)
    box = _box((planes[0] > 0).view(np.uint8))
    planes = planes[:, *box].astype(np.float32)
    whole = rows * columns / (height * width)
    rgb = np.moveaxis(planes[2:], 0, 2) / np.maximum(planes[1], 1e-9)[..., None]
    return box, _layer(planes[0] / whole, planes[1] / whole, rgb)


def _there(alpha: Codes) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the rows and columns of what ALPHA (h, w) does not leave empty, row by row."""
    box = _box((alpha != 0).view(np.uint8))
    y, x = np.nonzero(alpha[box])
    return y + box[0].start, x + box[1].start


def _box(painted: U8) -> Box:
    """Return the smallest box around what is not 0 in PAINTED (h, w); a pixel if all is 0."""
    left, top, width, height = cv2.boundingRect(painted)
    return slice(top, top + max(1, height)), slice(left, left + max(1, width))


def _layer(covered: F32, opaque: F32, rgb: F32) -> F32:
    """Return planes (3, h, w) for the shares (h, w) that are covered, and covered times alpha.

    The confidence is the mean alpha of what is covered. At a stroke's edge, where less than half is
    covered of what the next pixels have, it falls; a stroke within a pixel has all of it.
    """
    most = cv2.dilate(covered, np.ones((3, 3), np.uint8))
    there = covered > 0
    share = np.zeros_like(covered)
    share[there] = np.minimum(1, 2 * covered[there] / most[there]) * np.minimum(
        1, opaque[there] / covered[there]
    )
    planes = np.zeros((3, *covered.shape), np.float32)
    lab = rgb_to_lab(to_codes(np.ascontiguousarray(rgb[there], np.float32), np.dtype(np.uint16)))
    planes[:2, there] = lab[:, 1:].T
    planes[2] = share
    return planes


def _into_gamut(layer: F32, lightness: F32, name: str) -> tuple[F32, list[str]]:
    """Return LAYER with colors that sRGB can show at LIGHTNESS, and what to say of it."""
    there = layer[2] > 0
    wish = layer[:2, there]
    if in_gamut(lightness[there], *wish).all():
        return layer, []
    lab = np.column_stack([lightness[there], wish.T])
    rgb = lab_to_rgb(lab)
    shown = rgb_to_lab(to_codes(rgb, np.dtype(np.uint16)))[:, 1:].T
    lost = np.hypot(*wish) - np.hypot(*shown) > _OUT_OF_GAMUT
    layer = layer.copy()
    layer[:2, there] = np.where(lost, shown, wish)
    if lost.mean() < _SHARE_TO_SAY:
        return layer, []
    one = np.argsort(lab[:, 0] * lost)[-1 - int(lost.sum()) // 2]
    code = "#" + bytes(to_bytes(rgb[one])).hex()
    return layer, [
        f"{name}: {lost.mean():.0%} of it is too colorful for how light the picture is there; the "
        f"nearest color of the same hue was taken, such as {code} at L* {lab[one, 0]:.0f}"
    ]


def _over(layer: F32, planes: F32) -> F32:
    """Return LAYER laid over PLANES, both (3, h, w)."""
    below = planes[2] * (1 - layer[2])
    confidence = layer[2] + below
    colors = layer[:2] * layer[2] + planes[:2] * below
    colors /= np.maximum(confidence, np.float32(1e-9))
    return np.concatenate([colors, confidence[None]])
