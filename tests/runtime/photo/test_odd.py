"""Files as editors, scanners and old programs write them: PNG with a gamma, JPEG of 12 bits."""

import io
import struct
import zlib

import imagecodecs
import numpy as np
import pytest
from helpers.photos import SAVED, check, lightness
from numpy.typing import NDArray
from PIL import ExifTags, Image

from colorize.runtime.photo.photo import Photo
from colorize.runtime.photo.reader import is_photo, read_photo
from colorize.runtime.photo.writer import encode_photo, format_of

_HEAD = 33  # of a PNG: signature and first chunk
_START = 2  # of a JPEG


def _chunk(kind: bytes, content: bytes) -> bytes:
    check = struct.pack(">I", zlib.crc32(kind + content))
    return struct.pack(">I", len(content)) + kind + content + check


def _png(samples: NDArray[np.uint16] | NDArray[np.uint8], *chunks: bytes) -> bytes:
    data = bytes(imagecodecs.png_encode(samples))
    return data[:_HEAD] + b"".join(chunks) + data[_HEAD:]


@pytest.mark.parametrize("exponent", [1.0, 1.8])
def test_the_gamma_of_a_png_is_honored_and_kept(exponent: float, gray: NDArray[np.uint8]) -> None:
    rgb = np.dstack([gray, gray[::-1], gray[:, ::-1]])
    unit = rgb / 255
    light = np.where(unit <= 0.04045, unit / 12.92, ((unit + 0.055) / 1.055) ** 2.4)
    stored = np.round(65535 * light ** (1 / exponent)).astype(np.uint16)
    photo = read_photo(
        SAVED, _png(stored, _chunk(b"gAMA", struct.pack(">I", round(1e5 / exponent))))
    )
    assert np.abs(lightness(photo.rgb) - lightness(rgb)).max() <= 0.3
    written = io.BytesIO()
    encode_photo(written, "PNG", photo, "out")
    again = read_photo(SAVED, written.getvalue())
    np.testing.assert_array_equal(again.rgb, photo.rgb)


@pytest.mark.parametrize(
    "chunks",
    [
        [],
        [(b"gAMA", struct.pack(">I", 45455))],
        [(b"sRGB", b"\0"), (b"gAMA", struct.pack(">I", 100000))],
    ],
)
def test_a_png_of_srgb_gets_no_profile(
    chunks: list[tuple[bytes, bytes]], gray: NDArray[np.uint8]
) -> None:
    photo = read_photo(SAVED, _png(gray, *(_chunk(*each) for each in chunks)))
    check(photo, gray, 0)
    assert "icc_profile" not in photo.tags


@pytest.mark.parametrize("kind", [b"zTXt", b"iTXt"])
def test_long_packed_text_is_no_damage(kind: bytes, gray: NDArray[np.uint8]) -> None:
    text = (
        b"Comment\0" + (b"\1\0\0\0" if kind == b"iTXt" else b"\0") + zlib.compress(bytes(2000000))
    )
    check(read_photo(SAVED, _png(gray, _chunk(kind, text))), gray, 0)


def test_damaged_metadata_of_a_png_cost_themselves_alone(gray: NDArray[np.uint8]) -> None:
    damaged = bytearray(_chunk(b"tEXt", b"Title\0Notre-Dame"))
    damaged[12] ^= 1
    data = _png(gray, bytes(damaged))
    assert is_photo(SAVED, data)
    photo = read_photo(SAVED, data)
    check(photo, gray, 0)
    assert photo.remarks == ("damaged metadata were left out: tEXt",)


@pytest.mark.parametrize("channels", [1, 3])
def test_a_jpeg_of_twelve_bits_keeps_its_depth_and_tags(
    channels: int, gray: NDArray[np.uint8]
) -> None:
    twelve = gray.astype(np.uint16) * 16 + 7
    samples = twelve if channels == 1 else np.dstack([twelve] * 3)
    data = bytes(imagecodecs.jpeg8_encode(samples, level=99, bitspersample=12))
    exif = Image.Exif()
    exif[0x10F] = "Lumiere"
    block = exif.tobytes()
    segment = b"\xff\xe1" + struct.pack(">H", len(block) + 2) + block
    photo = read_photo(SAVED, data[:_START] + segment + data[_START:])
    assert photo.codes.dtype == np.uint16
    check(photo, np.round(samples * (65535 / 4095)).astype(np.uint16), 0.3)
    assert b"Lumiere" in photo.tags["exif"]


def test_a_lossless_jpeg_of_fourteen_bits_is_read(gray: NDArray[np.uint8]) -> None:
    samples = gray.astype(np.uint16) * 64 + 11
    data = bytes(imagecodecs.ljpeg_encode(samples, bitspersample=14))
    wanted = np.round(samples * (65535 / 16383)).astype(np.uint16)
    check(read_photo(SAVED, data), wanted, 0.01)


def test_jpeg_2000_of_few_bits_reaches_white(gray: NDArray[np.uint8]) -> None:
    few = gray >> 4
    data = bytes(imagecodecs.jpeg2k_encode(few, codecformat="jp2", bitspersample=4))
    photo = read_photo(SAVED, data)
    np.testing.assert_array_equal(photo.codes[..., 0], few * 17)


def test_xmp_that_is_cut_off_is_said(gray: NDArray[np.uint8]) -> None:
    file = io.BytesIO()
    Image.fromarray(gray).save(file, "JPEG")
    data = file.getvalue()
    more = (
        b"http://ns.adobe.com/xmp/extension/\0"
        + b"A" * 32
        + struct.pack(">II", 900, 0)
        + bytes(900)
    )
    segment = b"\xff\xe1" + struct.pack(">H", len(more) + 2) + more
    photo = read_photo(SAVED, data[:_START] + segment + data[_START:])
    assert photo.remarks == ("its XMP is longer than 64 KB: the rest was left out",)


@pytest.mark.parametrize("animated", [False, True])
@pytest.mark.parametrize("lossless", [False, True])
def test_webp_stays_lossless(animated: bool, lossless: bool, cat: Image.Image) -> None:
    file, written = io.BytesIO(), io.BytesIO()
    more = [cat.rotate(180)] if animated else []
    cat.save(file, "WEBP", lossless=lossless, save_all=animated, append_images=more)
    photo = read_photo(SAVED, file.getvalue())
    encode_photo(written, "WEBP", photo, "out")
    same = np.array_equal(read_photo(SAVED, written.getvalue()).codes, photo.codes)
    assert same == lossless


def test_the_few_colors_of_gif_are_said(cat: Image.Image) -> None:
    [remark] = encode_photo(io.BytesIO(), "GIF", Photo(np.asarray(cat)), "out")
    assert remark.startswith("GIF holds 256 colors")


@pytest.mark.parametrize("suffix", [".ico", ".icns", ".xbm", ".palm", ".pfm", ".blp", ".wmf"])
def test_formats_that_hold_no_photograph_are_not_written(suffix: str) -> None:
    assert format_of(suffix) is None


@pytest.mark.parametrize("suffix", [".pcx", ".dib", ".eps", ".qoi", ".tga", ".sgi"])
def test_old_formats_keep_transparency_or_say_that_they_do_not(
    suffix: str, cat: Image.Image
) -> None:
    alpha = np.full(cat.size[::-1], 77, np.uint8)
    file = io.BytesIO()
    name = format_of(suffix)
    assert name is not None
    remarks = encode_photo(file, name, Photo(np.asarray(cat), alpha), "out")
    kept = suffix in (".qoi", ".tga", ".sgi")
    assert remarks == (() if kept else (f"{name} holds no transparency: left out",))
    with Image.open(file) as image:
        assert (image.mode == "RGBA") == kept


def test_a_long_maker_note_does_not_keep_exif_out_of_a_jpeg(cat: Image.Image) -> None:
    exif = Image.Exif()
    exif[0x10F] = "Lumiere"
    exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.MakerNote] = bytes(70_000)
    file = io.BytesIO()
    remarks = encode_photo(file, "JPEG", Photo(np.asarray(cat), tags={"exif": exif.tobytes()}), "")
    assert remarks == ("JPEG holds no maker note of this length: left out",)
    with Image.open(file) as image:
        assert image.getexif()[0x10F] == "Lumiere"


@pytest.mark.parametrize("bits", [8, 10])
def test_an_avif_is_cropped_to_what_is_shown(bits: int, gray: NDArray[np.uint8]) -> None:
    rgb = np.dstack([gray] * 3)
    samples = rgb if bits == 8 else rgb.astype(np.uint16) * 4
    data = bytes(imagecodecs.avif_encode(samples, level=100, bitspersample=bits))
    whole = read_photo(SAVED, data)
    numbers = (40, 1, 30, 1, -(91 - 40), 2, 60 - 30, 2)  # at the left, at the bottom
    box = b"\0\0\0\x28clap" + struct.pack(">IIIIiIiI", *numbers)
    photo = read_photo(SAVED, data + box)
    np.testing.assert_array_equal(photo.codes, whole.codes[30:, :40])
