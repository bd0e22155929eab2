"""Film: the luma plane comes through bit for bit, in whatever format; the chroma is new."""

from pathlib import Path

import av
import numpy as np
import pytest
from helpers.video import (
    FFV1,
    JPEG,
    LOSSLESS,
    MPEG,
    WEIGHTS,
    MakeFilm,
    assert_same_luma,
    chroma_distance,
    messages_of,
    plane_of,
    read_frames,
    times_of,
)
from numpy.typing import NDArray
from skimage.color import lab2rgb, rgb2lab

from colorize.runtime.colorizer import Colorizer
from colorize.runtime.video.colorize import VideoProgress, VideoReport
from colorize.runtime.video.options import VideoOptions


@pytest.fixture(scope="module")
def clip_frames(clip: Path) -> list[av.VideoFrame]:
    return read_frames(clip)


@pytest.fixture(scope="module")
def colored_clip(
    clip: Path, colorizer: Colorizer, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, VideoReport, list[VideoProgress]]:
    """The sample film in color, H.264 without loss in MP4."""
    target = tmp_path_factory.mktemp("colored") / "clip.mp4"
    progress: list[VideoProgress] = []
    report = colorizer.video(clip, target, LOSSLESS, progress.append)
    return target, report, progress


@pytest.fixture(scope="module")
def colored_frames(
    colored_clip: tuple[Path, VideoReport, list[VideoProgress]],
) -> list[av.VideoFrame]:
    return read_frames(colored_clip[0])


def test_luma_of_the_clip_is_kept_bit_for_bit(
    clip_frames: list[av.VideoFrame], colored_frames: list[av.VideoFrame]
) -> None:
    assert len(clip_frames) == 100
    assert_same_luma(clip_frames, colored_frames)


def test_every_frame_of_the_clip_is_colored(colored_frames: list[av.VideoFrame]) -> None:
    assert min(chroma_distance(frame) for frame in colored_frames) > 10


def test_timestamps_of_the_clip_are_kept_exactly(
    clip_frames: list[av.VideoFrame], colored_frames: list[av.VideoFrame]
) -> None:
    assert times_of(colored_frames) == times_of(clip_frames)


def test_color_tags_of_the_clip_are_kept(
    clip_frames: list[av.VideoFrame], colored_frames: list[av.VideoFrame]
) -> None:
    def tags(frame: av.VideoFrame) -> tuple[int, ...]:
        named = (frame.colorspace, frame.color_range, frame.color_primaries, frame.color_trc)
        return tuple(int(tag) for tag in named)

    assert tags(clip_frames[0])[:2] == (1, MPEG)
    assert {tags(frame) for frame in colored_frames} == {tags(clip_frames[0])}


def test_progress_counts_every_frame_of_the_clip(
    colored_clip: tuple[Path, VideoReport, list[VideoProgress]],
) -> None:
    _, report, progress = colored_clip
    assert [step.frames for step in progress] == list(range(1, 101))
    assert {step.total for step in progress} == {100}
    assert report.frames == 100
    assert messages_of(report) == []
    assert {"decode", "network", "encode"} <= set(report.stages)


def _assert_chroma(frame: av.VideoFrame, gray: float, colorspace: int, *, full: bool) -> None:
    """Check that a flat frame has the chroma of the tiny model's answer to GRAY, 0..1."""
    lightness = rgb2lab(np.full((1, 1, 3), gray))[0, 0, 0]
    r, g, b = lab2rgb(np.array([lightness, 20 + 0.2 * lightness, 40 - 0.6 * lightness]))
    kr, kb = WEIGHTS[colorspace]
    y = kr * r + (1 - kr - kb) * g + kb * b
    span = 255 if full else 224
    expected = (128 + span * (b - y) / (2 - 2 * kb), 128 + span * (r - y) / (2 - 2 * kr))
    depth = frame.format.components[0].bits
    for index in (1, 2):
        codes = plane_of(frame, index) / 2 ** (depth - 8)
        np.testing.assert_allclose(codes, expected[index - 1], atol=0.8)


@pytest.mark.parametrize("luma", [60, 110, 160])
@pytest.mark.parametrize("colorspace", WEIGHTS)
@pytest.mark.parametrize(
    ("fmt", "color_range"),
    [("yuv420p", MPEG), ("yuv420p", JPEG), ("yuv444p", MPEG), ("yuv422p10le", MPEG)],
)
def test_flat_film_gets_the_color_that_the_model_names(
    luma: int,
    colorspace: int,
    fmt: str,
    color_range: int,
    colorizer: Colorizer,
    make_video: MakeFilm,
    tmp_path: Path,
) -> None:
    depth = 10 if "10" in fmt else 8
    source = make_video(
        tmp_path / "flat.mkv",
        fmt=fmt,
        flat=luma * 2 ** (depth - 8),
        times=[0],
        color_range=color_range,
        colorspace=colorspace,
    )
    colorizer.video(source, tmp_path / "out.mkv", FFV1)
    [frame] = read_frames(tmp_path / "out.mkv")
    full = color_range == JPEG
    gray = luma / 255 if full else (luma - 16) / 219
    _assert_chroma(frame, gray, colorspace, full=full)
    assert (int(frame.colorspace), int(frame.color_range)) == (colorspace, color_range)


@pytest.mark.parametrize(("height", "colorspace"), [(576, 6), (718, 6), (720, 1), (1080, 1)])
def test_untagged_film_is_taken_as_players_take_it(
    height: int, colorspace: int, colorizer: Colorizer, make_video: MakeFilm, tmp_path: Path
) -> None:
    source = make_video(tmp_path / "flat.mkv", flat=100, times=[0], size=(64, height))
    colorizer.video(source, tmp_path / "out.mkv", FFV1)
    [frame] = read_frames(tmp_path / "out.mkv")
    _assert_chroma(frame, (100 - 16) / 219, colorspace, full=False)


@pytest.mark.parametrize("size", [(64, 48), (63, 47), (64, 47), (2, 2), (1, 1)])
@pytest.mark.parametrize("fmt", ["yuv420p", "yuv444p", "gray"])
def test_luma_of_any_size_is_kept(
    fmt: str, size: tuple[int, int], colorizer: Colorizer, make_video: MakeFilm, tmp_path: Path
) -> None:
    source = make_video(tmp_path / "film.mkv", fmt=fmt, size=size)
    colorizer.video(source, tmp_path / "out.mkv", FFV1)
    frames = read_frames(tmp_path / "out.mkv")
    assert_same_luma(read_frames(source), frames)
    assert (frames[0].width, frames[0].height) == size
    assert chroma_distance(frames[0]) > 5


@pytest.mark.parametrize("size", [(64, 48), (63, 47)])
def test_h264_takes_odd_sizes(
    size: tuple[int, int], colorizer: Colorizer, make_video: MakeFilm, tmp_path: Path
) -> None:
    source = make_video(tmp_path / "film.mkv", size=size)
    colorizer.video(source, tmp_path / "out.mp4", LOSSLESS)
    assert_same_luma(read_frames(source), read_frames(tmp_path / "out.mp4"))


@pytest.mark.parametrize("color_range", [MPEG, JPEG])
@pytest.mark.parametrize(
    ("fmt", "written"),
    [
        ("yuv422p", "yuv422p"),
        ("yuv440p", "yuv420p"),
        ("yuv411p", "yuv420p"),
        ("yuva420p", "yuv420p"),
        ("yuv420p10le", "yuv420p10le"),
        ("yuv444p12le", "yuv444p12le"),
    ],
)
def test_luma_of_any_format_is_kept(
    fmt: str,
    written: str,
    color_range: int,
    colorizer: Colorizer,
    make_video: MakeFilm,
    tmp_path: Path,
) -> None:
    source = make_video(tmp_path / "film.mkv", fmt=fmt, color_range=color_range)
    colorizer.video(source, tmp_path / "out.mkv", FFV1)
    frames = read_frames(tmp_path / "out.mkv")
    assert_same_luma(read_frames(source), frames)
    assert frames[0].format.name == written
    assert int(frames[0].color_range) == color_range


def test_motion_jpeg_stays_in_full_range(
    colorizer: Colorizer, make_video: MakeFilm, tmp_path: Path
) -> None:
    source = make_video(tmp_path / "film.mkv", codec="mjpeg", fmt="yuvj420p", color_range=JPEG)
    colorizer.video(source, tmp_path / "out.mkv", FFV1)
    frames = read_frames(tmp_path / "out.mkv")
    assert_same_luma(read_frames(source), frames)
    assert int(frames[0].color_range) == JPEG


@pytest.mark.parametrize("fmt", ["gray", "gray10le"])
def test_gray_film_is_full_range_when_it_does_not_say(
    fmt: str, colorizer: Colorizer, make_video: MakeFilm, tmp_path: Path
) -> None:
    source = make_video(tmp_path / "film.mkv", fmt=fmt)
    colorizer.video(source, tmp_path / "out.mkv", FFV1)
    frames = read_frames(tmp_path / "out.mkv")
    assert_same_luma(read_frames(source), frames)
    assert int(frames[0].color_range) == JPEG


def test_gray_film_that_says_limited_range_keeps_it(
    colorizer: Colorizer, make_video: MakeFilm, tmp_path: Path
) -> None:
    source = make_video(tmp_path / "film.mkv", fmt="gray", color_range=MPEG)
    colorizer.video(source, tmp_path / "out.mkv", FFV1)
    assert {int(frame.color_range) for frame in read_frames(tmp_path / "out.mkv")} == {MPEG}


def _shown_gray(frame: av.VideoFrame) -> NDArray[np.float64]:
    """Luma as the share of white that a player shows."""
    codes = plane_of(frame).astype(np.float64)
    return codes / 255 if int(frame.color_range) == JPEG else (codes - 16) / 219


def test_sixteen_bit_gray_is_as_bright_as_before(
    colorizer: Colorizer, make_video: MakeFilm, tmp_path: Path
) -> None:
    source = make_video(tmp_path / "film.mkv", fmt="gray16le")
    colorizer.video(source, tmp_path / "out.mkv", FFV1)
    before, after = read_frames(source)[0], read_frames(tmp_path / "out.mkv")[0]
    gray = plane_of(after).astype(np.float64) / (2 ** after.format.components[0].bits - 1)
    shown = gray if int(after.color_range) == JPEG else _shown_gray(after)
    np.testing.assert_allclose(shown, plane_of(before) / 65535, atol=0.012)


def test_gray_png_film_is_not_tagged_as_rgb(
    colorizer: Colorizer, make_video: MakeFilm, tmp_path: Path
) -> None:
    source = make_video(tmp_path / "film.mov", codec="png", fmt="gray")
    colorizer.video(source, tmp_path / "out.mkv", FFV1)
    assert int(read_frames(tmp_path / "out.mkv")[0].colorspace) != 0  # RGB, in H.273


def test_rgb_film_gets_chroma_of_bt709(
    colorizer: Colorizer, make_video: MakeFilm, tmp_path: Path
) -> None:
    source = make_video(tmp_path / "flat.mov", codec="png", fmt="rgb24", flat=100, times=[0])
    colorizer.video(source, tmp_path / "out.mkv", FFV1)
    [frame] = read_frames(tmp_path / "out.mkv")
    _assert_chroma(frame, 100 / 255, 1, full=False)


@pytest.mark.parametrize(
    ("name", "codec", "fmt"),
    [("film.mkv", "ffv1", "bgr0"), ("film.mov", "png", "rgb24"), ("film.avi", "utvideo", "gbrp")],
)
def test_rgb_film_is_written_in_bt709(
    name: str, codec: str, fmt: str, colorizer: Colorizer, make_video: MakeFilm, tmp_path: Path
) -> None:
    source = make_video(tmp_path / name, codec=codec, fmt=fmt)
    colorizer.video(source, tmp_path / "out.mkv", FFV1)
    before, after = read_frames(source)[0], read_frames(tmp_path / "out.mkv")[0]
    luma = 16 + 219 * (before.to_ndarray(format="rgb24") / 255 @ np.array([0.2126, 0.7152, 0.0722]))
    assert np.abs(plane_of(after) - luma).max() < 1
    assert (int(after.colorspace), int(after.color_range)) == (1, MPEG)
    assert chroma_distance(after) > 5


def test_saturation_scales_the_chroma(small_video: Path, tiny_model: Path, tmp_path: Path) -> None:
    distances = []
    for saturation in (0.0, 0.5, 1.0):
        with Colorizer(tiny_model, precision="fp32", saturation=saturation) as colorizer:
            colorizer.video(small_video, tmp_path / "out.mkv", FFV1)
        distances.append(chroma_distance(read_frames(tmp_path / "out.mkv")[0]))
    assert distances[0] < 0.01
    assert distances[0] < distances[1] < distances[2]


def test_without_options_the_film_is_small_and_faithful(
    clip: Path, clip_frames: list[av.VideoFrame], colorizer: Colorizer, tmp_path: Path
) -> None:
    colorizer.video(clip, tmp_path / "out.mp4")
    frames = read_frames(tmp_path / "out.mp4")
    assert times_of(frames) == times_of(clip_frames)
    for old, new in zip(clip_frames, frames, strict=True):
        assert np.abs(plane_of(new).astype(int) - plane_of(old)).mean() < 1.5


def test_a_matrix_that_is_not_written_is_not_claimed(
    colorizer: Colorizer, make_video: MakeFilm, tmp_path: Path
) -> None:
    ycgco = 8
    source = make_video(tmp_path / "film.mkv", colorspace=ycgco)
    colorizer.video(source, tmp_path / "out.mkv", VideoOptions(codec="ffv1"))
    assert read_frames(tmp_path / "out.mkv")[0].colorspace in (5, 6)
