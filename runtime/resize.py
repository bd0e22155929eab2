"""Between a picture and the network: one shrink of lightness, one enlarge of chroma."""

from fractions import Fraction
from typing import Protocol

import cv2
import numpy as np
from PIL import Image

from .color import F32, U8
from .errors import ArgumentError

LONG_SIDE_LIMIT = 2
"""The long side is at most this many short sides: panoramas are squeezed, color is coarse."""

MAX_SIZE = 2048
"""The largest working size: memory grows with its square, and colors do not get better."""


def working_shape(height: int, width: int, size: int, multiple: int) -> tuple[int, int]:
    """Return the (height, width) at which the network sees a picture of HEIGHT x WIDTH pixels.

    The short side becomes SIZE and the aspect is kept, up to LONG_SIDE_LIMIT; then each side is
    rounded to MULTIPLE, which the network's strides ask for, halves to the even one.
    """
    short = min(height, width)
    sides = (min(side, LONG_SIDE_LIMIT * short) * size for side in (height, width))
    # In fractions: ties are common, and graphs that hold this rule must agree on them.
    h, w = (max(1, round(Fraction(side, short * multiple))) * multiple for side in sides)
    return h, w


class Sized(Protocol):
    """What the size at which a network sees pictures depends on, as ModelInfo has it."""

    @property
    def native_size(self) -> int:
        """Short side in pixels at which it colors best."""

    @property
    def size_multiple(self) -> int:
        """What both sides must be multiples of."""

    @property
    def fixed_size(self) -> tuple[int, int] | None:
        """(H, W), if it takes no other."""


def seen_shape(model: Sized, height: int, width: int, size: int | None = None) -> tuple[int, int]:
    """Return the (height, width) at which MODEL sees a picture, its short side SIZE or its own."""
    if model.fixed_size is not None:
        return model.fixed_size
    return working_shape(height, width, size or model.native_size, model.size_multiple)


def checked_size(model: Sized, size: int | None) -> int:
    """Return the working size that SIZE asks of a model; ArgumentError if it does not take it."""
    fixed = model.fixed_size
    if fixed is not None and size is not None:
        raise ArgumentError(f"size is {size}; this model takes {fixed[1]}x{fixed[0]} alone")
    wanted = model.native_size if size is None else size
    if not model.size_multiple <= wanted <= MAX_SIZE:
        raise ArgumentError(f"size is {wanted}; it must lie in {model.size_multiple}..{MAX_SIZE}")
    return wanted


def shrink(gray: U8, shape: tuple[int, int]) -> U8:
    """Resize 8-bit gray (H, W) to SHAPE with the antialiased triangle filter of training."""
    height, width = shape
    image = Image.fromarray(gray)
    # Rows first, always: each direction rounds to 8 bits, and Pillow's order is its own affair.
    for size in ((width, image.height), (width, height)):
        image = image.resize(size, Image.Resampling.BILINEAR)
    return np.asarray(image)


def shrink_hints(hints: F32, shape: tuple[int, int]) -> F32:
    """Resize hints (3, h, w) to a smaller SHAPE: each pixel gets the mean of what is hinted in it.

    Its confidence is the mean of all of them, so that colors are not mixed with missing ones.
    """
    height, width = shape
    weighed = np.ascontiguousarray(hints.transpose(1, 2, 0))
    weighed[..., :2] *= weighed[..., 2:]
    weighed = np.asarray(cv2.resize(weighed, (width, height), interpolation=cv2.INTER_AREA))
    confidence = weighed[..., 2:]
    known = weighed[..., :2] / np.maximum(confidence, 1e-6)
    return np.concatenate([known, confidence], axis=2, dtype=np.float32).transpose(2, 0, 1)


def enlarge(plane: F32, shape: tuple[int, int], into: F32 | None = None) -> F32:
    """Resize a float plane (h, w) or (h, w, C) to SHAPE, bilinear, corners not aligned.

    INTO, of the right shape, saves an allocation.
    """
    height, width = shape
    resized = cv2.resize(plane, (width, height), into, interpolation=cv2.INTER_LINEAR)
    return np.asarray(resized, np.float32)


def enlarge_rows(plane: F32, shape: tuple[int, int], rows: slice) -> F32:
    """Return those ROWS of `enlarge(plane, shape)`: a whole one of a large photograph is too much.

    PLANE (h, w, C) must have the width of SHAPE already, which costs little: `enlarge` it first.
    """
    height = len(plane)
    y = (np.arange(*rows.indices(shape[0]), dtype=np.float64) + 0.5) * height / shape[0] - 0.5
    y = y.clip(0, height - 1)
    above = np.floor(y).astype(int)
    below = np.minimum(above + 1, height - 1)
    share = (y - above).astype(np.float32)[:, None, None]
    return np.asarray(plane[above] * (1 - share) + plane[below] * share, np.float32)
