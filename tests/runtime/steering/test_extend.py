"""Guesses around hints, by regression over position, lightness and texture."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from colorize.runtime.color import F32
from colorize.runtime.steering import extend as module
from colorize.runtime.steering import grid
from colorize.runtime.steering.extend import extend_hints

SHAPE = (96, 128)


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
    extended = extend_hints(lightness, hinted((20, 48, 40, 20)))
    assert extended.dtype == np.float32
    near, far, across = (extended[:, 40:56, x : x + 8].mean((1, 2)) for x in (28, 52, 72))
    np.testing.assert_allclose(near[:2], (40, 20), atol=1)
    assert 0.8 >= near[2] > far[2] > 4 * across[2]


def test_hinted_pixels_stay_as_they_are_and_unsure_ones_are_filled_up(lightness: F32) -> None:
    hints = hinted((20, 48, 40, 20), (100, 48, -10, 30))
    extended, sure = extend_hints(lightness, hints), hints[2] == 1
    np.testing.assert_allclose(extended[:, sure], hints[:, sure], atol=1e-5)
    unsure = hinted((20, 48, 40, 20), confidence=0.5)
    there = unsure[2] > 0
    assert (extend_hints(lightness, unsure)[2][there] > 0.5).all()


def test_no_color_that_nobody_asked_for(lightness: F32) -> None:
    hints = hinted((10, 48, 40, 20), (16, 48, -40, 20), (30, 48, 0, -30))
    extended = extend_hints(lightness, hints)
    for plane, given in zip(extended[:2], hints[:2], strict=True):
        asked = given[hints[2] > 0]
        assert asked.min() - 1e-3 <= plane.min() <= plane.max() <= asked.max() + 1e-3


def test_without_hints_nothing_is_guessed(lightness: F32) -> None:
    hints = np.zeros((3, *SHAPE), np.float32)
    assert extend_hints(lightness, hints) is hints


def test_it_is_gaussian_process_regression(lightness: F32) -> None:
    """Against the formula (Rasmussen and Williams 2006, 2.25), solved in float64 at every pixel."""
    lightness[:] = np.linspace(20, 80, SHAPE[1])  # without texture
    hints = hinted((20, 48, 40, 20), (70, 20, -20, 30), (100, 80, 10, -25))
    centers = np.array([[20, 48], [70, 20], [100, 80]])
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]

    reach = module._REACH * SHAPE[0]
    places = np.stack([x / reach, y / reach, lightness / module._REACH_LIGHTNESS], -1)
    known, everywhere = places[centers[:, 1], centers[:, 0]], places.reshape(-1, 3)

    def kernel(one: NDArray[Any], other: NDArray[Any]) -> NDArray[Any]:
        return np.asarray((1 + ((one[:, None] - other) ** 2).sum(-1) / 8) ** -4)

    # 25 pixels say what ten say: the most that one cell is trusted
    solved = np.linalg.solve(
        kernel(known, known) + module._NOISE * np.eye(3), [[40, 20, 1], [-20, 30, 1], [10, -25, 1]]
    )
    exact = (kernel(everywhere, known) @ solved).reshape(*SHAPE, 3)
    extended = extend_hints(lightness, hints)
    free = hints[2] == 0
    sureness = module._MOST * np.clip(exact[..., 2], 0, 1)
    assert np.abs(extended[2] - sureness)[free].mean() < 0.03
    clear = free & (exact[..., 2] > 0.3)
    error = extended[:2, clear].T - exact[clear][:, :2] / exact[clear][:, 2:]
    assert np.linalg.norm(error, axis=1).mean() < 2


def test_the_texture_of_an_edge_is_that_of_its_sides() -> None:
    steps = np.where(np.arange(128) < 64, 20, 80) + np.zeros(SHAPE)
    assert grid.texture(steps.astype(np.float32)).max() < 0.01
