"""A decoded photograph, and its colors at full size."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..color import (
    F32,
    U8,
    Codes,
    Depth,
    lab_to_rgb,
    linear_to_gray,
    linear_to_lightness,
    linear_to_srgb,
    to_bytes,
)
from ..resize import enlarge, enlarge_rows
from .icc import from_srgb, to_linear
from .refine import slopes

_STRIP_PIXELS = 1 << 17  # full-size color is computed in strips that fit the CPU's caches


@dataclass(frozen=True)
class Photo:
    """A decoded photograph, upright."""

    codes: Codes  # (H, W, 3), 8 or 16 bits, in the color space of `profile`
    alpha: Codes | None = None  # (H, W), as many bits
    profile: bytes | None = None  # ICC, of RGB; None: sRGB
    pictures: int = 1  # in the file; the first is read
    tags: dict[str, Any] = field(default_factory=dict)  # EXIF, DPI, ICC: options of Pillow's save
    form: str = ""  # Pillow's name of the format
    jpeg_quality: int = 0  # 0..100, of the file it was read from
    lossless: bool = False  # the file it was read from, of a format that can be either
    remarks: tuple[str, ...] = ()  # what reading changed or left out, for the user

    @property
    def rgb(self) -> U8:
        """8-bit sRGB (H, W, 3)."""
        if self.profile is None and self.codes.dtype == np.uint8:
            return self.codes.astype(np.uint8, copy=False)
        rgb = np.empty(self.codes.shape, np.uint8)
        for strip in strips(self.codes):
            rgb[strip] = to_bytes(linear_to_srgb(to_linear(self.codes[strip], self.profile)))
        return rgb

    def gray(self, threads: int = 1) -> U8:
        """Return the 8-bit gray (H, W) of equal lightness, which is what networks see."""
        gray = np.empty(self.codes.shape[:2], np.uint8)

        def fill(strip: slice) -> None:
            gray[strip] = linear_to_gray(to_linear(self.codes[strip], self.profile))

        _each_strip(self.codes, fill, threads)
        return gray


def strips(picture: Codes) -> Iterator[slice]:
    """Yield slices of rows of (H, W, 3): float planes of a whole photograph are too large."""
    height, width = picture.shape[:2]
    rows = max(1, _STRIP_PIXELS // width)
    for top in range(0, height, rows):
        yield slice(top, top + rows)


def _each_strip(picture: Codes, work: Callable[[slice], None], threads: int) -> None:
    """Call WORK with each of the strips of PICTURE, in at most THREADS at once."""
    parts = list(strips(picture))
    if min(threads, len(parts)) < 2:
        for strip in parts:
            work(strip)
        return
    with ThreadPoolExecutor(min(threads, len(parts))) as pool:
        for _ in pool.map(work, parts):
            pass  # a failure of one is raised here


def apply_chroma(
    photo: Photo,
    ab: F32,
    saturation: float = 1.0,
    lightness: F32 | None = None,
    threads: int = 1,
) -> Photo:
    """Give the exact lightness of PHOTO the chroma AB (h, w, 2), enlarged to its size.

    Chroma is multiplied by SATURATION first. Depth and color space stay the photograph's. With
    LIGHTNESS, L* (h, w) of the small size, color follows the edges of the full size: see refine.
    THREADS change the time that it takes, and nothing else.
    """
    height, width = photo.codes.shape[:2]
    planes = ab * np.float32(saturation)
    if lightness is not None:
        planes = np.dstack([planes, lightness, slopes(lightness, planes)])
    wide = enlarge(planes, (len(ab), width))
    codes = np.empty_like(photo.codes)

    def fill(strip: slice) -> None:
        exact = linear_to_lightness(to_linear(photo.codes[strip], photo.profile))
        rows = enlarge_rows(wide, (height, width), strip)
        chroma = rows[..., :2]
        if lightness is not None:
            chroma = chroma + rows[..., 3:] * (exact - rows[..., 2])[..., None]
        lab = np.dstack([exact, chroma])
        codes[strip] = from_srgb(lab_to_rgb(lab), photo.profile, codes.dtype)

    _each_strip(codes, fill, threads)
    return replace(photo, codes=codes)


def join(rgb: NDArray[Depth], ab: F32, saturation: float = 1.0) -> NDArray[Depth]:
    """Return `color` of sRGB (H, W, 3), 8 or 16 bits, as an array like it."""
    return apply_chroma(Photo(rgb), ab, saturation).codes.astype(rgb.dtype, copy=False)
