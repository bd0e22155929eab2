"""What frames carry beside their picture follows them: captions, light levels, turns, fields."""

from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from av.video.stream import VideoStream
from helpers.video import (
    FFV1,
    LOSSLESS,
    FieldMarker,
    MakeFilm,
    assert_same_luma,
    messages_of,
    plane_of,
    read_frames,
)
from PIL import Image

from colorize.runtime.color import U8
from colorize.runtime.colorizer import Colorizer
from colorize.runtime.video.interlacing import top_field_first
from colorize.runtime.video.options import VideoOptions
from colorize.runtime.video.side_data import (
    ONE,
    UNREAD,
    as_stored,
    display_of,
    hdr_of,
    kinds_of,
    upright,
)

MATRICES = {
    "a quarter": (0, ONE, 0, -ONE, 0, 0, 0, 0, 1 << 30),
    "half": (-ONE, 0, 0, 0, -ONE, 0, 0, 0, 1 << 30),
    "three quarters": (0, -ONE, 0, ONE, 0, 0, 0, 0, 1 << 30),
    "mirrored": (-ONE, 0, 0, 0, ONE, 0, 0, 0, 1 << 30),
    "turned and mirrored": (0, ONE, 0, ONE, 0, 0, 0, 0, 1 << 30),
}


@pytest.mark.parametrize("name", MATRICES)
def test_a_picture_is_turned_as_players_turn_it(name: str) -> None:
    """FFmpeg's matrix moves the point (x, y) to (a x + c y, b x + d y), up to a shift."""
    matrix = MATRICES[name]
    plane = np.arange(12).reshape(3, 4)
    a, b, c, d = (np.sign(matrix[place]) for place in (0, 1, 3, 4))
    points = {(a * x + c * y, b * x + d * y): plane[y, x] for y in range(3) for x in range(4)}
    left, top = min(x for x, _ in points), min(y for _, y in points)
    shown = upright(plane, matrix)
    assert all(shown[y - top, x - left] == value for (x, y), value in points.items())
    np.testing.assert_array_equal(as_stored(shown, matrix), plane)


def _turned(make_video: MakeFilm, folder: Path, matrix: tuple[int, ...]) -> Path:
    """A film whose left half alone is bright, with MATRIX."""
    plain = make_video(folder / "plain.mp4", codec="libx264", times=range(4), size=(64, 48))
    target = folder / "turned.mp4"
    with av.open(str(plain)) as film, av.open(str(target), "w") as made:
        stream = made.add_stream_from_template(film.streams.video[0])
        stream.set_display_matrix(matrix)
        for packet in film.demux(film.streams.video[0]):
            if packet.size:
                packet.stream = stream
                made.mux(packet)
    return target


@pytest.mark.parametrize("name", MATRICES)
@pytest.mark.parametrize("suffix", ["mp4", "mov", "mkv"])
def test_the_whole_display_matrix_is_kept(
    name: str, suffix: str, colorizer: Colorizer, make_video: MakeFilm, tmp_path: Path
) -> None:
    source = _turned(make_video, tmp_path, MATRICES[name])
    report = colorizer.video(source, tmp_path / f"out.{suffix}", LOSSLESS)
    before, after = read_frames(source), read_frames(tmp_path / f"out.{suffix}")
    assert display_of(after[0]) == display_of(before[0]) == MATRICES[name]
    assert_same_luma(before, after)
    assert messages_of(report) == []


def test_the_network_sees_turned_film_upright(
    colorizer: Colorizer,
    make_video: MakeFilm,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    source = _turned(make_video, tmp_path, MATRICES["a quarter"])
    seen = []
    shrink = Colorizer.shrink

    def note(self: Colorizer, grays: list[U8]) -> U8:
        seen.append(grays[0])
        return shrink(self, grays)

    monkeypatch.setattr(Colorizer, "shrink", note)
    colorizer.video(source, tmp_path / "out.mp4", LOSSLESS)
    luma = plane_of(read_frames(source)[0]).astype(float)
    shown = np.rot90(luma, -1)  # a quarter clockwise, as players turn it
    assert seen[0].shape == shown.shape
    assert np.corrcoef(seen[0].ravel(), shown.ravel())[0, 1] > 0.999


def test_numbered_frames_are_upright(
    colorizer: Colorizer, make_video: MakeFilm, tmp_path: Path
) -> None:
    source = _turned(make_video, tmp_path, MATRICES["a quarter"])
    colorizer.video(source, tmp_path / "out" / "f_%03d.png")
    with Image.open(tmp_path / "out" / "f_001.png") as picture:
        shown = np.asarray(picture.convert("L")).astype(float)
    expected = np.rot90(plane_of(read_frames(source)[0]).astype(float), -1)
    assert shown.shape == expected.shape
    assert np.corrcoef(shown.ravel(), expected.ravel())[0, 1] > 0.99


class _Strange:
    """A frame with side data of a type that PyAV does not know, and a turn."""

    rotation, interlaced_frame = -90, False

    @property
    def side_data(self) -> None:
        raise ValueError("31 is not a valid Type")


def test_side_data_of_an_unknown_type_does_no_harm_and_is_said() -> None:
    frame: Any = _Strange()
    assert kinds_of(frame) == {UNREAD}
    assert display_of(frame) == MATRICES["a quarter"]


def _orders(path: Path) -> Path:
    """Ten frames of two fields, the lower first, then five with the upper first."""
    markers = FieldMarker(top_first=False), FieldMarker(top_first=True)
    with av.open(str(path), "w") as video:
        stream = video.add_stream("ffv1", rate=25)
        assert isinstance(stream, VideoStream)
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
        for index in range(15):
            frame = av.VideoFrame.from_ndarray(np.full((96, 64), 60 + index, np.uint8), "yuv420p")
            frame.pts, frame.time_base = index, Fraction(1, 25)
            video.mux(stream.encode(markers[index >= 10].mark(frame)))
        video.mux(stream.encode(None))
    return path


@pytest.mark.parametrize("codec", ["ffv1", "libx264"])
def test_the_order_of_fields_follows_each_frame(
    codec: str, colorizer: Colorizer, tmp_path: Path
) -> None:
    report = colorizer.video(
        _orders(tmp_path / "film.mkv"), tmp_path / "out.mkv", VideoOptions(codec=codec)
    )
    frames = read_frames(tmp_path / "out.mkv")
    assert [top_field_first(frame) for frame in frames] == [False] * 10 + [True] * 5
    assert messages_of(report) == []


def test_an_order_of_fields_that_the_encoder_cannot_mark_is_said(
    colorizer: Colorizer, tmp_path: Path
) -> None:
    report = colorizer.video(
        _orders(tmp_path / "film.mkv"), tmp_path / "out.mov", VideoOptions(codec="prores_ks")
    )
    assert "the mark that its field order changes was left out" in messages_of(report)


def _mixed(path: Path, *, top_first: bool = False) -> Path:
    """Five progressive frames, five of two fields, five progressive ones."""
    marker = FieldMarker(top_first=top_first)
    with av.open(str(path), "w") as video:
        stream = video.add_stream("ffv1", rate=25)
        assert isinstance(stream, VideoStream)
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
        for index in range(15):
            planes = np.full((96, 64), 60 + 7 * index, np.uint8)
            frame = av.VideoFrame.from_ndarray(planes, "yuv420p")
            frame.pts, frame.time_base = index, Fraction(1, 25)
            video.mux(stream.encode(marker.mark(frame) if 5 <= index < 10 else frame))
        video.mux(stream.encode(None))
    return path


@pytest.mark.parametrize(
    ("name", "codec"), [("out.mkv", "ffv1"), ("out.mkv", "libx264"), ("out.mp4", "libx264")]
)
@pytest.mark.parametrize(("segment_frames", "top_first"), [(8, False), (240, False), (240, True)])
def test_the_mark_of_fields_follows_each_frame(
    name: str,
    codec: str,
    segment_frames: int,
    top_first: bool,
    colorizer: Colorizer,
    tmp_path: Path,
) -> None:
    source = _mixed(tmp_path / "film.mkv", top_first=top_first)
    options = VideoOptions(codec=codec, segment_frames=segment_frames)
    colorizer.video(source, tmp_path / name, options)
    frames = read_frames(tmp_path / name)
    assert [frame.interlaced_frame for frame in frames] == [5 <= n < 10 for n in range(15)]
    assert {top_field_first(frame) for frame in frames[5:10]} == {top_first}
    assert len(frames) == 15


def test_fields_that_the_encoder_cannot_mark_are_said(colorizer: Colorizer, tmp_path: Path) -> None:
    source = _mixed(tmp_path / "film.mkv")
    report = colorizer.video(source, tmp_path / "out.mkv", VideoOptions(codec="libx265"))
    said = "the mark that its later frames are interlaced was left out"
    assert messages_of(report).count(said) == 1


@pytest.fixture(scope="module")
def captioned(make_video: MakeFilm, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """MPEG-2 whose pictures have captions (ATSC A/53, part 4, 6.2.3), another in each."""
    folder = tmp_path_factory.mktemp("captions")
    plain = make_video(
        folder / "plain.m2v",
        codec="mpeg2video",
        times=range(6),
        time_base=Fraction(1, 25),
        options={"bf": "0"},
    )
    parts = plain.read_bytes().split(b"\0\0\1\x01")  # the first slice of each picture
    for number in range(1, len(parts)):
        words = bytes([0xFC, 0x61 + number, 0x62])
        data = b"\0\0\1\xb2GA94\x03\x41\xff" + words + b"\xff"
        parts[number] = data + b"\0\0\1\x01" + parts[number]
    target = folder / "captioned.m2v"
    target.write_bytes(b"".join(parts))
    return target


def _captions(video: Path) -> list[bytes]:
    data: list[Any] = [each for frame in read_frames(video) for each in frame.side_data]
    return [bytes(each) for each in data if each.type.name == "A53_CC"]


@pytest.mark.parametrize("codec", ["libx264", "libx265"])
def test_captions_follow_their_frames(
    codec: str, captioned: Path, colorizer: Colorizer, tmp_path: Path
) -> None:
    assert len(_captions(captioned)) == 6
    colorizer.video(captioned, tmp_path / "out.mkv", VideoOptions(codec=codec))
    assert _captions(tmp_path / "out.mkv") == _captions(captioned)


def test_captions_that_the_encoder_does_not_take_are_said_once(
    captioned: Path, colorizer: Colorizer, tmp_path: Path
) -> None:
    report = colorizer.video(captioned, tmp_path / "out.mkv", FFV1)
    assert messages_of(report).count("closed captions were left out") == 1


@pytest.mark.parametrize("codec", ["libx265", "libx264", "ffv1"])
def test_hdr10_metadata_is_kept_or_said(
    codec: str, colorizer: Colorizer, make_video: MakeFilm, tmp_path: Path
) -> None:
    display = "G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,50)"
    source = make_video(
        tmp_path / "hdr.mp4",
        codec="libx265",
        fmt="yuv420p10le",
        times=range(3),
        options={
            "x265-params": f"log-level=none:hdr10=1:master-display={display}:max-cll=1000,400"
        },
    )
    expected = (34000, 16000, 13250, 34500, 7500, 3000, 15635, 16450, 10000000, 50, 1000, 400)
    assert hdr_of(read_frames(source)[0]) == expected
    report = colorizer.video(source, tmp_path / "out.mkv", VideoOptions(codec=codec))
    kept = hdr_of(read_frames(tmp_path / "out.mkv")[0])
    if codec == "ffv1":
        assert "the HDR10 metadata was left out" in messages_of(report)
    else:
        assert kept == expected
