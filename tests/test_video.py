"""Film: the luma plane, every timestamp and the sound come through; the chroma is new."""

import shutil
import struct
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av.video.reformatter import ColorRange
from numpy.typing import NDArray
from skimage.color import lab2rgb, rgb2lab

from colorize.runtime.colorizer import Colorizer
from colorize.runtime.errors import ArgumentError, ColorizeError, InputError, OutputError
from colorize.runtime.film_writer import FilmOptions
from colorize.runtime.video import FilmReport, Progress

MakeFilm = Callable[..., Path]
Samples = NDArray[np.uint8] | NDArray[np.uint16]

FFV1 = FilmOptions(codec="ffv1")
LOSSLESS = FilmOptions(codec="libx264", crf=0, preset="ultrafast")
MPEG, JPEG = int(ColorRange.MPEG), int(ColorRange.JPEG)
WEIGHTS = {1: (0.2126, 0.0722), 6: (0.299, 0.114), 9: (0.2627, 0.0593)}  # Kr, Kb by H.273 code


def _frames(film: Path) -> list[av.VideoFrame]:
    with av.open(str(film)) as container:
        return list(container.decode(video=0))


def _plane(frame: av.VideoFrame, index: int = 0) -> Samples:
    plane = frame.planes[index]
    if frame.format.components[0].bits > 8:
        deep = np.frombuffer(bytes(plane), np.uint16)
        return deep.reshape(plane.height, -1)[:, : plane.width]
    samples = np.frombuffer(bytes(plane), np.uint8)
    return samples.reshape(plane.height, -1)[:, : plane.width]


def _times(frames: Sequence[av.VideoFrame]) -> list[Fraction]:
    times = []
    for frame in frames:
        assert frame.pts is not None
        assert frame.time_base is not None
        times.append(frame.pts * frame.time_base)
    return times


def _packets(film: Path, kind: str) -> list[list[tuple[Fraction, bytes]]]:
    """(time, content) of each packet of each stream of KIND."""
    with av.open(str(film)) as container:
        streams = [stream for stream in container.streams if stream.type == kind]
        found: dict[int, list[tuple[Fraction, bytes]]] = {stream.index: [] for stream in streams}
        for packet in container.demux(streams):
            if packet.size and packet.pts is not None and packet.time_base is not None:
                found[packet.stream.index].append((packet.pts * packet.time_base, bytes(packet)))
    return list(found.values())


def _chroma_distance(frame: av.VideoFrame) -> float:
    """The mean distance of Cb and Cr from grey, in steps of 8 bits."""
    depth = frame.format.components[0].bits
    planes = [_plane(frame, index).astype(float) - 2 ** (depth - 1) for index in (1, 2)]
    return float(np.hypot(*planes).mean() / 2 ** (depth - 8))


def _assert_same_luma(before: Sequence[av.VideoFrame], after: Sequence[av.VideoFrame]) -> None:
    assert len(after) == len(before)
    for old, new in zip(before, after, strict=True):
        np.testing.assert_array_equal(_plane(new), _plane(old))


def _left_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture(scope="module")
def clip_frames(clip: Path) -> list[av.VideoFrame]:
    return _frames(clip)


@pytest.fixture(scope="module")
def colored_clip(
    clip: Path, colorizer: Colorizer, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, FilmReport, list[Progress]]:
    """The sample film in colour, H.264 without loss in MP4."""
    target = tmp_path_factory.mktemp("colored") / "clip.mp4"
    progress: list[Progress] = []
    report = colorizer.video(clip, target, LOSSLESS, progress.append)
    return target, report, progress


@pytest.fixture(scope="module")
def colored_frames(colored_clip: tuple[Path, FilmReport, list[Progress]]) -> list[av.VideoFrame]:
    return _frames(colored_clip[0])


def test_luma_of_the_clip_is_kept_bit_for_bit(
    clip_frames: list[av.VideoFrame], colored_frames: list[av.VideoFrame]
) -> None:
    assert len(clip_frames) == 100
    _assert_same_luma(clip_frames, colored_frames)


def test_every_frame_of_the_clip_is_coloured(colored_frames: list[av.VideoFrame]) -> None:
    assert min(_chroma_distance(frame) for frame in colored_frames) > 10


def test_timestamps_of_the_clip_are_kept_exactly(
    clip_frames: list[av.VideoFrame], colored_frames: list[av.VideoFrame]
) -> None:
    assert _times(colored_frames) == _times(clip_frames)


def test_sound_of_the_clip_is_copied_byte_for_byte(
    clip: Path, colored_clip: tuple[Path, FilmReport, list[Progress]]
) -> None:
    [sound] = _packets(clip, "audio")
    assert len(sound) > 100
    assert _packets(colored_clip[0], "audio") == [sound]


def test_colour_tags_of_the_clip_are_kept(
    clip_frames: list[av.VideoFrame], colored_frames: list[av.VideoFrame]
) -> None:
    def tags(frame: av.VideoFrame) -> tuple[int, ...]:
        named = (frame.colorspace, frame.color_range, frame.color_primaries, frame.color_trc)
        return tuple(int(tag) for tag in named)

    assert tags(clip_frames[0])[:2] == (1, MPEG)
    assert {tags(frame) for frame in colored_frames} == {tags(clip_frames[0])}


def test_progress_counts_every_frame_of_the_clip(
    colored_clip: tuple[Path, FilmReport, list[Progress]],
) -> None:
    _, report, progress = colored_clip
    assert [step.frames for step in progress] == list(range(1, 101))
    assert {step.total for step in progress} == {100}
    assert report.frames == 100
    assert report.remarks == []
    assert {"decode", "network", "encode"} <= set(report.stages)


def test_into_matroska_sound_and_picture_keep_step(
    clip: Path, clip_frames: list[av.VideoFrame], colorizer: Colorizer, tmp_path: Path
) -> None:
    target = tmp_path / "clip.mkv"
    colorizer.video(clip, target, LOSSLESS)
    frames = _frames(target)
    _assert_same_luma(clip_frames, frames)
    [before], [after] = _packets(clip, "audio"), _packets(target, "audio")
    assert [content for _, content in after] == [content for _, content in before]
    lag_before = _times(clip_frames)[0] - before[0][0]
    lag_after = _times(frames)[0] - after[0][0]
    assert abs(lag_after - lag_before) <= Fraction(1, 1000)  # Matroska counts milliseconds


def _assert_chroma(frame: av.VideoFrame, grey: float, colorspace: int, *, full: bool) -> None:
    """Check that a flat frame has the chroma of the tiny model's answer to GREY, 0..1."""
    lightness = rgb2lab(np.full((1, 1, 3), grey))[0, 0, 0]
    r, g, b = lab2rgb(np.array([lightness, 20 + 0.2 * lightness, 40 - 0.6 * lightness]))
    kr, kb = WEIGHTS[colorspace]
    y = kr * r + (1 - kr - kb) * g + kb * b
    span = 255 if full else 224
    expected = (128 + span * (b - y) / (2 - 2 * kb), 128 + span * (r - y) / (2 - 2 * kr))
    depth = frame.format.components[0].bits
    for index in (1, 2):
        codes = _plane(frame, index) / 2 ** (depth - 8)
        np.testing.assert_allclose(codes, expected[index - 1], atol=0.8)


@pytest.mark.parametrize("luma", [60, 110, 160])
@pytest.mark.parametrize("colorspace", WEIGHTS)
@pytest.mark.parametrize(
    ("fmt", "color_range"),
    [("yuv420p", MPEG), ("yuv420p", JPEG), ("yuv444p", MPEG), ("yuv422p10le", MPEG)],
)
def test_flat_film_gets_the_colour_that_the_model_names(
    luma: int,
    colorspace: int,
    fmt: str,
    color_range: int,
    colorizer: Colorizer,
    make_film: MakeFilm,
    tmp_path: Path,
) -> None:
    depth = 10 if "10" in fmt else 8
    source = make_film(
        tmp_path / "flat.mkv",
        fmt=fmt,
        flat=luma * 2 ** (depth - 8),
        times=[0],
        color_range=color_range,
        colorspace=colorspace,
    )
    colorizer.video(source, tmp_path / "out.mkv", FFV1)
    [frame] = _frames(tmp_path / "out.mkv")
    full = color_range == JPEG
    grey = luma / 255 if full else (luma - 16) / 219
    _assert_chroma(frame, grey, colorspace, full=full)
    assert (int(frame.colorspace), int(frame.color_range)) == (colorspace, color_range)


@pytest.mark.parametrize(("height", "colorspace"), [(576, 6), (718, 6), (720, 1), (1080, 1)])
def test_untagged_film_is_taken_as_players_take_it(
    height: int, colorspace: int, colorizer: Colorizer, make_film: MakeFilm, tmp_path: Path
) -> None:
    source = make_film(tmp_path / "flat.mkv", flat=100, times=[0], size=(64, height))
    colorizer.video(source, tmp_path / "out.mkv", FFV1)
    [frame] = _frames(tmp_path / "out.mkv")
    _assert_chroma(frame, (100 - 16) / 219, colorspace, full=False)


@pytest.mark.parametrize("size", [(64, 48), (63, 47), (64, 47), (2, 2), (1, 1)])
@pytest.mark.parametrize("fmt", ["yuv420p", "yuv444p", "gray"])
def test_luma_of_any_size_is_kept(
    fmt: str, size: tuple[int, int], colorizer: Colorizer, make_film: MakeFilm, tmp_path: Path
) -> None:
    source = make_film(tmp_path / "film.mkv", fmt=fmt, size=size)
    colorizer.video(source, tmp_path / "out.mkv", FFV1)
    frames = _frames(tmp_path / "out.mkv")
    _assert_same_luma(_frames(source), frames)
    assert (frames[0].width, frames[0].height) == size
    assert _chroma_distance(frames[0]) > 5


@pytest.mark.parametrize("size", [(64, 48), (63, 47)])
def test_h264_takes_odd_sizes(
    size: tuple[int, int], colorizer: Colorizer, make_film: MakeFilm, tmp_path: Path
) -> None:
    source = make_film(tmp_path / "film.mkv", size=size)
    colorizer.video(source, tmp_path / "out.mp4", LOSSLESS)
    _assert_same_luma(_frames(source), _frames(tmp_path / "out.mp4"))


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
    make_film: MakeFilm,
    tmp_path: Path,
) -> None:
    source = make_film(tmp_path / "film.mkv", fmt=fmt, color_range=color_range)
    colorizer.video(source, tmp_path / "out.mkv", FFV1)
    frames = _frames(tmp_path / "out.mkv")
    _assert_same_luma(_frames(source), frames)
    assert frames[0].format.name == written
    assert int(frames[0].color_range) == color_range


def test_motion_jpeg_stays_in_full_range(
    colorizer: Colorizer, make_film: MakeFilm, tmp_path: Path
) -> None:
    source = make_film(tmp_path / "film.mkv", codec="mjpeg", fmt="yuvj420p", color_range=JPEG)
    colorizer.video(source, tmp_path / "out.mkv", FFV1)
    frames = _frames(tmp_path / "out.mkv")
    _assert_same_luma(_frames(source), frames)
    assert int(frames[0].color_range) == JPEG


@pytest.mark.parametrize("fmt", ["gray", "gray10le"])
def test_grey_film_is_full_range_when_it_does_not_say(
    fmt: str, colorizer: Colorizer, make_film: MakeFilm, tmp_path: Path
) -> None:
    source = make_film(tmp_path / "film.mkv", fmt=fmt)
    colorizer.video(source, tmp_path / "out.mkv", FFV1)
    frames = _frames(tmp_path / "out.mkv")
    _assert_same_luma(_frames(source), frames)
    assert int(frames[0].color_range) == JPEG


def test_grey_film_that_says_limited_range_keeps_it(
    colorizer: Colorizer, make_film: MakeFilm, tmp_path: Path
) -> None:
    source = make_film(tmp_path / "film.mkv", fmt="gray", color_range=MPEG)
    colorizer.video(source, tmp_path / "out.mkv", FFV1)
    assert {int(frame.color_range) for frame in _frames(tmp_path / "out.mkv")} == {MPEG}


def _shown_grey(frame: av.VideoFrame) -> NDArray[np.float64]:
    """Luma as the share of white that a player shows."""
    codes = _plane(frame).astype(np.float64)
    return codes / 255 if int(frame.color_range) == JPEG else (codes - 16) / 219


def test_sixteen_bit_grey_is_as_bright_as_before(
    colorizer: Colorizer, make_film: MakeFilm, tmp_path: Path
) -> None:
    source = make_film(tmp_path / "film.mkv", fmt="gray16le")
    colorizer.video(source, tmp_path / "out.mkv", FFV1)
    before, after = _frames(source)[0], _frames(tmp_path / "out.mkv")[0]
    grey = _plane(after).astype(np.float64) / (2 ** after.format.components[0].bits - 1)
    shown = grey if int(after.color_range) == JPEG else _shown_grey(after)
    np.testing.assert_allclose(shown, _plane(before) / 65535, atol=0.012)


def test_grey_png_film_is_not_tagged_as_rgb(
    colorizer: Colorizer, make_film: MakeFilm, tmp_path: Path
) -> None:
    source = make_film(tmp_path / "film.mov", codec="png", fmt="gray")
    colorizer.video(source, tmp_path / "out.mkv", FFV1)
    assert int(_frames(tmp_path / "out.mkv")[0].colorspace) != 0  # RGB, in H.273


def test_rgb_film_gets_chroma_of_bt709(
    colorizer: Colorizer, make_film: MakeFilm, tmp_path: Path
) -> None:
    source = make_film(tmp_path / "flat.mov", codec="png", fmt="rgb24", flat=100, times=[0])
    colorizer.video(source, tmp_path / "out.mkv", FFV1)
    [frame] = _frames(tmp_path / "out.mkv")
    _assert_chroma(frame, 100 / 255, 1, full=False)


@pytest.mark.parametrize(
    ("name", "codec", "fmt"),
    [("film.mkv", "ffv1", "bgr0"), ("film.mov", "png", "rgb24"), ("film.avi", "utvideo", "gbrp")],
)
def test_rgb_film_is_written_in_bt709(
    name: str, codec: str, fmt: str, colorizer: Colorizer, make_film: MakeFilm, tmp_path: Path
) -> None:
    source = make_film(tmp_path / name, codec=codec, fmt=fmt)
    colorizer.video(source, tmp_path / "out.mkv", FFV1)
    before, after = _frames(source)[0], _frames(tmp_path / "out.mkv")[0]
    luma = 16 + 219 * (before.to_ndarray(format="rgb24") / 255 @ np.array([0.2126, 0.7152, 0.0722]))
    assert np.abs(_plane(after) - luma).max() < 1
    assert (int(after.colorspace), int(after.color_range)) == (1, MPEG)
    assert _chroma_distance(after) > 5


@pytest.mark.parametrize(
    ("name", "codec"),
    [
        ("film.avi", "mpeg4"),
        ("film.mpg", "mpeg2video"),
        ("film.ts", "libx264"),
        ("film.wmv", "wmv2"),
        ("film.flv", "flv1"),
        ("film.webm", "libvpx-vp9"),
        ("film.mov", "libx264"),
        ("film.m4v", "libx264"),
        ("film.y4m", "rawvideo"),
    ],
)
def test_films_of_many_kinds_are_read(
    name: str, codec: str, colorizer: Colorizer, make_film: MakeFilm, tmp_path: Path
) -> None:
    source = make_film(
        tmp_path / name, codec=codec, times=range(10), time_base=Fraction(1, 25), size=(64, 64)
    )
    colorizer.video(source, tmp_path / "out.mkv", FFV1)
    before, after = _frames(source), _frames(tmp_path / "out.mkv")
    _assert_same_luma(before, after)
    assert [float(time) for time in _times(after)] == pytest.approx(
        [float(time) for time in _times(before)], abs=0.001
    )


@pytest.mark.parametrize("name", ["out.mp4", "out.m4v", "out.mov", "out.mkv", "out.ts"])
def test_written_containers_keep_frames_and_luma(
    name: str, small_film: Path, colorizer: Colorizer, tmp_path: Path
) -> None:
    colorizer.video(small_film, tmp_path / name, LOSSLESS)
    _assert_same_luma(_frames(small_film), _frames(tmp_path / name))


def test_webm_is_written_as_vp9(small_film: Path, colorizer: Colorizer, tmp_path: Path) -> None:
    colorizer.video(small_film, tmp_path / "out.webm")
    with av.open(str(tmp_path / "out.webm")) as film:
        assert film.streams.video[0].codec_context.name.startswith(("vp9", "libvpx-vp9"))
    assert len(_frames(tmp_path / "out.webm")) == 10


UNEVEN = [0, 40, 41, 170, 171, 400, 5000, 5033, 5067, 5100]


@pytest.mark.parametrize("name", ["out.mkv", "out.mp4", "out.mov"])
@pytest.mark.parametrize("codec", ["libx264", "libx265"])
@pytest.mark.parametrize("offset", [0, 1234])
def test_variable_frame_rate_is_kept_exactly(
    name: str, codec: str, offset: int, colorizer: Colorizer, make_film: MakeFilm, tmp_path: Path
) -> None:
    source = make_film(tmp_path / "film.mkv", times=[time + offset for time in UNEVEN])
    colorizer.video(source, tmp_path / name, FilmOptions(codec=codec))
    assert _times(_frames(tmp_path / name)) == _times(_frames(source))


def test_times_that_no_frame_rate_divides_are_kept_exactly(
    colorizer: Colorizer, make_film: MakeFilm, tmp_path: Path
) -> None:
    base = Fraction(1, 90000)
    source = make_film(
        tmp_path / "film.mp4",
        codec="libx264",
        time_base=base,
        times=[0, 3003, 6007, 9009, 9010, 20001, 23003],
    )
    colorizer.video(source, tmp_path / "out.mp4")
    assert _times(_frames(tmp_path / "out.mp4")) == _times(_frames(source))


def test_h264_in_avi_is_read(colorizer: Colorizer, make_film: MakeFilm, tmp_path: Path) -> None:
    source = make_film(
        tmp_path / "film.avi", codec="libx264", times=range(10), time_base=Fraction(1, 25)
    )
    colorizer.video(source, tmp_path / "out.mkv", FFV1)
    times = _times(_frames(tmp_path / "out.mkv"))
    assert len(times) == 10
    assert times == sorted(times)


def test_films_written_as_avi_play_in_order(
    small_film: Path, colorizer: Colorizer, tmp_path: Path
) -> None:
    colorizer.video(small_film, tmp_path / "out.avi")
    times = _times(_frames(tmp_path / "out.avi"))
    assert len(times) == 10
    assert times == sorted(times)


@pytest.mark.parametrize(
    ("name", "codec"),
    [
        ("out.mkv", "libx264"),
        ("out.mp4", "libx264"),
        ("out.mov", "libx265"),
        ("out.mkv", "ffv1"),
        ("out.webm", "libvpx-vp9"),
    ],
)
@pytest.mark.parametrize("aspect", [Fraction(16, 15), Fraction(64, 45)])
def test_sample_aspect_ratio_is_kept_or_its_loss_told(
    name: str,
    codec: str,
    aspect: Fraction,
    colorizer: Colorizer,
    make_film: MakeFilm,
    tmp_path: Path,
) -> None:
    source = make_film(tmp_path / "film.mp4", codec="libx264", aspect=aspect)
    report = colorizer.video(source, tmp_path / name, FilmOptions(codec=codec))
    with av.open(str(tmp_path / name)) as film:
        kept = film.streams.video[0].sample_aspect_ratio == aspect
    assert kept == codec.startswith("libx26")
    assert report.remarks == [] if kept else [f"the pixel aspect {aspect} was left out"]


def test_rotation_of_phone_films_is_kept(clip: Path, colorizer: Colorizer, tmp_path: Path) -> None:
    data = bytearray(clip.read_bytes())
    matrix = data.find(b"tkhd") + 4 + 4 + 36  # version 0: the matrix follows 40 bytes
    data[matrix : matrix + 36] = struct.pack(">9i", 0, 1 << 16, 0, -1 << 16, 0, 0, 0, 0, 1 << 30)
    source = tmp_path / "turned.mp4"
    source.write_bytes(data)
    rotation = _frames(source)[0].rotation
    assert rotation == -90
    colorizer.video(source, tmp_path / "out.mp4", LOSSLESS)
    upright = _frames(tmp_path / "out.mp4")[0]
    assert upright.rotation == rotation or (upright.width, upright.height) == (288, 512)


SUBTITLES = "1\n00:00:00,000 --> 00:00:00,200\nGrüße\n\n2\n00:00:00,200 --> 00:00:00,400\nAdieu\n"


@pytest.fixture(scope="module")
def rich_film(tmp_path_factory: pytest.TempPathFactory, make_film: MakeFilm) -> Path:
    """Two sound tracks, subtitles, chapters, a title, languages."""
    folder = tmp_path_factory.mktemp("rich")
    picture = make_film(folder / "picture.mkv", codec="libx264")
    (folder / "words.srt").write_text(SUBTITLES, encoding="utf-8")
    target = folder / "rich.mkv"
    with (
        av.open(str(picture)) as film,
        av.open(str(folder / "words.srt")) as words,
        av.open(str(target), "w") as rich,
    ):
        video = rich.add_stream_from_template(film.streams.video[0])
        sounds = [rich.add_stream(codec, rate=48000) for codec in ("aac", "ac3")]
        text = rich.add_stream_from_template(words.streams.subtitles[0])
        for stream, language in zip((*sounds, text), ("jpn", "fra", "deu"), strict=True):
            stream.metadata["language"] = language
        rich.metadata["title"] = "Voyage à la Lune"
        rich.set_chapters(
            [
                {
                    "id": number,
                    "start": start,
                    "end": start + 200,
                    "time_base": Fraction(1, 1000),
                    "metadata": {"title": title},
                }
                for number, (start, title) in enumerate([(0, "Le départ"), (200, "La lune")])
            ]
        )
        for number, sound in enumerate(sounds):
            assert isinstance(sound, av.AudioStream)
            wave = np.sin(np.arange(19200) * (number + 1) / 30).astype(np.float32)
            frame = av.AudioFrame.from_ndarray(np.stack([wave, wave]), "fltp", "stereo")
            frame.rate, frame.pts, frame.time_base = 48000, 0, Fraction(1, 48000)
            rich.mux(sound.encode(frame))
            rich.mux(sound.encode(None))
        for source, copy in ((film, video), (words, text)):
            for packet in source.demux():
                if packet.size:  # the empty packet that ends a stream has none
                    packet.stream = copy
                    rich.mux(packet)
    return target


@pytest.fixture(scope="module", params=["out.mkv", "out.mp4"])
def rich_result(
    request: pytest.FixtureRequest,
    rich_film: Path,
    colorizer: Colorizer,
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[Path, FilmReport]:
    target = tmp_path_factory.mktemp("result") / request.param
    return target, colorizer.video(rich_film, target)


def test_all_sound_tracks_are_copied(rich_film: Path, rich_result: tuple[Path, FilmReport]) -> None:
    before, after = _packets(rich_film, "audio"), _packets(rich_result[0], "audio")
    assert len(before) == 2
    assert [[content for _, content in track] for track in after] == [
        [content for _, content in track] for track in before
    ]


def test_track_languages_are_kept(rich_result: tuple[Path, FilmReport]) -> None:
    with av.open(str(rich_result[0])) as film:
        assert [track.metadata["language"] for track in film.streams.audio] == ["jpn", "fra"]


def test_subtitles_are_copied_or_their_loss_is_told(
    rich_film: Path, rich_result: tuple[Path, FilmReport]
) -> None:
    target, report = rich_result
    if target.suffix == ".mkv":
        assert _packets(target, "subtitle") == _packets(rich_film, "subtitle")
        assert report.remarks == []
    else:  # MP4 takes no SubRip
        assert any("subtitle" in remark for remark in report.remarks)


def test_title_and_chapters_are_kept(rich_film: Path, rich_result: tuple[Path, FilmReport]) -> None:
    with av.open(str(rich_film)) as before, av.open(str(rich_result[0])) as after:
        titles = {key.lower(): text for key, text in after.metadata.items()}
        assert titles["title"] == "Voyage à la Lune"
        for old, new in zip(before.chapters(), after.chapters(), strict=True):
            assert new["metadata"]["title"] == old["metadata"]["title"]
            assert old["time_base"] is not None
            assert new["time_base"] is not None
            assert new["start"] * new["time_base"] == old["start"] * old["time_base"]


def test_title_in_an_old_encoding_does_no_harm(
    colorizer: Colorizer, make_film: MakeFilm, tmp_path: Path
) -> None:
    plain = make_film(tmp_path / "plain.mp4", codec="libx264", time_base=Fraction(1, 12800))
    source = tmp_path / "titled.avi"
    with av.open(str(plain)) as film, av.open(str(source), "w") as titled:
        titled.metadata["title"] = "cafXYZ"
        stream = titled.add_stream("mpeg4", rate=25)
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for index, frame in enumerate(film.decode(video=0)):
            frame.pts, frame.time_base = index, Fraction(1, 25)
            titled.mux(stream.encode(frame))
        titled.mux(stream.encode(None))
    source.write_bytes(source.read_bytes().replace(b"cafXYZ", b"caf\xe9YZ"))  # Latin-1
    report = colorizer.video(source, tmp_path / "out.mkv", FFV1)
    assert report.frames == 10


def test_saturation_scales_the_chroma(small_film: Path, tiny_model: Path, tmp_path: Path) -> None:
    distances = []
    for saturation in (0.0, 0.5, 1.0):
        with Colorizer(tiny_model, precision="fp32", saturation=saturation) as colorizer:
            colorizer.video(small_film, tmp_path / "out.mkv", FFV1)
        distances.append(_chroma_distance(_frames(tmp_path / "out.mkv")[0]))
    assert distances[0] < 0.01
    assert distances[0] < distances[1] < distances[2]


def test_without_options_the_film_is_small_and_faithful(
    clip: Path, clip_frames: list[av.VideoFrame], colorizer: Colorizer, tmp_path: Path
) -> None:
    colorizer.video(clip, tmp_path / "out.mp4")
    frames = _frames(tmp_path / "out.mp4")
    assert _times(frames) == _times(clip_frames)
    for old, new in zip(clip_frames, frames, strict=True):
        assert np.abs(_plane(new).astype(int) - _plane(old)).mean() < 1.5


def _sound_only(path: Path, codec: str) -> None:
    with av.open(str(path), "w") as film:
        stream = film.add_stream(codec, rate=8000, layout="mono")
        assert isinstance(stream, av.AudioStream)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 8000), np.int16), "s16", "mono")
        frame.rate, frame.pts = 8000, 0
        film.mux(stream.encode(frame))
        film.mux(stream.encode(None))


def _changing_size(path: Path, make_film: MakeFilm) -> None:
    """Two films of different sizes, one after the other, as broadcasts have it."""
    parts = []
    for number, size in enumerate([(64, 64), (96, 64)]):
        part = path.with_name(f"part{number}.ts")
        options = {"tune": "zerolatency"}
        make_film(part, codec="libx264", size=size, options=options)
        parts.append(part.read_bytes())
        part.unlink()
    path.write_bytes(b"".join(parts))


def _bad_films(name: str, path: Path, clip: Path, make_film: MakeFilm) -> None:
    match name:
        case "empty.mp4" | "empty.mkv":
            path.write_bytes(b"")
        case "text.mp4" | "text.avi":
            path.write_text("This is a letter, not a film.\n" * 200)
        case "zeros.mp4":
            path.write_bytes(bytes(100_000))
        case "sound.mp4":
            _sound_only(path, "aac")
        case "sound.wav":
            _sound_only(path, "pcm_s16le")
        case "index_lost.mp4":  # an interrupted recording: the index comes last
            make_film(path, codec="libx264", size=(320, 240))
            path.write_bytes(path.read_bytes()[:-1000])
        case "head_only.mp4":
            path.write_bytes(clip.read_bytes()[:4493])
        case "subtitles.mkv":
            path.write_text(SUBTITLES, encoding="utf-8")
        case "changing.ts":
            _changing_size(path, make_film)
        case _:
            raise AssertionError(name)


BAD_FILMS = [
    "empty.mp4",
    "empty.mkv",
    "text.mp4",
    "text.avi",
    "zeros.mp4",
    "sound.mp4",
    "sound.wav",
    "index_lost.mp4",
    "head_only.mp4",
    "subtitles.mkv",
    "changing.ts",
]


@pytest.mark.parametrize("name", BAD_FILMS)
def test_bad_films_are_refused_and_nothing_is_left(
    name: str, clip: Path, colorizer: Colorizer, make_film: MakeFilm, tmp_path: Path
) -> None:
    source, target = tmp_path / name, tmp_path / "results" / "out.mkv"
    _bad_films(name, source, clip, make_film)
    with pytest.raises(InputError) as raised:
        colorizer.video(source, target)
    message = str(raised.value)
    assert message.startswith(str(source))
    assert "\n" not in message
    assert not target.parent.exists() or _left_in(target.parent) == []


def test_a_missing_film_is_refused(colorizer: Colorizer, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        colorizer.video(tmp_path / "none.mp4", tmp_path / "out.mp4")
    assert _left_in(tmp_path) == []


@pytest.mark.parametrize(
    "share",
    [
        pytest.param(0.3),
        0.6,
    ],
)
def test_a_cut_film_is_refused_or_its_loss_is_told(
    share: float, clip: Path, colorizer: Colorizer, tmp_path: Path
) -> None:
    data = clip.read_bytes()
    source = tmp_path / "cut.mp4"  # its index comes first and promises 100 frames
    source.write_bytes(data[: int(len(data) * share)])
    try:
        report = colorizer.video(source, tmp_path / "out.mkv", FFV1)
    except InputError:
        assert _left_in(tmp_path) == ["cut.mp4"]
    else:
        assert report.frames < 100
        assert report.remarks


def test_damage_in_the_middle_costs_frames_but_not_the_film(
    clip: Path, colorizer: Colorizer, tmp_path: Path
) -> None:
    data = bytearray(clip.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 3000] = np.random.default_rng(0).bytes(3000)
    source = tmp_path / "scratched.mp4"
    source.write_bytes(data)
    report = colorizer.video(source, tmp_path / "out.mkv", FFV1)
    assert 50 < report.frames <= 100
    assert report.frames == len(_frames(tmp_path / "out.mkv"))


@pytest.mark.parametrize(
    ("name", "options", "expected"),
    [
        ("out.mkv", FilmOptions(codec="nonsense"), ArgumentError),
        pytest.param(
            "out.mkv",
            FilmOptions(codec="aac"),
            ArgumentError,
        ),
        ("out.mp4", FilmOptions(codec="libx264", preset="nonsense"), ColorizeError),
        ("out.webm", FilmOptions(codec="libx264"), ColorizeError),
        ("out.xyz", FilmOptions(), OutputError),
        ("out", FilmOptions(), OutputError),
    ],
)
def test_impossible_options_are_refused_and_nothing_is_left(
    name: str,
    options: FilmOptions,
    expected: type[ColorizeError],
    small_film: Path,
    colorizer: Colorizer,
    tmp_path: Path,
) -> None:
    with pytest.raises(expected) as raised:
        colorizer.video(small_film, tmp_path / name, options)
    assert "\n" not in str(raised.value)
    assert _left_in(tmp_path) == []


@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError])
def test_an_interrupted_film_leaves_nothing(
    error: type[BaseException], clip: Path, colorizer: Colorizer, tmp_path: Path
) -> None:
    def stop(progress: Progress) -> None:
        if progress.frames == 20:
            raise error

    with pytest.raises(error):
        colorizer.video(clip, tmp_path / "out.mp4", on_progress=stop)
    assert _left_in(tmp_path) == []


def test_a_failing_film_leaves_the_earlier_result_alone(
    clip: Path, colorizer: Colorizer, tmp_path: Path
) -> None:
    target = tmp_path / "out.mp4"
    target.write_bytes(b"earlier")
    source = tmp_path / "empty.mp4"
    source.write_bytes(b"")
    with pytest.raises(InputError):
        colorizer.video(source, target)
    assert target.read_bytes() == b"earlier"


def test_a_film_is_known_by_its_content(
    small_film: Path, colorizer: Colorizer, tmp_path: Path
) -> None:
    source = shutil.copy(small_film, tmp_path / "film.dat")
    assert colorizer.video(source, tmp_path / "out.mkv", FFV1).frames == 10


def test_conversion_of_a_rare_format_is_told(
    colorizer: Colorizer, make_film: MakeFilm, tmp_path: Path
) -> None:
    source = make_film(tmp_path / "film.mkv", fmt="yuv420p16le")
    report = colorizer.video(source, tmp_path / "out.mkv", FilmOptions(codec="ffv1"))
    assert any("yuv420p16le, written as yuv420p" in remark for remark in report.remarks)


def test_a_matrix_that_is_not_written_is_not_claimed(
    colorizer: Colorizer, make_film: MakeFilm, tmp_path: Path
) -> None:
    ycgco = 8
    source = make_film(tmp_path / "film.mkv", colorspace=ycgco)
    colorizer.video(source, tmp_path / "out.mkv", FilmOptions(codec="ffv1"))
    assert _frames(tmp_path / "out.mkv")[0].colorspace in (5, 6)
