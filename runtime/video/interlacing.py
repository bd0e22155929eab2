"""Interlaced frames: which field comes first, and the marks of them in streams."""

import re
from contextlib import suppress
from fractions import Fraction

import av
from av.filter import Graph
from av.filter.context import FilterContext

TOP_FIRST, BOTTOM_FIRST = 2, 3
"""FFmpeg's field orders TT and BB: stored and shown alike."""


class FieldOrder:
    """Tells which field of interlaced frames is shown first."""

    def __init__(self) -> None:
        self._graph: Graph | None = None
        self._kind: tuple[int, int, str] | None = None

    def is_top_first(self, frame: av.VideoFrame) -> bool:
        """Tell whether it is the upper one of the interlaced FRAME."""
        kind = (frame.width, frame.height, frame.format.name)
        if self._graph is None or kind != self._kind:
            self._graph, start = _graph(frame)
            self._kind = kind
            chosen = self._graph.add("select", r"eq(interlace_type\,BOTTOMFIRST)")
            sink = self._graph.add("buffersink")
            self._graph.link_nodes(start, chosen, sink).configure()
        self._graph.vpush(frame)
        with suppress(BlockingIOError):
            self._graph.vpull()
            return False
        return True


def top_field_first(frame: av.VideoFrame) -> bool:
    """Tell which field of an interlaced FRAME is shown first."""
    return FieldOrder().is_top_first(frame)


class FieldMarks:
    """Marks frames as two fields in one order: x264 gives the order of each to all it still holds.

    Those that are whole, or in the other order, are told apart behind it: see `marked`.
    """

    def __init__(self) -> None:
        self._graph: Graph | None = None

    def mark(self, frame: av.VideoFrame, *, top_first: bool) -> av.VideoFrame:
        """Return FRAME, of the same kind as all others, with the mark."""
        if self._graph is None:
            self._graph, start = _graph(frame)
            setter = self._graph.add("setfield", "tff" if top_first else "bff")
            sink = self._graph.add("buffersink")
            self._graph.link_nodes(start, setter, sink).configure()
        self._graph.vpush(frame)
        return self._graph.vpull()


def marked(unit: bytes, *, top_first: bool | None) -> bytes:
    """Return UNIT, an H.264 frame from x264, with the mark of its fields; None: it has no two.

    The mark is pic_struct of the picture timing: ITU-T H.264, D.1.3, here in a message of one byte,
    with one or two flags behind it for the clocks, none of which is given.
    """
    return _TIMING.sub(rb"\g<1>" + _STRUCTURES[top_first], unit, count=1)


# pic_struct 0, 3 or 4; no clock, or no two; the bit that ends the message.
_STRUCTURES = {None: b"\x04", True: b"\x32", False: b"\x42"}
_TIMING = re.compile(rb"(\x00\x00\x01\x06\x01\x01)[\x32\x42]", re.DOTALL)


def _graph(frame: av.VideoFrame) -> tuple[Graph, FilterContext]:
    graph = Graph()
    base = frame.time_base or Fraction(1, 25)
    start = graph.add_buffer(
        width=frame.width, height=frame.height, format=frame.format, time_base=base
    )
    return graph, start
