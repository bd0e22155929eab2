"""What Pillow leaves aside of JPEG files (ITU-T T.81): samples of more than 8 bits, long XMP."""

import struct
from collections.abc import Iterator

START = b"\xff\xd8\xff"
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}  # markers of frame headers
_SCAN, _XMP_SEGMENT = 0xDA, 0xE1
_LONG_XMP = b"http://ns.adobe.com/xmp/extension/\0"  # XMP specification part 3, 1.1.3.1


def _segments(content: bytes) -> Iterator[tuple[int, int, int]]:
    """Yield (marker, start, end) of what segments before the first scan hold."""
    place = 2
    while place + 4 <= len(content) and content[place] == 0xFF:
        marker = content[place + 1]
        if marker == 0xFF:  # filling
            place += 1
            continue
        if marker == _SCAN:
            return
        (size,) = struct.unpack_from(">H", content, place + 2)
        yield marker, place + 4, place + 2 + size
        place += 2 + size


def bits_of(content: bytes) -> int:
    """Return how many bits a sample has; 0 if there is no frame header."""
    for marker, start, end in _segments(content):
        if marker in _FRAMES and start < min(end, len(content)):
            return content[start]
    return 0


def as_eight_bits(content: bytes) -> bytes:
    """Return CONTENT with headers that Pillow takes: it can be opened, but not decoded."""
    for marker, start, end in _segments(content):
        if marker in _FRAMES and start < min(end, len(content)):
            return b"".join((content[:start], b"\x08", content[start + 1 :]))
    return content


def has_long_xmp(content: bytes) -> bool:
    """Whether there is XMP behind the first 64 KB, which Pillow does not read."""
    return any(
        marker == _XMP_SEGMENT and content.startswith(_LONG_XMP, start)
        for marker, start, _ in _segments(content)
    )
