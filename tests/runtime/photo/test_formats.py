"""What people bring: every depth, layout and photometric of TIFF, PNG, JPEG XL, JPEG 2000, DNG.

Inputs are made of samples that are known, results are read by other libraries than ours.
"""

import io
import struct
import zlib
from pathlib import Path
from typing import Any

import cv2
import imagecodecs
import numpy as np
import pytest
import tifffile
from helpers.photos import SAVED, Samples, check, lightness, packed
from numpy.typing import NDArray
from PIL import Image

from colorize.runtime.errors import InputError
from colorize.runtime.photo.photo import Photo
from colorize.runtime.photo.reader import is_photo, pixels_of, read_photo
from colorize.runtime.photo.writer import encode_photo


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
