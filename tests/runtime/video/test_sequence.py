"""Numbered frames: read as a film, written as frames, with sound from a file."""

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest
from helpers.commands import Finished
from helpers.video import (
    FFV1,
    MakeFilm,
    left_in,
    messages_of,
    packets_of,
    plane_of,
    read_frames,
    stop_at,
    times_of,
    with_sound,
)
from numpy.typing import NDArray

from colorize.runtime.color import U8
from colorize.runtime.colorizer import Colorizer
from colorize.runtime.errors import ArgumentError, InputError
from colorize.runtime.files import numbered
from colorize.runtime.video.numbered import pattern_name, pattern_of
from colorize.runtime.video.options import VideoOptions

COUNT = 12


def _frames(folder: Path, suffix: str = ".png", deep: bool = False) -> Path:
    """Write gray frames that get lighter, from number 7 on, and return their pattern."""
    folder.mkdir()
    pattern = folder / f"f_%05d{suffix}"
    for index in range(COUNT):
        y, x = np.mgrid[:48, :64]
        gray = (40 + 2 * x + y + 4 * index).astype(np.uint8)
        rgb = np.dstack([gray] * 3)
        path = numbered(pattern, 7 + index)
        codes = rgb.astype(np.uint16) * 257 if deep else rgb
        if suffix == ".dpx":
            path.write_bytes(_dpx(rgb))
        else:
            assert cv2.imwrite(str(path), codes)
    return pattern


def _dpx(rgb: U8) -> bytes:
    context = av.CodecContext.create("dpx", "w")
    context.width, context.height, context.pix_fmt = rgb.shape[1], rgb.shape[0], "gbrp10le"
    context.time_base = 1  # type: ignore[assignment]
    frame = av.VideoFrame.from_ndarray(rgb, "rgb24").reformat(format="gbrp10le")
    return b"".join(bytes(packet) for packet in [*context.encode(frame), *context.encode(None)])


def _read(path: Path) -> U8:
    if path.suffix == ".dpx":
        with av.open(str(path)) as picture:
            [frame] = picture.decode(video=0)
            return frame.to_ndarray(format="rgb24").astype(np.uint8)
    rgb = _codes(path)[..., ::-1]
    return (rgb // 257).astype(np.uint8) if rgb.dtype == np.uint16 else rgb.astype(np.uint8)


def _codes(path: Path) -> NDArray[np.generic]:
    codes: NDArray[Any] | None = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    assert codes is not None
    return codes


@pytest.mark.parametrize(
    ("suffix", "deep"), [(".png", False), (".png", True), (".tif", True), (".dpx", False)]
)
def test_frames_in_are_frames_out_of_the_same_numbers_and_luma(
    suffix: str, deep: bool, colorizer: Colorizer, tmp_path: Path
) -> None:
    pattern, target = _frames(tmp_path / "in", suffix, deep), tmp_path / f"out/g_%04d{suffix}"
    colorizer.video(pattern, target)
    assert sorted(path.name for path in target.parent.iterdir()) == [
        f"g_{7 + index:04d}{suffix}" for index in range(COUNT)
    ]
    for index in (0, COUNT - 1):
        before = _read(numbered(pattern, 7 + index))
        after = _read(numbered(target, 7 + index))
        luma = after.astype(float) @ [0.2126, 0.7152, 0.0722]  # BT.709
        assert np.abs(luma - before[..., 0]).mean() < 1.0
        assert (after.max(-1).astype(int) - after.min(-1)).mean() > 10
    if deep:
        assert _codes(numbered(target, 7)).dtype == np.uint16


def test_frames_become_a_film_of_24_a_second_or_of_the_rate_that_is_given(
    colorizer: Colorizer, tmp_path: Path
) -> None:
    pattern = _frames(tmp_path / "in")
    for fps in (None, 25.0):
        target = tmp_path / f"{fps}.mkv"
        report = colorizer.video(pattern, target, VideoOptions(codec="ffv1", fps=fps))
        times = [float(time) for time in times_of(read_frames(target))]
        rate = fps or 24
        assert times == pytest.approx([index / rate for index in range(COUNT)], abs=0.001)
        assert report.frames == COUNT


def test_a_film_becomes_frames_as_steady_as_a_film(
    small_video: Path, colorizer: Colorizer, tmp_path: Path
) -> None:
    target = tmp_path / "out" / "f_%05d.png"
    report = colorizer.video(small_video, target)
    names = sorted(path.name for path in target.parent.iterdir())
    assert names == [f"f_{number:05d}.png" for number in range(1, report.frames + 1)]
    colorizer.video(small_video, tmp_path / "film.mkv", FFV1)
    film = [frame.to_ndarray(format="rgb24") for frame in read_frames(tmp_path / "film.mkv")]
    for number, shown in enumerate(film, 1):
        difference = np.abs(_read(numbered(target, number)).astype(int) - shown)
        assert difference.mean() < 2


def test_a_stopped_run_over_frames_is_resumed(colorizer: Colorizer, tmp_path: Path) -> None:
    pattern, target = _frames(tmp_path / "in"), tmp_path / "out" / "f_%05d.png"
    options = VideoOptions(segment_frames=1)
    whole = tmp_path / "whole" / "f_%05d.png"
    colorizer.video(pattern, whole, options)
    with pytest.raises(KeyboardInterrupt):
        colorizer.video(pattern, target, options, stop_at(10))
    assert not [path for path in target.parent.iterdir() if path.suffix == ".png"]
    report = colorizer.video(pattern, target, options)
    assert report.resumed > 0
    for index in range(COUNT):
        number = 7 + index
        assert numbered(target, number).read_bytes() == numbered(whole, number).read_bytes()


def test_digits_of_a_suffix_number_no_frame(tmp_path: Path) -> None:
    for number in range(3):
        (tmp_path / f"reel2 {number:04}.jp2").touch()
    assert pattern_of(tmp_path) == tmp_path / "reel2 %04d.jp2"
    assert pattern_name(tmp_path / "reel2 0001.j2k") == "reel2 %04d.j2k"
    assert pattern_name(Path("poster.jp2")) == "f_%05d.jp2"
    (tmp_path / "poster.jp2").touch()
    with pytest.raises(InputError, match="not one numbered row"):
        pattern_of(tmp_path)


@pytest.mark.parametrize("named", ["pattern", "folder"])
def test_a_missing_frame_is_named_before_any_work(
    named: str, colorize_run: Callable[..., Finished], tmp_path: Path
) -> None:
    pattern = _frames(tmp_path / "in")
    numbered(pattern, 9).unlink()
    given = [pattern] if named == "pattern" else [pattern.parent, "--as-film"]
    refused = colorize_run(*given, "-o", tmp_path / "out.mkv")
    assert refused.returncode == 2
    assert "f_00009.png: is missing among the frames; put it back" in refused.stderr
    assert "working size" not in refused.stderr
    assert left_in(tmp_path) == ["in"]


def test_the_input_is_never_replaced(colorizer: Colorizer, tmp_path: Path) -> None:
    pattern = _frames(tmp_path / "in")
    with pytest.raises(ArgumentError, match="would replace the input"):
        colorizer.video(pattern, pattern)


def test_sound_comes_from_a_file(
    small_video: Path, colorizer: Colorizer, make_video: MakeFilm, tmp_path: Path
) -> None:
    sound = with_sound(small_video, tmp_path / "sound.mkv", "aac")
    pattern = _frames(tmp_path / "in")
    report = colorizer.video(pattern, tmp_path / "out.mkv", VideoOptions(codec="ffv1", audio=sound))
    [given], [kept] = packets_of(sound, "audio"), packets_of(tmp_path / "out.mkv", "audio")
    assert [content for _, content in kept] == [content for _, content in given]
    assert "rgb24 was converted to yuv444p by the bt709 matrix" in messages_of(report)
    assert not any("left out" in message for message in messages_of(report))
    with pytest.raises(InputError, match="has no sound"):
        colorizer.video(pattern, tmp_path / "no.mkv", VideoOptions(audio=small_video))


def test_the_command_takes_patterns_and_folders(
    colorize_run: Callable[..., Finished], tmp_path: Path
) -> None:
    pattern = _frames(tmp_path / "in")
    made = colorize_run(pattern, "-o", tmp_path / "a.mkv")
    assert made.returncode == 0, made.stderr
    made = colorize_run(pattern.parent, "--as-film", "--fps", 25, "-o", tmp_path / "b.mkv")
    assert made.returncode == 0, made.stderr
    assert len(read_frames(tmp_path / "a.mkv")) == len(read_frames(tmp_path / "b.mkv")) == COUNT
    np.testing.assert_array_equal(
        plane_of(read_frames(tmp_path / "a.mkv")[0]), plane_of(read_frames(tmp_path / "b.mkv")[0])
    )
    default = colorize_run(pattern)
    assert default.returncode == 0, default.stderr
    assert (tmp_path / "in_colorized.mkv").is_file()


def test_a_folder_of_film_scans_is_a_film(
    colorize_run: Callable[..., Finished], tmp_path: Path
) -> None:
    pattern = _frames(tmp_path / "in", ".dpx")
    made = colorize_run(tmp_path / "in", "-o", tmp_path / "out.mkv")
    assert made.returncode == 0, made.stderr
    assert len(read_frames(tmp_path / "out.mkv")) == COUNT
    alone = colorize_run(numbered(pattern, 7), "-o", tmp_path / "one.png")
    assert alone.returncode == 2
    assert "is one frame of a film" in alone.stderr
    assert "f_%05d.dpx" in alone.stderr
    assert "working size" not in alone.stderr  # refused before an engine was loaded


@pytest.mark.parametrize("count", [1, COUNT])
def test_a_film_named_for_a_folder_of_pictures_is_no_folder(
    count: int, colorize_run: Callable[..., Finished], tmp_path: Path
) -> None:
    pattern = _frames(tmp_path / "in")
    for index in range(count, COUNT):
        numbered(pattern, 7 + index).unlink()
    refused = colorize_run(tmp_path / "in", "-o", tmp_path / "film.mkv")
    assert refused.returncode == 2
    assert "--as-film" in refused.stderr
    assert not (tmp_path / "film.mkv").exists()


def test_frames_that_are_there_are_replaced_only_on_request(
    small_video: Path, colorize_run: Callable[..., Finished], tmp_path: Path
) -> None:
    target = tmp_path / "out" / "f_%05d.png"
    assert colorize_run(small_video, "-o", target).returncode == 0
    numbered(target, 99).write_bytes(b"of a longer run")
    again = colorize_run(small_video, "-o", target)
    assert again.returncode == 2
    assert "--overwrite" in again.stderr
    assert colorize_run(small_video, "-o", target, "--overwrite").returncode == 0
    assert not numbered(target, 99).exists()


def test_a_run_that_is_killed_while_it_replaces_frames_loses_none(
    small_video: Path, colorizer: Colorizer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "out" / "f_%05d.png"
    report = colorizer.video(small_video, target)
    numbered(target, 99).write_bytes(b"of a longer run")
    moved, replace = list[Path](), Path.replace

    def kill(self: Path, to: Path) -> Path:
        if to.parent == target.parent and to.suffix == ".png":
            if len(moved) == 3:
                raise KeyboardInterrupt
            moved.append(to)
        return replace(self, to)

    monkeypatch.setattr(Path, "replace", kill)
    with pytest.raises(KeyboardInterrupt):
        colorizer.video(small_video, target)
    monkeypatch.undo()
    assert len(moved) == 3
    there = [numbered(target, number) for number in (*range(1, report.frames + 1), 99)]
    assert all(path.is_file() for path in there)
    again = colorizer.video(small_video, target)
    assert again.resumed == again.frames
    assert all(path.is_file() for path in there[:-1])
    assert not there[-1].exists()


def test_a_folder_as_output_gets_the_film_called_as_the_folder_of_frames(
    colorize_run: Callable[..., Finished], tmp_path: Path
) -> None:
    for name in ("one", "two"):
        _frames(tmp_path / name)
    out = tmp_path / "colored"
    out.mkdir()
    patterns = [tmp_path / name / "f_%05d.png" for name in ("one", "two")]
    made = colorize_run(*patterns, "-o", out)
    assert made.returncode == 0, made.stderr
    assert {path.name for path in out.iterdir()} == {"one_colorized.mkv", "two_colorized.mkv"}
    again = colorize_run(*patterns, "-o", out)  # several: what is finished is known
    assert again.returncode == 0
    assert "2 of 2 finished by an earlier run" in again.stderr


def test_frames_beside_the_input_are_replaced_on_request(
    colorize_run: Callable[..., Finished], tmp_path: Path
) -> None:
    pattern = _frames(tmp_path / "in")
    for _ in range(2):
        made = colorize_run(pattern, "-o", tmp_path / "in" / "g_%05d.jpg", "--overwrite")
        assert made.returncode == 0, made.stderr


def test_references_are_extracted_from_frames(
    colorize_run: Callable[..., Finished], tmp_path: Path
) -> None:
    pattern = _frames(tmp_path / "in")
    made = colorize_run(pattern, "--extract-references", tmp_path / "refs")
    assert made.returncode == 0, made.stderr
    assert len(list((tmp_path / "refs").glob("ref_*.png"))) == 1
    twin = _frames(tmp_path / "twin")
    twice = colorize_run(pattern, twin, "--extract-references", tmp_path / "both")
    assert twice.returncode == 2
    assert "two films are called f_%05d.png" in twice.stderr


def test_references_color_frames(colorize_run: Callable[..., Finished], tmp_path: Path) -> None:
    pattern, references = _frames(tmp_path / "in"), tmp_path / "refs"
    made = colorize_run(pattern, "--extract-references", references)
    assert made.returncode == 0, made.stderr
    [reference] = references.glob("ref_*.png")
    gray = _read(reference)[..., :1].astype(float)
    red = (gray * [1.0, 0.6, 0.6]).astype(np.uint8)
    assert cv2.imwrite(str(reference), red[..., ::-1])
    target = tmp_path / "out" / "f_%05d.png"
    made = colorize_run(pattern, "--references", references, "-o", target)
    assert made.returncode == 0, made.stderr
    for index in range(COUNT):
        mean = _read(numbered(target, 7 + index)).reshape(-1, 3).mean(0)
        assert mean[0] > mean[1] + 20
        assert mean[0] > mean[2] + 20
    beyond = references / f"ref_{COUNT:06}.png"
    reference.rename(beyond)
    refused = colorize_run(pattern, "--references", references, "-o", target, "--overwrite")
    assert refused.returncode == 2
    assert f"{beyond.name}: the video has only {COUNT} frames" in refused.stderr


def test_a_dry_run_estimates_frames_and_sees_those_that_are_there(
    colorize_run: Callable[..., Finished], tmp_path: Path
) -> None:
    pattern, target = _frames(tmp_path / "in"), tmp_path / "out" / "g_%05d.png"
    tried = colorize_run(pattern, "-o", target, "--dry-run")
    assert tried.returncode == 0, tried.stdout
    assert f"{COUNT} frames" in tried.stdout
    assert not target.parent.exists()
    assert colorize_run(pattern, "-o", target).returncode == 0
    again = colorize_run(pattern, "-o", target, "--dry-run")
    assert again.returncode == 1
    assert "exists; give --overwrite" in again.stdout


def test_linear_light_of_openexr_is_shown_as_srgb(colorizer: Colorizer, tmp_path: Path) -> None:
    context = av.CodecContext.create("exr", "w")
    context.width, context.height, context.pix_fmt = 64, 48, "gbrpf32le"
    context.time_base = Fraction(1, 24)
    light = np.full((48, 64, 3), 0.2140, np.float32)  # L* 53.4, sRGB 0.5
    for number in (1, 2):
        frame = av.VideoFrame.from_ndarray(light, "gbrpf32le")
        frame.pts = number
        (tmp_path / f"f_{number:05d}.exr").write_bytes(
            b"".join(bytes(packet) for packet in context.encode(frame))
        )
    report = colorizer.video(
        tmp_path / "f_%05d.exr", tmp_path / "out.mkv", VideoOptions(codec="ffv1")
    )
    assert "its frames are linear light, which became sRGB" in messages_of(report)
    luma = plane_of(read_frames(tmp_path / "out.mkv")[0])
    assert np.abs(luma / 256 - (16 + 219 * 0.5)).max() < 0.6
