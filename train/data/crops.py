"""Photographs as pairs of lightness and chroma, cropped; every draw can be repeated."""

import math
import random
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from PIL import AvifImagePlugin, Image
from torch import Tensor
from torch.utils.data import Dataset, Sampler

from ...runtime.color import U8, gray_to_lightness, rgb_to_gray, rgb_to_lab
from ...runtime.errors import InputError
from ...runtime.photo.decoding import UndecodableError, decoding, limited, open_encoded
from .decoded_cache import DecodedCache
from .degrade import degrade
from .hints import DrawHints
from .photos import as_rgb
from .sources import PhotoFile


def to_tensors(rgb: U8) -> tuple[Tensor, Tensor]:
    """Turn 8-bit (H, W, 3) into L* (1, H, W) and ab (2, H, W), float32, as the runtime would."""
    lightness = gray_to_lightness(rgb_to_gray(rgb))
    ab = rgb_to_lab(rgb)[..., 1:]
    return torch.from_numpy(lightness[None]), torch.from_numpy(
        np.ascontiguousarray(ab.transpose(2, 0, 1))
    )


class Crop(NamedTuple):
    """One training example, or a batch of them, with B before each shape."""

    L: Tensor  # (1, H, W), L* in 0..100
    ab: Tensor  # (2, H, W), the true a*, b*
    hints: Tensor  # (3, H, W), a*, b*, confidence; (0, H, W) where the network takes none


class Draw(NamedTuple):
    """One photograph of an endless training: its index, and the number of the draw."""

    photo: int
    number: int


class EndlessDraws(Sampler[Draw]):
    """Epoch after epoch, each a permutation of its own; the START-th draw is always the same.

    Of every BATCH draws in a row, the process RANK of WORLD gets its share.
    """

    def __init__(
        self,
        photos: int,
        seed: int,
        *,
        start: int = 0,
        batch: int = 1,
        rank: int = 0,
        world: int = 1,
    ) -> None:
        self._photos, self._seed, self._start = photos, seed, start
        share = batch // world
        self._batch, self._mine = batch, range(rank * share, (rank + 1) * share)

    def __iter__(self) -> Iterator[Draw]:
        number = self._start
        while True:
            epoch, first = divmod(number, self._photos)
            order = list(range(self._photos))
            random.Random(f"{self._seed} {epoch}").shuffle(order)
            for photo in order[first:]:
                if number % self._batch in self._mine:
                    yield Draw(photo, number)
                number += 1


class CropDataset(Dataset[Crop]):
    """Square crops: random and mirrored where a SEED is given, central and whole where not.

    Random ones span a share of their photograph's short side, SMALLEST or more; a share DEGRADED of
    them looks old (see degrade.py). HINTS draws those of a crop from a generator of random numbers
    that its draw alone decides.
    """

    def __init__(
        self,
        photos: Sequence[PhotoFile],
        size: int,
        *,
        seed: int | None = None,
        smallest: float = 1.0,
        degraded: float = 0.0,
        cache: DecodedCache | None = None,
        hints: DrawHints | None = None,
    ) -> None:
        self.photos, self.size = photos, size
        self._seed, self._smallest, self._cache = seed, smallest, cache
        self._hints, self._degraded = hints, degraded

    def __len__(self) -> int:
        return len(self.photos)

    def __getitem__(self, draw: Draw | int) -> Crop:
        """Return the crop of a draw: the same draw, the same crop and the same hints.

        InputError if the photograph was damaged or removed since it was indexed.
        """
        photo, number = draw if isinstance(draw, Draw) else (draw, draw)
        rgb = Image.fromarray(self._decoded(photo))
        share, x, y, mirrored = 1.0, 0.5, 0.5, False
        if self._seed is not None:
            chance = random.Random(f"{self._seed} {number}")
            share, x, y = chance.uniform(self._smallest, 1.0), chance.random(), chance.random()
            mirrored = chance.random() < 0.5
        side = min(rgb.size) * share
        left, top = (rgb.width - side) * x, (rgb.height - side) * y
        box = (left, top, left + side, top + side)
        crop = np.asarray(rgb.resize((self.size, self.size), Image.Resampling.BILINEAR, box))
        L, ab = to_tensors(crop[:, ::-1] if mirrored else crop)
        if self._seed is not None and self._degraded:
            looks = np.random.default_rng([self._seed, number, 1])
            if looks.random() < self._degraded:
                L = torch.from_numpy(degrade(L[0].numpy(), looks)[None])
        hints = np.empty((0, self.size, self.size), np.float32)
        if self._hints is not None:
            generator = np.random.default_rng([self._seed or 0, number])
            colors, hints = self._hints(L[0].numpy(), ab.numpy(), generator)
            ab = torch.from_numpy(colors)
        return Crop(L, ab, torch.from_numpy(hints))

    def _decoded(self, index: int) -> U8:
        known = None if self._cache is None else self._cache.get(index)
        if known is not None:
            return known
        short_side = decoded_side(self.size, self._smallest)
        rgb = decode(self.photos[index], short_side)
        if (
            self._cache is not None and min(rgb.shape[:2]) == short_side
        ):  # smaller ones decode quickly
            self._cache.put(index, rgb)
        return rgb


def decoded_side(size: int, smallest: float) -> int:
    """Return the short side to which photographs are decoded for crops of SIZE.

    The smallest crop, of that share of the short side, then still has a pixel for each of its own.
    """
    return math.ceil(size / smallest)


def decode(photo: PhotoFile, short_side: int) -> U8:
    """Return PHOTO as 8-bit sRGB (H, W, 3), shrunk to SHORT_SIDE if it is larger."""
    AvifImagePlugin.DEFAULT_MAX_THREADS = 1  # starting threads takes longer than decoding
    data = photo.read()
    try:
        with limited(), open_encoded(data) as image:
            with decoding():  # JPEG: the next larger of 1/2, 1/4, 1/8
                image.draft("RGB", (short_side, short_side))
            rgb = as_rgb(image)
    except UndecodableError as error:
        raise InputError(f"{photo.title}: has been damaged since it was indexed") from error
    scale = short_side / min(rgb.size)
    if scale < 1:
        shape = (round(rgb.width * scale), round(rgb.height * scale))
        rgb = rgb.resize(shape, Image.Resampling.BILINEAR)
    return np.asarray(rgb)
