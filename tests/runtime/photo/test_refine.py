"""Chroma along the edges of lightness: right where lightness tells, harmless where it does not."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from skimage.color import rgb2lab

from colorize.runtime.color import F32
from colorize.runtime.files import photo_files
from colorize.runtime.models.catalog import SAMPLES
from colorize.runtime.photo import photo as photo_module
from colorize.runtime.photo.photo import Photo, apply_chroma
from colorize.runtime.photo.reader import read_photo
from colorize.runtime.photo.refine import slopes

PHOTOS = sorted(photo_files(SAMPLES / "test"))


def _small(plane: F32, shape: tuple[int, int]) -> F32:
    planes = plane.astype(np.float32)
    resized = Image.fromarray(planes).resize(shape[::-1], Image.Resampling.BILINEAR)
    return np.asarray(resized)


def _true_small(photo: Photo) -> tuple[F32, F32]:
    """Return L* (h, w) and the true ab (h, w, 2) at an eighth of the size."""
    lab = rgb2lab(photo.rgb)
    shape = (len(lab) // 8, lab.shape[1] // 8)
    planes = [_small(lab[..., channel], shape) for channel in range(3)]
    return planes[0], np.dstack(planes[1:])


def _decibels(photo: Photo, colored: Photo) -> float:
    error = (colored.rgb.astype(float) - photo.rgb) ** 2
    return float(10 * np.log10(255**2 / error.mean()))


def test_slopes_are_those_of_a_line() -> None:
    lightness = np.random.default_rng(1).uniform(0, 100, (20, 30)).astype(np.float32)
    ab = np.dstack([0.5 * lightness + 3, -0.2 * lightness]).astype(np.float32)
    inner = slopes(lightness, ab)[2:-2, 2:-2].reshape(-1, 2)
    np.testing.assert_allclose(inner.mean(axis=0), (0.5, -0.2), rtol=0.2)  # drawn to 0 by noise
    assert np.all(inner[:, 0] < 0.5)


def test_flat_lightness_has_no_slope() -> None:
    flat = np.full((9, 9), 50, np.float32)
    ab = np.random.default_rng(1).uniform(-60, 60, (9, 9, 2)).astype(np.float32)
    np.testing.assert_allclose(slopes(flat, ab), 0, atol=0.05)


def test_true_colors_come_nearer_to_the_truth() -> None:
    gains = []
    for path in PHOTOS:
        photo = read_photo(path)
        lightness, ab = _true_small(photo)
        plain, refined = apply_chroma(photo, ab), apply_chroma(photo, ab, lightness=lightness)
        gains.append(_decibels(photo, refined) - _decibels(photo, plain))
    assert np.mean(gains) > 0.2


@pytest.mark.parametrize("path", PHOTOS[:3], ids=lambda path: path.stem)
def test_lightness_is_kept(path: Path) -> None:
    photo = read_photo(path)
    lightness, _ = _true_small(photo)
    ab = np.random.default_rng(1).uniform(-110, 110, (*lightness.shape, 2)).astype(np.float32)
    refined = apply_chroma(photo, ab, lightness=lightness)
    assert np.abs(rgb2lab(refined.rgb)[..., 0] - rgb2lab(photo.rgb)[..., 0]).max() <= 0.3


def test_strips_are_the_whole(photo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read = read_photo(photo)
    lightness, ab = _true_small(read)
    whole = apply_chroma(read, ab, lightness=lightness).codes
    monkeypatch.setattr(photo_module, "_STRIP_PIXELS", 5000)
    np.testing.assert_array_equal(apply_chroma(read, ab, lightness=lightness).codes, whole)
