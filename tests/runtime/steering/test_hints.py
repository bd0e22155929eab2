"""What a person says of the colors is what comes out: points, overlays and files."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image
from skimage.color import deltaE_ciede2000

import colorize.runtime
from colorize.runtime import Colorizer, Hints
from colorize.runtime.color import F32, U8, lab_to_rgb, rgb_to_lab, rgb_to_lightness, to_bytes
from colorize.runtime.errors import ArgumentError, InputError
from colorize.runtime.photo.reader import read_photo

SAMPLES = Path(colorize.runtime.__file__).parent / "samples" / "test"
PINK = "#e8a0b4"


@pytest.fixture(scope="module")
def colorizer() -> Colorizer:
    return Colorizer(on_notice=lambda _: None)


@pytest.fixture(scope="module")
def tulips() -> U8:
    return read_photo(SAMPLES / "tulips.jpg").rgb


def _rgba(shape: tuple[int, ...], mask: U8, code: str) -> U8:
    rgba = np.zeros((*shape[:2], 4), np.uint8)
    rgba[mask > 0] = [*bytes.fromhex(code[1:]), 255]
    return rgba


def _strokes(shape: tuple[int, ...], *lines: tuple[int, int, int, int], width: int = 12) -> U8:
    mask = np.zeros(shape[:2], np.uint8)
    for x0, y0, x1, y1 in lines:
        cv2.line(mask, (x0, y0), (x1, y1), 1, width)
    return mask


def _distance(picture: U8, source: U8, code: str) -> F32:
    """Return CIEDE2000 (H, W) to the color of CODE at the lightness of SOURCE, in gamut."""
    wish = np.empty(picture.shape, np.float32)
    wish[...] = rgb_to_lab(np.frombuffer(bytes.fromhex(code[1:]), np.uint8))
    wish[..., 0] = rgb_to_lightness(source)
    shown = rgb_to_lab(to_bytes(lab_to_rgb(wish)))
    return np.asarray(deltaE_ciede2000(rgb_to_lab(picture), shown))  # type: ignore[no-untyped-call]


@pytest.mark.parametrize("saturation", [1.0, 0.5])
@pytest.mark.parametrize("code", ["#e8a0b4", "#2060c0"])
def test_a_stroke_has_the_asked_color_whatever_the_saturation(
    tulips: U8, code: str, saturation: float
) -> None:
    mask = _strokes(tulips.shape, (320, 200, 370, 280), (75, 190, 75, 240), (20, 430, 150, 470))
    with Colorizer(saturation=saturation, on_notice=lambda _: None) as colorizer:
        painted = colorizer.image(tulips, hints=Hints.overlay(_rgba(tulips.shape, mask, code)))
        plain = colorizer.image(tulips)
    assert _distance(plain, tulips, code)[mask > 0].mean() > 10
    assert _distance(painted, tulips, code)[mask > 0].mean() <= 3


def test_the_thing_follows_and_the_others_stay(colorizer: Colorizer, tulips: U8) -> None:
    hints = Hints.points([(347, 240, PINK, 8), (75, 225, PINK, 8), (185, 130, PINK, 8)])
    plain, painted = colorizer.image(tulips), colorizer.image(tulips, hints=hints)
    change = np.linalg.norm((rgb_to_lab(painted) - rgb_to_lab(plain))[..., 1:], axis=-1)
    blossoms = change[160:240, 50:100].mean(), change[180:280, 310:380].mean()
    leaves = change[400:].mean()
    assert min(blossoms) > 10
    assert leaves < 0.15 * min(blossoms)
    assert np.abs(rgb_to_lightness(painted) - rgb_to_lightness(tulips)).mean() < 0.5


def test_the_later_stroke_wins_and_order_matters(colorizer: Colorizer, tulips: U8) -> None:
    red, green = (347, 240, "#c05050", 20), (347, 240, "#50a050", 20)
    for strokes, code in ([red, green], "#50a050"), ([green, red], "#c05050"):
        picture = colorizer.image(tulips, hints=Hints.points(strokes))
        assert _distance(picture, tulips, code)[235:246, 342:353].mean() < 3
    both = Hints.points([red]) + Hints.points([green])
    assert (
        colorizer.image(tulips, hints=both) == colorizer.image(tulips, hints=_of(red, green))
    ).all()


def _of(*points: tuple[int, int, str, int]) -> Hints:
    return Hints.points(points)


def test_a_stroke_below_a_working_pixel_does_not_vanish(colorizer: Colorizer) -> None:
    gray = np.full((800, 800), 128, np.uint8)
    plain = colorizer.image(gray)
    painted = colorizer.image(gray, hints=Hints.points([(403, 397, "#c06020", 1)]))
    change = np.linalg.norm((rgb_to_lab(painted) - rgb_to_lab(plain))[..., 1:], axis=-1)
    assert change[397, 403] > 20
    overlay = np.zeros((800, 800, 4), np.uint8)
    overlay[200, 100:700] = (192, 96, 32, 255)
    painted = colorizer.image(gray, hints=Hints.overlay(overlay))
    assert _distance(painted, np.dstack([gray] * 3), "#c06020")[200, 150:650].mean() < 8


def test_alpha_is_the_confidence(colorizer: Colorizer, tulips: U8) -> None:
    mask = _strokes(tulips.shape, (320, 200, 370, 280), width=20)
    sure = _rgba(tulips.shape, mask, PINK)
    unsure = sure.copy()
    unsure[..., 3] //= 16
    inside = mask > 0
    plain, faint, full = (
        _distance(picture, tulips, PINK)[inside].mean()
        for picture in (
            colorizer.image(tulips),
            colorizer.image(tulips, hints=Hints.overlay(unsure)),
            colorizer.image(tulips, hints=Hints.overlay(sure)),
        )
    )
    assert full < faint < plain


def test_images_take_hints_one_a_picture(colorizer: Colorizer, tulips: U8) -> None:
    hints = Hints.points([(347, 240, PINK, 8)])
    pictures = [tulips, tulips, tulips]
    results = list(colorizer.images(pictures, hints=[None, hints, None]))
    assert (results[0] == colorizer.image(tulips)).all()
    assert (results[1] == colorizer.image(tulips, hints=hints)).all()
    assert (results[2] == results[0]).all()
    for wrong in ([None], [None] * 4):
        with pytest.raises(ArgumentError, match="hints than pictures"):
            list(colorizer.images(pictures, hints=wrong))


def test_who_expects_hints_loads_one_network(
    compiled_parts: list[str], tulips: U8, colorizer: Colorizer
) -> None:
    hints = Hints.points([(347, 240, PINK, 12)])
    plain, painted = colorizer.image(tulips), colorizer.image(tulips, hints=hints)
    compiled_parts.clear()
    with Colorizer(backend="openvino", expects_hints=True) as ready:
        np.testing.assert_array_equal(ready.image(tulips, hints=hints), painted)
        assert compiled_parts == [""]
        np.testing.assert_array_equal(ready.image(tulips), plain)
        assert compiled_parts == ["", "without hints"]


def test_what_is_out_of_gamut_is_brought_in_and_said(tulips: U8) -> None:
    notes: list[str] = []
    with Colorizer(on_notice=lambda notice: notes.append(str(notice))) as colorizer:
        colorizer.image(tulips, hints=Hints.points([(347, 240, PINK, 8)]))
        assert notes == []
        picture = colorizer.image(tulips, hints=Hints.points([(347, 240, "#0000ff", 8)]))
    assert len(notes) == 1
    assert "hint 347,240,#0000ff,8: 100% of it is too colorful" in notes[0]
    assert _distance(picture, tulips, "#0000ff")[235:246, 342:353].mean() < 3


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("12,13", "give X,Y,#RRGGBB"),
        ("12,13,red", "'red' is no color"),
        ("12,13,#12345", "'#12345' is no color"),
        ("a,13,#123456", "give X,Y,#RRGGBB"),
        ("12,13,#123456,0", "radius must be above 0"),
        ("12,13,#123456,-4", "radius must be above 0"),
    ],
)
def test_what_is_no_point_is_refused(text: str, words: str) -> None:
    with pytest.raises(ArgumentError, match=words):
        Hints.points([text])


@pytest.mark.parametrize("point", ["500,10,#123456", "10,500,#123456", "-1,10,#123456"])
def test_points_outside_the_picture_are_refused(
    colorizer: Colorizer, tulips: U8, point: str
) -> None:
    with pytest.raises(ArgumentError, match="outside the picture, which is 500x500"):
        colorizer.image(tulips, hints=Hints.points([point]))


def test_an_overlay_of_half_the_size_fits_and_of_another_aspect_does_not(
    colorizer: Colorizer, tulips: U8
) -> None:
    mask = _strokes(tulips.shape, (320, 200, 370, 280), width=20)
    rgba = _rgba(tulips.shape, mask, PINK)
    small = colorizer.image(tulips, hints=Hints.overlay(rgba[::2, ::2]))
    assert _distance(small, tulips, PINK)[mask > 0].mean() <= 4
    with pytest.raises(ArgumentError, match="another aspect than the picture"):
        colorizer.image(tulips, hints=Hints.overlay(rgba[:300]))


def test_arrays_that_are_no_overlay_are_refused(tulips: U8) -> None:
    for wrong in (tulips, tulips[..., 0], np.zeros((4, 4, 4)), "overlay.png"):
        with pytest.raises(ArgumentError, match="an overlay is"):
            Hints.overlay(wrong)


def _adobe(rgba: U8) -> tuple[U8, bytes]:
    """Return RGBA in another RGB profile, made with Pillow, and that profile."""
    import imagecodecs

    profile = bytes(imagecodecs.cms_profile("adobergb"))
    rgb = imagecodecs.cms_transform(
        np.ascontiguousarray(rgba[..., :3]),
        bytes(imagecodecs.cms_profile("srgb")),
        profile,
        colorspace="rgb",
        outcolorspace="rgb",
    )
    return np.dstack([rgb, rgba[..., 3]]), profile


@pytest.mark.parametrize(
    "kind", ["png8", "png16", "icc", "tiff8-premultiplied", "tiff16-premultiplied", "exif"]
)
def test_files_of_painting_programs_do_not_shift_colors(
    colorizer: Colorizer, tulips: U8, tmp_path: Path, kind: str
) -> None:
    mask = _strokes(tulips.shape, (320, 200, 370, 280), width=20)
    rgba = _rgba(tulips.shape, mask, PINK)
    rgba[..., 3][mask > 0] = 128  # half transparent, so that premultiplying changes the colors
    path = tmp_path / ("overlay.tif" if kind.startswith("tiff") else "overlay.png")
    if kind == "png8":
        Image.fromarray(rgba).save(path)
    elif kind == "exif":
        turned = Image.fromarray(np.ascontiguousarray(np.rot90(rgba)))
        exif = Image.Exif()
        exif[0x0112] = 6  # to be turned by 90 degrees clockwise
        turned.save(path, exif=exif)
    elif kind == "icc":
        codes, profile = _adobe(rgba)
        Image.fromarray(codes).save(path, icc_profile=profile)
    elif kind == "png16":
        cv2.imwrite(str(path), cv2.cvtColor(rgba.astype(np.uint16) * 257, cv2.COLOR_RGBA2BGRA))
    else:
        tifffile = pytest.importorskip("tifffile")
        deep = rgba.astype(np.float32) / 255
        deep[..., :3] *= deep[..., 3:]
        largest = 65535 if "16" in kind else 255
        codes = np.rint(deep * largest).astype(np.uint16 if "16" in kind else np.uint8)
        tifffile.imwrite(path, codes, photometric="rgb", extrasamples=["assocalpha"])
    expected, _ = Hints.overlay(rgba).planes(tulips.shape[:2], np.full((160, 160), 70, np.float32))
    read, _ = Hints.file(path).planes(tulips.shape[:2], np.full((160, 160), 70, np.float32))
    assert expected[2].max() == pytest.approx(0.5, abs=0.01)
    assert np.abs(read[2] - expected[2]).max() < 0.01
    there = expected[2] > 0
    assert np.abs(read[:2, there] - expected[:2, there]).max() < 1.5


def test_files_without_alpha_or_that_are_no_picture_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match="has no alpha"):
        Hints.file(SAMPLES / "tulips.jpg")
    with pytest.raises(InputError, match="no such file"):
        Hints.file(tmp_path / "none.png")
    (tmp_path / "text.png").write_text("no picture")
    with pytest.raises(InputError, match="not a picture"):
        Hints.file(tmp_path / "text.png")


def test_a_model_that_takes_hints_gets_them_and_what_it_lacks_is_spread(
    tiny_hint_model: Path, tulips: U8, monkeypatch: pytest.MonkeyPatch
) -> None:
    mask = _strokes(tulips.shape, (320, 200, 370, 280), width=30)
    hints = Hints.overlay(_rgba(tulips.shape, mask, PINK))
    with Colorizer(tiny_hint_model, on_notice=lambda _: None) as colorizer:
        seen: list[F32 | None] = []
        infer = colorizer.engine.infer

        def spy(lightness: F32, given: F32 | None = None) -> F32:
            seen.append(given)
            return infer(lightness, given)

        monkeypatch.setattr(colorizer.engine, "infer", spy)
        colorizer.image(tulips)
        painted = colorizer.image(tulips, hints=hints)
        none, nothing, told = seen
        assert none is None
        assert nothing is not None
        assert not nothing.any()  # its answer without them counts too
        [planes] = told if told is not None else []
        [gray] = colorizer.shrink([read_photo(SAMPLES / "tulips.jpg").gray()])
        expected, _ = hints.planes((500, 500), rgb_to_lightness(np.dstack([gray] * 3)))
        assert np.abs(planes - expected).max() < 1e-3
    assert _distance(painted, tulips, PINK)[mask > 0].mean() <= 3


def test_a_layer_on_which_nothing_is_painted_changes_nothing_and_asks_nothing(
    colorizer: Colorizer, tulips: U8, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = colorizer.image(tulips)
    asked: list[F32 | None] = []
    infer = colorizer.engine.infer

    def spy(lightness: F32, given: F32 | None = None) -> F32:
        asked.append(given)
        return infer(lightness, given)

    monkeypatch.setattr(colorizer.engine, "infer", spy)
    empty = Hints.overlay(np.zeros((*tulips.shape[:2], 4), np.uint8))
    np.testing.assert_array_equal(colorizer.image(tulips, hints=empty), plain)
    assert asked == [None]


def test_planes_keep_the_contract(tulips: U8) -> None:
    mask = _strokes(tulips.shape, (320, 200, 370, 280), width=3)
    planes, _ = Hints.overlay(_rgba(tulips.shape, mask, PINK)).planes(
        (500, 500), np.full((160, 160), 70, np.float32)
    )
    assert planes.dtype == np.float32
    assert planes.shape == (3, 160, 160)
    assert planes[2].min() == 0
    assert planes[2].max() == 1
    assert not planes[:2, planes[2] == 0].any()
