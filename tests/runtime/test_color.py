"""Color against scikit-image, OpenCV and the code values that the standards print."""

from fractions import Fraction

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from skimage.color import lab2rgb, rgb2lab

from colorize.runtime.color import (
    F32,
    U8,
    Matrix,
    gray_to_lightness,
    lab_to_rgb,
    linear_to_srgb,
    luma_to_gray,
    rgb_to_chroma,
    rgb_to_gray,
    rgb_to_lab,
    rgb_to_lightness,
    srgb_to_linear,
    to_bytes,
)
from colorize.runtime.files import photo_files
from colorize.runtime.models.catalog import SAMPLES

F64 = NDArray[np.float64]
GRAYS: U8 = np.repeat(np.arange(256, dtype=np.uint8)[:, None], 3, axis=1)
# ITU-T H.273, table 4: Kr and Kb.
WEIGHTS: dict[Matrix, tuple[Fraction, Fraction]] = {
    "bt601": (Fraction("0.299"), Fraction("0.114")),
    "bt709": (Fraction("0.2126"), Fraction("0.0722")),
    "bt2020": (Fraction("0.2627"), Fraction("0.0593")),
}
# 8-bit limited range, 100 % color bars: Cb, Cr.
BARS_709 = {
    (1, 1, 1): (128, 128),
    (1, 1, 0): (16, 138),
    (0, 1, 1): (154, 16),
    (0, 1, 0): (42, 26),
    (1, 0, 1): (214, 230),
    (1, 0, 0): (102, 240),
    (0, 0, 1): (240, 118),
    (0, 0, 0): (128, 128),
}
BARS_601 = {
    (1, 1, 1): (128, 128),
    (1, 1, 0): (16, 146),
    (0, 1, 1): (166, 16),
    (0, 1, 0): (54, 34),
    (1, 0, 1): (202, 222),
    (1, 0, 0): (90, 240),
    (0, 0, 1): (240, 110),
    (0, 0, 0): (128, 128),
}


def _corners() -> U8:
    levels = (0, 1, 127, 254, 255)
    return np.array([[r, g, b] for r in levels for g in levels for b in levels], np.uint8)


def _noise() -> U8:
    return np.random.default_rng(7).integers(0, 256, (64, 64, 3), dtype=np.uint8)


def _photos() -> U8:
    small = [
        np.asarray(Image.open(path).resize((48, 32))) for path in photo_files(SAMPLES / "test")
    ]
    return np.concatenate(small)


PICTURES = {"noise": _noise, "corners": _corners, "grays": GRAYS.copy, "photos": _photos}
pictures = pytest.mark.parametrize("name", PICTURES)


def _unit(rgb: U8) -> F32:
    return rgb.astype(np.float32) / np.float32(255)


def _codes(values: object, depth: int) -> U8 | NDArray[np.uint16]:
    return np.array(values, np.uint8) if depth == 8 else np.array(values, np.uint16)


def _wide_lab() -> F32:
    """Colors all over CIELAB, most of which sRGB cannot show."""
    lightness, chroma = np.arange(0, 101, 4), np.arange(-110, 111, 10)
    grid = np.stack(np.meshgrid(lightness, chroma, chroma, indexing="ij"), axis=-1)
    return grid.reshape(-1, 3).astype(np.float32)


@pytest.fixture(scope="module")
def wide() -> F32:
    return _wide_lab()


@pytest.fixture(scope="module")
def mapped(wide: F32) -> F64:
    """CIELAB of what `lab_to_rgb` makes of `wide`, by scikit-image in float64."""
    return np.asarray(rgb2lab(lab_to_rgb(wide).astype(np.float64)))


@pictures
def test_lab_is_that_of_scikit_image(name: str) -> None:
    rgb = PICTURES[name]()
    # It rounds its matrix to six digits and takes a white that differs from the matrix' own.
    np.testing.assert_allclose(rgb_to_lab(rgb), rgb2lab(rgb), atol=0.006)


@pictures
def test_lab_is_near_that_of_opencv(name: str) -> None:
    rgb = np.atleast_3d(PICTURES[name]())
    rgb = rgb.reshape(-1, 1, 3)
    lab = cv2.cvtColor(rgb.astype(np.float32) / 255, cv2.COLOR_RGB2Lab)
    # OpenCV reads tables; it differs from scikit-image by as much.
    np.testing.assert_allclose(rgb_to_lab(rgb), lab, atol=0.5)


@pictures
def test_lightness_is_the_first_plane_of_lab(name: str) -> None:
    rgb = PICTURES[name]()
    np.testing.assert_allclose(rgb_to_lightness(rgb), rgb_to_lab(rgb)[..., 0], atol=2e-5)
    np.testing.assert_allclose(rgb_to_lightness(rgb), np.asarray(rgb2lab(rgb))[..., 0], atol=0.002)


def test_grays_have_no_color() -> None:
    assert np.abs(rgb_to_lab(GRAYS)[:, 1:]).max() < 1e-4


def test_gray_has_its_own_lightness() -> None:
    grays = GRAYS[:, 0]
    np.testing.assert_array_equal(rgb_to_gray(GRAYS), grays)
    np.testing.assert_allclose(gray_to_lightness(grays), rgb_to_lightness(GRAYS), atol=5e-5)
    np.testing.assert_allclose(gray_to_lightness(grays), rgb2lab(GRAYS)[:, 0], atol=1e-4)
    assert (gray_to_lightness(grays)[0], gray_to_lightness(grays)[-1]) == pytest.approx((0, 100))


@pictures
def test_gray_of_a_color_has_its_lightness_up_to_rounding(name: str) -> None:
    rgb = PICTURES[name]()
    lost = np.abs(gray_to_lightness(rgb_to_gray(rgb)) - rgb_to_lightness(rgb))
    # Half a step of 8 bits; steps are widest, 0.55, where L* leaves its linear part.
    assert lost.max() <= 0.28


@pytest.mark.parametrize("shape", [(), (1,), (2, 3), (2, 1, 3, 4)])
def test_planes_of_any_shape_keep_it(shape: tuple[int, ...]) -> None:
    gray = np.full(shape, 100, np.uint8)
    rgb = np.full((*shape, 3), 100, np.uint8)
    assert np.shape(gray_to_lightness(gray)) == shape
    assert rgb_to_lab(rgb).shape == (*shape, 3)
    assert np.shape(rgb_to_gray(rgb)) == shape


def test_results_are_float32() -> None:
    rgb = _noise()
    results = (rgb_to_lab(rgb), rgb_to_lightness(rgb), gray_to_lightness(rgb[..., 0]))
    assert {result.dtype.name for result in results} == {"float32"}
    back = lab_to_rgb(rgb_to_lab(rgb))
    assert back.dtype == chroma_of(back, "bt709", full_range=False).dtype == np.float32


def test_srgb_curve_is_the_standard_one() -> None:
    codes = np.arange(256) / 255
    linear = np.array([c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in codes])
    np.testing.assert_allclose(srgb_to_linear(codes.astype(np.float32)), linear, rtol=2e-6)
    np.testing.assert_allclose(linear_to_srgb(linear.astype(np.float32)), codes, atol=2e-6)


@pictures
def test_rgb_survives_the_way_to_lab_and_back(name: str) -> None:
    rgb = PICTURES[name]()
    np.testing.assert_array_equal(to_bytes(lab_to_rgb(rgb_to_lab(rgb))), rgb)


@pictures
def test_colors_in_gamut_are_those_of_scikit_image(name: str) -> None:
    lab = rgb_to_lab(PICTURES[name]())
    np.testing.assert_allclose(lab_to_rgb(lab), lab2rgb(lab.astype(np.float64)), atol=2e-4)


def test_out_of_gamut_colors_stay_within_0_and_1(wide: F32) -> None:
    rgb = lab_to_rgb(wide)
    assert rgb.min() >= 0
    assert rgb.max() <= 1


def test_out_of_gamut_colors_keep_their_lightness(wide: F32, mapped: F64) -> None:
    moved = np.abs(mapped[:, 0] - wide[:, 0])
    assert moved.max() <= 0.1
    assert np.median(moved) <= 0.001


def test_out_of_gamut_colors_keep_their_lightness_in_8_bits(wide: F32) -> None:
    rounded = np.asarray(rgb2lab(to_bytes(lab_to_rgb(wide))))
    assert np.abs(rounded[:, 0] - wide[:, 0]).max() <= 0.3


def test_clipping_would_move_lightness_which_shows_that_the_test_can_fail(wide: F32) -> None:
    with pytest.warns(UserWarning, match="negative Z"):
        clipped = np.clip(lab2rgb(wide.astype(np.float64)), 0, 1)
    assert np.abs(rgb2lab(clipped)[:, 0] - wide[:, 0]).max() > 3


def test_out_of_gamut_colors_keep_their_hue(wide: F32, mapped: F64) -> None:
    a, b = wide[:, 1].astype(np.float64), wide[:, 2].astype(np.float64)
    chroma = np.maximum(np.hypot(a, b), 1e-9)
    along = (mapped[:, 1] * a + mapped[:, 2] * b) / chroma
    across = (mapped[:, 2] * a - mapped[:, 1] * b) / chroma
    assert np.abs(across).max() < 0.2
    assert along.min() > -0.2  # never the opposite color
    assert (along - chroma).max() < 0.02  # never stronger than asked for


def test_out_of_gamut_colors_are_as_strong_as_srgb_shows() -> None:
    lab = np.array([[50, 110, 0], [50, 0, -110], [90, -110, 0], [97, 0, 110]], np.float32)
    rgb = lab_to_rgb(lab)
    on_the_edge = np.minimum(rgb.min(axis=-1), 1 - rgb.max(axis=-1))
    assert on_the_edge.max() < 0.01


@pytest.mark.parametrize(("lightness", "gray"), [(-5, 0), (0, 0), (100, 1), (104, 1)])
def test_lightness_beyond_its_ends_is_black_or_white(lightness: float, gray: float) -> None:
    rgb = lab_to_rgb(np.array([[lightness, 30, -30]], np.float32))
    np.testing.assert_allclose(rgb, gray, atol=0.02)


def test_conversions_leave_their_inputs_alone() -> None:
    lab = _wide_lab()
    before = lab.copy()
    lab_to_rgb(lab)
    np.testing.assert_array_equal(lab, before)


def test_bytes_are_rounded_and_clipped() -> None:
    unit = np.array([-1, 0, 0.499 / 255, 0.501 / 255, 254.49 / 255, 1, 2], np.float32)
    assert to_bytes(unit).tolist() == [0, 0, 0, 1, 254, 255, 255]


def chroma_of(rgb: F32, matrix: Matrix, *, full_range: bool, depth: int = 8) -> F32:
    """`rgb_to_chroma`, with the planes last."""
    planes = np.moveaxis(rgb, -1, 0)
    return np.moveaxis(rgb_to_chroma(planes, matrix, full_range=full_range, depth=depth), 0, -1)


@pytest.mark.parametrize(("matrix", "bars"), [("bt709", BARS_709), ("bt601", BARS_601)])
def test_color_bars_have_the_code_values_of_the_standard(
    matrix: Matrix, bars: dict[tuple[int, int, int], tuple[int, int]]
) -> None:
    codes = chroma_of(np.array(list(bars), np.float32), matrix, full_range=False)
    assert np.rint(codes).astype(int).tolist() == [list(pair) for pair in bars.values()]


@pytest.mark.parametrize("matrix", WEIGHTS)
@pytest.mark.parametrize("full_range", [False, True])
@pytest.mark.parametrize("depth", [8, 10, 12])
def test_chroma_is_the_formula_of_the_standard(
    matrix: Matrix, full_range: bool, depth: int
) -> None:
    kr, kb = (float(weight) for weight in WEIGHTS[matrix])
    rgb = _noise().astype(np.float64) / 255
    luma = rgb @ np.array([kr, 1 - kr - kb, kb])
    unit = np.stack(
        [(rgb[..., 2] - luma) / (2 - 2 * kb), (rgb[..., 0] - luma) / (2 - 2 * kr)], axis=-1
    )
    if full_range:  # H.273, equations 30 and 31
        expected = unit * (2**depth - 1) + 2 ** (depth - 1)
    else:  # equations 24 and 25
        expected = 2 ** (depth - 8) * (224 * unit + 128)
    codes = chroma_of(rgb.astype(np.float32), matrix, full_range=full_range, depth=depth)
    np.testing.assert_allclose(codes, expected, atol=2e-3 * 2 ** (depth - 8))


@pytest.mark.parametrize("matrix", WEIGHTS)
@pytest.mark.parametrize("depth", [8, 10, 12])
def test_grays_have_the_middle_chroma(matrix: Matrix, depth: int) -> None:
    grays = _unit(GRAYS)
    codes = chroma_of(grays, matrix, full_range=False, depth=depth)
    np.testing.assert_allclose(codes, 2 ** (depth - 1), atol=1e-3)


def test_full_range_bt601_is_that_of_opencv() -> None:
    rgb = _unit(_noise())
    y_cr_cb = cv2.cvtColor(rgb, cv2.COLOR_RGB2YCrCb)
    expected = (np.asarray(y_cr_cb, np.float64)[..., [2, 1]] - 0.5) * 255 + 128
    # OpenCV rounds its factors to three digits.
    np.testing.assert_allclose(chroma_of(rgb, "bt601", full_range=True), expected, atol=0.15)


def test_full_range_bt601_is_that_of_jpeg() -> None:
    rgb = _noise()
    jpeg = np.asarray(Image.fromarray(rgb).convert("YCbCr"))[..., 1:]
    codes = chroma_of(_unit(rgb), "bt601", full_range=True)
    assert np.abs(codes.clip(0, 255) - jpeg).max() <= 1


@pytest.mark.parametrize(
    ("depth", "black", "white"), [(8, 16, 235), (10, 64, 940), (12, 256, 3760)]
)
def test_limited_luma_ends_are_black_and_white(depth: int, black: int, white: int) -> None:
    codes = _codes([0, black, white, 2**depth - 1], depth)
    assert luma_to_gray(codes, full_range=False, depth=depth).tolist() == [0, 0, 255, 255]


@pytest.mark.parametrize("depth", [8, 10, 12])
def test_limited_luma_is_the_formula_of_the_standard(depth: int) -> None:
    codes = np.arange(2**depth)
    expected = ((codes / 2 ** (depth - 8) - 16) / 219 * 255).clip(0, 255)
    gray = luma_to_gray(_codes(codes, depth), full_range=False, depth=depth)
    assert np.abs(gray - expected).max() <= 0.501


def test_full_range_luma_is_the_gray_itself() -> None:
    codes = np.arange(256, dtype=np.uint8)
    np.testing.assert_array_equal(luma_to_gray(codes, full_range=True), codes)
    deep = np.array([0, 511, 512, 1023], np.uint16)
    assert luma_to_gray(deep, full_range=True, depth=10).tolist() == [0, 127, 128, 255]


@pytest.mark.parametrize("full_range", [True, False])
def test_luma_above_its_depth_is_white(full_range: bool) -> None:
    """Raw films can hold any 16 bits."""
    codes = np.array([[1023, 1024, 65535]], np.uint16)
    assert luma_to_gray(codes, full_range=full_range, depth=10).tolist() == [[255, 255, 255]]
