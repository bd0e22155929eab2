"""JPEG XL: pixels by imagecodecs, EXIF and XMP in the boxes around them (ISO/IEC 18181-2)."""

import struct
from collections.abc import Iterator
from typing import IO, Any

import imagecodecs
import numpy as np

from ..color import Codes
from .decoding import Decoded, UndecodableError, decoding, in_unit

_CODESTREAM = b"\xff\x0a"
_CONTAINER = b"\0\0\0\x0cJXL \r\n\x87\n"
SIGNATURES = (_CODESTREAM, _CONTAINER)
_DISTANCE = 0.5  # half of what counts as just noticeable
_RATIOS = ((1, 1), (12, 10), (4, 3), (3, 2), (16, 9), (5, 4), (2, 1))  # of ISO/IEC 18181-1, D.1


def read_jxl(content: bytes) -> Decoded:
    """Decode a JPEG XL; the decoder turns it upright."""
    with decoding():
        samples = np.asarray(imagecodecs.jpegxl_decode(content))
    pictures, remarks = 1, tuple[str, ...]()
    if samples.ndim == 4:  # an animation
        pictures, samples = len(samples), samples[0]
    samples = samples.reshape(*samples.shape[:2], -1)
    if samples.dtype not in (np.uint8, np.uint16):
        values, remarks = in_unit(samples.astype(np.float32))
        samples = (values * 65535 + 0.5).astype(np.uint16)
    alpha = samples[..., -1] if samples.shape[2] in (2, 4) else None
    decoded = Decoded(
        codes=samples[..., : 1 if samples.shape[2] < 3 else 3],
        alpha=alpha,
        gray=samples.shape[2] < 3,
        pictures=pictures,
        form="JXL",
        remarks=remarks,
    )
    for kind, box in _boxes(content):
        if kind == b"Exif" and len(box) > 4:
            with decoding():
                decoded.exif.load(box[4 + int.from_bytes(box[:4], "big") :])
        elif kind == b"xml ":
            decoded.tags["xmp"] = box
    return decoded


def size_of(content: bytes) -> tuple[int, int]:
    """Return (width, height) as stored, from the start of the codestream (18181-1, D.1)."""
    stream = content if content.startswith(_CODESTREAM) else _codestream(content)
    if not stream.startswith(_CODESTREAM):
        raise UndecodableError("JPEG XL without a codestream")
    bits = int.from_bytes(stream[2:14], "little")

    def take(count: int) -> int:
        nonlocal bits
        value = bits & ((1 << count) - 1)
        bits >>= count
        return value

    by_eight = take(1)

    def side() -> int:
        return 8 * (1 + take(5)) if by_eight else 1 + take((9, 13, 18, 30)[take(2)])

    height = side()
    ratio = take(3)
    if not ratio:
        return side(), height
    wide, high = _RATIOS[ratio - 1]
    return height * wide // high, height


def _codestream(content: bytes) -> bytes:
    for kind, box in _boxes(content):
        if kind == b"jxlc":
            return box
        if kind == b"jxlp":  # the first of several parts, behind its number
            return box[4:]
    return b""


def _boxes(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield (type, content) of the boxes of a container; compressed ones are unpacked."""
    place = 0 if content.startswith(_CONTAINER) else len(content)
    while place + 8 <= len(content):
        size, kind = struct.unpack_from(">I4s", content, place)
        head = 8
        if size == 1:
            head, size = 16, int.from_bytes(content[place + 8 : place + 16], "big")
        size = size or len(content) - place
        if size < head:
            return
        box = content[place + head : place + size]
        if kind == b"brob":
            with decoding():
                kind, box = box[:4], bytes(imagecodecs.brotli_decode(box[4:]))
        yield kind, box
        place += size


def write_jxl(file: IO[bytes], samples: Codes, tags: dict[str, Any]) -> None:
    """Write sRGB (H, W, 3 or 4) of 8 or 16 bits with the EXIF and XMP among TAGS."""
    file.write(
        imagecodecs.jpegxl_encode(
            np.ascontiguousarray(samples), distance=_DISTANCE, usecontainer=True, numthreads=1
        )
    )
    exif = tags.get("exif", b"").removeprefix(b"Exif\0\0")
    for kind, box in ((b"Exif", exif and bytes(4) + exif), (b"xml ", tags.get("xmp", b""))):
        if box:
            file.write(struct.pack(">I4s", 8 + len(box), kind) + box)
