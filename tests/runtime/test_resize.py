"""The shrink before the network and the enlarge after it."""

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from colorize.runtime.color import F32
from colorize.runtime.models.catalog import SAMPLES
from colorize.runtime.resize import LONG_SIDE_LIMIT, enlarge, shrink, working_shape

SIDES = [1, 2, 31, 100, 255, 256, 257, 480, 1080, 1920, 4000, 30000]


@pytest.mark.parametrize(
    ("height", "width", "expected"),
    [
        (256, 256, (256, 256)),
        (512, 512, (256, 256)),
        (480, 640, (256, 352)),  # 341.3 lies nearest to 11 x 32
        (640, 480, (352, 256)),
        (1080, 1920, (256, 448)),  # 455.1 lies nearest to 14 x 32
        (1, 1, (256, 256)),
        (100, 1000, (256, 512)),
        (1000, 100, (512, 256)),
    ],
)
def test_shapes_of_common_pictures(height: int, width: int, expected: tuple[int, int]) -> None:
    assert working_shape(height, width, 256, 32) == expected


@pytest.mark.parametrize("multiple", [1, 8, 32])
@pytest.mark.parametrize("size", [64, 250, 512])
def test_every_shape_keeps_the_rules(size: int, multiple: int) -> None:
    for height in SIDES:
        for width in SIDES:
            shape = working_shape(height, width, size, multiple)
            assert all(side > 0 and side % multiple == 0 for side in shape)
            assert abs(min(shape) - size) <= multiple / 2
            assert max(shape) <= LONG_SIDE_LIMIT * size + multiple / 2
            aspect = min(max(height, width) / min(height, width), LONG_SIDE_LIMIT)
            assert abs(max(shape) - size * aspect) <= multiple / 2


def test_halves_are_rounded_to_the_even_multiple() -> None:
    assert working_shape(96, 108, 128, 32) == (128, 128)  # 4.5 x 32
    assert working_shape(96, 132, 128, 32) == (128, 192)  # 5.5 x 32
    assert working_shape(49, 77, 98, 28) == (112, 168)  # 3.5 and 5.5 x 28


def test_long_side_limit_is_kept_when_size_is_no_multiple() -> None:
    assert max(working_shape(100, 1000, 248, 32)) <= LONG_SIDE_LIMIT * 248 + 16


def test_a_size_below_the_multiple_is_the_multiple() -> None:
    assert working_shape(100, 100, 3, 32) == (32, 32)


def test_upright_and_lying_pictures_have_the_same_sides() -> None:
    for height in SIDES:
        for width in SIDES:
            lying = working_shape(height, width, 256, 8)
            assert working_shape(width, height, 256, 8) == lying[::-1]


@pytest.mark.parametrize("shape", [(64, 96), (7, 300), (1, 1), (300, 451)])
def test_shrink_is_bilinear_of_pillow(shape: tuple[int, int]) -> None:
    gray = Image.open(SAMPLES / "test" / "cat.jpg").convert("L")
    expected = gray.resize(shape[::-1], Image.Resampling.BILINEAR)
    np.testing.assert_array_equal(shrink(np.asarray(gray), shape), np.asarray(expected))


def test_shrink_goes_along_rows_first_whatever_pillow_does() -> None:
    gray = Image.open(SAMPLES / "test" / "cat.jpg").convert("L")
    rows = gray.resize((452, gray.height), Image.Resampling.BILINEAR)
    expected = rows.resize((452, 100), Image.Resampling.BILINEAR)
    np.testing.assert_array_equal(shrink(np.asarray(gray), (100, 452)), np.asarray(expected))


def test_shrink_averages_fine_lines() -> None:
    lines = np.zeros((256, 256), np.uint8)
    lines[::2] = 200
    small = shrink(lines, (32, 32))[2:-2]
    assert np.abs(small.astype(int) - 100).max() <= 2


@pytest.mark.parametrize("side", [1, 2, 40])
def test_shrink_takes_pictures_of_any_size(side: int) -> None:
    assert shrink(np.full((side, 3 * side), 77, np.uint8), (8, 16)).tolist() == [[77] * 16] * 8


def _bilinear(plane: F32, shape: tuple[int, int]) -> NDArray[np.float64]:
    """Samples lie at pixel centers; beyond the outermost centers the edge is repeated."""

    def weights(new: int, old: int) -> NDArray[np.float64]:
        centers = np.clip((np.arange(new) + 0.5) * old / new - 0.5, 0, old - 1)
        return np.asarray(1 - np.abs(centers[:, None] - np.arange(old)[None, :])).clip(0)

    rows, columns = weights(shape[0], plane.shape[0]), weights(shape[1], plane.shape[1])
    return np.asarray(np.einsum("yh,xw,hwc->yxc", rows, columns, plane.astype(np.float64)))


@pytest.mark.parametrize("small", [(1, 1), (2, 3), (8, 16), (13, 7)])
@pytest.mark.parametrize("large", [(31, 33), (40, 40), (101, 64), (13, 200)])
def test_enlarge_is_bilinear_between_pixel_centers(
    small: tuple[int, int], large: tuple[int, int]
) -> None:
    plane = np.random.default_rng(3).uniform(-110, 110, (*small, 2)).astype(np.float32)
    # OpenCV rounds the positions to float32, not the weights to fractions of 2^-5 as for bytes.
    np.testing.assert_allclose(enlarge(plane, large), _bilinear(plane, large), atol=0.01)


def test_enlarge_to_the_same_size_changes_nothing() -> None:
    plane = np.random.default_rng(3).uniform(-110, 110, (9, 11, 2)).astype(np.float32)
    np.testing.assert_array_equal(enlarge(plane, (9, 11)), plane)


def test_enlarge_keeps_channels_apart() -> None:
    plane = np.dstack([np.zeros((3, 3)), np.full((3, 3), 50)]).astype(np.float32)
    large = enlarge(plane, (17, 19))
    assert large.shape == (17, 19, 2)
    assert (large[..., 0] == 0).all()
    np.testing.assert_allclose(large[..., 1], 50, rtol=1e-6)
