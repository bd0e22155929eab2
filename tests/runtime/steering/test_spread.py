"""Hints reach what looks like the hinted places, leave the rest, and stop at edges."""

from pathlib import Path

import numpy as np
import pytest

import colorize.runtime
from colorize.runtime.color import F32, lab_to_rgb, rgb_to_lab, to_bytes
from colorize.runtime.colorizer import Colorizer
from colorize.runtime.photo.reader import read_photo
from colorize.runtime.steering import grid, spread
from colorize.runtime.steering.spread import spread_hints

SAMPLES = Path(colorize.runtime.__file__).parent / "samples" / "test"


THINNED = np.s_[::3, ::3]  # what the reference is computed at: it takes its time


def kernel_regression(lightness: F32, ab: F32, hints: F32) -> F32:
    """Nadaraya-Watson regression of the residual, pixel by pixel: the plain reference."""
    height, width = lightness.shape
    y, x = np.mgrid[:height, :width]
    reach = 60 / 256 * min(height, width)
    features = np.stack([x / reach, y / reach, lightness / 12, *np.moveaxis(ab, 2, 0) / 10], -1)
    thinned = features[THINNED].reshape(-1, 5).astype(np.float32)
    features = features.reshape(-1, 5).astype(np.float32)
    there = hints[2].ravel() > 0
    residual = (np.moveaxis(hints[:2], 0, 2) - ab).reshape(-1, 2)[there]
    sources = features[there]
    squared = (thinned**2).sum(1)[:, None] + (sources**2).sum(1) - 2 * thinned @ sources.T
    kernel = np.exp(-0.5 * np.maximum(squared, 0)) * hints[2].ravel()[there]
    few = ab[THINNED]
    spread = few + (kernel @ residual / (kernel.sum(1)[:, None] + 0.1)).reshape(few.shape)
    return np.asarray(spread, np.float32)


def patches(truth: F32, count: int, seed: int) -> F32:
    """Return hints (3, h, w) of COUNT patches, 7 of 256 pixels wide, in their mean true ab."""
    chance = np.random.default_rng(seed)
    height, width = truth.shape[:2]
    side = max(1, round(7 / 256 * min(height, width)))
    hints = np.zeros((3, height, width), np.float32)
    for _ in range(count):
        top, left = chance.integers(height - side), chance.integers(width - side)
        place = np.s_[top : top + side, left : left + side]
        hints[:2][:, *place] = truth[place].mean((0, 1))[:, None, None]
        hints[2][place] = 1
    return hints


@pytest.fixture(scope="module")
def answers() -> list[tuple[F32, F32, F32]]:
    """L*, the default model's ab and the true ab of sample photographs, at working size."""
    found = []
    with Colorizer() as colorizer:
        for name in ("coffee", "fig_bowl", "lighthouse", "snake", "temple", "tulips"):
            photo = read_photo(SAMPLES / f"{name}.jpg")
            [(lightness, ab)] = colorizer.chroma([photo.gray()])
            truth = rgb_to_lab(photo.rgb)[..., 1:]
            found.append((lightness, ab, _shrunk(truth, lightness.shape)))
    return found


def _shrunk(planes: F32, shape: tuple[int, ...]) -> F32:
    import cv2

    return np.asarray(cv2.resize(planes, shape[::-1], interpolation=cv2.INTER_AREA), np.float32)


def _psnr(lightness: F32, ab: F32, truth: F32) -> float:
    one, other = (to_bytes(lab_to_rgb(np.dstack([lightness, each]))) for each in (ab, truth))
    return float(10 * np.log10(255**2 / np.mean((one.astype(float) - other) ** 2)))


@pytest.mark.parametrize(("count", "gain"), [(10, -0.5), (100, 0.5)])
def test_beside_plain_kernel_regression(
    answers: list[tuple[F32, F32, F32]], count: int, gain: float
) -> None:
    ours, plain, none = [], [], []
    for index, (lightness, ab, truth) in enumerate(answers):
        hints = patches(truth, count, index)
        few = lightness[THINNED], truth[THINNED]
        ours.append(_psnr(few[0], spread_hints(lightness, ab, hints)[THINNED], few[1]))
        plain.append(_psnr(few[0], kernel_regression(lightness, ab, hints), few[1]))
        none.append(_psnr(few[0], ab[THINNED], few[1]))
    assert np.mean(ours) >= np.mean(plain) + gain
    assert np.mean(ours) > np.mean(none) + 1


def test_the_grid_gives_what_the_regression_gives_at_every_pixel(
    answers: list[tuple[F32, F32, F32]],
) -> None:
    lightness, ab, truth = answers[0]
    hints = patches(truth, 10, 7)
    height, width = lightness.shape
    short = min(height, width)
    lengths = [*[spread._REACH * short] * 2, spread._REACH_LIGHTNESS, *[spread._REACH_AB] * 2]
    scale = (1 / np.array([*lengths, spread._REACH_TEXTURE])).astype(np.float32)
    looks = np.dstack([ab, grid.texture(lightness)])
    regression = spread._Regression(grid.gather(lightness, looks, hints), scale)
    y, x = np.mgrid[:height, :width]
    places = np.dstack([x, y, lightness, looks]).reshape(-1, 6).astype(np.float32)
    exact = regression(places)[:, :2].reshape(ab.shape)
    ours = grid.read_from_grid(lightness, looks, regression)[..., :2]
    error = np.linalg.norm(ours - exact, axis=-1)
    assert np.linalg.norm(exact, axis=-1).mean() > 5
    assert error.mean() < 0.1 * np.linalg.norm(exact, axis=-1).mean()


def test_without_hints_the_answer_is_untouched(answers: list[tuple[F32, F32, F32]]) -> None:
    lightness, ab, _ = answers[0]
    assert spread_hints(lightness, ab, np.zeros((3, *lightness.shape), np.float32)) is ab


def test_a_sure_hint_comes_out_and_an_unsure_one_in_its_measure(
    answers: list[tuple[F32, F32, F32]],
) -> None:
    lightness, ab, _ = answers[1]
    hints = np.zeros((3, *lightness.shape), np.float32)
    hints[:, 40:50, 60:80] = np.array([50, -40, 1])[:, None, None]
    out = spread_hints(lightness, ab, hints)
    assert np.allclose(out[40:50, 60:80], (50, -40), atol=1e-3)
    hints[2] *= np.float32(0.01)
    unsure = spread_hints(lightness, ab, hints)
    wish = np.array([50, -40])
    left = np.linalg.norm(unsure[40:50, 60:80] - wish, axis=-1).mean()
    before = np.linalg.norm(ab[40:50, 60:80] - wish, axis=-1).mean()
    assert 0.25 * before < left < 0.95 * before


def test_a_thing_of_another_lightness_stays() -> None:
    lightness = np.full((160, 200), 35, np.float32)
    lightness[:, 100:] = 80
    ab = np.zeros((160, 200, 2), np.float32)
    ab[:, 100:] = (5, 15)
    hints = np.zeros((3, 160, 200), np.float32)
    hints[:, 78:82, 20:90] = np.array([60, 30, 1])[:, None, None]
    change = np.linalg.norm(spread_hints(lightness, ab, hints) - ab, axis=-1)
    assert change[:, :100].mean() > 40
    assert change[:, 101:].mean() < 5
    assert change[80, 99] > 40
    assert change[80, 101] < 8


def test_a_rough_thing_as_light_as_a_smooth_one_stays() -> None:
    chance = np.random.default_rng(1)
    lightness = np.full((160, 200), 50, np.float32)
    lightness[:, 100:] += chance.normal(0, 8, (160, 100)).astype(np.float32)
    ab = np.zeros((160, 200, 2), np.float32)
    hints = np.zeros((3, 160, 200), np.float32)
    hints[:, 78:82, 20:90] = np.array([60, 30, 1])[:, None, None]
    change = np.linalg.norm(spread_hints(lightness, ab, hints) - ab, axis=-1)
    assert change[50:110, :90].mean() > 50
    assert change[:, 110:].mean() < 0.4 * change[:, :90].mean()


def test_far_away_it_stays() -> None:
    lightness = np.full((160, 320), 50, np.float32)
    ab = np.zeros((160, 320, 2), np.float32)
    hints = np.zeros((3, 160, 320), np.float32)
    hints[:, 70:90, 10:40] = np.array([60, 30, 1])[:, None, None]
    change = np.linalg.norm(spread_hints(lightness, ab, hints) - ab, axis=-1)
    assert change[60:100, 5:60].mean() > 55
    assert change[:, 250:].mean() < 6


def test_hints_everywhere_are_the_answer() -> None:
    chance = np.random.default_rng(3)
    lightness = chance.uniform(0, 100, (160, 284)).astype(np.float32)
    ab = chance.normal(0, 20, (160, 284, 2)).astype(np.float32)
    hints = np.concatenate([chance.normal(0, 30, (2, 160, 284)), np.ones((1, 160, 284))])
    out = spread_hints(lightness, ab, hints.astype(np.float32))
    assert np.allclose(out, hints[:2].transpose(1, 2, 0), atol=1e-3)


@pytest.mark.parametrize("shape", [(32, 32), (32, 200), (512, 64)])
def test_any_shape(shape: tuple[int, int]) -> None:
    lightness = np.tile(np.linspace(0, 100, shape[1], dtype=np.float32), (shape[0], 1))
    ab = np.zeros((*shape, 2), np.float32)
    hints = np.zeros((3, *shape), np.float32)
    hints[:, 0, 0] = hints[:, -1, -1] = (20, 10, 1)
    out = spread_hints(lightness, ab, hints)
    assert out.dtype == np.float32
    assert np.isfinite(out).all()
    assert np.allclose(out[0, 0], (20, 10), atol=1e-3)
    assert np.allclose(out[-1, -1], (20, 10), atol=1e-3)
