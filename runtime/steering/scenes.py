"""Where scenes begin: one detector of hard cuts, for references, stabilizer and lists of scenes.

A frame goes on with its scene where its details are found again in the frame before, moved along
optical flow. Details, not values: lightness is compared around each pixel after its local mean and
contrast are taken out, so that a flash or a change of exposure is no cut.
"""

import cv2
import numpy as np

from ..color import F32, U8
from ..resize import shrink
from .motion import LEAST_SIDE, pixel_grid, read, side_limited

_SIDE = 90  # short side in pixels at which frames are compared
_WINDOW = 9  # pixels around each that are compared
_NOISE = 4.0  # codes: contrast below it is none
_ALIKE = 0.5  # correlation from which details are the same
_LEAST_ALIKE = 0.1  # share of a frame: across cuts at most 0.05, within fast pans from 0.15
_SAME_PART, _SAME_VALUES = 0.4, (4.0, 15.0)  # of the standard deviation; codes, least and most
_LEAST_SAME = 0.45  # share of a frame: across cuts below 0.4; fast pans blur details, not values
_LEAST_DETAIL = 1.0  # codes, mean contrast: white, black or foggy frames tell nothing
_BLOWN = 250  # codes: white where a flash burns out
_MOST_BLOWN = 0.3  # share of a frame


class CutDetector:
    """Sees the frames of one video in order and tells which begin a scene.

    `state` is all that it remembers: the last two frames with details, uint8 (N, h, w), or None.
    A detector that is given it goes on from there.
    """

    def __init__(self, state: U8 | None = None) -> None:
        self.state = state

    def is_cut(self, gray: U8) -> bool:
        """Return whether a scene begins with the next frame, a gray (H, W); the first is no cut."""
        small = _seen(gray)
        if _tells_nothing(small):
            return False
        before = self.state
        if before is None or before.shape[1:] != small.shape:
            self.state = small[None]
            return before is not None
        self.state = np.stack([before[-1], small])
        # After a flash the frame before it comes back.
        return all(_apart(frame.astype(np.float32), small) for frame in before[::-1])


def detail(gray: U8) -> float:
    """Return the mean contrast around the pixels of a gray (H, W), in codes, at a small size."""
    small = _seen(gray)
    return float(_contrast(small.astype(np.float32)).mean())


def _seen(gray: U8) -> U8:
    """Return a gray (H, W) at the size at which frames are compared."""
    shape = side_limited(gray.shape[0], gray.shape[1], _SIDE)
    while min(gray.shape) >= 4 * _SIDE:  # by halves first, which takes a tenth of the time
        gray = halved(gray)
    return shrink(gray, shape)


def halved(gray: U8) -> U8:
    """Return a gray (H, W) at half its size; an odd row or column is left out."""
    height, width = gray.shape[0] // 2, gray.shape[1] // 2
    even = gray[: 2 * height, : 2 * width]
    return cv2.resize(even, (width, height), interpolation=cv2.INTER_AREA).astype(np.uint8)


def _tells_nothing(gray: U8) -> bool:
    blown = float((gray >= _BLOWN).mean())
    return blown > _MOST_BLOWN or _contrast(gray.astype(np.float32)).mean() < _LEAST_DETAIL


def _apart(before: F32, gray: U8) -> bool:
    """Return whether a small gray is of another scene than the one BEFORE."""
    now = gray.astype(np.float32)
    if _same(before, now):  # most are, where they stand: the rest is not needed
        return False
    moved = _moved(before, gray)
    return not _same(moved, now) and shared_details(moved, now) < _LEAST_ALIKE


def _same(one: F32, other: F32) -> bool:
    """Return whether most values of two small grays are the same, for how much they vary."""
    tolerance = np.clip(_SAME_PART * other.std(), *_SAME_VALUES)
    return float((np.abs(one - other) < tolerance).mean()) >= _LEAST_SAME


def _moved(before: F32, gray: U8) -> F32:
    """Return BEFORE with its pixels where they are in GRAY."""
    if min(gray.shape) < LEAST_SIDE:
        return before
    dis = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST)
    flow = dis.calc(gray, before.astype(np.uint8), None)  # type: ignore[call-overload]  # no guess
    x, y = pixel_grid((gray.shape[0], gray.shape[1]))
    return read(before, x + flow[..., 0], y + flow[..., 1])


def shared_details(one: F32, other: F32) -> float:
    """Return the share, 0..1, of two small grays in which their details are the same."""
    one, other = _details(one), _details(other)
    together = _mean(one * other)
    apart = np.sqrt(np.maximum(_mean(one * one) * _mean(other * other), 0))
    return float((together > _ALIKE * (apart + np.float32(0.05))).mean())


def _details(gray: F32) -> F32:
    return (gray - _mean(gray)) / (_contrast(gray) + np.float32(_NOISE))


def _contrast(gray: F32) -> F32:
    mean = _mean(gray)
    return np.sqrt(np.maximum(_mean(gray * gray) - mean * mean, 0))


def _mean(gray: F32) -> F32:
    return np.asarray(cv2.blur(gray, (_WINDOW, _WINDOW)), np.float32)
