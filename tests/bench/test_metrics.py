"""The bench's measures of pictures and films, each against an independent formula or library."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from helpers.bench import near
from PIL import Image
from scipy.spatial.distance import jensenshannon
from skimage.color import rgb2lab
from skimage.metrics import peak_signal_noise_ratio

from colorize.bench.quality.candidates import without_colors
from colorize.bench.quality.metrics import (
    Running,
    Tally,
    ciede2000,
    colorfulness_ddcolor,
    colors,
    compare,
    ssim,
)
from colorize.bench.video import temporal as video
from colorize.runtime.color import F32, U8
from colorize.runtime.files import photo_files
from colorize.runtime.models.catalog import SAMPLES
from colorize.runtime.photo.reader import read_photo
from colorize.train.metrics import colorfulness, psnr

torch = pytest.importorskip("torch")
torchmetrics = pytest.importorskip("torchmetrics")

from torchmetrics.functional.image import structural_similarity_index_measure  # noqa: E402


def pictures() -> list[U8]:
    random = np.random.default_rng(2).integers(0, 256, (2, 35, 47, 3), np.uint8)
    real = read_photo(photo_files(SAMPLES / "test")[0]).rgb[::7, ::7]
    return [*random, np.ascontiguousarray(real), np.full((39, 35, 3), (200, 30, 90), np.uint8)]


BLACK = np.zeros((40, 40, 3), np.uint8)


# Pictures


@pytest.mark.parametrize("truth", pictures())
def test_psnr_is_scikit_images(truth: U8) -> None:
    other = near(truth)
    expected = peak_signal_noise_ratio(truth, other)  # type: ignore[no-untyped-call]
    assert psnr(other, truth) == pytest.approx(float(expected))
    assert psnr(truth, truth) == float("inf")


@pytest.mark.parametrize("truth", pictures())
def test_ssim_is_torchmetrics(truth: U8) -> None:
    def tensor(picture: U8) -> Any:
        return torch.from_numpy(picture.transpose(2, 0, 1)[None].astype(np.float64))

    other = near(truth)
    _, whole = structural_similarity_index_measure(
        tensor(other), tensor(truth), data_range=255.0, return_full_image=True
    )
    # Where the window lies inside the picture, as Wang et al. have it; torchmetrics mirrors them.
    expected = float(whole[..., 5:-5, 5:-5].mean())
    assert ssim(other, truth) == pytest.approx(expected, abs=1e-5)
    assert ssim(truth, truth) == pytest.approx(1)
    assert ssim(BLACK, BLACK) == pytest.approx(1)


# The test pairs that "The CIEDE2000 color-difference formula" (Sharma, Wu & Dalal 2005) gives
# where implementations go wrong: the hue's mean across 0 degrees, neutrals, and large differences.
SHARMA = [
    ((50.0, 2.6772, -79.7751), (50.0, 0.0, -82.7485), 2.0425),
    ((50.0, -1.1848, -84.8006), (50.0, 0.0, -82.7485), 1.0000),
    ((50.0, 0.0, 0.0), (50.0, -1.0, 2.0), 2.3669),
    ((50.0, 2.49, -0.001), (50.0, -2.49, 0.0009), 7.1792),
    ((50.0, 2.5, 0.0), (61.0, -5.0, 29.0), 22.8977),
    ((2.0776, 0.0795, -1.1350), (0.9033, -0.0636, -0.5514), 0.9082),
]


@pytest.mark.parametrize(("one", "other", "expected"), SHARMA)
def test_ciede2000_is_sharmas(
    one: tuple[float, ...],
    other: tuple[float, ...],
    expected: float,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    given = {0: one, 1: other}
    monkeypatch.setattr(
        "colorize.bench.quality.metrics.rgb_to_lab",
        lambda rgb: np.array([[given[int(rgb[0, 0, 0])]]]),
    )
    picture, truth = (np.full((1, 1, 3), index, np.uint8) for index in (0, 1))
    assert ciede2000(picture, truth) == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("truth", [*pictures(), BLACK])
def test_ciede2000_of_pictures_is_over_srgb_in_d65(truth: U8) -> None:
    from skimage.color import deltaE_ciede2000

    other = near(truth)
    labs = (rgb2lab(picture) for picture in (truth, other))
    expected = deltaE_ciede2000(*labs).mean()  # type: ignore[no-untyped-call]
    assert ciede2000(other, truth) == pytest.approx(float(expected), rel=1e-3)
    assert ciede2000(truth, truth) == 0
    assert ciede2000(BLACK, 255 - BLACK) == pytest.approx(100, abs=0.1)


def hasler_suesstrunk(picture: U8, *, absolute: bool = False) -> float:
    """M^(3) of the paper, pixel by pixel in plain Python."""
    change = abs if absolute else float
    pixels = [[int(value) for value in pixel] for pixel in picture.reshape(-1, 3)]
    opponents = [(change(r - g), change(0.5 * (r + g) - b)) for r, g, b in pixels]
    means = [sum(axis) / len(pixels) for axis in zip(*opponents, strict=True)]
    variances = [
        sum((value - mean) ** 2 for value in axis) / len(pixels)
        for axis, mean in zip(zip(*opponents, strict=True), means, strict=True)
    ]
    return math.sqrt(sum(variances)) + 0.3 * math.hypot(*means)


@pytest.mark.parametrize("picture", pictures())
def test_colorfulness_is_the_papers_and_the_absolute_one_is_another(picture: U8) -> None:
    assert colorfulness(picture) == pytest.approx(hasler_suesstrunk(picture))
    assert colorfulness_ddcolor(picture) == pytest.approx(hasler_suesstrunk(picture, absolute=True))


def test_only_opponents_of_both_signs_tell_the_two_apart() -> None:
    half = np.zeros((10, 10, 3), np.uint8)
    half[:5, :, 0], half[5:, :, 1] = 200, 200
    found = colors(half)
    assert found["colorfulness"] > 1.5 * found["colorfulness_ddcolor"]


def test_gray_has_no_color() -> None:
    gray = np.dstack([np.arange(256, dtype=np.uint8).reshape(16, 16)] * 3)
    assert colors(gray) == {"colorfulness": 0, "colorfulness_ddcolor": 0}
    assert colorfulness(without_colors(pictures()[2])) < 0.1


def test_no_figure_wraps_around_in_eight_bits() -> None:
    low, high = np.full((40, 40, 3), 10, np.uint8), np.full((40, 40, 3), 250, np.uint8)
    assert compare(low, high) | colors(low) == compare(high, low) | colors(low)
    assert psnr(low, high) == pytest.approx(20 * math.log10(255 / 240))


# Means


def test_running_figures_are_numpys() -> None:
    values = np.random.default_rng(4).normal(20, 3, 50)
    running = Running()
    for value in values:
        running.add(float(value))
    assert running.mean == pytest.approx(values.mean())
    assert running.error == pytest.approx(values.std(ddof=1) / math.sqrt(50))
    running.add(float("inf"))
    running.add(1.0)
    assert (running.mean, running.error) == (float("inf"), None)


def test_a_tally_keeps_figures_apart() -> None:
    tally = Tally()
    tally.add({"a": 1.0, "b": 10.0})
    tally.add({"a": 3.0})
    assert tally.means() == {"a": 2.0, "b": 10.0}
    assert tally.errors() == {"a": pytest.approx(1.0), "b": None}


# Film


def test_cdc_is_scipys_jensen_shannon_of_histograms() -> None:
    first, second = pictures()[:2]
    p, q = video.histograms(first), video.histograms(second)
    np.testing.assert_allclose(
        p[1], np.histogram(first[..., 1], 256, (0, 256))[0] / first[..., 1].size
    )
    expected = np.mean([jensenshannon(*pair) ** 2 for pair in zip(p, q, strict=True)])
    assert video.jensen_shannon(p, q) == pytest.approx(expected)
    assert video.jensen_shannon(p, p) == pytest.approx(0, abs=1e-12)
    black, white = video.histograms(BLACK), video.histograms(255 - BLACK)
    assert video.jensen_shannon(black, white) == pytest.approx(math.log(2))


def test_cdc_is_the_mean_over_distances_of_one_two_and_four() -> None:
    frames = [np.full((36, 36, 3), value, np.uint8) for value in (0, 9, 0, 9, 0, 9)]
    colors = video.VideoColors()
    for frame in frames:
        colors.add(frame, None, None)
    # At odd distances all differ, at even ones none.
    assert colors.means()["cdc"] == pytest.approx(math.log(2) / 3)


def scene(shift: int) -> U8:
    """A photograph seen through a window that moves to the right, SHIFT pixels on."""
    photo = read_photo(SAMPLES / "test" / "mountain_path.jpg").rgb
    return np.ascontiguousarray(photo[40:200, 20 + shift : 240 + shift])


def luma(rgb: U8) -> U8:
    return np.asarray(Image.fromarray(rgb).convert("L"))


def ab_of(rgb: U8) -> F32:
    return np.asarray(rgb2lab(rgb)[..., 1:], np.float32)


def test_motion_is_followed_and_what_comes_into_view_is_hidden() -> None:
    moved = video.motion(luma(scene(0)), luma(scene(6)))
    x = np.arange(220)
    inner = moved.before[20:-20, 20:-30, 0] - x[20:-30]
    assert np.median(inner) == pytest.approx(6, abs=0.3)
    assert moved.seen[20:-20, 20:-30].mean() > 0.9
    assert moved.seen[:, -5:].mean() < 0.3


def test_flicker_sees_colors_that_change_and_not_things_that_move() -> None:
    first, second = scene(0), scene(6)
    moved = video.motion(luma(first), luma(second))
    still = video.flicker(ab_of(first), ab_of(second), moved)
    unmoved = np.hypot(*np.moveaxis(ab_of(second) - ab_of(first), -1, 0)).mean()
    assert still is not None
    assert still < 0.5 * unmoved
    shifted = video.flicker(ab_of(first), ab_of(second) + np.float32(10), moved)
    assert shifted == pytest.approx(math.hypot(10, 10), rel=0.15)


def test_a_cut_does_not_flicker() -> None:
    other = read_photo(SAMPLES / "test" / "cat.jpg").rgb[:160, :220]
    moved = video.motion(luma(scene(0)), luma(np.ascontiguousarray(other)))
    assert video.flicker(ab_of(scene(0)), ab_of(scene(0)), moved) is None


def test_temporal_psnr_is_that_of_the_changes() -> None:
    before, now = near(scene(0)), near(scene(6))
    change = now.astype(float) - before - (scene(6).astype(float) - scene(0))
    expected = 10 * math.log10(255**2 / (change**2).mean())
    assert video.temporal_psnr(before, now, scene(0), scene(6)) == pytest.approx(expected)
    # A constant cast is no change.
    cast: Callable[[U8], U8] = lambda rgb: (rgb // 2 + 20).astype(np.uint8)  # noqa: E731
    assert video.temporal_psnr(cast(BLACK), cast(BLACK), BLACK, BLACK) == float("inf")
