"""What networks are shown for a proof: sample photographs, for some of them with hints."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from ...runtime.color import F32, U8, gray_to_lightness
from ...runtime.files import photo_files
from ...runtime.models.catalog import SAMPLES
from ...runtime.models.contract import HINTS, INPUT
from ...runtime.photo.reader import read_photo
from ...runtime.resize import Sized, seen_shape, shrink, working_shape

PHOTOS = 6
SIZES = (64, 128, 192)  # short sides in pixels, the smallest also in a batch

Batch = tuple[F32, ...]
"""The inputs of a network: L* (N, 1, H, W); of one that takes hints those too (N, 3, H, W)."""


def named(batch: Batch) -> dict[str, F32]:
    """Return the arrays of BATCH by the contract's names."""
    return dict(zip((INPUT, HINTS), batch, strict=False))


def sample_batches(
    multiple: int, sizes: Sequence[int] = SIZES, photos: int = PHOTOS, *, hints: bool = False
) -> list[Batch]:
    """Return batches of sample photographs: each size alone, the smallest in a batch.

    With HINTS every size is seen with none, a few, and dense ones.
    """
    alone = [
        lightness_of(gray, working_shape(gray.shape[0], gray.shape[1], size, multiple))
        for gray in map(gray_of, sample_files(photos))
        for size in sizes
    ]
    turns = (index // len(sizes) + index % len(sizes) for index in range(len(alone)))
    batches = [_batch(L, turn, hints=hints) for L, turn in zip(alone, turns, strict=True)]
    return [*batches, square_batch(multiple, min(sizes), photos, hints=hints)]


def square_batch(multiple: int, size: int, photos: int = PHOTOS, *, hints: bool = False) -> Batch:
    """Return a batch of PHOTOS squares of side SIZE, which is rounded to MULTIPLE."""
    shape = working_shape(1, 1, size, multiple)
    lightness = np.concatenate(
        [lightness_of(gray_of(path), shape) for path in sample_files(photos)]
    )
    return _batch(lightness, 0, hints=hints)


def seen_batches(photographs: Sequence[Path], model: Sized, *, hints: bool) -> list[Batch]:
    """Return each of PHOTOGRAPHS as MODEL sees it; HINTS: in turn none, a few, and dense ones."""
    grays = map(gray_of, photographs)
    lightness = [lightness_of(gray, seen_shape(model, *gray.shape)) for gray in grays]
    return [_batch(L, turn, hints=hints) for turn, L in enumerate(lightness)]


def _batch(lightness: F32, turn: int, *, hints: bool) -> Batch:
    if not hints:
        return (lightness,)
    count, _, height, width = lightness.shape
    drawn = [_hints((height, width), turn + picture) for picture in range(count)]
    return lightness, np.stack(drawn)


def _hints(shape: tuple[int, int], turn: int) -> F32:
    """Return hints (3, *SHAPE) of strong colors: none, a few squares, or most of the picture."""
    chance = np.random.default_rng(turn)
    hints = np.zeros((3, *shape), np.float32)
    if turn % 3 == 1:
        side = max(1, round(min(shape) / 36))
        for _ in range(8):
            top, left = (chance.integers(0, length - side) for length in shape)
            color = np.array([*chance.uniform(-60, 60, 2), 1])
            hints[:, top : top + side, left : left + side] = color[:, None, None]
    elif turn % 3 == 2:
        coarse = chance.uniform(-1, 1, (6, 6, 3)).astype(np.float32)
        fields = cv2.resize(coarse, shape[::-1], interpolation=cv2.INTER_CUBIC).transpose(2, 0, 1)
        hints[2] = np.clip(0.5 + fields[2], 0, 1)
        hints[:2] = 60 * fields[:2] * (hints[2] > 0)
    return hints


def sample_files(photos: int | None = None) -> list[Path]:
    """Return PHOTOS sample photographs on which nothing was trained or calibrated; None: all."""
    return photo_files(SAMPLES / "test")[:photos]


def gray_of(photograph: Path) -> U8:
    """Return PHOTOGRAPH as 8-bit gray (H, W)."""
    return read_photo(photograph).gray()


def lightness_of(gray: U8, shape: tuple[int, int]) -> F32:
    """Return L* (1, 1, *SHAPE) of a gray (H, W), shrunk as the runtime does."""
    return gray_to_lightness(shrink(gray, shape))[None, None]
