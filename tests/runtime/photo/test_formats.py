"""What people bring: every depth, layout and photometric of TIFF, PNG, JPEG XL, JPEG 2000, DNG.

Inputs are made of samples that are known, results are read by other libraries than ours.
"""

import io
import itertools
import struct
import zlib
from pathlib import Path
from typing import Any

import cv2
import imagecodecs
import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from PIL import ExifTags, Image, IptcImagePlugin, PngImagePlugin
from skimage.color import rgb2lab

from colorize.runtime.colorizer import Colorizer
from colorize.runtime.errors import InputError, MissingExtraError
from colorize.runtime.models.catalog import SAMPLES
from colorize.runtime.photo.photo import Photo
from colorize.runtime.photo.reader import is_photo, pixels_of, read_photo
from colorize.runtime.photo.writer import encode_photo

Samples = NDArray[Any]
SAVED = Path("in")
XMP = (
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-'
    b'syntax-ns#"><rdf:Description xmlns:tiff="http://ns.adobe.com/tiff/1.0/" '
    b'tiff:Orientation="6" xmlns:dc="http://purl.org/dc/elements/1.1/" dc:title="Graz"/>'
    b"</rdf:RDF></x:xmpmeta>"
)
IPTC = b"\x1c\x02\x78\x00\x0aGraz, 1931\x1c\x02\x19\x00\x06family"
MAKER, TAKEN, LATITUDE, ORIENTATION = 0x10F, 0x9003, 2, 0x112


@pytest.fixture(scope="module")
def gray() -> NDArray[np.uint8]:
    image = Image.open(SAMPLES / "test" / "cat.jpg").convert("L").resize((91, 60))
    return np.asarray(image)


def lightness(codes: Samples) -> NDArray[np.float64]:
    values = codes / np.iinfo(codes.dtype).max
    rgb = np.dstack([values] * 3) if codes.ndim == 2 else values[..., :3]
    return np.asarray(rgb2lab(rgb)[..., 0])


def check(photo: Photo, wanted: Samples, most: float = 0.3) -> None:
    """PHOTO has the lightness of WANTED, gray (H, W) or RGB of 8 or 16 bits."""
    assert photo.codes.shape == (*wanted.shape[:2], 3)
    assert np.abs(lightness(photo.codes) - lightness(wanted)).max() <= most


def tiff_by_hand(
    samples: Samples, photometric: int, bits: int, *, planar: int = 1, extra: tuple[int, ...] = ()
) -> bytes:
    """Write one uncompressed strip, or one a plane, of (H, W, S) as TIFF 6.0 has it."""
    height, width, count = samples.shape
    planes = [samples] if planar == 1 else [samples[..., i : i + 1] for i in range(count)]
    data = [packed(plane.reshape(height, -1), bits) for plane in planes]
    tags = {
        256: (4, [width]),
        257: (4, [height]),
        258: (3, [bits] * count),
        259: (3, [1]),
        262: (3, [photometric]),
        273: (4, [0] * len(data)),
        277: (3, [count]),
        278: (4, [height]),
        279: (4, [len(part) for part in data]),
        284: (3, [planar]),
    }
    if extra:
        tags[338] = (3, list(extra))
    start = 8 + 2 + 12 * len(tags) + 4
    room = sum(len(values) * (2 if kind == 3 else 4) for kind, values in tags.values())
    places = itertools.accumulate([start + room, *(len(part) for part in data[:-1])])
    tags[273] = (4, list(places))
    directory, values_at = b"", b""
    for tag, (kind, values) in sorted(tags.items()):
        content = struct.pack(f"<{len(values)}{'H' if kind == 3 else 'I'}", *values)
        if len(content) <= 4:
            field = content.ljust(4, b"\0")
        else:
            field = struct.pack("<I", start + len(values_at))
            values_at += content
        directory += struct.pack("<HHI", tag, kind, len(values)) + field
    head = b"II*\0" + struct.pack("<IH", 8, len(tags)) + directory + bytes(4)
    return head + values_at.ljust(room, b"\0") + b"".join(data)


def packed(rows: Samples, bits: int) -> bytes:
    """Pack rows of values into BITS each; every row begins at a byte."""
    if bits == 16:
        return rows.astype("<u2").tobytes()
    places = np.arange(bits - 1, -1, -1)
    unpacked = (rows[..., None].astype(np.uint32) >> places) & 1
    return np.packbits(unpacked.reshape(len(rows), -1).astype(np.uint8), axis=1).tobytes()


WHITE_IS_ZERO, BLACK_IS_ZERO, RGB = 0, 1, 2
LAYOUTS = [
    (photometric, bits, planar)
    for photometric in (WHITE_IS_ZERO, BLACK_IS_ZERO, RGB)
    for bits in ((4, 8, 10, 12, 14, 16) if photometric != RGB else (8, 12, 16))
    for planar in ((1, 2) if photometric == RGB else (1,))
]


@pytest.mark.parametrize(("photometric", "bits", "planar"), LAYOUTS)
def test_tiff_is_read_as_its_tags_say(
    photometric: int, bits: int, planar: int, gray: NDArray[np.uint8]
) -> None:
    top = 2**bits - 1
    values = np.round(gray.astype(np.float64) * top / 255).astype(np.uint16)
    stored = values if photometric else top - values
    channels = np.dstack([stored, stored[::-1], stored[:, ::-1]]) if photometric == RGB else stored
    samples = channels.reshape(*gray.shape, -1)
    photo = read_photo(SAVED, tiff_by_hand(samples, photometric, bits, planar=planar))
    assert photo.codes.dtype == (np.uint8 if bits <= 8 else np.uint16)
    shown = samples if photometric else values
    check(photo, np.round(shown.astype(np.float64) * 65535 / top).astype(np.uint16).squeeze())


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("big", [False, True])
def test_tiff_is_turned_upright(orientation: int, big: bool, gray: NDArray[np.uint8]) -> None:
    file = io.BytesIO()
    extra = [(ORIENTATION, 3, 1, orientation, True)]
    deep = gray.astype(np.uint16) * 257
    tifffile.imwrite(file, deep, bigtiff=big, photometric="minisblack", extratags=extra)
    turned = {
        1: deep,
        2: deep[:, ::-1],
        3: deep[::-1, ::-1],
        4: deep[::-1],
        5: deep.T,
        6: np.rot90(deep, -1),
        7: deep[::-1, ::-1].T,
        8: np.rot90(deep),
    }[orientation]
    photo = read_photo(SAVED, file.getvalue())
    check(photo, turned, 0.03)
    written = io.BytesIO()
    encode_photo(written, "TIFF", photo, "out")
    check(read_photo(SAVED, written.getvalue()), turned, 0.03)


@pytest.mark.parametrize(
    "options",
    [
        {"compression": "lzw", "predictor": True, "tile": (16, 16)},
        {"compression": "zlib", "rowsperstrip": 7},
        {"compression": "zstd", "tile": (32, 16)},
        {"compression": "packbits"},
        {"byteorder": ">"},
        {"planarconfig": "separate", "compression": "lzw"},
    ],
    ids=str,
)
def test_tiff_of_any_storage_is_read(options: dict[str, Any], gray: NDArray[np.uint8]) -> None:
    rgb = np.dstack([gray, gray[::-1], gray[:, ::-1]]).astype(np.uint16) * 257
    stored = np.moveaxis(rgb, -1, 0) if "planarconfig" in options else rgb
    file = io.BytesIO()
    tifffile.imwrite(file, stored, photometric="rgb", metadata=None, **options)
    np.testing.assert_array_equal(read_photo(SAVED, file.getvalue()).codes, rgb)


@pytest.mark.parametrize("compression", ["group3", "group4", "jpeg", "tiff_lzw", None])
@pytest.mark.parametrize("mode", ["1", "P", "CMYK", "YCbCr", "LAB"])
def test_tiff_of_other_colors_is_read_as_pillow_does(
    compression: str | None, mode: str, gray: NDArray[np.uint8]
) -> None:
    if (compression or "").startswith("group") != (mode == "1") and compression != "tiff_lzw":
        pytest.skip("no such TIFF")
    if (compression == "jpeg" and mode in ("P", "LAB")) or (mode == "1" and compression == "jpeg"):
        pytest.skip("no such TIFF")
    image = Image.fromarray(gray)
    if mode == "LAB":
        neutral = np.full_like(gray, 0)
        image = Image.frombytes("LAB", image.size, np.dstack([gray, neutral, neutral]).tobytes())
        wanted = (gray / 255 * 100).astype(np.float64)
    else:
        image = image.quantize(256) if mode == "P" else image.convert("RGB").convert(mode)
        wanted = lightness(np.asarray(image.convert("RGB")))
    file = io.BytesIO()
    image.save(file, "TIFF", compression=compression)
    read = read_photo(SAVED, file.getvalue())
    most = 12.0 if compression == "jpeg" else 0.3
    assert np.abs(lightness(read.codes) - wanted).max() <= most


@pytest.mark.parametrize(
    ("kind", "kept"), [("unassalpha", True), ("assocalpha", True), ("unspecified", False)]
)
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_only_what_is_declared_as_alpha_is_alpha(
    kind: str, kept: bool, dtype: type, gray: NDArray[np.uint8]
) -> None:
    scale = 257 if dtype is np.uint16 else 1
    alpha: Samples = np.full(gray.shape, 128 * scale, dtype)
    color: Samples = gray.astype(dtype) * scale
    stored = (color.astype(np.float64) * (128 / 255)).astype(dtype) if kind[0] == "a" else color
    file = io.BytesIO()
    samples = np.dstack([stored, stored, stored, alpha])
    tifffile.imwrite(file, samples, photometric="rgb", extrasamples=[kind], metadata=None)
    photo = read_photo(SAVED, file.getvalue())
    check(photo, color, 2.0 if kind[0] == "a" else 0.0)
    if kept:
        np.testing.assert_array_equal(photo.alpha, alpha)
    else:
        assert photo.alpha is None
        assert "do not declare as alpha" in photo.remarks[0]


def test_a_thumbnail_in_front_is_not_the_photograph(gray: NDArray[np.uint8]) -> None:
    file = io.BytesIO()
    with tifffile.TiffWriter(file) as writer:
        writer.write(gray[::4, ::4], subfiletype=1, subifds=1, photometric="minisblack")
        writer.write(gray, photometric="minisblack")
    photo = read_photo(SAVED, file.getvalue())
    np.testing.assert_array_equal(photo.codes[..., 0], gray)


def _dng(gray: NDArray[np.uint8]) -> bytes:
    """A monochrome camera's raw data behind a thumbnail, as DNG 1.4 has it."""
    file = io.BytesIO()
    version: list[Any] = [
        (50706, 1, 4, (1, 4, 0, 0), True),
        (50708, 2, 0, "Leica M Monochrom", True),
    ]
    names: list[Any] = [(271, 2, 0, "Leica Camera AG", True), (272, 2, 0, "M MONOCHROM", True)]
    with tifffile.TiffWriter(file) as writer:
        thumbnail = np.dstack([gray[::4, ::4]] * 3)
        writer.write(
            thumbnail, photometric="rgb", subfiletype=1, subifds=1, extratags=version + names,
            metadata=None, software=False,
        )  # fmt: skip
        extra = [(50714, 3, 1, 0, True), (50717, 4, 1, 65535, True)]
        deep = gray.astype(np.uint16) * 257
        writer.write(deep, photometric="minisblack", metadata=None, extratags=extra)
    file.seek(0)
    with tifffile.TiffFile(file, mode="r+") as tiff:
        page: Any = tiff.pages.first
        page.pages[0].tags["PhotometricInterpretation"].overwrite(34892)
        tiff.filehandle.flush()
        return file.getvalue()


def test_raw_data_are_developed_not_their_thumbnail(gray: NDArray[np.uint8]) -> None:
    pytest.importorskip("rawpy")
    photo = read_photo(SAVED, _dng(gray))
    assert "developed from a DNG of Leica Camera AG M MONOCHROM" in photo.remarks
    linear = gray / 255
    encoded = np.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear ** (1 / 2.4) - 0.055)
    check(photo, (encoded * 65535).astype(np.uint16), 1.0)


def test_raw_data_without_libraw_are_refused_by_name(
    gray: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "rawpy", None)
    with pytest.raises(MissingExtraError, match=r"a DNG of Leica.*thumbnail.*\[raw\]"):
        read_photo(SAVED, _dng(gray))


def _chunk(kind: bytes, content: bytes) -> bytes:
    check = struct.pack(">I", zlib.crc32(kind + content))
    return struct.pack(">I", len(content)) + kind + content + check


@pytest.mark.parametrize("channels", [1, 3])
def test_one_value_of_a_deep_png_is_transparent(channels: int, gray: NDArray[np.uint8]) -> None:
    deep = gray.astype(np.uint16) * 257
    samples = deep if channels == 1 else np.dstack([deep] * 3)
    value = int(deep[10, 10])
    data = bytes(imagecodecs.png_encode(samples))
    place = data.index(b"IDAT") - 4
    chunk = _chunk(b"tRNS", struct.pack(f">{channels}H", *[value] * channels))
    photo = read_photo(SAVED, data[:place] + chunk + data[place:])
    check(photo, deep, 0.03)
    assert photo.alpha is not None
    np.testing.assert_array_equal(photo.alpha == 0, deep == value)
    np.testing.assert_array_equal(photo.alpha == 65535, deep != value)


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_deep_png_of_any_channels_is_read(channels: int, gray: NDArray[np.uint8]) -> None:
    deep = gray.astype(np.uint16) * 257 + 3
    samples = np.dstack([deep, deep[::-1], deep[:, ::-1], deep[::-1, ::-1]][:channels]).squeeze()
    photo = read_photo(SAVED, bytes(imagecodecs.png_encode(samples)))
    assert photo.codes.dtype == np.uint16
    color = samples[..., :3] if channels > 2 else samples.reshape(*deep.shape, -1)[..., 0]
    check(photo, color, 0.03)
    if channels in (2, 4):
        np.testing.assert_array_equal(photo.alpha, samples[..., -1])


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("container", [False, True])
def test_jpeg_xl_is_read(
    channels: int, dtype: type, container: bool, gray: NDArray[np.uint8], tmp_path: Path
) -> None:
    deep: Samples = gray.astype(dtype) * (257 if dtype is np.uint16 else 1)
    samples = np.dstack([deep, deep[::-1], deep[:, ::-1], deep[::-1, ::-1]][:channels]).squeeze()
    path = tmp_path / "scan.jxl"
    path.write_bytes(imagecodecs.jpegxl_encode(samples, lossless=True, usecontainer=container))
    photo = read_photo(path)
    color = samples[..., :3] if channels > 2 else samples.reshape(*deep.shape, -1)[..., 0]
    check(photo, color, 0)
    assert photo.codes.dtype == dtype
    assert (photo.alpha is not None) == (channels in (2, 4))
    assert is_photo(path)
    assert pixels_of(path) == gray.size
    with pytest.raises(InputError, match="megapixels"):
        read_photo(path, max_pixels=100)


@pytest.mark.parametrize("size", [(8, 8), (256, 64), (300, 300), (160, 90), (1200, 3), (1, 1)])
def test_the_size_of_a_jpeg_xl_is_read_before_its_pixels(size: tuple[int, int]) -> None:
    data = bytes(imagecodecs.jpegxl_encode(np.zeros(size[::-1], np.uint8), lossless=True))
    with pytest.raises(InputError, match=f"in: {size[0]}x{size[1]} is above"):
        read_photo(SAVED, data, max_pixels=0)


@pytest.mark.parametrize("bits", [8, 12, 16])
def test_jpeg_2000_keeps_its_depth(bits: int, gray: NDArray[np.uint8]) -> None:
    values = np.round(gray.astype(np.float64) * (2**bits - 1) / 255)
    rgb = np.dstack([values] * 3).astype(np.uint8 if bits == 8 else np.uint16)
    data = imagecodecs.jpeg2k_encode(rgb, codecformat="jp2", reversible=True, bitspersample=bits)
    photo = read_photo(SAVED, bytes(data))
    assert photo.codes.dtype == rgb.dtype
    check(photo, np.round(values * 65535 / (2**bits - 1)).astype(np.uint16))


def test_a_gray_png_of_few_bits_keeps_its_transparent_value() -> None:
    values = np.arange(32, dtype=np.uint8).reshape(4, 8) % 4
    rows = b"".join(b"\0" + packed(row[None], 2) for row in values)
    header = struct.pack(">IIBBBBB", 8, 4, 2, 0, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"tRNS", b"\0\2"), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    data = b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(*chunk) for chunk in chunks)
    photo = read_photo(SAVED, data)
    np.testing.assert_array_equal(photo.codes[..., 1], values * 85)
    np.testing.assert_array_equal(photo.alpha == 0, values == 2)


@pytest.mark.parametrize("bits", [10, 12])
def test_avif_keeps_its_depth(bits: int) -> None:
    values = np.linspace(0, 2**bits - 1, 96 * 64).reshape(64, 96).astype(np.uint16)
    data = imagecodecs.avif_encode(np.dstack([values] * 3), bitspersample=bits, level=100)
    photo = read_photo(SAVED, bytes(data))
    assert photo.codes.dtype == np.uint16
    check(photo, np.round(values / (2**bits - 1) * 65535).astype(np.uint16), 1.0)
    assert len(np.unique(photo.codes)) > 256


def test_heif_keeps_its_depth() -> None:
    pillow_heif = pytest.importorskip("pillow_heif")
    smooth = np.linspace(0, 65535, 96 * 64).reshape(64, 96).astype(np.uint16)
    file = io.BytesIO()
    deep = np.dstack([smooth] * 3)
    pillow_heif.encode("RGB;16", (96, 64), deep.tobytes(), file, quality=-1)
    photo = read_photo(SAVED, file.getvalue())
    assert photo.codes.dtype == np.uint16
    check(photo, smooth, 1.5)
    assert len(np.unique(photo.codes)) > 256


@pytest.mark.parametrize("kind", [b"P5", b"P6"])
@pytest.mark.parametrize("top", [1023, 65535])
def test_netpbm_keeps_its_depth(kind: bytes, top: int, gray: NDArray[np.uint8]) -> None:
    values = np.round(gray.astype(np.float64) * top / 255).astype(">u2")
    samples = values if kind == b"P5" else np.dstack([values] * 3)
    head = kind + b" # a comment\n%d %d\n%d\n" % (*gray.shape[::-1], top)
    photo = read_photo(SAVED, head + samples.astype(">u2").tobytes())
    check(photo, np.round(values.astype(np.float64) / top * 65535).astype(np.uint16), 0.03)


def test_deep_cmyk_keeps_its_depth(gray: NDArray[np.uint8]) -> None:
    inks = np.zeros((*gray.shape, 4), np.uint16)
    inks[..., 3] = 65535 - gray.astype(np.uint16) * 257
    file = io.BytesIO()
    tifffile.imwrite(file, inks, photometric="separated", metadata=None)
    check(read_photo(SAVED, file.getvalue()), gray.astype(np.uint16) * 257, 0.03)


def test_lost_transparency_is_said(gray: NDArray[np.uint8]) -> None:
    photo = Photo(np.dstack([gray] * 3), alpha=gray)
    assert encode_photo(io.BytesIO(), "JPEG", photo, "out") == (
        "JPEG holds no transparency: left out",
    )


def test_iptc_that_imagemagick_put_in_a_png_is_found(gray: NDArray[np.uint8]) -> None:
    text = PngImagePlugin.PngInfo()
    text.add_text("Raw profile type iptc", f"\niptc\n  {len(IPTC)}\n{IPTC.hex()}\n", zip=True)
    file = io.BytesIO()
    Image.fromarray(gray).save(file, "PNG", pnginfo=text)
    assert read_photo(SAVED, file.getvalue()).tags["iptc"] == IPTC


def _jpeg(gray: NDArray[np.uint8], **options: Any) -> bytes:
    file = io.BytesIO()
    Image.fromarray(gray).save(file, "JPEG", quality=90, **options)
    return file.getvalue()


def test_a_jpeg_without_its_last_bytes_is_whole(gray: NDArray[np.uint8]) -> None:
    whole = _jpeg(gray)
    photo = read_photo(SAVED, whole[:-2])
    np.testing.assert_array_equal(photo.codes, read_photo(SAVED, whole).codes)
    assert photo.remarks == ("its end is missing, but nothing of the picture",)


@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
def test_a_jpeg_cut_short_is_decoded_as_far_as_it_goes(
    share: float, gray: NDArray[np.uint8]
) -> None:
    whole = _jpeg(gray)
    photo = read_photo(SAVED, whole[: int(len(whole) * share)])
    [remark] = photo.remarks
    said = int(remark.split("%")[0])
    assert remark == f"{said}% of it was missing and is gray"
    lost = np.abs(photo.codes[..., 0].astype(int) - read_photo(SAVED, whole).codes[..., 0]) > 1
    missing = np.flatnonzero(lost)[0] // gray.shape[1] // 8 * 8  # the row of blocks where it ends
    assert abs(said / 100 - (1 - missing / len(gray))) < 9 / len(gray)
    assert np.abs(photo.codes[missing + 8 :, 0].astype(int) - 128).max() <= 1


def test_a_progressive_jpeg_cut_short_is_coarser(gray: NDArray[np.uint8]) -> None:
    whole = _jpeg(gray, progressive=True)
    [remark] = read_photo(SAVED, whole[: len(whole) // 2]).remarks
    assert "of it is coarser than it was" in remark


def test_a_jpeg_of_which_nothing_is_left_is_refused(gray: NDArray[np.uint8]) -> None:
    whole = _jpeg(gray)
    start = whole.index(b"\xff\xda") + 14
    with pytest.raises(InputError, match="all of the picture is missing"):
        read_photo(SAVED, whole[:start])


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


@pytest.mark.parametrize("suffix", [".tif", ".jxl", ".jp2", ".png"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("alpha", [False, True])
def test_results_are_what_other_readers_see(
    suffix: str, dtype: type, alpha: bool, gray: NDArray[np.uint8]
) -> None:
    scale = 257 if dtype is np.uint16 else 1
    rgb: Samples = np.dstack([gray, gray[::-1], gray[:, ::-1]]).astype(dtype) * scale
    opacity: Samples = gray[::-1, ::-1].astype(dtype) * scale
    file = io.BytesIO()
    form = {".tif": "TIFF", ".jxl": "JXL", ".jp2": "JPEG2000", ".png": "PNG"}[suffix]
    encode_photo(file, form, Photo(rgb, alpha=opacity if alpha else None), "out")
    if form == "JXL":
        seen = np.asarray(imagecodecs.jpegxl_decode(file.getvalue()))
    else:
        flags = cv2.IMREAD_UNCHANGED
        bgr = cv2.imdecode(np.frombuffer(file.getvalue(), np.uint8), flags)
        assert bgr is not None
        seen = np.asarray(bgr)[..., [2, 1, 0, 3][: 4 if alpha else 3]]
    if dtype is np.uint8 and form == "TIFF":  # OpenCV multiplies it by alpha
        seen = np.asarray(Image.open(io.BytesIO(file.getvalue())))
    assert seen.dtype == dtype
    assert seen.shape == (*gray.shape, 4 if alpha else 3)
    most = 3.0 if form == "JXL" else 0.3
    assert np.abs(lightness(seen) - lightness(rgb)).mean() <= most
    if alpha:
        np.testing.assert_allclose(seen[..., 3], opacity, atol=0)


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
