"""Metadata of photographs: what Pillow reads but cannot write is taken out."""

import io
import re
import struct
from collections.abc import Mapping
from functools import cache

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image

from .decoding import decoding

_DIRECTORIES = frozenset((ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo))
_UNWRITABLE = (ValueError, TypeError, AttributeError, struct.error)
"""What Pillow raises at a tag whose value has another type than its standard gives the tag."""


def drop_unwritable(exif: Image.Exif) -> list[str]:
    """Take the tags out of EXIF that Pillow reads but cannot write; return their names.

    Scanners and editors write such tags: numbers stored as text, directories that do not exist.
    """
    with decoding():
        directories = {int(tag): exif.get_ifd(tag) for tag in _DIRECTORIES & exif.keys()}
    if _is_writable(exif) and all(map(_is_sound, directories.values())):
        return []
    dropped = []
    for tag in sorted(exif.keys()):
        if tag not in _DIRECTORIES:
            with decoding():
                value = exif[tag]
            writable = _is_writable(_alone(tag, value))
        elif writable := _is_sound(entries := directories[tag]):
            bad = [key for key in entries if not _is_writable(_alone(tag, {key: entries[key]}))]
            for key in bad:
                del entries[key]
            dropped += [_name(key) for key in bad]
        if not writable:
            del exif[tag]
            dropped.append(_name(tag))
    return dropped


def _is_sound(directory: Mapping[int, object]) -> bool:
    return bool(directory) and not directory.keys() & _DIRECTORIES


def _alone(tag: int, value: object) -> Image.Exif:
    exif = Image.Exif()
    exif[tag] = value
    return exif


def _is_writable(exif: Image.Exif) -> bool:
    try:
        exif.tobytes()
    except _UNWRITABLE:
        return False
    return True


def _name(tag: int) -> str:
    return {**ExifTags.GPSTAGS, **ExifTags.TAGS}.get(tag, f"{tag:#06x}")


_IPTC_RESOURCE = 0x0404
_PHOTOSHOP_HEADER = b"Photoshop 3.0\0"


def iptc_in_photoshop(resources: bytes) -> bytes:
    """Return the IPTC block among Photoshop's image resources; b"" if there is none."""
    place = 0
    while resources[place : place + 4] == b"8BIM" and len(resources) >= place + 7:
        kind = int.from_bytes(resources[place + 4 : place + 6], "big")
        start = place + 6 + (resources[place + 6] | 1) + 1  # behind a name padded to even length
        size = int.from_bytes(resources[start : start + 4], "big")
        if kind == _IPTC_RESOURCE:
            return resources[start + 4 : start + 4 + size]
        place = start + 4 + size + size % 2
    return b""


def iptc_in_profile(text: str) -> bytes:
    """Return the IPTC block in a PNG's text "Raw profile type iptc", as ImageMagick writes it."""
    try:
        content = bytes.fromhex("".join(text.split()[2:]))
    except ValueError:
        return b""
    return iptc_in_photoshop(content) if content.startswith(b"8BIM") else content


def photoshop_segment(iptc: bytes) -> bytes:
    """Return the APP13 segment of a JPEG file that holds an IPTC block of at most 65000 bytes."""
    resource = b"8BIM" + struct.pack(">HHI", _IPTC_RESOURCE, 0, len(iptc)) + iptc
    content = _PHOTOSHOP_HEADER + resource + bytes(len(iptc) % 2)
    return b"\xff\xed" + struct.pack(">H", len(content) + 2) + content


def is_lossless_webp(content: bytes) -> bool:
    """Whether the first picture of a WebP is stored without loss (RFC 9649, section 2)."""
    place = 12
    while place + 8 <= len(content):
        kind, size = (
            content[place : place + 4],
            int.from_bytes(content[place + 4 : place + 8], "little"),
        )
        if kind in (b"VP8L", b"VP8 "):
            return kind == b"VP8L"
        place += 8 + 16 if kind == b"ANMF" else 8 + size + size % 2
    return False


def upright_xmp(xmp: bytes) -> bytes:
    """Return XMP that says of the picture that it is upright, as it is when it has been read."""
    return re.sub(rb"(tiff:Orientation\s*(?:=\s*[\"']|>)\s*)[2-8]", rb"\g<1>1", xmp)


def jpeg_quality(image: Image.Image) -> int:
    """Return the lowest quality at which a JPEG rounds nowhere more than this one; else 0."""
    tables = getattr(image, "quantization", None)
    if not tables:
        return 0
    source = list(tables.values())
    for quality in range(100):
        ours = _tables(quality)
        if all(np.all(ours[min(i, 1)] <= table) for i, table in enumerate(source)):
            return quality
    return 100


@cache
def _tables(quality: int) -> list[NDArray[np.int64]]:
    """Return libjpeg's tables for luma and chroma."""
    file = io.BytesIO()
    Image.new("RGB", (1, 1)).save(file, "JPEG", quality=quality)
    with Image.open(file) as image:
        return [np.asarray(table) for table in image.quantization.values()]  # type: ignore[attr-defined]
