"""Color profiles (ICC): other RGB color spaces than sRGB, to linear light and back.

In floating point and unbounded: 8-bit sRGB between would lose steps, and colors that sRGB lacks
would lose their lightness.
"""

from functools import cache
from typing import Any

import numpy as np

from ..color import F32, Codes, rgb_to_linear, srgb_to_linear, to_codes

_RELATIVE_COLORIMETRIC = 1  # ICC.1:2022, section 7.2.15
_SAME = 0.5 / 255  # sRGB profiles differ from each other by less


def to_linear(codes: Codes, profile: bytes | None) -> F32:
    """Return linear light of sRGB's primaries for RGB codes (H, W, 3) in PROFILE (None: sRGB)."""
    if profile is None:
        return rgb_to_linear(codes)
    return srgb_to_linear(_transform(codes, profile, _srgb()))


def from_srgb(rgb: F32, profile: bytes | None, dtype: np.dtype[Any]) -> Codes:
    """Return the codes in PROFILE (None: sRGB) of sRGB-encoded (H, W, 3) in 0..1."""
    return to_codes(rgb if profile is None else _transform(rgb, _srgb(), profile), dtype)


def gray_to_srgb(codes: Codes, profile: bytes) -> Codes:
    """Return sRGB (H, W, 3), as deep, for codes (H, W) in a gray PROFILE; ValueError if damaged."""
    try:
        return to_codes(_transform(codes, profile, _srgb(), space="gray"), codes.dtype)
    except RuntimeError as error:
        raise ValueError(str(error)) from error


def cmyk_to_srgb(inks: Codes, profile: bytes) -> Codes:
    """Return sRGB (H, W, 3), as deep, for inks (H, W, 4) in a CMYK PROFILE; ValueError as above."""
    try:
        return to_codes(_transform(inks, profile, _srgb(), space="cmyk"), inks.dtype)
    except RuntimeError as error:
        raise ValueError(str(error)) from error


def is_srgb(profile: bytes) -> bool:
    """Return whether an RGB profile is sRGB; ValueError if it cannot be used there and back."""
    levels = np.arange(0, 256, 17, dtype=np.uint8)
    codes = np.stack(np.meshgrid(levels, levels, levels), axis=-1).reshape(16, -1, 3)
    try:
        rgb = _transform(codes, profile, _srgb())
        _transform(rgb, _srgb(), profile)
    except RuntimeError as error:
        raise ValueError(str(error)) from error
    return bool(np.abs(rgb - codes / np.float32(255)).max() < _SAME)


def _transform(values: Codes | F32, source: bytes, target: bytes, space: str = "rgb") -> F32:
    import imagecodecs  # here: most photographs need none of it

    result: F32 = imagecodecs.cms_transform(
        np.ascontiguousarray(values),
        source,
        target,
        colorspace=space,
        outcolorspace="rgb",
        outdtype="float32",
        intent=_RELATIVE_COLORIMETRIC,
    )
    return result


@cache
def _srgb() -> bytes:
    import imagecodecs

    return bytes(imagecodecs.cms_profile("srgb"))
