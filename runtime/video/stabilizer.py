"""Color that holds still: the network's answers averaged along the motion of the film.

A recursive mean, as temporal noise filters take it: each pixel carries its color, and how many
frames are in it, to where it moves, and starts anew where what it was is no longer there.
"""

import cv2
import numpy as np

from ..color import F32, U8

_MOST_FRAMES = 16  # in the mean, about half a second; a longer one lags behind and pales colors
_LIGHTNESS_TOLERANCE = 9.0  # L*: what lies this far apart is hardly the same thing
_SAME_LIGHTNESS = 6.0  # L*: pixels that differ by less are found again
_COLOR_TOLERANCE = 25.0  # CIELAB units: answers waver by less, things of two colors differ more
_LEAST_FOUND = 0.45  # share of a frame found in the one before: across cuts < 0.3, in scenes > 0.7
_LEAST_SIDE = 32  # that DIS can follow well; in smaller pictures pixels are taken to stand still


class Stabilizer:
    """Steadies the network's answers to one film, frame by frame; it sees cuts by itself.

    `state` is all that it remembers: None, or float32 (h, w, 4): L*, a*, b* and the number of
    frames in the mean, at the last frame. A Stabilizer that is given it goes on from there.
    """

    def __init__(self, state: F32 | None = None) -> None:
        self.state = state
        # A quarter of the size, refined: unrefined the colors drift a little, and MEDIUM, eight
        # times as slow, does not hold them stiller where much moves.
        self._flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST)

    def steady(self, lightness: F32, ab: F32) -> F32:
        """Return the steadied ab (h, w, 2) of the next frame: its L* is (h, w), its ab fresh."""
        past = self._follow(lightness)
        a, b = cv2.split(ab)
        frames = np.ones_like(lightness)
        if past is not None:
            past_lightness, past_a, past_b, past_frames = cv2.split(past)
            more_a, more_b = past_a - a, past_b - b
            weight = past_frames * _likeness(past_lightness - lightness, more_a, more_b)
            share = weight / (weight + 1)
            a, b = a + share * more_a, b + share * more_b
            frames = np.minimum(weight + 1, np.float32(_MOST_FRAMES))
        self.state = np.asarray(cv2.merge([lightness, a, b, frames]), np.float32)
        return np.asarray(cv2.merge([a, b]), np.float32)

    def _follow(self, lightness: F32) -> F32 | None:
        """Return the state with its pixels where they are now; None where a scene begins."""
        if self.state is None or self.state.shape[:2] != lightness.shape:
            return None
        height, width = lightness.shape
        x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
        if min(height, width) >= _LEAST_SIDE:
            flow = self._flow.calc(_bytes(lightness), _bytes(self.state[..., 0]), None)  # type: ignore[call-overload]
            flow_x, flow_y = cv2.split(flow)
            x, y = x + flow_x, y + flow_y
        past = cv2.remap(self.state, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        found = np.abs(past[..., 0] - lightness) < _SAME_LIGHTNESS
        return np.asarray(past, np.float32) if found.mean() >= _LEAST_FOUND else None


def _likeness(lightness: F32, a: F32, b: F32) -> F32:
    """Return 0..1 (h, w): how alike past and present are around each pixel, by their difference.

    Color counts too: where something moves off a ground as light as itself, no trail must stay.
    Flat at the top, for it acts at every frame: what takes a tenth each time leaves ten frames.
    """
    change = cv2.blur(np.abs(lightness), (3, 3)) / np.float32(_LIGHTNESS_TOLERANCE)
    apart = cv2.blur(a * a + b * b, (5, 5)) / np.float32(_COLOR_TOLERANCE**2)
    change *= change
    return np.asarray(np.exp(-change * change - apart * apart), np.float32)


def _bytes(lightness: F32) -> U8:
    gray: U8 = (lightness * np.float32(2.55) + np.float32(0.5)).astype(np.uint8)
    return gray
