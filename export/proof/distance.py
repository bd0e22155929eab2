"""How far two answers to one lightness lie apart, pixel by pixel."""

from collections.abc import Callable
from typing import Literal

import numpy as np
from skimage.color import deltaE_ciede2000

from ...runtime.color import F32, lab_to_rgb, to_bytes

Unit = Literal["|Δab|", "CIEDE2000", "levels"]
Measure = Callable[[F32, F32, F32], F32]
"""L* (N, 1, H, W) and two ab (N, 2, H, W) -> their distances."""


def ab_distance(_: F32, ab: F32, other: F32) -> F32:
    """Return the distances (N, H, W) in the ab plane."""
    apart: F32 = np.linalg.norm(other - ab, axis=1)
    return apart


def ciede2000(lightness: F32, ab: F32, other: F32) -> F32:
    """Return the differences (N, H, W) as the eye sees them."""
    with np.errstate(all="ignore"):  # float16 that overflowed gives NaN, which no bound admits
        return color_difference(_lab(lightness, ab), _lab(lightness, other))


def color_difference(lab: F32, other: F32) -> F32:
    """Return CIEDE2000 (...) of CIELAB (..., 3); 1 is just seen (Sharma et al. 2005)."""
    apart: F32 = deltaE_ciede2000(lab, other)  # type: ignore[no-untyped-call]
    return apart


def levels(lightness: F32, ab: F32, other: F32) -> F32:
    """Return the differences (N, H, W, 3) of the 8-bit pictures."""
    one, two = (to_bytes(lab_to_rgb(_lab(lightness, planes))) for planes in (ab, other))
    apart: F32 = np.abs(one.astype(np.float32) - two)
    return apart


MEASURES: dict[Unit, Measure] = {
    "|Δab|": ab_distance,
    "CIEDE2000": ciede2000,
    "levels": levels,
}


def _lab(lightness: F32, ab: F32) -> F32:
    return np.concatenate([lightness, ab], axis=1).transpose(0, 2, 3, 1)
