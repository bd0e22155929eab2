"""The filter for VapourSynth. It runs in environments of Python 3.12 or newer alone.

Of the other tests' helpers it uses none: `.ci/run` gives it the base install and pytest.
"""

import os
import re
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image

vs = pytest.importorskip(
    "vapoursynth", reason="vapoursynth is not installed; it needs Python 3.12 or newer"
)

import colorize.runtime.vapoursynth as cvs  # noqa: E402
from colorize.runtime.colorizer import Colorizer  # noqa: E402
from colorize.runtime.errors import ArgumentError, InputError  # noqa: E402
from colorize.runtime.models.catalog import SAMPLES  # noqa: E402

ROOT = Path(__file__).parents[2]
CLIP = SAMPLES / "clip.mp4"
VSPIPE = Path(sys.executable).with_name("vspipe")


@cache
def _sample() -> list[np.ndarray]:
    """The planes of each frame of the sample film, Y above U above V, as FFmpeg packs them."""
    with av.open(str(CLIP)) as film:
        return [frame.to_ndarray(format="yuv420p") for frame in film.decode(video=0)]


def _split(packed: np.ndarray) -> list[np.ndarray]:
    height, width = packed.shape[0] * 2 // 3, packed.shape[1]
    flat = packed.reshape(-1)
    luma, u, v = np.split(flat, [height * width, height * width * 5 // 4])
    return [
        luma.reshape(height, width),
        *(plane.reshape(height // 2, width // 2) for plane in (u, v)),
    ]


@pytest.fixture(scope="module")
def clip() -> Any:
    """The sample film; its chroma, which must count for nothing, is neutral."""
    frames = [_split(packed) for packed in _sample()]
    height, width = frames[0][0].shape
    blank = vs.core.std.BlankClip(
        format=vs.YUV420P8, width=width, height=height, length=len(frames), color=[0, 128, 128]
    )

    def filled(n: int, f: Any) -> Any:
        made = f.copy()
        np.asarray(made[0])[...] = frames[n][0]
        return made

    luma = vs.core.std.ModifyFrame(blank, blank, filled)
    return vs.core.std.SetFrameProps(luma, _Matrix=1, _Range=vs.RANGE_LIMITED, _ChromaLocation=0)


@pytest.fixture(scope="module")
def piped() -> list[list[np.ndarray]]:
    """The planes that colorize-run -o - writes."""
    command = [sys.executable, "-m", "colorize.runtime.cli", str(CLIP), "-o", "-"]
    raw = subprocess.run(command, capture_output=True, check=True).stdout
    header, _, rest = raw.partition(b"\n")
    size = _sample()[0].size
    step = size + len(b"FRAME\n")
    frames = [rest[at + len(b"FRAME\n") : at + step] for at in range(0, len(rest), step)]
    assert header.startswith(b"YUV4MPEG2")
    shape = _sample()[0].shape
    return [_split(np.frombuffer(frame, np.uint8).reshape(shape)) for frame in frames]


def _planes(frame: Any) -> list[np.ndarray]:
    return [np.asarray(frame[index]).copy() for index in range(frame.format.num_planes)]


def test_frames_in_order_are_those_of_the_command(clip: Any, piped: list[list[np.ndarray]]) -> None:
    colored = [_planes(frame) for frame in cvs.colorize(clip).frames()]  # several at a time
    assert len(colored) == len(piped) == 100
    for ours, theirs in zip(colored, piped, strict=True):
        for our, their in zip(ours, theirs, strict=True):
            np.testing.assert_array_equal(our, their)
    assert np.abs(colored[50][1].astype(int) - 128).mean() > 2


def test_one_thread_of_the_core_is_enough(clip: Any, piped: list[list[np.ndarray]]) -> None:
    before = vs.core.num_threads
    vs.core.num_threads = 1
    try:
        frames = [_planes(frame) for frame in cvs.colorize(clip[:12]).frames()]
    finally:
        vs.core.num_threads = before
    np.testing.assert_array_equal(frames[5][1], piped[5][1])


def test_a_seek_begins_at_the_last_cut(clip: Any) -> None:
    second = Colorizer.scenes(CLIP)[1]
    last = 2 * 100 + second.first  # in the third round, too far for going on from the start
    number = last + 7
    thrice = clip * 3
    sought = _planes(cvs.colorize(thrice).get_frame(number))
    begun = _planes(cvs.colorize(thrice[last:]).get_frame(7))
    for one, other in zip(sought, begun, strict=True):
        np.testing.assert_array_equal(one, other)


def test_frames_may_be_asked_for_in_any_order(clip: Any, piped: list[list[np.ndarray]]) -> None:
    colored = cvs.colorize(clip)
    for number in (3, 0, 20, 19, 2):
        np.testing.assert_array_equal(_planes(colored.get_frame(number))[2], piped[number][2])


def _ramp(form: Any, **props: int) -> Any:
    """Three frames of a photograph in FORM, by VapourSynth's own conversion."""
    with Image.open(SAMPLES / "test" / "tulips.jpg") as photo:
        gray = np.asarray(photo.convert("L").resize((96, 64)))
    blank = vs.core.std.BlankClip(format=vs.GRAY8, width=96, height=64, length=3)

    def filled(n: int, f: Any) -> Any:
        made = f.copy()
        np.asarray(made[0])[...] = gray
        return made

    full = vs.core.std.ModifyFrame(blank, blank, filled)
    full = vs.core.std.SetFrameProps(full, _Range=vs.RANGE_FULL)
    if vs.core.get_video_format(form).color_family == vs.RGB:
        made = vs.core.resize.Bicubic(full, format=form, matrix_in_s="709")
    else:
        made = vs.core.resize.Bicubic(full, format=form, matrix_s="709")
    return vs.core.std.SetFrameProps(made, **props) if props else made


FORMATS = [
    *("GRAY8", "GRAY10", "GRAY16", "GRAYH", "GRAYS"),
    *("YUV420P8", "YUV420P9", "YUV422P10", "YUV444P12", "YUV444P14", "YUV420P16"),
    *("YUV444PH", "YUV420PS", "YUV444PS"),
]


def _unit(frame: Any, index: int) -> np.ndarray:
    """Chroma codes as parts of the whole span, from -0.5 to 0.5."""
    plane, bits = _planes(frame)[index].astype(np.float64), frame.format.bits_per_sample
    if frame.format.sample_type == vs.FLOAT:
        return plane
    full = frame.props["_Range"] == vs.RANGE_FULL
    span = 2**bits - 1 if full else 224 * 2 ** (bits - 8)
    unit: np.ndarray = (plane - 2 ** (bits - 1)) / span
    return unit


@pytest.mark.parametrize("name", FORMATS)
def test_luma_is_untouched_in_every_format(name: str) -> None:
    source = _ramp(getattr(vs, name))
    colored = cvs.colorize(source, size=64)
    wanted = f"YUV444P{name[4:]}" if name.startswith("GRAY") else name
    assert colored.format.name == wanted
    frame = colored.get_frame(1)
    assert _planes(frame)[0].tobytes() == _planes(source.get_frame(1))[0].tobytes()
    reference = cvs.colorize(_ramp(vs.YUV444PS), size=64).get_frame(1)
    for index in (1, 2):
        ours = _unit(frame, index)
        theirs = _planes(reference)[index].astype(np.float64)
        assert np.abs(theirs).mean() > 0.01
        assert abs(ours.mean() - theirs.mean()) < 0.006  # whatever the depth and the subsampling


def _lightness(rgb: np.ndarray) -> np.ndarray:
    """L* of sRGB (3, ...) in 0..1 by IEC 61966-2-1 and CIE 15."""
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    y = np.tensordot([0.2126, 0.7152, 0.0722], linear, 1)
    return np.where(y > (6 / 29) ** 3, 116 * np.cbrt(y) - 16, y * (29 / 3) ** 3)


@pytest.mark.parametrize("name", ["RGB24", "RGB30", "RGB42", "RGB48", "RGBH", "RGBS"])
def test_rgb_keeps_its_lightness(name: str) -> None:
    source = _ramp(getattr(vs, name))
    colored = cvs.colorize(source, size=64)
    assert colored.format.name == name
    largest = 1 if name[3] in "HS" else 2 ** (int(name[3:]) // 3) - 1
    before, after = (
        np.stack(_planes(each.get_frame(1))).astype(np.float64) / largest
        for each in (source, colored)
    )
    assert np.abs(_lightness(after) - _lightness(before)).max() <= 0.3
    assert np.ptp(after, axis=0).mean() > 0.03


def test_matrix_range_and_siting_are_honored_and_set() -> None:
    plain = cvs.colorize(_ramp(vs.YUV420P8), size=64).get_frame(0)
    assert plain.props["_Matrix"] == 1
    for name, value in (
        ("_Matrix", 9),
        ("_Range", 1 - plain.props["_Range"]),
        ("_ChromaLocation", 2),
    ):
        other = cvs.colorize(_ramp(vs.YUV420P8, **{name: value}), size=64).get_frame(0)
        assert other.props[name] == value
        assert (_planes(other)[1] != _planes(plain)[1]).any(), name
    untold = vs.core.std.RemoveFrameProps(_ramp(vs.YUV420P8))
    props = cvs.colorize(untold, size=64).get_frame(0).props
    assert (props["_Matrix"], props["_Range"], props["_ChromaLocation"]) == (6, 0, 0)


def test_references_color_their_scene(clip: Any, tmp_path: Path) -> None:
    with av.open(str(CLIP)) as film:
        first = next(film.decode(video=0)).to_ndarray(format="gray")
    red = np.dstack([np.clip(first.astype(int) + 60, 0, 255), first, first]).astype(np.uint8)
    Image.fromarray(red).save(tmp_path / "ref_000000.png")
    alone, steered = (
        _planes(cvs.colorize(clip[:10], references=folder).get_frame(6))
        for folder in (None, tmp_path)
    )
    assert steered[2].mean() > alone[2].mean() + 5
    np.testing.assert_array_equal(steered[0], alone[0])


def test_what_cannot_be_colored_is_refused(tmp_path: Path) -> None:
    small = vs.core.std.BlankClip(format=vs.YUV410P8, width=64, height=64, length=1)
    with pytest.raises(ArgumentError, match="4:2:0, 4:2:2 or 4:4:4"):
        cvs.colorize(small)
    one, other = (vs.core.std.BlankClip(width=side, height=64, length=1) for side in (64, 80))
    with pytest.raises(ArgumentError, match="varies"):
        cvs.colorize(vs.core.std.Splice([one, other], mismatch=True))
    with pytest.raises(InputError, match="no such folder"):
        cvs.colorize(one, references=tmp_path / "none")


@pytest.fixture
def vspipe() -> str:
    if not VSPIPE.is_file():
        pytest.skip("there is no vspipe")
    if not hasattr(vs.core, "bs"):
        pytest.skip("vapoursynth-bestsource, which reads films, is not installed")
    return str(VSPIPE)


def _in_vspipe(vspipe: str, script: Path, folder: Path, *options: str) -> list[list[np.ndarray]]:
    """Run the first five frames of SCRIPT in FOLDER and return their planes."""
    own = {**os.environ, "XDG_CONFIG_HOME": str(folder), "APPDATA": str(folder)}
    subprocess.run([sys.executable, "-m", "vapoursynth", "config"], check=True, env=own)
    command = [vspipe, "-e", "4", *options, str(script), str(folder / "out.yuv")]
    run = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, env=own)
    assert run.returncode == 0, run.stderr
    raw = np.fromfile(folder / "out.yuv", np.uint8).reshape(5, *_sample()[0].shape)
    return [_split(packed) for packed in raw]


def test_the_example_script_runs_in_vspipe(
    vspipe: str, piped: list[list[np.ndarray]], tmp_path: Path
) -> None:
    script = ROOT / "docs" / "examples" / "film.vpy"
    made = _in_vspipe(vspipe, script, tmp_path, "-a", f"film={CLIP}")
    for ours, theirs in zip(made, piped, strict=False):
        for our, their in zip(ours, theirs, strict=True):
            np.testing.assert_array_equal(our, their)


def test_the_script_on_the_page_runs_in_vspipe(
    vspipe: str, piped: list[list[np.ndarray]], tmp_path: Path
) -> None:
    page = (ROOT / "docs" / "vapoursynth.md").read_text(encoding="utf-8")
    [block] = re.findall(r"^```py\n(.*?)^```", page, re.S | re.M)
    (tmp_path / "page.vpy").write_text(block, encoding="utf-8")
    shutil.copy(CLIP, tmp_path / "film.mp4")
    (tmp_path / "refs").mkdir()
    Image.new("RGB", (512, 288), "red").save(tmp_path / "refs" / "ref_000000.png")
    made = _in_vspipe(vspipe, tmp_path / "page.vpy", tmp_path)
    for ours, theirs in zip(made, piped, strict=False):
        np.testing.assert_array_equal(ours[0], theirs[0])  # luma
        assert ours[2].mean() > theirs[2].mean() + 5  # red
