"""JPEG files whose end is missing."""

import io

import numpy as np
from PIL import Image

from .decoding import UndecodableError, decoding

_END = b"\xff\xd9"


def without_end(content: bytes) -> tuple[Image.Image, str]:
    """Decode a JPEG file whose end is missing; return it and what is to be said.

    Decoders fill what is missing with gray. It is found by decoding once more with noise in its
    place: whatever comes out the same was there.
    """
    noise = np.random.default_rng(0).integers(0, 255, 1 << 16, np.uint8).tobytes()
    pictures = []
    for filling in (b"", noise):
        with decoding():
            pictures.append(Image.open(io.BytesIO(content + filling + _END)))
            pictures[-1].load()
    filled, other = (np.asarray(picture) for picture in pictures)
    differs = (filled != other).reshape(*filled.shape[:2], -1).any(axis=2)
    rows = np.flatnonzero(differs.any(axis=1))
    if not rows.size:
        return pictures[0], "its end is missing, but nothing of the picture"
    top, band = rows[0], 8  # the smallest block of coefficients
    left = np.flatnonzero(differs[top : top + band].any(axis=0))[0]
    height, width = differs.shape
    missing = max(1, (height - top) * width - min(band, height - top) * left)
    share = 100 * missing / differs.size
    if share > 99:
        raise UndecodableError("all of the picture is missing")
    shown = f"{share:.0f}%" if share >= 1 else "less than 1%"
    lost = filled[top + 2 * band :]
    if lost.size and np.ptp(lost.reshape(-1, lost[0, 0].size), axis=0).max() > 2:
        return pictures[0], f"its end is missing: {shown} of it is coarser than it was"
    return pictures[0], f"{shown} of it was missing and is gray"
