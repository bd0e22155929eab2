"""What Pillow leaves aside of PNG files: gamma and primaries, and chunks with a wrong checksum."""

import struct
import zlib
from collections.abc import Mapping
from typing import Any

from .icc import is_srgb

SIGNATURE = b"\x89PNG\r\n\x1a\n"
MOST_TEXT = 1 << 26
"""Bytes that a compressed chunk of text or a profile may unpack to: histories can be long."""
_SRGB_GAMMA = 1 / 2.2  # as its PNG files say (PNG third edition, 11.3.2.4)
_SRGB_PRIMARIES = (0.3127, 0.329, 0.64, 0.33, 0.3, 0.6, 0.15, 0.06)
_SAME = 0.05  # libpng takes gammas that differ by less for the same
_SAME_PRIMARIES = 0.005


def implied_profile(info: Mapping[Any, Any]) -> bytes:
    """Return the ICC profile of the gamma and primaries in Pillow's INFO of a PNG.

    b"" where they are sRGB's, are not given, or something above them is: an ICC profile or the mark
    of sRGB.
    """
    gamma = info.get("gamma")
    if not gamma or "srgb" in info or "icc_profile" in info:
        return b""
    primaries = info.get("chromaticity") or _SRGB_PRIMARIES
    pairs = zip(primaries, _SRGB_PRIMARIES, strict=True)
    same = all(abs(own - srgb) < _SAME_PRIMARIES for own, srgb in pairs)
    if same and abs(gamma / _SRGB_GAMMA - 1) < _SAME:
        return b""
    import imagecodecs

    white, *colors = ((x, y, 1.0) for x, y in zip(primaries[::2], primaries[1::2], strict=True))
    try:
        made = imagecodecs.cms_profile(
            "rgb", whitepoint=white, primaries=[*sum(colors, ())], gamma=1 / gamma
        )
        is_srgb(made)  # ValueError if it is of no use
    except (ValueError, RuntimeError):
        return b""
    return bytes(made)


def without_damaged_chunks(content: bytes) -> tuple[bytes, list[str]]:
    """Return CONTENT without the chunks that are not needed and whose checksum is wrong.

    Their names come with it; none if all are right.
    """
    kept, names, place = [content[: len(SIGNATURE)]], list[str](), len(SIGNATURE)
    while place + 12 <= len(content):
        size, kind = struct.unpack_from(">I4s", content, place)
        end = place + 12 + size
        body, check = content[place + 4 : end - 4], content[end - 4 : end]
        needless = bool(kind[0] & 0x20)  # a small letter
        if needless and end <= len(content) and zlib.crc32(body) != int.from_bytes(check, "big"):
            names.append(kind.decode("latin-1"))
        else:
            kept.append(content[place:end])
        place = end
    return b"".join(kept), names
