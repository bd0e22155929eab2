"""Guesses around hints, by regression over position, lightness, the answered colors and texture."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from colorize.runtime.color import F32
from colorize.runtime.steering import grid
from colorize.runtime.steering import spread as module
from colorize.runtime.steering.spread import extend_hints, spread_hints

SHAPE = (96, 128)
GRAY = np.zeros((*SHAPE, 2), np.float32)


@pytest.fixture
def lightness() -> F32:
    """A dark and a light half, each with some grain."""
    light = np.where(np.arange(SHAPE[1]) < 64, 30, 75) + np.zeros(SHAPE)
    return (light + np.random.default_rng(0).normal(0, 1.5, SHAPE)).astype(np.float32)


def hinted(*places: tuple[int, int, float, float], confidence: float = 1) -> F32:
    """Return hints of 5x5 pixels around each x, y, in a color a*, b*."""
    hints = np.zeros((3, *SHAPE), np.float32)
    for x, y, a, b in places:
        there = np.s_[y - 2 : y + 3, x - 2 : x + 3]
        hints[0][there], hints[1][there], hints[2][there] = a, b, confidence
    return hints


def test_a_color_stays_on_its_side_and_grows_less_sure_with_distance(lightness: F32) -> None:
    extended = extend_hints(lightness, GRAY, hinted((20, 48, 40, 20)))
    assert extended.dtype == np.float32
    near, far, across = (extended[:, 40:56, x : x + 8].mean((1, 2)) for x in (28, 52, 72))
    np.testing.assert_allclose(near[:2], (34, 17), atol=1)
    assert 0.8 >= near[2] > far[2] > 1.5 * across[2]


def test_hinted_pixels_stay_as_they_are_and_unsure_ones_are_filled_up(lightness: F32) -> None:
    hints = hinted((20, 48, 40, 20), (100, 48, -10, 30))
    extended, sure = extend_hints(lightness, GRAY, hints), hints[2] == 1
    np.testing.assert_allclose(extended[:, sure], hints[:, sure], atol=1e-5)
    unsure = hinted((20, 48, 40, 20), confidence=0.5)
    there = unsure[2] > 0
    assert (extend_hints(lightness, GRAY, unsure)[2][there] > 0.5).all()


def test_the_guess_is_what_the_spreading_answers(lightness: F32) -> None:
    hints = hinted((20, 48, 40, 20), (100, 48, -10, 30))
    answer = np.dstack([lightness / 5, 20 - lightness / 5]).astype(np.float32)
    extended, free = extend_hints(lightness, answer, hints), hints[2] == 0
    spread = spread_hints(lightness, answer, hints).transpose(2, 0, 1)
    np.testing.assert_allclose(extended[:2, free], spread[:, free], atol=1e-3)


def test_without_hints_nothing_is_guessed(lightness: F32) -> None:
    hints = np.zeros((3, *SHAPE), np.float32)
    assert extend_hints(lightness, GRAY, hints) is hints


def test_confidence_is_gaussian_process_regression(lightness: F32) -> None:
    """Against the formula (Rasmussen and Williams 2006, 2.25), solved in float64 at every pixel."""
    lightness[:] = np.linspace(20, 80, SHAPE[1])  # without texture
    hints = hinted((20, 48, 40, 20), (70, 20, -20, 30), (100, 80, 10, -25))
    centers = np.array([[20, 48], [70, 20], [100, 80]])
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]

    lengths = np.array([module._REACH * SHAPE[0]] * 2 + [module._REACH_LIGHTNESS])
    places = np.stack([x, y, lightness], -1) / lengths
    known, everywhere = places[centers[:, 1], centers[:, 0]], places.reshape(-1, 3)

    def sureness(kernel: Callable[[NDArray[Any]], NDArray[Any]], noise: float) -> NDArray[Any]:
        def between(one: NDArray[Any], other: NDArray[Any]) -> NDArray[Any]:
            return kernel(((one[:, None] - other) ** 2).sum(-1))

        # 25 pixels say what ten say: the most that one cell is trusted
        solved = np.linalg.solve(between(known, known) + noise * np.eye(3), np.ones(3))
        return np.asarray(between(everywhere, known) @ solved)

    narrow = sureness(lambda squared: (1 + squared / 8) ** -4, module._NOISE)
    wide = sureness(lambda squared: (1 + squared / module._WIDE**2) ** -0.5, module._CAST_NOISE)
    exact = np.clip((narrow + wide) / 2, 0, 1).reshape(SHAPE)
    confidence = extend_hints(lightness, GRAY, hints)[2]
    assert np.abs(confidence - module._MOST * exact)[hints[2] == 0].mean() < 0.03


def test_the_texture_of_an_edge_is_that_of_its_sides() -> None:
    steps = np.where(np.arange(128) < 64, 20, 80) + np.zeros(SHAPE)
    assert grid.texture(steps.astype(np.float32)).max() < 0.01
