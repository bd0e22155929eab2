"""Film: depth, siting and fields follow the source; what an encoder cannot store is named."""

import os
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import av.logging
import numpy as np
import pytest
from av.video.stream import VideoStream
from helpers.video import (
    FFV1,
    FieldMarker,
    MakeFilm,
    Samples,
    assert_same_luma,
    chroma_distance,
    messages_of,
    plane_of,
    read_frames,
)

from colorize.runtime.colorizer import Colorizer
from colorize.runtime.errors import ArgumentError
from colorize.runtime.video.chroma import Scratch, chroma_planes
from colorize.runtime.video.codecs import ENCODERS, Encoder
from colorize.runtime.video.frames import FrameLayout, layout_of
from colorize.runtime.video.interlacing import top_field_first
from colorize.runtime.video.options import VideoOptions


@pytest.mark.parametrize("fmt", ["yuv420p9le", "yuv422p14le", "yuv444p16le", "gray16le", "gray9le"])
def test_ffv1_keeps_every_depth_bit_for_bit(
    fmt: str, colorizer: Colorizer, make_video: MakeFilm, tmp_path: Path
) -> None:
    source = make_video(tmp_path / "film.mkv", fmt=fmt)
    report = colorizer.video(source, tmp_path / "out.mkv", FFV1)
    frames = read_frames(tmp_path / "out.mkv")
    assert_same_luma(read_frames(source), frames)
    assert chroma_distance(frames[0]) > 5
    assert messages_of(report) == []


def test_nine_bits_become_ten_where_there_are_no_nine(
    colorizer: Colorizer, make_video: MakeFilm, tmp_path: Path
) -> None:
    source = make_video(tmp_path / "film.mkv", fmt="yuv420p9le")
    options = VideoOptions(codec="libx264", crf=0, preset="ultrafast")
    report = colorizer.video(source, tmp_path / "out.mkv", options)
    for old, new in zip(read_frames(source), read_frames(tmp_path / "out.mkv"), strict=True):
        difference = plane_of(new).astype(int) - plane_of(old).astype(int) * 2
        assert np.abs(difference).max() <= 4  # of 1023: at 10 bits crf 0 is not lossless
    assert messages_of(report) == ["yuv420p9le was written as yuv420p10le"]


@pytest.mark.parametrize(
    ("fmt", "codec", "written"),
    [
        ("yuv420p", "h264", "yuv420p"),
        ("yuv420p10le", "h264", "yuv420p10le"),
        ("yuv422p12le", "hevc", "yuv422p12le"),
        ("yuv420p16le", "ffv1", "yuv420p16le"),
    ],
)
def test_without_a_codec_the_first_that_keeps_the_depth_is_taken(
    fmt: str, codec: str, written: str, colorizer: Colorizer, make_video: MakeFilm, tmp_path: Path
) -> None:
    source = make_video(tmp_path / "film.mkv", fmt=fmt)
    colorizer.video(source, tmp_path / "out.mkv")
    with av.open(str(tmp_path / "out.mkv")) as video:
        assert video.streams.video[0].codec.canonical_name == codec
    assert read_frames(tmp_path / "out.mkv")[0].format.name == written


@pytest.mark.parametrize(
    ("name", "fmt", "codec"),
    [("out.mkv", "yuv420p16le", "libx264"), ("out.webm", "yuv420p12le", None)],
)
def test_a_depth_that_would_be_lost_is_refused_with_the_mend(
    name: str,
    fmt: str,
    codec: str | None,
    colorizer: Colorizer,
    make_video: MakeFilm,
    tmp_path: Path,
) -> None:
    source = make_video(tmp_path / "film.mkv", fmt=fmt)
    with pytest.raises(ArgumentError, match=r"--codec ffv1 into \.mkv can"):
        colorizer.video(source, tmp_path / name, VideoOptions(codec=codec))
    assert [path.name for path in tmp_path.iterdir()] == ["film.mkv"]


@pytest.mark.parametrize(
    ("fmt", "options", "remark"),
    [
        ("yuv411p", FFV1, "yuv411p was written as yuv420p"),
        ("yuv422p10le", VideoOptions(codec="libsvtav1"), "yuv422p10le was written as yuv420p10le"),
        ("yuva420p", FFV1, "the alpha plane was left out"),
        ("bgr0", FFV1, "bgr0 was converted to yuv444p by the bt709 matrix"),
    ],
)
def test_what_is_stored_otherwise_is_named(
    fmt: str,
    options: VideoOptions,
    remark: str,
    colorizer: Colorizer,
    make_video: MakeFilm,
    tmp_path: Path,
) -> None:
    source = make_video(tmp_path / "film.mkv", fmt=fmt)
    report = colorizer.video(source, tmp_path / "out.mkv", options)
    assert messages_of(report) == [remark]


def test_deep_rgb_keeps_its_depth(
    colorizer: Colorizer, make_video: MakeFilm, tmp_path: Path
) -> None:
    source = make_video(tmp_path / "film.mkv", fmt="gbrp10le")
    colorizer.video(source, tmp_path / "out.mkv", FFV1)
    before, after = read_frames(source)[0], read_frames(tmp_path / "out.mkv")[0]
    rgb = before.to_ndarray(format="rgb48le") / 65535
    luma = (16 + 219 * rgb @ np.array([0.2126, 0.7152, 0.0722])) * 4
    assert after.format.name == "yuv444p10le"
    assert np.abs(plane_of(after) - luma).max() < 3


def _dump(video: Path) -> str:
    """What FFmpeg says of a film at length, the siting of its chroma too."""
    level = av.logging.get_level()
    av.logging.set_level(av.logging.VERBOSE)
    av.logging.set_libav_level(av.logging.VERBOSE)
    try:
        with av.open(str(video)) as container:
            return str(container.dumps_format())  # type: ignore[attr-defined]  # not in its stub
    finally:
        av.logging.set_libav_level(av.logging.INFO)
        av.logging.set_level(level)


@pytest.mark.parametrize("siting", ["left", "topleft", "center"])
@pytest.mark.parametrize("codec", ["libx264", "libx265", "ffv1"])
def test_chroma_siting_is_kept(
    siting: str, codec: str, colorizer: Colorizer, make_video: MakeFilm, tmp_path: Path
) -> None:
    settings = {"chroma_sample_location": siting}
    source = make_video(tmp_path / "film.mkv", codec="libx264", options=settings, times=[0, 40])
    assert f"{siting})" in _dump(source)
    colorizer.video(source, tmp_path / "out.mkv", VideoOptions(codec=codec))
    assert f"{siting})" in _dump(tmp_path / "out.mkv")


def _siting_of(layout: FrameLayout, siting: str, scratch: Scratch | None = None) -> Samples:
    y, x = np.mgrid[0:24, 0:32].astype(np.float32)
    ab = np.dstack([x - 16, y - 12])
    return chroma_planes(
        np.full((24, 32), 50, np.float32), ab, replace(layout, siting=siting), scratch
    )


@pytest.mark.parametrize("depth", [8, 10])
def test_chroma_is_moved_a_quarter_of_a_sample_toward_its_place(depth: int) -> None:
    layout = replace(layout_of(av.VideoFrame(64, 48, "yuv420p")), depth=depth)
    middle = _siting_of(layout, "center").astype(float)
    left, top, bottom = middle.copy(), middle.copy(), middle.copy()
    left[:, 1:] = 0.75 * middle[:, 1:] + 0.25 * middle[:, :-1]
    top[1:] = 0.75 * middle[1:] + 0.25 * middle[:-1]
    bottom[:-1] = 0.75 * middle[:-1] + 0.25 * middle[1:]
    for siting, expected in (("left", left), ("top", top), ("bottom", bottom)):
        np.testing.assert_allclose(_siting_of(layout, siting), expected, atol=1)
        assert np.abs(_siting_of(layout, siting) - middle).mean() > 0.1


def test_planes_used_again_leave_nothing_in_the_next_frame() -> None:
    scratch = Scratch()
    for size in ((64, 48), (96, 48), (64, 48)):
        layout = layout_of(av.VideoFrame(*size, "yuv420p"))
        for siting in ("bottomleft", "topleft", "center"):
            fresh, again = (_siting_of(layout, siting, memory) for memory in (None, scratch))
            np.testing.assert_array_equal(again, fresh)


def _edge_video(path: Path, siting: str) -> Path:
    """A film whose luma steps from dark to bright between columns 31 and 32."""
    with av.open(str(path), "w") as video:
        stream = video.add_stream("ffv1", rate=25, options={"chroma_sample_location": siting})
        assert isinstance(stream, VideoStream)
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
        luma = np.where(np.arange(64) < 32, 40, 200).astype(np.uint8)
        planes = np.concatenate([np.tile(luma, (64, 1)), np.full((32, 64), 128, np.uint8)])
        frame = av.VideoFrame.from_ndarray(planes, "yuv420p")
        video.mux(stream.encode(frame))
        video.mux(stream.encode(None))
    return path


def test_chroma_lies_where_its_siting_says(colorizer: Colorizer, tmp_path: Path) -> None:
    edges = {}
    for siting in ("left", "center"):
        source = _edge_video(tmp_path / f"{siting}.mkv", siting)
        colorizer.video(source, tmp_path / "out.mkv", FFV1)
        row = plane_of(read_frames(tmp_path / "out.mkv")[0], 1)[16].astype(float)
        share = (row - row[0]) / (row[-1] - row[0])
        edges[siting] = (1 - share).sum()  # where the step lies, in chroma samples
    # A sample at the left of its pair shows what lies a quarter of a sample further left.
    assert edges["left"] - edges["center"] == pytest.approx(0.25, abs=0.05)


def _interlaced(path: Path, codec: str, *, top_first: bool, fmt: str = "yuv420p") -> Path:
    marker = FieldMarker(top_first=top_first)
    with av.open(str(path), "w") as video:
        stream = video.add_stream(codec, rate=25, options={"flags": "+ildct+ilme"})
        assert isinstance(stream, VideoStream)
        stream.width, stream.height, stream.pix_fmt = 64, 64, fmt
        for index in range(10):
            planes = np.full((96, 64), 60 + 10 * index, np.uint8)
            frame = av.VideoFrame.from_ndarray(planes, "yuv420p").reformat(format=fmt)
            frame.pts, frame.time_base = index, Fraction(1, 25)
            video.mux(stream.encode(marker.mark(frame)))
        video.mux(stream.encode(None))
    return path


@pytest.mark.parametrize("top_first", [True, False])
@pytest.mark.parametrize("kind", ["mpeg2video", "libx264"])
@pytest.mark.parametrize(("name", "codec"), [("out.mkv", "ffv1"), ("out.mp4", "libx264")])
def test_interlaced_frames_keep_their_mark(
    name: str, codec: str, kind: str, top_first: bool, colorizer: Colorizer, tmp_path: Path
) -> None:
    source = _interlaced(tmp_path / "film.mkv", kind, top_first=top_first)
    report = colorizer.video(source, tmp_path / name, VideoOptions(codec=codec))
    for video in (source, tmp_path / name):
        frames = read_frames(video)
        assert all(frame.interlaced_frame for frame in frames)
        assert {top_field_first(frame) for frame in frames} == {top_first}
    assert messages_of(report) == []


@pytest.mark.parametrize("top_first", [True, False])
@pytest.mark.parametrize("name", ["out.mov", "out.mkv", "out.mxf"])
def test_interlaced_prores_stays_so(
    name: str, top_first: bool, colorizer: Colorizer, tmp_path: Path
) -> None:
    source = _interlaced(tmp_path / "film.mov", "prores_ks", top_first=top_first, fmt="yuv422p10le")
    report = colorizer.video(source, tmp_path / name, VideoOptions(codec="prores_ks"))
    frames = read_frames(tmp_path / name)
    assert all(frame.interlaced_frame for frame in frames)
    assert {top_field_first(frame) for frame in frames} == {top_first}
    assert messages_of(report) == []


def test_dnxhr_has_no_place_for_the_mark_of_fields(colorizer: Colorizer, tmp_path: Path) -> None:
    source = _interlaced(tmp_path / "film.mov", "prores_ks", top_first=True, fmt="yuv422p10le")
    for name in ("out.mov", "out.mxf"):
        options = VideoOptions(codec="dnxhd")
        with pytest.raises(ArgumentError, match="does not take these settings"):  # too small
            colorizer.video(source, tmp_path / name, options)


def test_encoders_that_know_no_fields_leave_the_mark_to_matroska(
    colorizer: Colorizer, tmp_path: Path
) -> None:
    source = _interlaced(tmp_path / "film.mkv", "libx264", top_first=True)
    report = colorizer.video(source, tmp_path / "out.mkv", VideoOptions(codec="libx265"))
    with av.open(str(tmp_path / "out.mkv")) as video:
        assert video.streams.video[0].codec_context.field_order == 2
    assert messages_of(report) == []
    told = colorizer.video(source, tmp_path / "out.mp4", VideoOptions(codec="libx265"))
    assert messages_of(told) == ["the mark that its frames are interlaced was left out"]


@pytest.mark.parametrize("codec", ["h264_nvenc", "hevc_qsv", "h264_vaapi", "h264_videotoolbox"])
def test_hardware_that_is_not_there_is_refused_with_the_reason(
    codec: str, small_video: Path, colorizer: Colorizer, tmp_path: Path
) -> None:
    said = ""
    try:
        colorizer.video(small_video, tmp_path / "out.mp4", VideoOptions(codec=codec))
    except ArgumentError as error:
        said = str(error)
    if (tmp_path / "out.mp4").exists():  # this machine has it
        assert len(read_frames(tmp_path / "out.mp4")) == 10
    else:
        assert f"codec {codec}" in said
        assert "\n" not in said
        assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("top_first", [True, False])
def test_y4m_tells_the_order_of_fields(
    top_first: bool, colorizer: Colorizer, tmp_path: Path
) -> None:
    source = _interlaced(tmp_path / "film.mkv", "libx264", top_first=top_first)
    with (tmp_path / "out.y4m").open("wb") as sink:
        colorizer.video(source, sink)
    [frame, *_] = read_frames(tmp_path / "out.y4m")
    assert frame.interlaced_frame
    assert top_field_first(frame) == top_first


@pytest.mark.parametrize("siting", ["left", "topleft", "center"])
def test_y4m_tells_the_siting_of_chroma(
    siting: str, colorizer: Colorizer, make_video: MakeFilm, tmp_path: Path
) -> None:
    settings = {"chroma_sample_location": siting}
    source = make_video(tmp_path / "film.mkv", codec="libx264", options=settings, times=[0, 40])
    with (tmp_path / "out.y4m").open("wb") as sink:
        colorizer.video(source, sink)
    assert f"{siting})" in _dump(tmp_path / "out.y4m")


def test_one_entry_in_the_registry_adds_an_encoder(
    colorizer: Colorizer, small_video: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ArgumentError, match="unknown codec 'mpeg4'"):
        colorizer.video(small_video, tmp_path / "out.mov", VideoOptions(codec="mpeg4"))
    entry = Encoder(
        settings={"qmin": "2", "qmax": "2"},
        quality="qmin",
        takes_preset=False,
        most_depth=8,
        environment={"COLORIZE_TEST": "set"},
        default_for=(".mov",),
    )
    monkeypatch.setitem(ENCODERS, "mpeg4", entry)
    monkeypatch.delenv("COLORIZE_TEST", raising=False)
    colorizer.video(small_video, tmp_path / "out.mov")
    colorizer.video(small_video, tmp_path / "out.mp4")
    names = []
    for name in ("out.mov", "out.mp4"):
        with av.open(str(tmp_path / name)) as video:
            names.append(video.streams.video[0].codec_context.name)
    assert names == ["mpeg4", "h264"]
    assert os.environ["COLORIZE_TEST"] == "set"
    with pytest.raises(ArgumentError, match="codec mpeg4 has no preset"):
        colorizer.video(small_video, tmp_path / "out.mov", VideoOptions(preset="slow"))
