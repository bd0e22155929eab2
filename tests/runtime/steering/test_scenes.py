"""Cuts are found, and flashes, dissolves and fast pans are not taken for them."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from colorize.runtime.color import U8
from colorize.runtime.steering.scenes import CutDetector

SIZE = (284, 160)
SAMPLES = Path(__file__).parents[3] / "runtime" / "samples" / "train"


def _cuts(frames: Sequence[U8]) -> list[int]:
    detector = CutDetector()
    return [index for index, gray in enumerate(frames) if detector.is_cut(gray)]


def _pictures() -> list[U8]:
    return [np.asarray(Image.open(path).convert("L")) for path in sorted(SAMPLES.glob("*.jpg"))]


def _shot(picture: U8, seed: int, frames: int, speed: float) -> list[U8]:
    """Move a window over a picture, with motion blur and grain."""
    rng, (width, height) = np.random.default_rng(seed), SIZE
    scale = 1.6 * max(width / picture.shape[1], height / picture.shape[0])
    large = cv2.resize(picture, None, fx=scale, fy=scale)
    room = (large.shape[1] - width, large.shape[0] - height)
    angle, shown = rng.uniform(0, 6.28), []
    x, y = rng.uniform(0, room[0]), rng.uniform(0, room[1])
    dx, dy = speed * np.cos(angle), speed * np.sin(angle)
    for _ in range(frames):
        dx = dx if 0 <= x + dx <= room[0] else -dx
        dy = dy if 0 <= y + dy <= room[1] else -dy
        x, y = np.clip(x + dx, 0, room[0]), np.clip(y + dy, 0, room[1])
        blurred = np.mean(
            [
                cv2.warpAffine(large, np.array([[1, 0, -x - dx * t], [0, 1, -y - dy * t]]), SIZE)
                for t in (0, 0.2, 0.4)
            ],
            axis=0,
        )
        shown.append(np.clip(blurred + rng.normal(0, 2, blurred.shape), 0, 255).astype(np.uint8))
    return shown


def _planted(seed: int, shots: int) -> tuple[list[U8], set[int]]:
    """Return frames of shots, cut or dissolved into each other, some with flashes, and the cuts."""
    rng, pictures = np.random.default_rng(seed), _pictures()
    order = rng.permutation(len(pictures))
    frames, cuts = list[U8](), set[int]()
    for number in range(shots):
        picture = pictures[order[number % len(order)]]
        shot = _shot(picture, seed * 100 + number, 14, speed=rng.choice([0.3, 4, 12]))
        if number % 3 == 1:  # a flash that burns out, and one that does not
            shot[6] = np.clip(shot[6].astype(int) + 200, 0, 255).astype(np.uint8)
            shot[10] = np.clip(shot[10].astype(int) + 50, 0, 255).astype(np.uint8)
        if frames and number % 4 == 3:
            for step in range(6):
                share = (step + 1) / 7
                mixed = frames[step - 6] * (1 - share) + shot[step] * share
                frames[step - 6] = mixed.astype(np.uint8)
            shot = shot[6:]
        elif frames:
            cuts.add(len(frames))
        frames += shot
    return frames, cuts


def _precision_and_recall(seeds: Sequence[int], shots: int) -> tuple[float, float]:
    right = found = planted = 0
    for seed in seeds:
        frames, cuts = _planted(seed, shots)
        seen = set(_cuts(frames))
        right, found, planted = right + len(seen & cuts), found + len(seen), planted + len(cuts)
    return right / found, right / planted


def test_planted_cuts_are_found_and_nothing_else() -> None:
    precision, recall = _precision_and_recall([0], 16)
    assert precision >= 0.85
    assert recall >= 0.9


@pytest.mark.slow
def test_precision_and_recall_of_many_planted_cuts() -> None:
    precision, recall = _precision_and_recall(range(1, 9), 24)
    assert precision >= 0.95
    assert recall >= 0.95


def test_a_detector_goes_on_from_its_state() -> None:
    frames, cuts = _planted(3, 4)
    first = CutDetector()
    before = [index for index in range(20) if first.is_cut(frames[index])]
    second = CutDetector(first.state)
    after = [index for index in range(20, len(frames)) if second.is_cut(frames[index])]
    assert set(before + after) == cuts


@pytest.mark.parametrize("scale", [3, 4.6])
def test_cuts_of_large_frames_are_those_of_small_ones(scale: float) -> None:
    frames, cuts = _planted(3, 4)
    assert set(_cuts(frames)) == cuts
    large = [cv2.resize(frame, None, fx=scale, fy=scale).astype(np.uint8) for frame in frames]
    assert set(_cuts(large)) == cuts


def test_black_white_and_even_frames_are_no_cuts_by_themselves() -> None:
    shot = _shot(_pictures()[0], 0, 4, 1)
    even = [np.full(SIZE[::-1], code, np.uint8) for code in (0, 128, 255)]
    assert _cuts([*shot, *even, *shot]) == []
    assert _cuts([*even, *shot]) == []


@pytest.mark.parametrize("size", [(2, 2), (16, 9), (31, 400), (3000, 40)])
def test_frames_of_any_size_are_taken(size: tuple[int, int]) -> None:
    grays = np.random.default_rng(0).integers(0, 256, (3, *size)).astype(np.uint8)
    assert set(_cuts([*grays, grays[0]])) <= {1, 2, 3}
