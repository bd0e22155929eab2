"""A stroke is computed where it lies, and comes out as if it were computed all over."""

import cv2
import numpy as np
import pytest

from colorize.runtime.color import (
    F32,
    U8,
    Codes,
    lab_to_rgb,
    rgb_to_lab,
    to_codes,
)
from colorize.runtime.steering.hints import Hints, Overlay, Point
from colorize.runtime.steering.spread import _regressed, spread_hints

CHANCE = np.random.default_rng(11)
SIZES = {  # of the photograph, and working size
    "square": ((500, 500), (160, 160)),
    "wide": ((1080, 1920), (160, 288)),
    "tall": ((333, 211), (256, 160)),
    "tiny": ((3, 4), (160, 224)),
    "one pixel": ((1, 1), (160, 160)),
}


def _reference(hints: Hints, size: tuple[int, int], lightness: F32) -> F32:
    """The planes of HINTS, each stroke computed over the whole picture."""
    planes = np.zeros((3, *lightness.shape), np.float32)
    for stroke in hints.strokes:
        covered, opaque, rgb = (
            _point(stroke, size, lightness.shape)
            if isinstance(stroke, Point)
            else _overlay(stroke, lightness.shape)
        )
        if not covered.any():
            continue
        layer = _in_gamut(_layer(covered, opaque, rgb), lightness)
        below = planes[2] * (1 - layer[2])
        confidence = layer[2] + below
        colors = layer[:2] * layer[2] + planes[:2] * below
        colors /= np.maximum(confidence, np.float32(1e-9))
        planes = np.concatenate([colors, confidence[None]])
    return planes


def _point(point: Point, size: tuple[int, int], shape: tuple[int, ...]) -> tuple[F32, F32, F32]:
    radius = 0.01 * min(size) if point.radius is None else point.radius
    scale = np.array(shape) / size
    middle = (np.array([point.y, point.x]) + 0.5) * scale
    reach = max(radius, 0.5) * scale
    at = ((np.arange(side * 4) + 0.5) / 4 for side in shape)
    down, right = (((x - m) / r) ** 2 for x, m, r in zip(at, middle, reach, strict=True))
    inside = down[:, None] + right <= 1
    covered = inside.reshape(shape[0], 4, shape[1], 4).mean((1, 3)).astype(np.float32)
    row, column = np.minimum(middle.astype(int), np.array(shape) - 1)
    covered[row, column] = max(covered[row, column], np.float32(1e-3))
    code = np.frombuffer(bytes.fromhex(point.color[1:]), np.uint8) / np.float32(255)
    return covered, covered, np.broadcast_to(code, (*covered.shape, 3))


def _overlay(overlay: Overlay, shape: tuple[int, ...]) -> tuple[F32, F32, F32]:
    rows, columns = overlay.alpha.shape
    height, width = shape
    key = (np.arange(rows) * height // rows * width)[:, None] + np.arange(
        columns
    ) * width // columns
    alpha = overlay.alpha / np.iinfo(overlay.alpha.dtype).max
    colors = overlay.colors / np.iinfo(overlay.colors.dtype).max * alpha[..., None]
    sums = np.stack(
        [
            np.bincount(key.ravel(), values.ravel(), height * width).reshape(height, width)
            for values in ((alpha > 0).astype(float), alpha, *np.moveaxis(colors, 2, 0))
        ]
    ).astype(np.float32)
    whole = rows * columns / (height * width)
    rgb = np.moveaxis(sums[2:], 0, 2) / np.maximum(sums[1], 1e-9)[..., None]
    return sums[0] / np.float32(whole), sums[1] / np.float32(whole), rgb


def _layer(covered: F32, opaque: F32, rgb: F32) -> F32:
    most = np.asarray(cv2.dilate(covered, np.ones((3, 3), np.uint8)))
    there = covered > 0
    layer = np.zeros((3, *covered.shape), np.float32)
    layer[2, there] = np.minimum(1, 2 * covered[there] / most[there])
    layer[2, there] *= np.minimum(1, opaque[there] / covered[there])
    codes = to_codes(np.ascontiguousarray(rgb[there], np.float32), np.dtype(np.uint16))
    layer[:2, there] = rgb_to_lab(codes)[:, 1:].T
    return layer


def _in_gamut(layer: F32, lightness: F32) -> F32:
    there = layer[2] > 0
    wish = layer[:2, there]
    rgb = lab_to_rgb(np.column_stack([lightness[there], wish.T]))
    shown = rgb_to_lab(to_codes(rgb, np.dtype(np.uint16)))[:, 1:].T
    layer[:2, there] = np.where(np.hypot(*wish) - np.hypot(*shown) > 3, shown, wish)
    return layer


def _lightness(shape: tuple[int, int]) -> F32:
    noise = cv2.GaussianBlur(CHANCE.normal(size=shape).astype(np.float32), (0, 0), 9)
    return np.asarray(np.interp(noise, (noise.min(), noise.max()), (2, 98)), np.float32)


def _rgba(size: tuple[int, int], dtype: type, count: int = 5) -> Codes:
    largest = np.iinfo(dtype).max
    rgba: Codes = np.zeros((*size, 4), dtype)
    for _ in range(count):
        top, left = (CHANCE.integers(side) for side in size)
        tall, wide = (CHANCE.integers(1, max(2, side // 6)) for side in size)
        color = [*CHANCE.integers(0, largest + 1, 3), CHANCE.integers(largest // 20, largest)]
        rgba[top : top + tall, left : left + wide] = color
    return rgba


def _points(size: tuple[int, int], count: int = 12) -> list[tuple[float, float, str, float]]:
    height, width = size
    places = CHANCE.integers(0, (width, height), (count, 2)).tolist()
    corners = [[0, 0], [width - 1, 0], [0, height - 1], [width - 1, height - 1]]
    return [
        (x, y, f"#{CHANCE.integers(1 << 24):06x}", CHANCE.uniform(0.3, height / 4 + 1))
        for x, y in (*places, *corners)
    ]


def _check(hints: Hints, size: tuple[int, int], lightness: F32) -> F32:
    planes, _ = hints.planes(size, lightness)
    np.testing.assert_allclose(planes, _reference(hints, size, lightness), rtol=0, atol=2e-4)
    return planes


@pytest.mark.parametrize("name", SIZES)
def test_points_that_overlap_and_lie_at_borders(name: str) -> None:
    size, shape = SIZES[name]
    lightness, points = _lightness(shape), _points(size)
    for each in points:
        _check(Hints.points([each]), size, lightness)
    planes = _check(Hints.points(points), size, lightness)
    assert (planes[2, [0, 0, -1, -1], [0, -1, 0, -1]] > 0).all()


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("name", SIZES)
def test_overlays_of_many_strokes_over_each_other(name: str, dtype: type) -> None:
    size, shape = SIZES[name]
    lightness = _lightness(shape)
    small = (size[0] // 2, size[1] // 2) if min(size) > 40 else size
    first, second = (Hints.overlay(_rgba(each, dtype)) for each in (size, small))
    _check(first, size, lightness)
    _check(first + second + Hints.points(_points(size, 3)), size, lightness)


def test_an_overlay_that_is_painted_all_over_or_not_at_all() -> None:
    lightness = _lightness((160, 160))
    rgba: U8 = np.full((500, 500, 4), 120, np.uint8)
    assert _check(Hints.overlay(rgba), (500, 500), lightness)[2].min() > 0.4
    rgba[..., 3] = 0
    planes, remarks = Hints.overlay(rgba).planes((500, 500), lightness)
    assert not planes.any()
    assert remarks == ("the overlay: nothing is painted on it",)


def test_the_last_half_pixel_is_still_in_the_picture() -> None:
    planes, _ = Hints.points([(499.9, 499.9, "#808080", 1)]).planes(
        (500, 500), _lightness((160, 160))
    )
    assert planes[2, -1, -1] > 0
    assert np.count_nonzero(planes[2]) < 5
    for size, shape in ((500, 160), (1000, 256)):
        last = float(np.nextafter(size, 0))
        planes, _ = Hints.points([(last, last, "#808080", 0.1)]).planes(
            (size, size), _lightness((shape, shape))
        )
        assert planes[2, -1, -1] > 0


def test_a_hinted_pixel_gets_its_hint_and_the_others_the_regression() -> None:
    lightness = _lightness((160, 288))
    ab = CHANCE.normal(0, 15, (160, 288, 2)).astype(np.float32)
    hints, _ = Hints.points(_points((1080, 1920), 5)).planes((1080, 1920), lightness)
    expected = ab + _regressed(lightness, ab, hints)[..., :2]
    expected += hints[2][..., None] * (hints[:2].transpose(1, 2, 0) - expected)
    np.testing.assert_array_equal(spread_hints(lightness, ab, hints), expected)
