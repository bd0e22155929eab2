"""The shapes that an engine takes, from the batch and the working size."""

from collections.abc import Iterable

from ...runtime.engines.tensorrt.plan import Profile, Shape
from ...runtime.errors import ArgumentError
from ...runtime.models.contract import ModelInfo
from ...runtime.resize import LONG_SIDE_LIMIT, working_shape

Range = tuple[int, int, int]
"""Smallest, best, largest."""

BATCH: Range = (1, 8, 32)
_SMALLEST, _LARGEST = 64, 512
_VIDEO = 16 / 9  # aspect for which the engine is best: most pictures are frames of films


def default_sizes(info: ModelInfo) -> Range:
    """Return the working sizes to build for: 64 to 512 pixels, best at the network's own."""
    multiple = info.size_multiple
    native = working_shape(1, 1, info.native_size, multiple)[0]
    return min(max(_SMALLEST, multiple), native), native, max(_LARGEST, native)


def check_sizes(sizes: Iterable[int], multiple: int) -> None:
    """Raise ArgumentError if one of SIZES is none that the network takes."""
    for size in sizes:
        if size % multiple:
            raise ArgumentError(f"size {size}: this network takes multiples of {multiple}")


def profiles(batch: Range, size: Range, multiple: int) -> tuple[Profile, ...]:
    """Return a landscape and a portrait profile for working sizes SIZE (short sides, in pixels).

    Working shapes have a long side of up to LONG_SIDE_LIMIT short sides. One profile for both
    would have to take squares of the longest side, and reserve twice the memory.
    """
    check_sizes(size, multiple)
    video = round(size[1] * _VIDEO / multiple) * multiple
    sides = list(zip(size, (size[0], video, size[2] * LONG_SIDE_LIMIT), strict=True))
    low, best, high = ((n, 1, short, long) for n, (short, long) in zip(batch, sides, strict=True))
    return Profile(low, best, high), Profile(_turned(low), _turned(best), _turned(high))


def _turned(shape: Shape) -> Shape:
    count, channels, height, width = shape
    return count, channels, width, height
