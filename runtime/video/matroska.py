"""The pixel aspect in Matroska, which FFmpeg writes from a field that PyAV cannot set.

PyAV can set a rotation. So the stream gets one, and the element that holds it, Projection, is
overwritten in its place with DisplayWidth and DisplayHeight.
Layout of elements: RFC 8794 (EBML) and RFC 9559 (Matroska).
"""

import zlib
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

from ..errors import OutputError

PLACEHOLDER_ROTATION = 90
"""The rotation that the stream must have before its header is written."""

_SEGMENT, _TRACKS, _CRC = 0x18538067, 0x1654AE6B, 0xBF
_TRACK, _VIDEO, _PROJECTION = 0xAE, 0xE0, 0x7670
_WIDTH, _HEIGHT, _VOID = 0xB0, 0xBA, 0xEC
_DISPLAY_WIDTH, _DISPLAY_HEIGHT, _DISPLAY_UNIT = 0x54B0, 0x54BA, 0x54B2
_SIDE_BYTES = 3  # two numbers of three bytes fill the placeholder
_HEAD = 1 << 20  # bytes in which the tracks begin; fonts come after them


class _Element(NamedTuple):
    id: int
    start: int  # of its id
    data: int  # of its content
    end: int


def write_aspect(path: Path, aspect: Fraction) -> None:
    """Give the film's track in PATH the pixel ASPECT, in place of the placeholder's rotation."""
    with path.open("r+b") as file:
        head = bytearray(file.read(_HEAD))
        segment = _find(head, _SEGMENT, 0, len(head))
        tracks = _find(head, _TRACKS, segment.data, len(head))
        for track in _elements(head, tracks.data, tracks.end):
            if track.id != _TRACK:
                continue
            for video in _elements(head, track.data, track.end):
                if video.id == _VIDEO:
                    _overwrite(head, video, aspect)
                    _fix_checksum(head, tracks)
                    file.seek(tracks.start)
                    file.write(head[tracks.start : tracks.end])
                    return
    raise OutputError(f"{path}: has no place for the pixel aspect")


def _overwrite(head: bytearray, video: _Element, aspect: Fraction) -> None:
    width = _number(head, _find(head, _WIDTH, video.data, video.end))
    height = _number(head, _find(head, _HEIGHT, video.data, video.end))
    shown = _display_size(width, height, aspect)
    place = _find(head, _PROJECTION, video.data, video.end)
    content = b"".join(
        number.to_bytes(2, "big") + bytes([0x80 | _SIDE_BYTES]) + side.to_bytes(_SIDE_BYTES, "big")
        for number, side in zip((_DISPLAY_WIDTH, _DISPLAY_HEIGHT), shown, strict=True)
    )
    rest = place.end - place.start - len(content) - 2
    if rest < 0:
        raise OutputError("Matroska: no room for the pixel aspect")
    content += _VOID.to_bytes(1, "big") + bytes([0x80 | rest]) + bytes(rest)
    head[place.start : place.end] = content
    for element in _elements(head, video.data, video.end):
        if element.id == _DISPLAY_UNIT:  # without an aspect FFmpeg writes that it is not known
            head[element.data : element.end] = bytes(element.end - element.data)


def can_hold(width: int, height: int, aspect: Fraction) -> bool:
    """Tell whether the placeholder has room for ASPECT of a frame of this size."""
    return max(_display_size(width, height, aspect)) < 1 << 8 * _SIDE_BYTES


def _display_size(width: int, height: int, aspect: Fraction) -> tuple[int, int]:
    wide = width * aspect.numerator
    if wide % aspect.denominator == 0:  # then no larger than the frame must be
        return wide // aspect.denominator, height
    return wide, height * aspect.denominator


def _fix_checksum(head: bytearray, tracks: _Element) -> None:
    """Correct the checksum of the tracks, which is their first element if there is one."""
    first = next(_elements(head, tracks.data, tracks.end))
    if first.id == _CRC:
        checksum = zlib.crc32(head[first.end : tracks.end])
        head[first.data : first.end] = checksum.to_bytes(4, "little")


def _find(data: bytes | bytearray, wanted: int, start: int, end: int) -> _Element:
    for element in _elements(data, start, end):
        if element.id == wanted:
            return element
    raise OutputError(f"Matroska: no element {wanted:X} where it must be")


def _elements(data: bytes | bytearray, start: int, end: int) -> Iterator[_Element]:
    while start < end:
        id_length = 9 - data[start].bit_length()
        size_at = start + id_length
        size_length = 9 - data[size_at].bit_length()
        content = size_at + size_length
        size = int.from_bytes(data[size_at:content], "big") & ((1 << 7 * size_length) - 1)
        number = int.from_bytes(data[start:size_at], "big")
        yield _Element(number, start, content, content + size)
        start = content + size


def _number(data: bytes | bytearray, element: _Element) -> int:
    return int.from_bytes(data[element.data : element.end], "big")
