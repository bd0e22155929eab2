"""What a colorizer takes and gives: how its tensors stand for L* and for a*, b*."""

from dataclasses import dataclass
from typing import Literal, Self

import numpy as np

from ...runtime.color import F32

Takes = Literal["L", "gray-rgb"]
Gives = Literal["ab", "rgb"]

_IMAGENET_MEAN, _IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class Range:
    """The values that stand for nothing and for full, one for all channels or one for each."""

    low: tuple[float, ...]
    high: tuple[float, ...]

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read LOW,HIGH or imagenet (its mean and deviation as usual); ValueError if neither."""
        if text == "imagenet":
            pairs = list(zip(_IMAGENET_MEAN, _IMAGENET_STD, strict=True))
            return cls(tuple(-m / s for m, s in pairs), tuple((1 - m) / s for m, s in pairs))
        low, high = (float(part) for part in text.split(","))
        if not low < high:
            raise ValueError(f"{text!r} does not ascend")
        return cls((low,), (high,))

    def columns(self, channels: int) -> tuple[F32, F32]:
        """Return low and high minus low, float32 [CHANNELS, 1, 1]."""
        low, high = (np.resize(side, (channels, 1, 1)) for side in (self.low, self.high))
        return low.astype(np.float32), (high - low).astype(np.float32)


@dataclass(frozen=True)
class IOSignature:
    """L: lightness in one channel. gray-rgb: the gray picture as three equal sRGB channels.

    ab: a* and b* in two channels, here divided by `ab_scale`. rgb: the sRGB picture, of which only
    the colors are used.
    """

    takes: Takes
    takes_range: Range
    gives: Gives
    gives_range: Range = Range((0.0,), (1.0,))  # of rgb
    ab_scale: float = 1.0
    takes_hints: bool = False  # as a second input: a*, b* divided by `ab_scale`, confidence

    @property
    def channels(self) -> int:
        """How many its first input has."""
        return 1 if self.takes == "L" else 3

    @property
    def hint_scale(self) -> F32:
        """What the contract's hints are divided by, [3, 1, 1]."""
        return np.array([self.ab_scale] * 2 + [1], np.float32).reshape(3, 1, 1)
