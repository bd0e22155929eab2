"""Measures of a colorized picture (numpy only: the bench uses them without torch)."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..runtime.color import U8


def psnr(picture: NDArray[np.integer[Any]], truth: NDArray[np.integer[Any]]) -> float:
    """Return the peak signal-to-noise ratio in dB, peak 255, of two pictures; inf if equal."""
    error = np.mean((picture.astype(np.float64) - truth.astype(np.float64)) ** 2)
    return float("inf") if error == 0 else float(10 * np.log10(255**2 / error))


def colorfulness(rgb: U8) -> float:
    """Return the colorfulness of an 8-bit (H, W, 3) picture: 0 for gray, 40 for many photographs.

    Hasler & Suesstrunk 2003, "Measuring colorfulness in natural images", M^(3), signed opponents.
    """
    r, g, b = np.moveaxis(rgb.astype(np.float64), -1, 0)
    rg, yb = r - g, (r + g) / 2 - b
    spread = np.hypot(rg.std(), yb.std())
    return float(spread + 0.3 * np.hypot(rg.mean(), yb.mean()))
