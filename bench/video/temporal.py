"""Whether the colors of a film hold still: CDC, flicker along motion, temporal PSNR."""

from collections import deque
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from ...runtime.color import F32, U8, rgb_to_lab
from ...runtime.steering.motion import pixel_grid
from ...train.metrics import colorfulness, psnr
from ..quality.metrics import RunningMeans

F64 = NDArray[np.float64]
CDC_DISTANCES = (1, 2, 4)
_BINS = 256
# Share of a frame that must be seen in the one before, else it is a cut: flow there and back meets
# by chance in up to 0.4 of a frame across a cut, and in more than 0.7 within a scene.
_LEAST_SEEN = 0.5


@dataclass(frozen=True)
class Motion:
    """Where the pixels of a frame were in the frame before."""

    before: F32  # (H, W, 2): x, y in the frame before
    seen: NDArray[np.bool_]  # (H, W): False where the pixel was hidden or outside


def motion(previous: U8, current: U8) -> Motion:
    """Follow the pixels of CURRENT back to PREVIOUS, two 8-bit grays (H, W) of full size.

    A pixel counts as hidden where the flow there and back does not return to it: the bound of
    Sundaram, Brox & Keutzer 2010, "Dense point trajectories by GPU-accelerated large displacement
    optical flow", equation 5.
    """
    back, forth = _flow(current, previous), _flow(previous, current)
    height, width = current.shape
    x, y = pixel_grid((height, width))
    before = np.dstack([x + back[..., 0], y + back[..., 1]])
    returned = follow(forth, before)
    error = ((back + returned) ** 2).sum(-1)
    bound = 0.01 * ((back**2).sum(-1) + (returned**2).sum(-1)) + 0.5
    inside = (before >= 0).all(-1) & (before[..., 0] < width) & (before[..., 1] < height)
    return Motion(before, inside & (error <= bound))


def _flow(start: U8, end: U8) -> F32:
    # Farnebäck 2003: not DIS, which the stabilizer follows: it would be measured by its own flow.
    empty = np.zeros((*start.shape, 2), np.float32)
    flow = cv2.calcOpticalFlowFarneback(
        start,
        end,
        empty,
        pyr_scale=0.5,
        levels=5,
        winsize=15,
        iterations=3,
        poly_n=7,
        poly_sigma=1.5,
        flags=0,
    )
    return np.asarray(flow, np.float32)


def follow(planes: F32, places: F32) -> F32:
    """Read PLANES (H, W, C) at PLACES (H, W, 2), bilinear."""
    empty = np.empty(0, np.float32)  # all places are in the first map
    return np.asarray(cv2.remap(planes, places, empty, cv2.INTER_LINEAR), np.float32)


def flicker(previous: F32, current: F32, moved: Motion) -> float | None:
    """Return the mean change of ab (H, W, 2) along the motion, in CIELAB units; None at a cut."""
    if moved.seen.mean() < _LEAST_SEEN:
        return None
    change = current - follow(previous, moved.before)
    return float(np.hypot(change[..., 0], change[..., 1])[moved.seen].mean())


def histograms(rgb: U8) -> F64:
    """Return (3, 256), the distribution of each channel of an 8-bit picture (H, W, 3)."""
    counts = [np.bincount(rgb[..., channel].ravel(), minlength=_BINS) for channel in range(3)]
    shares: F64 = np.array(counts) / (rgb.shape[0] * rgb.shape[1])
    return shares


def jensen_shannon(p: F64, q: F64) -> float:
    """Return the Jensen-Shannon divergence (natural log) of (..., 256), averaged over channels."""
    middle = (p + q) / 2
    return float((_entropy(middle) - (_entropy(p) + _entropy(q)) / 2).mean())


def _entropy(p: F64) -> F64:
    terms = np.where(p > 0, -p * np.log(np.where(p > 0, p, 1)), 0.0)
    return np.asarray(terms.sum(-1))


class Steadiness:
    """How still the colors of a film hold, frame by frame, in constant memory."""

    def __init__(self) -> None:
        self._histograms: deque[F64] = deque(maxlen=max(CDC_DISTANCES))
        self._before: F32 | None = None

    def figures(self, rgb: U8, moved: Motion | None) -> dict[str, float]:
        """Return the CDC by distance and the flicker of the next frame (H, W, 3), if it has them.

        MOVED leads to the frame before; None for the first.
        """
        figures, now, ab = {}, histograms(rgb), rgb_to_lab(rgb)[..., 1:]
        for distance in CDC_DISTANCES:
            if len(self._histograms) >= distance:
                figures[f"cdc_{distance}"] = jensen_shannon(self._histograms[-distance], now)
        self._histograms.append(now)
        if self._before is not None and moved is not None:
            change = flicker(self._before, ab, moved)
            if change is not None:
                figures["flicker"] = change
        self._before = ab
        return figures


class VideoColors:
    """The figures of one colored film, frame by frame, in constant memory."""

    def __init__(self) -> None:
        self._means = RunningMeans()
        self._steadiness = Steadiness()
        self._previous: tuple[U8, U8] | None = None

    def add(self, rgb: U8, truth: U8 | None, moved: Motion | None) -> None:
        """Count a frame (H, W, 3), MOVED since the last; TRUTH is that of the true film, if any."""
        figures = {"colorfulness": colorfulness(rgb), **self._steadiness.figures(rgb, moved)}
        if truth is not None:
            figures["psnr_db"] = psnr(rgb, truth)
            if self._previous is not None and moved is not None:
                rgb_before, truth_before = self._previous
                figures["temporal_psnr_db"] = temporal_psnr(rgb_before, rgb, truth_before, truth)
            self._previous = rgb, truth
        self._means.add(figures)

    def means(self) -> dict[str, float]:
        """Return the mean of each figure; CDC is the mean over its distances (Liu et al. 2021)."""
        means = self._means.means()
        parts = [means.pop(f"cdc_{distance}", None) for distance in CDC_DISTANCES]
        known = [part for part in parts if part is not None]
        return {**means, "cdc": sum(known) / len(known)} if len(known) == len(parts) else means


def temporal_psnr(before: U8, now: U8, truth_before: U8, truth_now: U8) -> float:
    """Return the PSNR of the change between two frames (H, W, 3) against the truth's change."""
    return psnr(now.astype(np.int16) - before, truth_now.astype(np.int16) - truth_before)
