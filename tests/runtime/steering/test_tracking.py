"""Colors follow what they belong to; where they are doubtful, they weigh less."""

import itertools
from copy import copy
from functools import partial

import numpy as np
import pytest
from helpers.scenes import GROUND, SQUARE, scene, texture
from numpy.typing import NDArray

from colorize.runtime.color import (
    F32,
    U8,
    gray_to_lightness,
    rgb_to_gray,
    rgb_to_lab,
    to_bytes,
)
from colorize.runtime.steering.blending import blend, merged
from colorize.runtime.steering.carrier import Carrier
from colorize.runtime.steering.lookahead import Outlook
from colorize.runtime.steering.motion import Motion, Step, measure, pixel_grid
from colorize.runtime.steering.tracking import Carried, Move, ReferencePlanes, Tracker, stated

FRAMES = 16


@pytest.fixture(scope="module")
def rgbs() -> list[U8]:
    return list(scene(0, FRAMES))


def _reference(rgb: U8, alpha: float = 1.0) -> ReferencePlanes:
    gray = rgb_to_gray(rgb)
    return ReferencePlanes(gray, rgb_to_lab(rgb)[..., 1:], np.full(gray.shape, alpha, np.float32))


def _carried(
    rgbs: list[U8], *, forward: bool = True, steady: bool = True, noise: float = 0.0
) -> list[Carried]:
    """Return what the first frame gives to the others, or the last if not FORWARD.

    NOISE is the standard deviation of what is added to their grays.
    """
    frames, chance = rgbs if forward else rgbs[::-1], np.random.default_rng(0)
    clean = np.stack([rgb_to_gray(rgb) for rgb in frames])
    grays = list((clean + chance.normal(0, noise, clean.shape)).clip(0, 255).astype(np.uint8))
    tracker, carried = Tracker(_reference(frames[0]), steady=steady), []
    for before, gray in itertools.pairwise(grays):
        motion = measure(before, gray) if forward else measure(gray, before)
        step = Step.of(motion, (gray.shape[0], gray.shape[1]), forward=forward)
        carried.append(tracker.step(Move.of(before, gray, step)))
    return carried


def _square(index: int) -> NDArray[np.bool_]:
    inside = np.zeros((96, 144), np.bool_)
    inside[30:66, 20 + 2 * index : 56 + 2 * index] = True
    return inside


@pytest.mark.parametrize("forward", [True, False])
def test_colors_follow_a_thing_that_moves(rgbs: list[U8], *, forward: bool) -> None:
    last = _carried(rgbs, forward=forward)[-1]
    inside = _square(FRAMES - 1 if forward else 0)
    np.testing.assert_allclose(np.median(last.ab[inside], axis=0), SQUARE, atol=2)
    np.testing.assert_allclose(np.median(last.ab[~inside], axis=0), GROUND, atol=2)
    wrong = np.hypot(*np.moveaxis(last.ab - np.where(inside[..., None], SQUARE, GROUND), -1, 0))
    assert (wrong > 20).mean() < 0.08


def test_what_was_outside_of_the_reference_weighs_less() -> None:
    wide = np.hstack([texture(0, 20, 80), texture(1, 20, 80)])
    rgbs = [
        to_bytes(np.dstack([wide[:, 3 * index : 3 * index + 144] / 100] * 3))
        for index in range(FRAMES)
    ]
    last = _carried(rgbs)[-1]
    entered = 3 * (FRAMES - 1)
    assert np.median(last.weight[:, -entered + 4 :]) < 0.3 * np.median(last.weight[:, :-entered])


def test_weight_falls_with_time(rgbs: list[U8]) -> None:
    weights = [float(np.median(carried.weight)) for carried in _carried(rgbs)]
    assert weights[0] > 1.5 * weights[-1]
    assert all(now >= later * 0.95 for now, later in zip(weights, weights[2:], strict=False))


def test_weights_hold_still_from_frame_to_frame(rgbs: list[U8]) -> None:
    jumps = []
    for steady in (False, True):
        carried = _carried(rgbs, steady=steady, noise=2)
        pairs = itertools.pairwise(np.log(each.weight) for each in carried)
        jumps.append(np.mean([np.abs(now - before).mean() for before, now in pairs]))
    assert jumps[1] < 0.6 * jumps[0]


def test_what_the_model_adds_holds_still_too(rgbs: list[U8]) -> None:
    reference, still = _reference(rgbs[0]), Motion(*[np.zeros((48, 72, 2), np.float16)] * 2)
    reference.alpha[:, 72:] = 0  # the model decides
    gray, jumps = reference.gray, []
    for steady in (False, True):
        outlooks = [
            Outlook(gray, False, None, still if index else None, None if index else reference, None)
            for index in range(8)
        ]
        carrier = Carrier(iter([partial(copy, each) for each in outlooks]), {}, steady=steady)
        shown = []
        for index in range(len(outlooks)):
            assert not carrier.begins_scene(gray)
            answer = _flat(10 + 3 * (index % 2), 20)
            shown.append(carrier.colors(gray_to_lightness(gray), answer)[1][:, 100:])
        jumps.append(np.mean([np.abs(b - a).mean() for a, b in itertools.pairwise(shown)]))
    assert jumps[0] > 1
    assert jumps[1] < 0.3 * jumps[0]


def test_a_tracker_goes_on_exactly_from_its_places(rgbs: list[U8]) -> None:
    grays = [rgb_to_gray(rgb) for rgb in rgbs]
    first = Tracker(_reference(rgbs[0]))
    for number in range(1, 6):
        step = Step.of(measure(grays[number - 1], grays[number]), (96, 144), forward=True)
        second = Tracker(_reference(rgbs[0]), first.places.copy(), first.last)
        whole = first.step(Move.of(grays[number - 1], grays[number], step))
        again = second.step(Move.of(grays[number - 1], grays[number], step))
        np.testing.assert_array_equal(whole.ab, again.ab)
        np.testing.assert_array_equal(whole.weight, again.weight)


def test_a_step_leads_to_where_pixels_were() -> None:
    shift = np.full((48, 72, 2), (3 / 144, -2 / 96), np.float16)
    step = Step.of(Motion(shift, -shift), (96, 144), forward=True)
    x, y = pixel_grid((96, 144))
    np.testing.assert_allclose(step.x - x, 3, atol=0.02)
    np.testing.assert_allclose(step.y - y, -2, atol=0.02)
    assert step.miss.max() < 0.01
    assert step.outside.mean() == pytest.approx(1 - (141 / 144) * (94 / 96), abs=0.01)
    back = Step.of(Motion(shift, -shift), (96, 144), forward=False)
    np.testing.assert_allclose(back.x - x, -3, atol=0.02)


def _flat(a: float, b: float) -> F32:
    return np.full((96, 144, 2), (a, b), np.float32)


def _weights(value: float) -> F32:
    return np.full((96, 144), value, np.float32)


def test_colors_are_merged_by_their_weights() -> None:
    both = merged([Carried(_flat(10, 0), _weights(3)), Carried(_flat(-10, 8), _weights(1))])
    np.testing.assert_allclose(both.ab, _flat(5, 2), atol=1e-4)
    np.testing.assert_allclose(both.weight, 4)


def test_a_reference_is_the_truth_of_its_own_frame(rgbs: list[U8]) -> None:
    reference, lightness = _reference(rgbs[0]), gray_to_lightness(rgb_to_gray(rgbs[0]))
    ab = blend(lightness, _flat(0, 0), [stated(reference)])
    np.testing.assert_allclose(ab, reference.ab, atol=0.1)


def test_where_a_reference_is_transparent_the_model_decides(rgbs: list[U8]) -> None:
    lightness = gray_to_lightness(rgb_to_gray(rgbs[0]))
    ab = blend(lightness, _flat(7, -9), [stated(_reference(rgbs[0], alpha=0))])
    np.testing.assert_allclose(ab, _flat(7, -9), atol=1e-3)


def test_corrections_reach_what_looks_alike_nearby(rgbs: list[U8]) -> None:
    """Half of the square is known; the model's answer for the rest of it moves most of the way."""
    lightness = gray_to_lightness(rgb_to_gray(rgbs[0]))
    truth = rgb_to_lab(rgbs[0])[..., 1:]
    model = truth * np.float32(0.3)
    known, weight = _square(0), np.zeros((96, 144), np.float32)
    known[:, 38:] = False
    weight[known] = 1
    ab = blend(lightness, model, [Carried(truth, weight)])
    rest = _square(0) & ~known
    before, after = (np.abs((planes - truth)[rest]).mean() for planes in (model, ab))
    assert after < 0.6 * before
