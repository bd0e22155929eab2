"""The road of a photograph under generated pictures and damaged files."""

import io
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image
from skimage.color import rgb2lab

from colorize.runtime.colorizer import Colorizer
from colorize.runtime.errors import ColorizeError
from colorize.runtime.models.catalog import SAMPLES
from colorize.runtime.photo.reader import read_photo
from colorize.runtime.photo.writer import encode_photo

ORIENTATION, MAKER = 0x112, 0x10F
TURNS = {  # by EXIF orientation, as its standard (CIPA DC-008) shows them
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: a[::-1].swapaxes(0, 1),
    7: lambda a: a[::-1, ::-1].swapaxes(0, 1),
    8: lambda a: a[:, ::-1].swapaxes(0, 1),
}
CHANNELS = {"L": 1, "LA": 2, "RGB": 3, "RGBA": 4}
DEEP_MODES = {"L": "I;16", "RGB": "RGB", "RGBA": "RGBA"}
LOSSLESS = {"PNG": [*CHANNELS, "P", "1"], "TIFF": [*CHANNELS, "P", "1"], "BMP": ["L", "RGB", "P"]}
LOSSY = {"JPEG": ["L", "RGB", "CMYK"], "WEBP": ["RGB", "RGBA"], "AVIF": ["L", "RGB", "RGBA"]}
FORMS = [
    (form, mode) for forms in (LOSSLESS, LOSSY) for form, modes in forms.items() for mode in modes
]
SIDES = st.one_of(st.integers(1, 40), st.sampled_from([1, 2, 63, 64, 65, 200]))
FEW = settings(
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    max_examples=60,
)
MANY = settings(FEW, max_examples=300)


def _pixels(width: int, height: int, channels: int, seed: int, dtype: type) -> NDArray[Any]:
    """Noise on a slope: every channel of every picture differs."""
    noise = np.random.default_rng(seed).integers(0, 200, (height, width, channels))
    slope = np.arange(width)[None, :, None] % 56
    return ((noise + slope) * (257 if dtype is np.uint16 else 1)).astype(dtype)


def _encoded(form: str, image: Image.Image, orientation: int) -> bytes:
    exif = Image.Exif()
    exif[ORIENTATION], exif[MAKER] = orientation, "Lumiere"
    tags = {} if form == "BMP" else {"exif": exif}
    file = io.BytesIO()
    image.save(file, form, **tags)
    return file.getvalue()


def _colored(colorizer: Colorizer, form: str, data: bytes) -> bytes:
    file = io.BytesIO()
    encode_photo(file, form, colorizer.photo(read_photo(Path("in"), data)), "out")
    return file.getvalue()


def _lightness(rgb: NDArray[Any]) -> NDArray[np.float64]:
    return np.asarray(rgb2lab(rgb / np.iinfo(rgb.dtype).max)[..., 0])


def _keeps_shallow(
    colorizer: Colorizer, form: str, mode: str, size: tuple[int, int], turn: int, seed: int
) -> None:
    turn = 1 if form == "BMP" else turn
    samples = _pixels(*size, CHANNELS.get(mode, 3), seed, np.uint8)
    image = Image.fromarray(samples.squeeze(-1) if samples.shape[2] == 1 else samples)
    source = image.convert(mode)
    data = _encoded(form, source, turn)
    result = Image.open(io.BytesIO(_colored(colorizer, form, data)))
    turned = TURNS[turn](np.asarray(source.convert("RGBA")))
    assert (result.format, result.size) == (form, turned.shape[1::-1])
    assert ORIENTATION not in result.getexif()
    assert form == "BMP" or result.getexif()[MAKER] == "Lumiere"
    assert result.has_transparency_data == source.has_transparency_data
    after = np.asarray(result.convert("RGBA"))
    if form in LOSSLESS:
        np.testing.assert_array_equal(after[..., 3], turned[..., 3])
        moved = np.abs(_lightness(after[..., :3]) - _lightness(turned[..., :3]))
        assert moved.max() <= 0.3


@given(st.sampled_from(FORMS), st.tuples(SIDES, SIDES), st.integers(1, 8), st.integers(0, 99))
@FEW
def test_eight_bits_go_through_whole(
    colorizer: Colorizer, form: tuple[str, str], size: tuple[int, int], turn: int, seed: int
) -> None:
    _keeps_shallow(colorizer, *form, size, turn, seed)


@pytest.mark.slow
@given(st.sampled_from(FORMS), st.tuples(SIDES, SIDES), st.integers(1, 8), st.integers(0, 10**9))
@MANY
def test_many_of_eight_bits_go_through_whole(
    colorizer: Colorizer, form: tuple[str, str], size: tuple[int, int], turn: int, seed: int
) -> None:
    _keeps_shallow(colorizer, *form, size, turn, seed)


def _deep_file(form: str, samples: NDArray[np.uint16]) -> bytes:
    if form == "TIFF" and samples.shape[2] == 4:  # OpenCV would not declare the alpha
        file = io.BytesIO()
        tifffile.imwrite(file, samples, photometric="rgb", extrasamples=["unassalpha"])
        return file.getvalue()
    order = {1: [0], 3: [2, 1, 0], 4: [2, 1, 0, 3]}[samples.shape[2]]
    written, data = cv2.imencode({"PNG": ".png", "TIFF": ".tif"}[form], samples[..., order])
    assert written
    return data.tobytes()


def _keeps_deep(
    colorizer: Colorizer, form: str, mode: str, size: tuple[int, int], seed: int
) -> None:
    samples = _pixels(*size, CHANNELS[mode], seed, np.uint16)
    data = _colored(colorizer, form, _deep_file(form, samples))
    after = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    assert after is not None
    assert after.dtype == np.uint16
    assert after.shape == (*samples.shape[:2], 4 if mode == "RGBA" else 3)
    if mode == "RGBA":
        np.testing.assert_array_equal(after[..., 3], samples[..., 3])
    rgb = np.dstack([samples] * 3) if mode == "L" else samples[..., :3]
    assert np.abs(_lightness(after[..., 2::-1]) - _lightness(rgb)).max() <= 0.03


@given(
    st.sampled_from(["PNG", "TIFF"]),
    st.sampled_from(sorted(DEEP_MODES)),
    st.tuples(SIDES, SIDES),
    st.integers(0, 99),
)
@FEW
def test_sixteen_bits_go_through_whole(
    colorizer: Colorizer, form: str, mode: str, size: tuple[int, int], seed: int
) -> None:
    _keeps_deep(colorizer, form, mode, size, seed)


@given(
    st.integers(1, 60),
    st.integers(1, 60),
    st.sampled_from([np.uint8, np.uint16]),
    st.booleans(),
    st.integers(0, 99),
)
@FEW
def test_arrays_keep_shape_depth_and_lightness(
    colorizer: Colorizer, width: int, height: int, dtype: type, gray: bool, seed: int
) -> None:
    rgb = _pixels(width, height, 1 if gray else 3, seed, dtype)
    result = colorizer.image(rgb[..., 0] if gray else rgb)
    assert result.dtype == np.dtype(dtype)
    assert result.shape == (height, width, 3)
    source = np.dstack([rgb] * 3) if gray else rgb
    assert np.abs(_lightness(result) - _lightness(source)).max() <= 0.3


def _victims() -> dict[str, bytes]:
    """Small files of every format, with EXIF where they can."""
    image = Image.open(SAMPLES / "test" / "cat.jpg").convert("RGB").resize((48, 32))
    deep = np.asarray(image)[..., ::-1].astype(np.uint16) * 257
    victims = {form: _encoded(form, image, 6) for form in ("JPEG", "PNG", "WEBP", "TIFF", "BMP")}
    victims |= {form: _encoded(form, image, 6) for form in ("AVIF", "GIF", "JPEG2000")}
    victims["palette"] = _encoded("PNG", image.quantize(50), 1)
    victims["gray16"] = _encoded("TIFF", Image.fromarray(deep[..., 0].copy()), 1)
    for form, options in {"lzw": "tiff_lzw", "deflate": "tiff_deflate", "jpeg": "jpeg"}.items():
        file = io.BytesIO()
        image.save(file, "TIFF", compression=options)
        victims[f"TIFF {form}"] = file.getvalue()
    victims["PNG16"], victims["TIFF16"] = _deep_file("PNG", deep), _deep_file("TIFF", deep)
    return victims


VICTIMS = _victims()


def _damaged(data: bytes, seed: int) -> tuple[bytes, bool]:
    """Return DATA cut short, or with some bytes changed, every other time in its header alone."""
    rng = np.random.default_rng(seed)
    if seed % 3 == 0:
        return data[: int(rng.integers(0, len(data)))], True
    reach = len(data) if seed % 2 else min(len(data), 200)
    damaged = bytearray(data)
    for place in rng.integers(0, reach, rng.integers(1, 6)):
        damaged[place] = rng.integers(0, 256)
    return bytes(damaged), False


def _refuses_or_reads(name: str, seeds: range) -> None:
    whole = read_photo(Path("whole"), VICTIMS[name]).codes
    for seed in seeds:
        data, cut = _damaged(VICTIMS[name], seed)
        try:
            photo = read_photo(Path("in"), data, max_pixels=1_000_000)
        except ColorizeError:
            continue
        assert photo.codes.shape[2] == 3, seed
        assert 0 < photo.codes[..., 0].size <= 1_000_000, seed
        assert photo.alpha is None or photo.alpha.shape == photo.codes.shape[:2], seed
        if cut and not any("missing" in remark for remark in photo.remarks):
            np.testing.assert_array_equal(photo.codes, whole, err_msg=str(seed))


@pytest.mark.parametrize("name", VICTIMS)
def test_damaged_files_are_refused_or_read(name: str) -> None:
    _refuses_or_reads(name, range(150))


@pytest.mark.slow
@pytest.mark.parametrize("name", VICTIMS)
def test_many_damaged_files_are_refused_or_read(name: str) -> None:
    _refuses_or_reads(name, range(150, 1500))
