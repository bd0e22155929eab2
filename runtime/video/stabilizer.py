"""Steady color: the network's answers are averaged along the motion in the video.

This is the recursive mean of temporal noise filters. Each pixel carries its mean color, and the
number of frames in it, to where it moves. The mean starts again where its object is gone.
"""

import cv2
import numpy as np

from ..color import F32, U8

_MOST_FRAMES = 16  # in the mean, about half a second; a longer one lags behind and pales colors
_LIGHTNESS_TOLERANCE = 9.0  # L*: pixels this far apart hardly show the same thing
_COLOR_TOLERANCE = 25.0  # CIELAB units: noise is smaller, two things differ by more
_LEAST_SIDE = 32  # for DIS to work well; smaller pictures are treated as not moving


class Stabilizer:
    """Steadies the network's answers to one video, frame by frame.

    `state` is all that it remembers: None, or float32 (h, w, 4): L*, a*, b* and the number of
    frames in the mean, at the last frame. A Stabilizer that is given it continues from there.
    """

    def __init__(self, state: F32 | None = None) -> None:
        self.state = state
        # FAST works at a quarter of the size and refines. Without refinement colors drift a little;
        # MEDIUM takes eight times as long and is no steadier where much moves.
        self._flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST)

    def steady(
        self,
        lightness: F32,
        ab: F32,
        *,
        begins_scene: bool = False,
        places: tuple[F32, F32] | None = None,
    ) -> F32:
        """Return the steadied ab (h, w, 2) of the next frame: its L* is (h, w), its ab fresh.

        Nothing is remembered of the frames before one that BEGINS_SCENE. PLACES are x and y
        (h, w), where its pixels were in the frame before, if that is known.
        """
        past = None if begins_scene else self._follow(lightness, places)
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

    def _follow(self, lightness: F32, places: tuple[F32, F32] | None) -> F32 | None:
        """Return the state with its pixels moved to where they are now; None if there is none."""
        if self.state is None or self.state.shape[:2] != lightness.shape:
            return None
        height, width = lightness.shape
        x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
        if places is not None:
            x, y = places
        elif min(height, width) >= _LEAST_SIDE:
            flow = self._flow.calc(_bytes(lightness), _bytes(self.state[..., 0]), None)  # type: ignore[call-overload]
            flow_x, flow_y = cv2.split(flow)
            x, y = x + flow_x, y + flow_y
        past = cv2.remap(self.state, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        return np.asarray(past, np.float32)


def _likeness(lightness: F32, a: F32, b: F32) -> F32:
    """Return 0..1 (h, w): how alike past and present are around each pixel, by their difference.

    Color counts too, so that no trail stays where a thing leaves a ground as light as itself. The
    curve is flat near 1, because it applies at every frame: 0.9 each time would keep ten frames.
    """
    change = cv2.blur(np.abs(lightness), (3, 3)) / np.float32(_LIGHTNESS_TOLERANCE)
    apart = cv2.blur(a * a + b * b, (5, 5)) / np.float32(_COLOR_TOLERANCE**2)
    change *= change
    return np.asarray(np.exp(-change * change - apart * apart), np.float32)


def _bytes(lightness: F32) -> U8:
    gray: U8 = (lightness * np.float32(2.55) + np.float32(0.5)).astype(np.uint8)
    return gray
