"""Raw video for pipes, as ffmpeg and mpv read it: YUV4MPEG2, a line of text and plain planes.

It holds one frame rate, no sound, and no color matrix.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from typing import BinaryIO

import numpy as np

from ..errors import ArgumentError, OutputError
from ..notices import Notice
from .frames import FrameLayout, shifted
from .options import VideoSettings
from .protocols import ColoredPicture, Run, Start
from .source import Source, StreamFacts

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


@dataclass(frozen=True)
class Y4MSink:
    """A binary stream that gets the frames alone, as raw y4m."""

    stream: BinaryIO

    def check(self, source: Source, settings: VideoSettings) -> None:  # noqa: ARG002  # a Sink's
        """Raise ArgumentError if an encoder was asked for."""
        options = settings.options
        if options.codec or options.crf is not None or options.preset:
            raise ArgumentError("y4m is raw: it takes no codec, crf or preset")

    @contextmanager
    def open(self, run: Run) -> Iterator["_Y4MWriter"]:
        """Yield what writes to the stream."""
        yield _Y4MWriter(self.stream, run)


class _Y4MWriter:
    """Writes the frames of one video to a binary stream."""

    start = Start()
    resumed = 0
    folder = None

    def __init__(self, stream: BinaryIO, run: Run) -> None:
        self.frames = 0
        self._stream, self._run, self._facts = stream, run, run.facts
        self._uneven = 0  # frames that are shown at another time than in the source
        self._first = 0
        self._layout: FrameLayout | None = None

    def stored(self, layout: FrameLayout) -> FrameLayout:
        """Return LAYOUT: y4m takes every one."""
        return layout

    def add(self, item: ColoredPicture) -> bool:
        """Write the next frame; OutputError if the reader has gone."""
        with self._run.watch.stage("write"):
            if self._layout is None:
                self._layout, self._first = item.layout, item.picture.pts
                self._write(_header(item.layout, self._facts))
            due = self.frames / self._facts.rate
            shown = (item.picture.pts - self._first) * self._facts.time_base
            if abs(shown - due) * 2 > 1 / self._facts.rate:
                self._uneven += 1
            luma = shifted(item.picture.luma, item.layout)
            planes = (luma, item.chroma[..., 0], item.chroma[..., 1])
            samples = (np.ascontiguousarray(plane, item.layout.dtype).tobytes() for plane in planes)
            self._write(b"FRAME\n" + b"".join(samples))
            self.frames += 1
        return True

    def _write(self, content: bytes) -> None:
        try:
            self._stream.write(content)
            self._stream.flush()
        except OSError as error:
            raise OutputError(f"-: cannot be written ({error.strerror or error})") from error

    def finish(self) -> None:
        """Tell what the stream could not hold."""
        for notice in self._layout.notices if self._layout else []:
            self._run.tell(notice)
        if self._uneven:
            rate = f"{float(self._facts.rate):.6g}"
            self._warn(f"y4m has one frame rate, {rate}: {self._uneven} frames play at other times")
        if self._layout is not None and self._layout.display:
            self._warn("y4m does not say how players turn it: the mark was left out")
        others = len(self._run.container.streams) - 1
        if others:
            self._warn(f"y4m holds no sound: {others} other streams were left out")

    def _warn(self, message: str) -> None:
        self._run.tell(Notice(message, topic="output", severity="warning"))


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
