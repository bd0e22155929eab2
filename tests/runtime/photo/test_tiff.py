"""TIFF and DNG: every depth, layout, photometric and storage, read as the tags say."""

import io
import itertools
import struct
from typing import Any

import numpy as np
import pytest
import tifffile
from helpers.photos import ORIENTATION, SAVED, Samples, check, lightness, packed
from numpy.typing import NDArray
from PIL import Image

from colorize.runtime.errors import InputError, MissingExtraError
from colorize.runtime.photo.reader import read_photo
from colorize.runtime.photo.writer import encode_photo

WHITE_IS_ZERO, BLACK_IS_ZERO, RGB = 0, 1, 2


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
        {"byteorder": ">", "bigtiff": True},
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


def test_a_photograph_behind_a_thumbnail_lies_as_its_own_directory_says(
    gray: NDArray[np.uint8],
) -> None:
    file = io.BytesIO()
    with tifffile.TiffWriter(file) as writer:
        upright = [(ORIENTATION, 3, 1, 1, True)]
        writer.write(gray[::4, ::4], subfiletype=1, photometric="minisblack", extratags=upright)
        turned = [(ORIENTATION, 3, 1, 6, True)]
        options: dict[str, Any] = {
            "resolution": (300, 300),
            "resolutionunit": "INCH",
            "extratags": turned,
        }
        writer.write(gray, photometric="minisblack", **options)
    photo = read_photo(SAVED, file.getvalue())
    np.testing.assert_array_equal(photo.codes[..., 0], np.rot90(gray, -1))
    assert photo.tags["dpi"] == (300, 300)


def test_highlights_above_one_are_clipped_and_that_is_said(gray: NDArray[np.uint8]) -> None:
    values = gray.astype(np.float32) / 255
    values[:2, :3] = 1.5
    file = io.BytesIO()
    tifffile.imwrite(file, values, photometric="minisblack")
    photo = read_photo(SAVED, file.getvalue())
    assert (photo.codes[:2, :3] == 65535).all()
    check(photo, np.round(np.minimum(values, 1) * 65535).astype(np.uint16), 0.03)
    assert photo.remarks == (
        "0.1% of its floating-point values were outside 0..1 and were clipped",
    )


def test_floats_of_another_range_are_refused_with_the_fix(gray: NDArray[np.uint8]) -> None:
    file = io.BytesIO()
    tifffile.imwrite(file, gray.astype(np.float32), photometric="minisblack")
    with pytest.raises(
        InputError, match=r"in: has floating-point values of .*, not of 0..1; .*16 bits"
    ):
        read_photo(SAVED, file.getvalue())


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
