"""Color: sRGB, CIELAB (D65) and Y'CbCr, in one place for training, running and measuring.

Sources: IEC 61966-2-1 (sRGB), CIE 15:2004 (CIELAB), ITU-R BT.601, BT.709 and BT.2020 (Y'CbCr).
Arrays hold the channels last. "Gray" is always an sRGB-encoded gray value, 0..255.
"""

from functools import cache
from typing import Any, Literal, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

U8 = NDArray[np.uint8]
U16 = NDArray[np.uint16]
Codes = NDArray[np.uint8 | np.uint16]  # sample values, 0 to the type's largest
Depth = TypeVar("Depth", np.uint8, np.uint16)
F32 = NDArray[np.float32]
Matrix = Literal["bt601", "bt709", "bt2020"]

# IEC 61966-2-1, linear RGB to XYZ; D65 is this matrix' own white, so that grays have a* = b* = 0.
_RGB_TO_XYZ = np.array(
    [
        [0.4124564, 0.3575761, 0.1804375],
        [0.2126729, 0.7151522, 0.0721750],
        [0.0193339, 0.1191920, 0.9503041],
    ]
)
_WHITE = _RGB_TO_XYZ.sum(axis=1)
# Between linear RGB and XYZ of white 1, 1, 1. Public names are for graphs that hold these formulas.
TO_XYZ = (_RGB_TO_XYZ / _WHITE[:, None]).astype(np.float32)
FROM_XYZ = np.linalg.inv(_RGB_TO_XYZ / _WHITE[:, None]).astype(np.float32)

# IEC 61966-2-1: below the knee a line, above it a power.
SRGB_SLOPE, SRGB_OFFSET, SRGB_GAMMA = 12.92, 0.055, 2.4
ENCODED_KNEE, LINEAR_KNEE = 0.04045, 0.0031308
# CIE 15: the cube root is a line below the cube of this.
LAB_KNEE = 6 / 29

# How far a linear value may leave 0..1 and still count as inside the gamut (float32 noise).
GAMUT_SLACK = 1e-5
# 2^-10 of a chroma of 100 is 0.1: no eye sees less.
GAMUT_STEPS = 10

_LUMA_WEIGHTS: dict[Matrix, tuple[float, float]] = {  # Kr, Kb
    "bt601": (0.299, 0.114),
    "bt709": (0.2126, 0.0722),
    "bt2020": (0.2627, 0.0593),
}


def srgb_to_linear(encoded: F32) -> F32:
    """Decode sRGB values in 0..1 to linear light in 0..1."""
    low = encoded / SRGB_SLOPE
    high = ((np.maximum(encoded, 0) + SRGB_OFFSET) / (1 + SRGB_OFFSET)) ** SRGB_GAMMA
    return np.where(encoded <= ENCODED_KNEE, low, high).astype(np.float32)


def linear_to_srgb(linear: F32) -> F32:
    """Encode linear light in 0..1 to sRGB values in 0..1."""
    encoded = np.maximum(linear, LINEAR_KNEE) ** (1 / SRGB_GAMMA)
    encoded = np.asarray((1 + SRGB_OFFSET) * encoded - SRGB_OFFSET)  # one value is no array
    np.copyto(encoded, linear * SRGB_SLOPE, where=linear <= LINEAR_KNEE)
    return encoded.astype(np.float32, copy=False)


@cache
def _linear_of_code(largest: int) -> F32:
    return srgb_to_linear(np.arange(largest + 1, dtype=np.float32) / np.float32(largest))


@cache
def _lightness_of_byte() -> F32:
    return (116 * _lab_curve(_linear_of_code(255)) - 16).astype(np.float32)


def _lab_curve(t: F32) -> F32:
    line = t / (3 * LAB_KNEE**2) + 4 / 29
    return np.where(t > LAB_KNEE**3, np.cbrt(t), line).astype(np.float32)


def _lab_curve_inverse(f: F32) -> F32:
    cubed = np.asarray(f * f * f)  # one value is no array
    np.copyto(cubed, 3 * LAB_KNEE**2 * (f - 4 / 29), where=f <= LAB_KNEE)
    return cubed.astype(np.float32, copy=False)


def rgb_to_linear(rgb: Codes) -> F32:
    """Return linear light in 0..1 of 8- or 16-bit sRGB, of any shape."""
    return _linear_of_code(int(np.iinfo(rgb.dtype).max))[rgb]


def rgb_to_lab(rgb: Codes) -> F32:
    """Convert 8- or 16-bit sRGB (..., 3) to CIELAB: L* in 0..100, a*, b* about -110..110."""
    f = _lab_curve(rgb_to_linear(rgb) @ TO_XYZ.T)
    x, y, z = f[..., 0], f[..., 1], f[..., 2]
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=-1)


def rgb_to_lightness(rgb: Codes) -> F32:
    """Return L* (...) in 0..100 of 8- or 16-bit sRGB (..., 3)."""
    return linear_to_lightness(rgb_to_linear(rgb))


def linear_to_lightness(linear: F32) -> F32:
    """Return L* (...) of linear light (..., 3), which may leave 0..1 where sRGB ends."""
    return (116 * _lab_curve(np.maximum(linear @ TO_XYZ[1], 0)) - 16).astype(np.float32)


def rgb_to_gray(rgb: Codes) -> U8:
    """Return the 8-bit gray (...) that has the lightness of 8- or 16-bit sRGB (..., 3)."""
    return linear_to_gray(rgb_to_linear(rgb))


def linear_to_gray(linear: F32) -> U8:
    """Return the 8-bit gray (...) that has the lightness of linear light (..., 3)."""
    return to_bytes(linear_to_srgb(linear @ TO_XYZ[1]))


def gray_to_lightness(gray: U8) -> F32:
    """Return L* in 0..100 of an 8-bit gray, of any shape."""
    return _lightness_of_byte()[gray]


def to_bytes(unit: F32) -> U8:
    """Round values in 0..1 to 0..255, clipping what lies outside."""
    rounded: U8 = np.clip(unit * 255 + 0.5, 0, 255).astype(np.uint8)
    return rounded


def to_codes(unit: F32, dtype: np.dtype[Any]) -> Codes:
    """Round values in 0..1 to the codes of DTYPE, uint8 or uint16, clipping what lies outside."""
    if dtype == np.uint8:
        return to_bytes(unit)
    rounded: U16 = np.clip(unit * np.float32(65535) + 0.5, 0, 65535).astype(np.uint16)
    return rounded


def lab_to_rgb(lab: F32) -> F32:
    """Convert CIELAB (..., 3) to sRGB (..., 3) in 0..1.

    A color that sRGB cannot show is scaled toward gray at constant L* and hue; clipping the
    channels instead would move L* by up to 5 units.
    """
    # Plane by plane: NumPy takes several times as long along an axis of three.
    planes = (np.ascontiguousarray(lab[..., index]) for index in range(3))
    return np.stack(list(lab_planes_to_rgb(*planes)), axis=-1)


def lab_planes_to_rgb(lightness: F32, a: F32, b: F32) -> F32:
    """Return `lab_to_rgb` of three planes as planes (3, ...)."""
    linear = _lab_to_linear(lightness, a, b)
    outside = ~_in_gamut(linear)
    if outside.any():
        linear[:, outside] = _scaled_into_gamut(lightness[outside], a[outside], b[outside])
    return linear_to_srgb(np.clip(linear, 0, 1))


def in_gamut(lightness: F32, a: F32, b: F32) -> NDArray[np.bool_]:
    """Return whether sRGB can show each color of three planes (...)."""
    return _in_gamut(_lab_to_linear(lightness, a, b))


def _lab_to_linear(lightness: F32, a: F32, b: F32) -> F32:
    """Return linear R, G, B (3, ...), which leave 0..1 where the colors are out of gamut."""
    y = _y_curve(lightness)
    xyz = _lab_curve_inverse(np.stack([y + a / 500, y, y - b / 200]))
    return np.tensordot(FROM_XYZ, xyz, 1).astype(np.float32, copy=False)


def _y_curve(lightness: F32) -> F32:
    """Return what the curve of CIELAB has for Y (...)."""
    return np.asarray((np.clip(lightness, 0, 100) + 16) / 116, np.float32)


def _in_gamut(linear: F32) -> NDArray[np.bool_]:
    """Return whether sRGB can show each color (3, ...)."""
    inside: NDArray[np.bool_] = np.all(
        (linear >= -GAMUT_SLACK) & (linear <= 1 + GAMUT_SLACK), axis=0
    )
    return inside


def _scaled_into_gamut(lightness: F32, a: F32, b: F32) -> F32:
    """Return linear R, G, B (3, N) of colors (N) at the largest chroma that sRGB can show.

    The scale, in 0..1, is bisected; gray, scale 0, it always can show.
    """
    y = _y_curve(lightness)
    xyz = np.empty((3, len(a)), np.float32)
    xyz[1] = _lab_curve_inverse(y)

    def linear_at(scale: F32) -> F32:  # as _lab_to_linear, but Y is computed once
        xyz[0] = _lab_curve_inverse(np.asarray(y + a * scale / 500, np.float32))
        xyz[2] = _lab_curve_inverse(np.asarray(y - b * scale / 200, np.float32))
        return np.asarray(np.dot(FROM_XYZ, xyz), np.float32)

    scale, step = np.zeros_like(a), np.float32(1)
    for _ in range(GAMUT_STEPS):
        step *= np.float32(0.5)
        tried = scale + step
        np.copyto(scale, tried, where=_in_gamut(linear_at(tried)))
    return linear_at(scale)


def rgb_to_chroma(rgb: F32, matrix: Matrix, *, full_range: bool, depth: int = 8) -> F32:
    """Convert sRGB-encoded planes (3, ...) in 0..1 to Cb, Cr (2, ...) in code values of DEPTH bits.

    Values are not rounded; limited range spans 224 of 255 steps (BT.709, section 4).
    """
    kr, kb = _LUMA_WEIGHTS[matrix]
    r, g, b = rgb
    luma = kr * r + (1 - kr - kb) * g + kb * b
    span = (2**depth - 1) if full_range else 224 * 2 ** (depth - 8)
    cb = (b - luma) / (2 * (1 - kb)) * span
    cr = (r - luma) / (2 * (1 - kr)) * span
    return np.stack([cb, cr]) + np.float32(2 ** (depth - 1))


def planes_to_rgb(
    luma: F32, chroma: F32, matrix: Matrix, *, full_range: bool, depth: int = 8
) -> F32:
    """Convert luma (H, W) and Cb, Cr (2, H, W), code values of DEPTH bits, to (H, W, 3) in 0..1.

    It is the inverse of BT.709's section 3 and 4 for the weights of MATRIX; values are not clipped.
    """
    kr, kb = _LUMA_WEIGHTS[matrix]
    scale = 2 ** (depth - 8)
    span = (2**depth - 1) if full_range else 224 * scale
    y = luma / (2**depth - 1) if full_range else (luma / scale - 16) / 219
    cb, cr = (chroma - np.float32(2 ** (depth - 1))) / np.float32(span)
    r, b = y + 2 * (1 - kr) * cr, y + 2 * (1 - kb) * cb
    g = (y - kr * r - kb * b) / (1 - kr - kb)
    return np.asarray(np.dstack([r, g, b]), np.float32)


def luma_to_gray(
    luma: NDArray[np.uint8] | NDArray[np.uint16], *, full_range: bool, depth: int = 8
) -> U8:
    """Take luma code values of DEPTH bits as an 8-bit gray of the same shape.

    Codes above 2**DEPTH - 1, which raw films can hold, are white.
    """
    table = _gray_of_luma(full_range, depth)
    if luma.dtype == np.uint8 and luma.ndim == 2:
        return np.asarray(cv2.LUT(luma, table), np.uint8)  # five times as fast as NumPy
    return table.take(luma, mode="clip")


@cache
def _gray_of_luma(full_range: bool, depth: int) -> U8:
    codes = np.arange(2**depth, dtype=np.float32)
    if full_range:
        return to_bytes(codes / (2**depth - 1))
    scale = 2 ** (depth - 8)
    return to_bytes((codes / scale - 16) / 219)
