"""A small gray photograph, and lightness as another library computes it."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from skimage.color import rgb2lab

from colorize.runtime.photo.photo import Photo

Samples = NDArray[Any]
SAVED = Path("in")
MAKER, TAKEN, LATITUDE, ORIENTATION = 0x10F, 0x9003, 2, 0x112


def lightness(codes: Samples) -> NDArray[np.float64]:
    values = codes / np.iinfo(codes.dtype).max
    rgb = np.dstack([values] * 3) if codes.ndim == 2 else values[..., :3]
    return np.asarray(rgb2lab(rgb)[..., 0])


def check(photo: Photo, wanted: Samples, most: float = 0.3) -> None:
    """PHOTO has the lightness of WANTED, gray (H, W) or RGB of 8 or 16 bits."""
    assert photo.codes.shape == (*wanted.shape[:2], 3)
    assert np.abs(lightness(photo.codes) - lightness(wanted)).max() <= most


def packed(rows: Samples, bits: int) -> bytes:
    """Pack rows of values into BITS each; every row begins at a byte."""
    if bits == 16:
        return rows.astype("<u2").tobytes()
    places = np.arange(bits - 1, -1, -1)
    unpacked = (rows[..., None].astype(np.uint32) >> places) & 1
    return np.packbits(unpacked.reshape(len(rows), -1).astype(np.uint8), axis=1).tobytes()
