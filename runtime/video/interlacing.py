"""Interlaced frames: which field comes first, and the marks of them in streams."""

import re
from contextlib import suppress
from fractions import Fraction

import av
from av.filter import Graph
from av.filter.context import FilterContext

TOP_FIRST, BOTTOM_FIRST = 2, 3
"""FFmpeg's field orders TT and BB: stored and shown alike."""


def top_field_first(frame: av.VideoFrame) -> bool:
    """Tell which field of an interlaced FRAME is shown first."""
    graph, start = _graph(frame)
    chosen = graph.add("select", r"eq(interlace_type\,BOTTOMFIRST)")
    graph.link_nodes(start, chosen, graph.add("buffersink")).configure()
    graph.vpush(frame)
    with suppress(BlockingIOError):
        graph.vpull()
        return False
    return True


def as_progressive(unit: bytes) -> bytes:
    """Return UNIT, an H.264 frame from x264, with the mark that it is no pair of fields.

    x264 marks all frames alike. The mark is pic_struct of the picture timing: ITU-T H.264, D.1.3,
    here in a message of one byte, with one or two flags behind it for the clocks, none of which is
    given.
    """
    return _TIMING.sub(rb"\g<1>" + _FRAME, unit, count=1)


_FRAME = b"\x04"  # pic_struct 0, no clock, the bit that ends the message
_TIMING = re.compile(rb"(\x00\x00\x01\x06\x01\x01)[\x32\x42]", re.DOTALL)


def _graph(frame: av.VideoFrame) -> tuple[Graph, FilterContext]:
    graph = Graph()
    base = frame.time_base or Fraction(1, 25)
    start = graph.add_buffer(
        width=frame.width, height=frame.height, format=frame.format, time_base=base
    )
    return graph, start
