"""Photographs of 16 bits, with color profiles, of high JPEG quality: nothing of them is lost."""

import io
import threading
from pathlib import Path

import cv2
import imagecodecs
import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from PIL import Image, ImageCms
from skimage.color import rgb2lab, xyz2lab

from colorize.runtime.color import Codes, srgb_to_linear
from colorize.runtime.colorizer import Colorizer
from colorize.runtime.errors import InputError, MissingExtraError
from colorize.runtime.photo import decoding
from colorize.runtime.photo.decoding import limited
from colorize.runtime.photo.icc import to_linear
from colorize.runtime.photo.metadata import jpeg_quality
from colorize.runtime.photo.photo import Photo
from colorize.runtime.photo.reader import read_photo
from colorize.runtime.photo.writer import write_photo

DATE, EXIF_IFD, EXPOSURE, ORIENTATION = 0x132, 0x8769, 0x829A, 0x112
ADOBE = bytes(imagecodecs.cms_profile("adobergb"))
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
XYZ_OF_ADOBE = np.array(  # Adobe RGB (1998) Color Image Encoding, section 4.3.5.3
    [[0.57667, 0.18556, 0.18823], [0.29734, 0.62736, 0.07529], [0.02703, 0.07069, 0.99134]]
)


def _deep(photo: Path) -> NDArray[np.uint16]:
    """A part of a photograph with steps that 8 bits do not have."""
    rgb = read_photo(photo).rgb[:90, :120].astype(np.uint16) * 257
    return rgb ^ np.random.default_rng(1).integers(0, 256, rgb.shape, dtype=np.uint16)


def _save(path: Path, rgb: NDArray[np.uint16]) -> None:
    cv2.imwrite(str(path), np.dstack([rgb[..., 2::-1], rgb[..., 3:]]))


def _stored(path: Path) -> NDArray[np.uint16]:
    bgr = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    assert bgr is not None
    assert bgr.dtype == np.uint16
    return np.dstack([bgr[..., 2::-1], bgr[..., 3:]]).astype(np.uint16)


def _adobe_lightness(codes: Codes) -> NDArray[np.float64]:
    unit = codes.astype(float) / np.iinfo(codes.dtype).max
    return np.asarray(xyz2lab(unit ** (563 / 256) @ XYZ_OF_ADOBE.T)[..., 0])


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_sixteen_bits_are_kept(suffix: str, photo: Path, tmp_path: Path) -> None:
    deep = _deep(photo)
    _save(tmp_path / f"in{suffix}", deep)
    read = read_photo(tmp_path / f"in{suffix}")
    np.testing.assert_array_equal(read.codes, deep)
    write_photo(tmp_path / f"out{suffix}", read)
    np.testing.assert_array_equal(_stored(tmp_path / f"out{suffix}"), deep)


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_lightness_of_sixteen_bits_is_kept(
    suffix: str, photo: Path, colorizer: Colorizer, tmp_path: Path
) -> None:
    deep = _deep(photo)
    _save(tmp_path / f"in{suffix}", deep)
    write_photo(tmp_path / "out.png", colorizer.photo(read_photo(tmp_path / f"in{suffix}")))
    lab, source = (rgb2lab(srgb / 65535) for srgb in (_stored(tmp_path / "out.png"), deep))
    moved = np.abs(lab[..., 0] - source[..., 0])
    assert moved.max() < 0.02  # 8 bits move it by 0.2
    assert np.abs(lab[..., 1:]).mean() > 5


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_alpha_of_sixteen_bits_is_kept(suffix: str, photo: Path, tmp_path: Path) -> None:
    deep = _deep(photo)
    alpha = np.arange(deep[..., 0].size, dtype=np.uint16).reshape(deep.shape[:2])
    samples = np.dstack([deep, alpha])
    if suffix == ".tif":  # OpenCV does not declare it as alpha
        kinds = ["unassalpha"]
        tifffile.imwrite(tmp_path / "in.tif", samples, photometric="rgb", extrasamples=kinds)
    else:
        _save(tmp_path / f"in{suffix}", samples)
    write_photo(tmp_path / f"out{suffix}", read_photo(tmp_path / f"in{suffix}"))
    np.testing.assert_array_equal(_stored(tmp_path / f"out{suffix}")[..., 3], alpha)


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_gray_of_sixteen_bits_gets_as_deep_colors(
    suffix: str, photo: Path, colorizer: Colorizer, tmp_path: Path
) -> None:
    gray = _deep(photo)[..., 0]
    Image.fromarray(gray).save(tmp_path / f"in{suffix}")
    write_photo(tmp_path / "out.png", colorizer.photo(read_photo(tmp_path / f"in{suffix}")))
    result = _stored(tmp_path / "out.png")
    source = rgb2lab(np.dstack([gray] * 3) / 65535)[..., 0]
    assert np.abs(rgb2lab(result / 65535)[..., 0] - source).max() < 0.02


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_tags_of_sixteen_bits_are_kept(suffix: str, photo: Path, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[DATE] = "1895:12:28 21:00:00"
    exif.get_ifd(EXIF_IFD)[EXPOSURE] = 0.25
    tags = {"exif": exif.tobytes(), "dpi": (300, 600), "icc_profile": ADOBE}
    write_photo(tmp_path / f"in{suffix}", Photo(_deep(photo), profile=ADOBE, tags=tags))
    write_photo(tmp_path / f"out{suffix}", read_photo(tmp_path / f"in{suffix}"))
    with Image.open(tmp_path / f"out{suffix}") as result:
        assert result.getexif()[DATE] == "1895:12:28 21:00:00"
        assert result.getexif().get_ifd(EXIF_IFD)[EXPOSURE] == 0.25
        assert result.info["dpi"] == pytest.approx((300, 600), abs=0.1)
        assert result.info["icc_profile"] == ADOBE


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_sixteen_bits_are_turned_upright(
    orientation: int, suffix: str, photo: Path, tmp_path: Path
) -> None:
    deep, exif = _deep(photo), Image.Exif()
    exif[ORIENTATION] = orientation
    write_photo(tmp_path / f"deep{suffix}", Photo(deep, tags={"exif": exif.tobytes()}))
    write_photo(tmp_path / "flat.png", Photo(Photo(deep).rgb, tags={"exif": exif.tobytes()}))
    turned = read_photo(tmp_path / f"deep{suffix}")
    np.testing.assert_array_equal(turned.rgb, read_photo(tmp_path / "flat.png").rgb)


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize("share", [0.3, 0.9])
def test_cut_pictures_of_sixteen_bits_are_refused(
    suffix: str, share: float, photo: Path, tmp_path: Path
) -> None:
    _save(tmp_path / f"in{suffix}", _deep(photo))
    data = (tmp_path / f"in{suffix}").read_bytes()
    (tmp_path / f"in{suffix}").write_bytes(data[: int(len(data) * share)])
    with pytest.raises(InputError):
        read_photo(tmp_path / f"in{suffix}")


@pytest.mark.parametrize(("dtype", "bound"), [(np.uint8, 0.3), (np.uint16, 0.03)])
@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_photos_keep_their_rgb_profile_and_their_lightness_in_it(
    suffix: str, dtype: type, bound: float, photo: Path, colorizer: Colorizer, tmp_path: Path
) -> None:
    deep = _deep(photo)
    deep[:20, :20] = (0, 65535, 0)  # a green that sRGB does not have
    codes: Codes = deep if dtype is np.uint16 else (deep >> 8).astype(np.uint8)
    source, target = tmp_path / f"in{suffix}", tmp_path / f"out{suffix}"
    write_photo(source, Photo(codes, profile=ADOBE, tags={"icc_profile": ADOBE}))
    result = colorizer.photo(read_photo(source))
    assert result.codes.dtype == dtype
    write_photo(target, result)
    with Image.open(target) as image:
        assert image.info["icc_profile"] == ADOBE
    moved = np.abs(_adobe_lightness(read_photo(target).codes) - _adobe_lightness(codes))
    assert moved.max() <= bound


def test_colors_in_a_profile_are_those_that_the_model_names(colorizer: Colorizer) -> None:
    codes = np.full((40, 60, 3), 30583, np.uint16)
    adobe = colorizer.photo(Photo(codes, profile=ADOBE))
    lightness = _adobe_lightness(codes).mean()
    expected = lightness, 20 + 0.2 * lightness, 40 - 0.6 * lightness
    lab = rgb2lab(adobe.rgb).reshape(-1, 3).mean(axis=0)
    np.testing.assert_allclose(lab, expected, atol=0.4)
    assert np.abs(adobe.codes.astype(int) - colorizer.image(codes)).max() > 500


def test_profiles_agree_with_the_published_matrix(photo: Path) -> None:
    codes = _deep(photo)
    xyz = (codes / 65535) ** (563 / 256) @ XYZ_OF_ADOBE.T
    to_rgb = np.linalg.inv(
        [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
    )
    linear = to_linear(codes, ADOBE)
    np.testing.assert_allclose(linear, xyz @ to_rgb.T, atol=2e-3)


def test_an_srgb_profile_changes_nothing_and_stays(photo: Path, tmp_path: Path) -> None:
    codes = read_photo(photo).rgb[:40, :40]
    Image.fromarray(codes).save(tmp_path / "in.png", icc_profile=SRGB)
    read = read_photo(tmp_path / "in.png")
    assert read.profile is None
    assert read.remarks == ()
    np.testing.assert_array_equal(read.codes, codes)
    write_photo(tmp_path / "out.jpg", read)
    assert Image.open(tmp_path / "out.jpg").info["icc_profile"] == SRGB


def test_formats_without_profiles_get_srgb(photo: Path, tmp_path: Path) -> None:
    adobe = Photo(_deep(photo), profile=ADOBE, tags={"icc_profile": ADOBE})
    write_photo(tmp_path / "out.bmp", adobe)
    np.testing.assert_array_equal(read_photo(tmp_path / "out.bmp").rgb, adobe.rgb)


def test_deep_photos_with_a_profile_become_srgb_in_jpeg(photo: Path, tmp_path: Path) -> None:
    adobe = Photo(_deep(photo), profile=ADOBE, tags={"icc_profile": ADOBE})
    write_photo(tmp_path / "out.webp", adobe)
    result = read_photo(tmp_path / "out.webp")
    assert "icc_profile" not in result.tags
    assert np.abs(result.rgb.astype(int) - adobe.rgb).mean() < 12


def _gray_profile() -> bytes:
    return bytes(imagecodecs.cms_profile("gray", gamma=1.0))


@pytest.mark.parametrize(
    ("dtype", "name"), [("u1", "in.png"), ("<u2", "in.png"), (">u2", "in.tif")]
)
def test_gray_profiles_become_srgb_and_that_is_said(dtype: str, name: str, tmp_path: Path) -> None:
    top = np.iinfo(dtype).max
    codes: Codes = np.linspace(0, top, 256).astype(dtype).reshape(16, 16)
    Image.fromarray(codes).save(tmp_path / name, icc_profile=_gray_profile())
    read = read_photo(tmp_path / name)
    assert read.remarks == ("its gray profile became sRGB",)
    assert "icc_profile" not in read.tags
    linear = srgb_to_linear((read.codes[..., 0] / top).astype(np.float32))
    np.testing.assert_allclose(linear, codes / top, atol=0.006)


def test_cmyk_becomes_srgb_and_that_is_said(photo: Path, tmp_path: Path) -> None:
    Image.open(photo).convert("CMYK").resize((60, 40)).save(tmp_path / "in.tif")
    assert read_photo(tmp_path / "in.tif").remarks == ("its CMYK colors became sRGB",)


def test_a_damaged_profile_is_said(photo: Path, tmp_path: Path) -> None:
    damaged = ADOBE[:200] + bytes(len(ADOBE) - 200)
    Image.open(photo).resize((60, 40)).save(tmp_path / "in.png", icc_profile=damaged)
    read = read_photo(tmp_path / "in.png")
    assert len(read.remarks) == 1
    assert "profile is damaged" in read.remarks[0]
    assert "icc_profile" not in read.tags


@pytest.mark.parametrize("quality", [5, 40, 75, 90, 95, 98, 100])
def test_jpeg_quality_is_estimated(quality: int, photo: Path) -> None:
    file = io.BytesIO()
    Image.open(photo).resize((64, 64)).save(file, "JPEG", quality=quality)
    assert jpeg_quality(Image.open(file)) == quality


@pytest.mark.parametrize("quality", [60, 95, 99, 100])
def test_jpegs_are_written_no_coarser_than_their_source(
    quality: int, photo: Path, tmp_path: Path
) -> None:
    Image.open(photo).resize((64, 64)).save(tmp_path / "in.jpg", quality=quality)
    write_photo(tmp_path / "out.jpg", read_photo(tmp_path / "in.jpg"))
    with Image.open(tmp_path / "in.jpg") as source, Image.open(tmp_path / "out.jpg") as result:
        for index, table in result.quantization.items():  # type: ignore[attr-defined]
            assert np.all(np.array(table) <= np.array(source.quantization[index]))  # type: ignore[attr-defined]


def test_threads_that_read_at_once_leave_pillows_limit_as_it_was(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    inside, leave = threading.Event(), threading.Event()

    def read() -> None:
        with limited():
            inside.set()
            leave.wait(10)

    other = threading.Thread(target=read)
    with limited():
        other.start()
        inside.wait(10)
    assert Image.MAX_IMAGE_PIXELS is None  # the other one still reads
    leave.set()
    other.join()
    assert Image.MAX_IMAGE_PIXELS == 1000


def test_heif_is_read_and_written(photo: Path, tmp_path: Path) -> None:
    pytest.importorskip("pillow_heif", reason="the extra heif is not installed")
    rgb = read_photo(photo).rgb[:64, :96]
    write_photo(tmp_path / "in.heic", Photo(rgb))
    read = read_photo(tmp_path / "in.heic")
    assert read.form == "HEIF"
    assert np.abs(read.rgb.astype(int) - rgb).mean() < 4


def test_heif_without_its_extra_names_the_fix(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decoding, "register_heif", lambda: False)
    monkeypatch.setattr(Image, "ID", [name for name in Image.ID if name != "HEIF"])
    (tmp_path / "in.heic").write_bytes(b"\0\0\0\x18ftypheic" + bytes(100))
    with pytest.raises(MissingExtraError, match=r"colorize-toolkit\[heif\]"):
        read_photo(tmp_path / "in.heic")
