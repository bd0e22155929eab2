"""Raw film for pipes: YUV4MPEG2, a line of text and then plain planes, as ffmpeg and mpv take it.

It has one frame rate, no sound, and no color matrix.
"""

from fractions import Fraction
from typing import BinaryIO

import numpy as np

from ..errors import OutputError
from .encoder import StreamFacts
from .frames import FrameLayout
from .stages import ColoredPicture

SIGNATURE = b"YUV4MPEG2"
_SITINGS = {"left": "mpeg2", "center": "jpeg", "topleft": "paldv"}


class Prefixed:
    """A binary stream of which the first bytes, HEAD, were read already."""

    def __init__(self, head: bytes, rest: BinaryIO) -> None:
        self._head, self._rest = head, rest

    def read(self, size: int) -> bytes:
        """Return at most SIZE bytes; none at the end."""
        if self._head:
            taken, self._head = self._head[:size], self._head[size:]
            return taken
        return self._rest.read(size)


class Y4MWriter:
    """Writes the frames of one film to a binary stream."""

    def __init__(self, sink: BinaryIO, facts: StreamFacts) -> None:
        self.frames = 0
        self.uneven = 0  # frames that play at another time than in the source
        self._sink, self._facts = sink, facts
        self._first = 0

    def add(self, item: ColoredPicture) -> None:
        """Write the next frame; OutputError where nobody reads any more."""
        if self.frames == 0:
            self._first = item.picture.pts
            self._write(_header(item.layout, self._facts))
        due = self.frames / self._facts.rate
        if abs((item.picture.pts - self._first) * self._facts.time_base - due) * 2 > (
            1 / self._facts.rate
        ):
            self.uneven += 1
        luma = item.picture.luma << item.layout.shift
        planes = (luma, item.chroma[..., 0], item.chroma[..., 1])
        samples = (np.ascontiguousarray(plane, item.layout.dtype).tobytes() for plane in planes)
        self._write(b"FRAME\n" + b"".join(samples))
        self.frames += 1

    def _write(self, content: bytes) -> None:
        try:
            self._sink.write(content)
            self._sink.flush()
        except OSError as error:
            raise OutputError(f"-: cannot be written ({error.strerror or error})") from error

    @property
    def remarks(self) -> list[str]:
        """What the stream could not hold."""
        if not self.uneven:
            return []
        rate = float(self._facts.rate)
        return [f"y4m has one frame rate, {rate:.6g}: {self.uneven} frames play at other times"]


def _header(layout: FrameLayout, facts: StreamFacts) -> bytes:
    rate, aspect = facts.rate, facts.aspect or Fraction(0)
    fields = ("t" if layout.top_first else "b") if layout.interlaced else "p"
    words = [
        SIGNATURE.decode(),
        f"W{layout.width} H{layout.height} F{rate.numerator}:{rate.denominator} I{fields}",
        f"A{aspect.numerator}:{aspect.denominator if aspect else 0} C{_color(layout)}",
        f"XCOLORRANGE={'FULL' if layout.full_range else 'LIMITED'}",
    ]
    return " ".join(words).encode() + b"\n"


def _color(layout: FrameLayout) -> str:
    if layout.depth > 8:
        deep = f"{layout.subsampling}p{layout.depth}"
        return f"{deep} XYSCSS={deep.upper()}"
    if layout.subsampling == "420":
        siting = layout.siting or ("center" if layout.full_range else "left")
        return f"420{_SITINGS.get(siting, 'mpeg2')}"
    return layout.subsampling
