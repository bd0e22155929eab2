"""What files say beside their pixels: kept in every format that can hold it, else said."""

import io
import struct
from typing import Any

import numpy as np
import pytest
import tifffile
from helpers.photos import LATITUDE, MAKER, ORIENTATION, SAVED, TAKEN
from numpy.typing import NDArray
from PIL import ExifTags, Image, IptcImagePlugin, PngImagePlugin

from colorize.runtime.colorizer import Colorizer
from colorize.runtime.photo.photo import Photo
from colorize.runtime.photo.reader import read_photo
from colorize.runtime.photo.writer import encode_photo

XMP = (
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-'
    b'syntax-ns#"><rdf:Description xmlns:tiff="http://ns.adobe.com/tiff/1.0/" '
    b'tiff:Orientation="6" xmlns:dc="http://purl.org/dc/elements/1.1/" dc:title="Graz"/>'
    b"</rdf:RDF></x:xmpmeta>"
)


IPTC = b"\x1c\x02\x78\x00\x0aGraz, 1931\x1c\x02\x19\x00\x06family"


def test_iptc_that_imagemagick_put_in_a_png_is_found(gray: NDArray[np.uint8]) -> None:
    text = PngImagePlugin.PngInfo()
    text.add_text("Raw profile type iptc", f"\niptc\n  {len(IPTC)}\n{IPTC.hex()}\n", zip=True)
    file = io.BytesIO()
    Image.fromarray(gray).save(file, "PNG", pnginfo=text)
    assert read_photo(SAVED, file.getvalue()).tags["iptc"] == IPTC


def _tagged(form: str, gray: NDArray[np.uint8]) -> bytes:
    """A file of FORM with EXIF, GPS, XMP, IPTC and a comment, as far as Pillow writes them."""
    made = Image.Exif()
    made[MAKER], made[ORIENTATION] = "Lumière", 1
    made.get_ifd(ExifTags.IFD.Exif)[TAKEN] = "1931:05:06 12:00:00"
    made.get_ifd(ExifTags.IFD.GPSInfo)[LATITUDE] = (47.0, 4.0, 12.0)
    exif = Image.Exif()
    exif.load(made.tobytes())
    resource = b"8BIM\x04\x04\0\0" + struct.pack(">I", len(IPTC)) + IPTC + bytes(len(IPTC) % 2)
    segment = b"Photoshop 3.0\0" + resource
    app13 = b"\xff\xed" + struct.pack(">H", len(segment) + 2) + segment
    text = PngImagePlugin.PngInfo()
    text.add_itxt("XML:com.adobe.xmp", XMP.decode())
    text.add_itxt("Comment", "box 12")
    text.add_itxt("Author", "Großmutter")
    if form == "TIFF":
        exif[700], exif[33723] = XMP, IPTC
    options: dict[str, dict[str, Any]] = {
        "JPEG": {"exif": exif, "xmp": XMP, "extra": app13, "comment": b"box 12"},
        "PNG": {"exif": exif, "pnginfo": text},
        "WEBP": {"exif": exif, "xmp": XMP, "lossless": True},
        "AVIF": {"exif": exif, "xmp": XMP},
        "TIFF": {"exif": exif},
    }
    file = io.BytesIO()
    Image.fromarray(gray).convert("RGB").save(file, form, dpi=(300, 300), **options[form])
    return file.getvalue()


HOLDS = {
    "JPEG": {"exif", "gps", "xmp", "iptc", "comment"},
    "PNG": {"exif", "gps", "xmp", "comment"},
    "TIFF": {"exif", "gps", "xmp", "iptc"},
    "WEBP": {"exif", "gps", "xmp"},
    "AVIF": {"exif", "gps", "xmp"},
    "JXL": {"exif", "gps", "xmp"},
}


def _found(form: str, data: bytes) -> set[str]:
    """What a result says, by Pillow, or for JPEG XL by the boxes' plain content."""
    if form == "JXL":
        words = {"exif": b"1931:05:06", "gps": b"Lumi", "xmp": b'dc:title="Graz"'}
        return {name for name, word in words.items() if word in data}
    image = Image.open(io.BytesIO(data))
    image.load()
    exif = image.getexif()
    found = set()
    if exif.get_ifd(ExifTags.IFD.Exif).get(TAKEN) == "1931:05:06 12:00:00":
        found.add("exif")
    if tuple(map(float, exif.get_ifd(ExifTags.IFD.GPSInfo).get(LATITUDE, ()))) == (47, 4, 12):
        found.add("gps")
    xmp = image.info.get("xmp", b"")
    if b'dc:title="Graz"' in (xmp if isinstance(xmp, bytes) else xmp.encode()):
        found.add("xmp")
    iptc = IptcImagePlugin.getiptcinfo(image) or {}
    if iptc.get((2, 120)) == b"Graz, 1931" and iptc.get((2, 25)) == b"family":
        found.add("iptc")
    comment = image.info.get("comment") or image.info.get("Comment") or b""
    if comment in (b"box 12", "box 12"):
        found.add("comment")
    return found


@pytest.mark.parametrize("target", HOLDS)
@pytest.mark.parametrize("source", ["JPEG", "PNG", "WEBP", "AVIF", "TIFF"])
@pytest.mark.parametrize("deep", [False, True])
def test_what_files_say_is_kept_or_said(
    source: str, target: str, deep: bool, gray: NDArray[np.uint8], colorizer: Colorizer
) -> None:
    data = _tagged(source, gray)
    assert _found(source, data) == HOLDS[source]
    photo = read_photo(SAVED, data)
    assert b'tiff:Orientation="1"' in photo.tags["xmp"]
    if deep:
        photo = Photo(photo.codes.astype(np.uint16) * 257, tags=photo.tags)
    file = io.BytesIO()
    remarks = encode_photo(file, target, colorizer.photo(photo), "out")
    kept = _found(target, file.getvalue())
    if target == "TIFF":
        kept -= {"comment"}  # it is the description there
    lost = HOLDS[source] - HOLDS[target] - ({"comment"} if target == "TIFF" else set())
    assert kept == HOLDS[source] & HOLDS[target]
    for name in lost:
        assert any(name.lower() in remark.lower() for remark in remarks), (name, remarks)
    rounded = deep and target in ("JPEG", "WEBP", "AVIF")
    assert any("its 16 were rounded" in remark for remark in remarks) == rounded
    if not lost and source != "PNG" and not rounded:
        assert remarks == ()


def test_a_tiff_of_eight_bits_takes_the_exif_of_a_jpeg(gray: NDArray[np.uint8]) -> None:
    """Written by libtiff it was refused; other readers see the directories where TIFF has them."""
    file = io.BytesIO()
    encode_photo(file, "TIFF", read_photo(SAVED, _tagged("JPEG", gray)), "out")
    with tifffile.TiffFile(io.BytesIO(file.getvalue())) as tiff:
        tags = tiff.pages.first.tags
        assert tags[34665].value["DateTimeOriginal"] == "1931:05:06 12:00:00"
        assert tags[34853].value["GPSLatitude"] == (47, 1, 4, 1, 12, 1)
        assert bytes(tags[33723].value) == IPTC
        assert tags["ImageDescription"].value == "box 12"
        assert tags["XResolution"].value == (300, 1)
