"""Photographs: what is decoded, what is kept, and that lightness is."""

import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageCms, ImageOps
from skimage.color import rgb2lab

from colorize.runtime.colorizer import Colorizer
from colorize.runtime.errors import ArgumentError
from colorize.runtime.files import PHOTO_SUFFIXES, photo_files
from colorize.runtime.models.catalog import SAMPLES
from colorize.runtime.photo import photo as photo_module
from colorize.runtime.photo.photo import Photo, join
from colorize.runtime.photo.reader import is_photo, read_photo
from colorize.runtime.photo.writer import format_of, write_photo

ORIENTATION, MAKER, DATE, EXPOSURE, EXIF_IFD, GPS_IFD = 0x112, 0x10F, 0x132, 0x829A, 0x8769, 0x8825


def _rgb(path: Path) -> NDArray[np.uint8]:
    return np.asarray(Image.open(path).convert("RGB"))


def _rewritten(source: Path, target: Path) -> Image.Image:
    """Read SOURCE, write it to TARGET as it is, and open that."""
    write_photo(target, read_photo(source))
    result = Image.open(target)
    result.load()
    return result


@pytest.mark.parametrize("name", ["tulips", "paint_brushes", "coral_reef", "dusk_palm"])
@pytest.mark.parametrize("strength", [0.3, 1.0])
def test_lightness_of_photos_is_kept_under_strong_colors(name: str, strength: float) -> None:
    rgb = read_photo(SAMPLES / "test" / f"{name}.jpg").rgb
    ab = np.random.default_rng(1).uniform(-110, 110, (16, 24, 2)).astype(np.float32)
    colored = join(rgb, ab, strength)
    assert colored.shape == rgb.shape
    moved = np.abs(rgb2lab(colored)[..., 0] - rgb2lab(rgb)[..., 0])
    assert moved.max() <= 0.3
    assert np.abs(rgb2lab(colored)[..., 1:]).mean() > 5


def test_lightness_of_written_photos_is_kept(
    photo: Path, colorizer: Colorizer, tmp_path: Path
) -> None:
    original = read_photo(photo)
    write_photo(tmp_path / "out.png", Photo(colorizer.image(original.rgb)))
    written = _rgb(tmp_path / "out.png")
    assert np.abs(rgb2lab(written)[..., 0] - rgb2lab(original.rgb)[..., 0]).max() <= 0.3


def test_colors_are_those_that_the_model_names(colorizer: Colorizer) -> None:
    gray = np.full((40, 60), 119, np.uint8)  # L* is 50: a* = 30, b* = 10
    lab = rgb2lab(colorizer.image(gray))
    np.testing.assert_allclose(lab.reshape(-1, 3).mean(axis=0), (50, 30, 10), atol=0.4)


def test_own_colors_of_a_photo_are_ignored(colorizer: Colorizer, photo: Path) -> None:
    rgb = read_photo(photo).rgb
    gray = Photo(rgb).gray()
    difference = colorizer.image(rgb).astype(int) - colorizer.image(gray)
    assert np.abs(difference).max() <= 4


def test_joining_in_strips_is_joining_at_once(photo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rgb = read_photo(photo).rgb
    ab = np.random.default_rng(1).uniform(-60, 60, (9, 9, 2)).astype(np.float32)
    whole = join(rgb, ab)
    monkeypatch.setattr(photo_module, "_STRIP_PIXELS", 1000)
    np.testing.assert_array_equal(join(rgb, ab), whole)


def test_saturation_nought_gives_grays() -> None:
    rgb = np.random.default_rng(1).integers(0, 256, (20, 20, 3), dtype=np.uint8)
    result = join(rgb, np.full((4, 4, 2), 90, np.float32), 0.0)
    assert np.ptp(result, axis=-1).max() <= 1


@pytest.mark.parametrize("size", [(1, 1), (1, 7), (7, 1), (31, 33), (500, 3), (64, 64)])
@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif", ".webp", ".bmp"])
def test_size_is_kept(
    size: tuple[int, int], suffix: str, colorizer: Colorizer, cat: Image.Image, tmp_path: Path
) -> None:
    source, target = tmp_path / f"in{suffix}", tmp_path / f"out{suffix}"
    cat.resize(size).save(source)
    photo = read_photo(source)
    write_photo(target, Photo(colorizer.image(photo.rgb)))
    assert Image.open(target).size == size


@pytest.mark.parametrize("shape", [(0, 0, 3), (0, 5), (5, 0, 3)])
def test_empty_arrays_are_refused(shape: tuple[int, ...], colorizer: Colorizer) -> None:
    with pytest.raises(ArgumentError):
        colorizer.image(np.zeros(shape, np.uint8))


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((4, 4, 3), np.float32),
        np.zeros((4, 4, 4), np.uint8),
        np.zeros((4, 4, 1), np.uint8),
        np.zeros(4, np.uint8),
        np.zeros((4, 4), np.int16),
    ],
)
def test_other_arrays_are_refused(array: NDArray[Any], colorizer: Colorizer) -> None:
    with pytest.raises(ArgumentError, match="uint8"):
        colorizer.image(array)


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif", ".webp"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_pictures_are_turned_upright(
    orientation: int, suffix: str, cat: Image.Image, tmp_path: Path
) -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    exif[MAKER] = "Lumiere"
    source = tmp_path / f"in{suffix}"
    cat.save(source, exif=exif)
    upright = ImageOps.exif_transpose(Image.open(source)).convert("RGB")
    np.testing.assert_array_equal(read_photo(source).rgb, np.asarray(upright))
    result = _rewritten(source, tmp_path / "out.png")
    assert result.size == upright.size
    assert ORIENTATION not in result.getexif()
    assert result.getexif()[MAKER] == "Lumiere"


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp"])
def test_tags_are_kept(suffix: str, cat: Image.Image, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[ORIENTATION], exif[DATE] = 6, "1895:12:28 21:00:00"
    exif.get_ifd(EXIF_IFD)[EXPOSURE] = 0.25
    exif.get_ifd(GPS_IFD)[1] = "N"
    source = tmp_path / f"in{suffix}"
    cat.save(source, exif=exif)
    kept = _rewritten(source, tmp_path / f"out{suffix}").getexif()
    assert kept[DATE] == "1895:12:28 21:00:00"
    assert kept.get_ifd(EXIF_IFD)[EXPOSURE] == 0.25
    assert kept.get_ifd(GPS_IFD)[1] == "N"


def test_tags_of_a_turned_tiff_are_kept(cat: Image.Image, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[ORIENTATION], exif[DATE] = 6, "1895:12:28 21:00:00"
    cat.save(tmp_path / "in.tif", exif=exif)
    result = _rewritten(tmp_path / "in.tif", tmp_path / "out.tif")
    assert result.size == (60, 90)
    assert result.getexif()[DATE] == "1895:12:28 21:00:00"


def test_jpeg_of_a_tiff_does_not_describe_the_tiff(cat: Image.Image, tmp_path: Path) -> None:
    cat.convert("L").save(tmp_path / "in.tif")
    kept = _rewritten(tmp_path / "in.tif", tmp_path / "out.jpg").getexif()
    strip_offsets, bits_per_sample = 273, 258
    assert strip_offsets not in kept
    assert bits_per_sample not in kept


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif", ".bmp"])
def test_resolution_is_kept(suffix: str, cat: Image.Image, tmp_path: Path) -> None:
    source = tmp_path / f"in{suffix}"
    cat.save(source, dpi=(300, 600))
    result = _rewritten(source, tmp_path / f"out{suffix}")
    assert result.info["dpi"] == pytest.approx((300, 600), abs=0.1)


@pytest.mark.parametrize("suffix", [".png", ".webp", ".tif"])
def test_alpha_is_kept(suffix: str, cat: Image.Image, tmp_path: Path) -> None:
    alpha = Image.linear_gradient("L").resize(cat.size)
    picture = cat.copy()
    picture.putalpha(alpha)
    picture.save(tmp_path / f"in{suffix}", lossless=True)
    result = _rewritten(tmp_path / f"in{suffix}", tmp_path / f"out{suffix}")
    np.testing.assert_array_equal(np.asarray(result.getchannel("A")), np.asarray(alpha))


@pytest.mark.parametrize("mode", ["P", "L", "LA", "RGB"])
def test_transparency_of_other_modes_is_kept(mode: str, cat: Image.Image, tmp_path: Path) -> None:
    source = tmp_path / "in.png"
    match mode:
        case "LA":
            cat.convert("LA").save(source)
            Image.merge("LA", (cat.convert("L"), Image.new("L", cat.size, 7))).save(source)
        case "RGB":
            cat.save(source, transparency=cat.getpixel((3, 3)))
        case _:
            picture = cat.convert(mode)
            picture.save(source, transparency=picture.getpixel((3, 3)))
    expected = np.asarray(Image.open(source).convert("RGBA"))[..., 3]
    assert expected.min() < 255
    result = _rewritten(source, tmp_path / "out.png")
    np.testing.assert_array_equal(np.asarray(result.getchannel("A")), expected)


def test_alpha_is_dropped_where_it_cannot_be_written(cat: Image.Image, tmp_path: Path) -> None:
    cat.convert("RGBA").save(tmp_path / "in.png")
    assert _rewritten(tmp_path / "in.png", tmp_path / "out.jpg").mode == "RGB"


MODES = ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "I;16", "I", "F"]


def _in_mode(picture: Image.Image, mode: str) -> Image.Image:
    gray = np.asarray(picture.convert("L"))
    match mode:
        case "I;16":
            return Image.fromarray(gray.astype(np.uint16) * 257)
        case "I":
            return Image.fromarray(gray.astype(np.int32) * 257)
        case "F":
            return Image.fromarray(gray.astype(np.float32) / 255)
        case _:
            return picture.convert(mode)


@pytest.mark.parametrize("mode", MODES)
def test_tiff_of_every_mode_is_read(mode: str, cat: Image.Image, tmp_path: Path) -> None:
    picture = _in_mode(cat, mode)
    picture.save(tmp_path / "in.tif")
    expected = cat.convert("L").convert("RGB") if mode in ("I;16", "I", "F") else picture
    np.testing.assert_array_equal(
        read_photo(tmp_path / "in.tif").rgb, np.asarray(expected.convert("RGB"))
    )


@pytest.mark.parametrize("mode", MODES)
def test_tiff_of_every_mode_is_written_as_tiff(mode: str, cat: Image.Image, tmp_path: Path) -> None:
    _in_mode(cat, mode).save(tmp_path / "in.tif")
    photo = read_photo(tmp_path / "in.tif")
    result = _rewritten(tmp_path / "in.tif", tmp_path / "out.tif")
    np.testing.assert_array_equal(np.asarray(result.convert("RGB")), photo.rgb)


@pytest.mark.parametrize("mode", ["1", "L", "P", "I;16"])
def test_png_of_gray_modes_keeps_its_grays(mode: str, cat: Image.Image, tmp_path: Path) -> None:
    _in_mode(cat, mode).save(tmp_path / "in.png")
    expected = cat.convert("L") if mode == "I;16" else cat.convert(mode)
    np.testing.assert_array_equal(
        read_photo(tmp_path / "in.png").rgb, np.asarray(expected.convert("RGB"))
    )


def test_cmyk_jpeg_is_read(cat: Image.Image, tmp_path: Path) -> None:
    cat.convert("CMYK").save(tmp_path / "in.jpg", quality=95)
    difference = read_photo(tmp_path / "in.jpg").rgb.astype(int) - np.asarray(cat)
    assert np.abs(difference).mean() < 4


def _swapped_profile() -> bytes:
    """A profile of sRGB whose red and blue primaries have changed places."""
    data = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    red, blue = data.index(b"rXYZ"), data.index(b"bXYZ")
    data[red : red + 4], data[blue : blue + 4] = b"bXYZ", b"rXYZ"
    return bytes(data)


@pytest.mark.parametrize(
    ("suffix", "mode"),
    [(".png", "RGB"), (".png", "RGBA"), (".jpg", "RGB"), (".tif", "RGB"), (".tif", "RGBA")],
)
def test_color_profiles_are_applied(
    suffix: str, mode: str, cat: Image.Image, tmp_path: Path
) -> None:
    source = tmp_path / f"in{suffix}"
    cat.convert(mode).save(source, icc_profile=_swapped_profile())
    stored = _rgb(source)
    difference = read_photo(source).rgb.astype(int) - stored[..., ::-1]
    assert np.abs(difference).max() <= 3


@pytest.mark.parametrize("profile", [b"", b"nonsense", bytes(200)])
def test_broken_profiles_do_no_harm(profile: bytes, cat: Image.Image, tmp_path: Path) -> None:
    cat.save(tmp_path / "in.png", icc_profile=profile)
    np.testing.assert_array_equal(read_photo(tmp_path / "in.png").rgb, np.asarray(cat))


def test_a_profile_of_another_mode_does_no_harm(cat: Image.Image, tmp_path: Path) -> None:
    cat.convert("L").save(tmp_path / "in.png", icc_profile=_swapped_profile())
    expected = np.asarray(cat.convert("L").convert("RGB"))
    np.testing.assert_array_equal(read_photo(tmp_path / "in.png").rgb, expected)


@pytest.mark.filterwarnings("error")
def test_reading_warns_of_nothing(cat: Image.Image, tmp_path: Path) -> None:
    cat.convert("P").save(tmp_path / "in.png", transparency=bytes([0, 128]))
    read_photo(tmp_path / "in.png")


@pytest.mark.parametrize("suffix", [".jpg", ".JPG", ".png", ".tif", ".webp", ".avif", ".bmp"])
def test_common_formats_are_writable(suffix: str) -> None:
    assert format_of(suffix)


@pytest.mark.parametrize("suffix", sorted(PHOTO_SUFFIXES))
def test_every_photo_suffix_is_written_well(suffix: str, cat: Image.Image, tmp_path: Path) -> None:
    if suffix in (".heic", ".heif"):
        pytest.importorskip("pillow_heif", reason="the extra heif is not installed")
    write_photo(tmp_path / f"out{suffix}", Photo(np.asarray(cat)))
    difference = _rgb(tmp_path / f"out{suffix}").astype(int) - np.asarray(cat)
    assert np.abs(difference).mean() < 8


def test_samples_are_photos() -> None:
    assert all(is_photo(path) for path in photo_files(SAMPLES))


_RATIO = struct.Struct("<ii")
_NOWHERE = struct.pack("<I", 99_999)


@pytest.mark.parametrize(
    ("tag", "kind", "count", "value", "name"),
    [
        (0x11A, 2, 3, b"72\0\0", "XResolution"),  # text for a ratio
        (0x11A, 10, 1, _RATIO.pack(-72, 1), "XResolution"),
        (MAKER, 5, 1, _RATIO.pack(7, 1), "Make"),  # a ratio for text
        (EXIF_IFD, 4, 1, _NOWHERE, "ExifOffset"),
        (EXIF_IFD, 4, 1, struct.pack("<I", 8), "ExifOffset"),  # the directory that it stands in
        (GPS_IFD, 4, 1, _NOWHERE, "GPSInfo"),
    ],
)
@pytest.mark.parametrize("suffix", [".jpg", ".tif", ".png"])
def test_tags_that_cannot_be_written_are_left_out_and_named(
    tag: int,
    kind: int,
    count: int,
    value: bytes,
    name: str,
    suffix: str,
    cat: Image.Image,
    tmp_path: Path,
) -> None:
    """Scans carry such: the picture is sound, and so are its other tags."""
    directory = 8 + 2 + 2 * 12 + 4
    entry = value if len(value) == 4 else struct.pack("<I", directory + 8)
    exif = b"Exif\0\0II*\0" + struct.pack("<IH", 8, 2)
    entries = {
        tag: struct.pack("<HHI", tag, kind, count) + entry,
        DATE: struct.pack("<HHII", DATE, 2, 5, directory),
    }
    exif += b"".join(entries[key] for key in sorted(entries))
    exif += bytes(4) + b"1895\0\0\0\0" + value
    cat.save(tmp_path / "in.jpg", exif=exif)
    photo = read_photo(tmp_path / "in.jpg")
    [remark] = photo.remarks
    assert "were left out" in remark
    assert name in remark
    kept = _rewritten(tmp_path / "in.jpg", tmp_path / f"out{suffix}").getexif()
    assert kept[DATE] == "1895"


def test_a_bad_tag_costs_only_itself(cat: Image.Image, tmp_path: Path) -> None:
    altitude, above, below = 6, struct.pack(">II", 5, 1), struct.pack(">ii", -5, 1)
    exif = Image.Exif()
    exif.get_ifd(GPS_IFD).update({1: "N", altitude: 5.0})
    unsigned, signed = struct.pack(">HH", altitude, 5), struct.pack(">HH", altitude, 10)
    data = exif.tobytes().replace(unsigned, signed).replace(above, below)
    cat.save(tmp_path / "in.jpg", exif=data)
    [remark] = read_photo(tmp_path / "in.jpg").remarks
    assert remark.endswith("were left out: GPSAltitude")
    kept = _rewritten(tmp_path / "in.jpg", tmp_path / "out.jpg").getexif()
    assert kept.get_ifd(GPS_IFD) == {1: "N"}
