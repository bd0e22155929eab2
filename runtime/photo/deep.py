"""Samples of more than 8 bits in formats that Pillow reduces to 8, as (H, W, channels).

Each function returns codes of 8 or 16 bits over their whole range, or None for what is not deep.
"""

import io
import struct
from fractions import Fraction

import imagecodecs
import numpy as np
from PIL import Image

from ..color import Codes, to_codes
from .decoding import Decoded, UndecodableError, decoding
from .jpeg import bits_of

_PNG_DEPTH, _PNG_COLORS = 24, 25  # where bit depth and color type lie in a file
_PNG_GRAY = 0
_JP2_SIZES = b"\xff\x4f\xff\x51"  # SOC and SIZ markers of a JPEG 2000 codestream
_JP2_DEPTH = 42  # behind them, of the first component
_HIGH, _TWELVE = 0x40, 0x20  # bits of the configuration of AV1


def needs_png(image: Image.Image, content: bytes) -> bool:
    """Whether a PNG is deep, or a gray one of which one value is transparent.

    Pillow compares that value with those that it has stretched to 8 bits.
    """
    gray = content[_PNG_COLORS] == _PNG_GRAY
    return content[_PNG_DEPTH] == 16 or (gray and "transparency" in image.info)


def png(content: bytes) -> Codes:
    """Decode a PNG of any depth; a transparent value becomes alpha."""
    with decoding():
        samples: Codes = imagecodecs.png_decode(content)
    return _channels_last(samples)


def jpeg(content: bytes) -> Codes:
    """Decode a JPEG of 12 bits, or a lossless one of 2 to 16."""
    with decoding():
        samples = _channels_last(imagecodecs.jpeg_decode(content))
    if samples.shape[2] not in (1, 3):
        raise UndecodableError(f"{samples.shape[2]} channels of more than 8 bits")
    return _stretched(samples, 2 ** bits_of(content) - 1)


def jp2(content: bytes) -> Codes | None:
    """Decode a JPEG 2000 of less or more than 8 bits, up to 16."""
    place = content.find(_JP2_SIZES)
    bits = (content[place + _JP2_DEPTH] & 0x7F) + 1
    if bits == 8 or bits > 16:
        return None
    with decoding():
        samples = imagecodecs.jpeg2k_decode(content)
    return _stretched(samples, 2**bits - 1)


def avif(content: bytes) -> Codes | None:
    """Decode an AVIF of 10 or 12 bits, as it is stored: not turned upright."""
    place = content.find(b"av1C")
    flags = content[place + 6] if 0 <= place < len(content) - 6 else 0
    if not flags & _HIGH:
        return None
    with decoding():
        samples = imagecodecs.avif_decode(content, index=0)
    return _stretched(samples, 4095 if flags & _TWELVE else 1023)


def heif(content: bytes) -> Codes | None:
    """Decode a HEIF of 10 or 12 bits."""
    import pillow_heif

    with decoding():
        picture = pillow_heif.open_heif(io.BytesIO(content), convert_hdr_to_8bit=False)
        samples = np.asarray(picture)
    return _channels_last(samples) if samples.dtype == np.uint16 else None


def netpbm(content: bytes) -> Codes | None:
    """Decode a binary PGM or PPM whose largest value is above 255."""
    fields: list[bytes] = []
    place = 0
    while len(fields) < 4:
        end = place
        while end < len(content) and not content[end : end + 1].isspace():
            end += 1
        word = content[place:end]
        if word.startswith(b"#"):
            place = content.find(b"\n", place) + 1
            if not place:
                return None
            continue
        if word:
            fields.append(word)
        if end >= len(content):
            return None
        place = end + 1
    kind, *numbers = fields
    if kind not in (b"P5", b"P6") or not all(number.isdigit() for number in numbers):
        return None
    width, height, top = map(int, numbers)
    if not 255 < top < 1 << 16:
        return None
    count = width * height * (1 if kind == b"P5" else 3)
    if len(content) < place + 2 * count:
        raise UndecodableError("image file is truncated")
    samples = np.frombuffer(content, ">u2", count, place).astype(np.uint16)
    return _stretched(samples.reshape(height, width, -1), top)


def _channels_last(samples: Codes) -> Codes:
    return samples.reshape(*samples.shape[:2], -1)


def _stretched(samples: Codes, top: int) -> Codes:
    unit = _channels_last(samples).astype(np.float32) / np.float32(top)
    return to_codes(unit, np.dtype(np.uint8 if top < 256 else np.uint16))


def cropped(decoded: Decoded, content: bytes) -> Decoded:
    """Leave of an AVIF what its file says is shown; other libraries do so themselves."""
    height, width = decoded.codes.shape[:2]
    if shown := _clean_aperture(content, width, height):
        decoded.codes = decoded.codes[shown]
        decoded.alpha = None if decoded.alpha is None else decoded.alpha[shown]
    return decoded


def _clean_aperture(content: bytes, width: int, height: int) -> tuple[slice, slice] | None:
    """Return the rows and columns of an AVIF that are shown, if not all (ISO/IEC 14496-12, 12.1.4).

    None, too, where they are no whole pixels inside of it.
    """
    place = content.find(b"\0\0\0\x28clap") + 8
    if place < 8 or len(content) < place + 32:
        return None
    numbers = struct.unpack_from(">IIIIiIiI", content, place)
    if not all(numbers[1::2]):
        return None
    wide, high, right, down = map(Fraction, numbers[::2], numbers[1::2])
    left, top = (width - wide) / 2 + right, (height - high) / 2 + down
    edges = top, top + high, left, left + wide
    inside = 0 <= top < top + high <= height and 0 <= left < left + wide <= width
    if not inside or any(edge.denominator != 1 for edge in edges):
        return None
    return slice(int(edges[0]), int(edges[1])), slice(int(edges[2]), int(edges[3]))
