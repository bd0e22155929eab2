"""Interlaced frames: which field comes first, and the mark that says so to encoders.

PyAV can read whether a frame is interlaced but cannot set it; FFmpeg's filters can.
"""

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


class FieldMarker:
    """Marks frames of one video as interlaced."""

    def __init__(self, *, top_first: bool) -> None:
        self._mode = "tff" if top_first else "bff"
        self._graph: Graph | None = None

    def mark(self, frame: av.VideoFrame) -> av.VideoFrame:
        """Return FRAME with the mark; its samples are not copied."""
        if self._graph is None:
            self._graph, start = _graph(frame)
            setter = self._graph.add("setfield", self._mode)
            self._graph.link_nodes(start, setter, self._graph.add("buffersink")).configure()
        self._graph.vpush(frame)
        return self._graph.vpull()


def _graph(frame: av.VideoFrame) -> tuple[Graph, FilterContext]:
    graph = Graph()
    base = frame.time_base or Fraction(1, 25)
    start = graph.add_buffer(
        width=frame.width, height=frame.height, format=frame.format, time_base=base
    )
    return graph, start
