"""Film: every timestamp, all sound and what else goes with the picture come through."""

import struct
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av.stream import Disposition
from helpers.video import (
    FFV1,
    LOSSLESS,
    SUBTITLES,
    MakeFilm,
    assert_same_luma,
    messages_of,
    packets_of,
    read_frames,
    times_of,
    with_streams,
)

from colorize.runtime.colorizer import Colorizer
from colorize.runtime.video.colorize import VideoReport
from colorize.runtime.video.options import VideoOptions


def test_sound_of_the_clip_is_copied_byte_for_byte(
    clip: Path, colorizer: Colorizer, tmp_path: Path
) -> None:
    colorizer.video(clip, tmp_path / "out.mp4", LOSSLESS)
    [sound] = packets_of(clip, "audio")
    assert len(sound) > 100
    assert packets_of(tmp_path / "out.mp4", "audio") == [sound]


def test_into_matroska_sound_and_picture_keep_step(
    clip: Path, colorizer: Colorizer, tmp_path: Path
) -> None:
    target = tmp_path / "clip.mkv"
    colorizer.video(clip, target, LOSSLESS)
    clip_frames, frames = read_frames(clip), read_frames(target)
    assert_same_luma(clip_frames, frames)
    [before], [after] = packets_of(clip, "audio"), packets_of(target, "audio")
    assert [content for _, content in after] == [content for _, content in before]
    lag_before = times_of(clip_frames)[0] - before[0][0]
    lag_after = times_of(frames)[0] - after[0][0]
    assert abs(lag_after - lag_before) <= Fraction(1, 1000)  # Matroska counts milliseconds


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
    name: str, codec: str, colorizer: Colorizer, make_video: MakeFilm, tmp_path: Path
) -> None:
    source = make_video(
        tmp_path / name, codec=codec, times=range(10), time_base=Fraction(1, 25), size=(64, 64)
    )
    colorizer.video(source, tmp_path / "out.mkv", FFV1)
    before, after = read_frames(source), read_frames(tmp_path / "out.mkv")
    assert_same_luma(before, after)
    times = [float(time) for time in times_of(before)]
    if name.endswith((".ts", ".mpg")):  # their clock need not begin at 0, the film does
        times = [time - times[0] for time in times]
    assert [float(time) for time in times_of(after)] == pytest.approx(times, abs=0.001)


@pytest.mark.parametrize("name", ["out.mp4", "out.m4v", "out.mov", "out.mkv", "out.ts"])
def test_written_containers_keep_frames_and_luma(
    name: str, small_video: Path, colorizer: Colorizer, tmp_path: Path
) -> None:
    colorizer.video(small_video, tmp_path / name, LOSSLESS)
    assert_same_luma(read_frames(small_video), read_frames(tmp_path / name))


def test_webm_is_written_as_vp9(small_video: Path, colorizer: Colorizer, tmp_path: Path) -> None:
    colorizer.video(small_video, tmp_path / "out.webm")
    with av.open(str(tmp_path / "out.webm")) as film:
        assert film.streams.video[0].codec_context.name.startswith(("vp9", "libvpx-vp9"))
    assert len(read_frames(tmp_path / "out.webm")) == 10


UNEVEN = [0, 40, 41, 170, 171, 400, 5000, 5033, 5067, 5100]


@pytest.mark.parametrize("name", ["out.mkv", "out.mp4", "out.mov"])
@pytest.mark.parametrize("codec", ["libx264", "libx265"])
@pytest.mark.parametrize("offset", [0, 1234])
def test_variable_frame_rate_is_kept_exactly(
    name: str, codec: str, offset: int, colorizer: Colorizer, make_video: MakeFilm, tmp_path: Path
) -> None:
    source = make_video(tmp_path / "film.mkv", times=[time + offset for time in UNEVEN])
    colorizer.video(source, tmp_path / name, VideoOptions(codec=codec))
    assert times_of(read_frames(tmp_path / name)) == times_of(read_frames(source))


def test_times_that_no_frame_rate_divides_are_kept_exactly(
    colorizer: Colorizer, make_video: MakeFilm, tmp_path: Path
) -> None:
    base = Fraction(1, 90000)
    source = make_video(
        tmp_path / "film.mp4",
        codec="libx264",
        time_base=base,
        times=[0, 3003, 6007, 9009, 9010, 20001, 23003],
    )
    colorizer.video(source, tmp_path / "out.mp4")
    assert times_of(read_frames(tmp_path / "out.mp4")) == times_of(read_frames(source))


def test_h264_in_avi_is_read(colorizer: Colorizer, make_video: MakeFilm, tmp_path: Path) -> None:
    source = make_video(
        tmp_path / "film.avi", codec="libx264", times=range(10), time_base=Fraction(1, 25)
    )
    colorizer.video(source, tmp_path / "out.mkv", FFV1)
    times = times_of(read_frames(tmp_path / "out.mkv"))
    assert len(times) == 10
    assert times == sorted(times)


def test_films_written_as_avi_play_in_order(
    small_video: Path, colorizer: Colorizer, tmp_path: Path
) -> None:
    colorizer.video(small_video, tmp_path / "out.avi")
    times = times_of(read_frames(tmp_path / "out.avi"))
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
        ("out.mkv", "libsvtav1"),
        ("out.mp4", "libsvtav1"),
    ],
)
@pytest.mark.parametrize("aspect", [Fraction(16, 15), Fraction(64, 45)])
def test_sample_aspect_ratio_is_kept(
    name: str,
    codec: str,
    aspect: Fraction,
    colorizer: Colorizer,
    make_video: MakeFilm,
    tmp_path: Path,
) -> None:
    source = make_video(tmp_path / "film.mp4", codec="libx264", aspect=aspect)
    report = colorizer.video(source, tmp_path / name, VideoOptions(codec=codec))
    with av.open(str(tmp_path / name)) as film:
        assert film.streams.video[0].sample_aspect_ratio == aspect
    frames = read_frames(tmp_path / name)
    assert len(frames) == 10
    assert {frame.rotation for frame in frames} == {0}
    assert messages_of(report) == []


def test_rotation_of_phone_films_is_kept(clip: Path, colorizer: Colorizer, tmp_path: Path) -> None:
    data = bytearray(clip.read_bytes())
    matrix = data.find(b"tkhd") + 4 + 4 + 36  # version 0: the matrix follows 40 bytes
    data[matrix : matrix + 36] = struct.pack(">9i", 0, 1 << 16, 0, -1 << 16, 0, 0, 0, 0, 1 << 30)
    source = tmp_path / "turned.mp4"
    source.write_bytes(data)
    rotation = read_frames(source)[0].rotation
    assert rotation == -90
    colorizer.video(source, tmp_path / "out.mp4", LOSSLESS)
    upright = read_frames(tmp_path / "out.mp4")[0]
    assert upright.rotation == rotation or (upright.width, upright.height) == (288, 512)


@pytest.fixture(scope="module")
def rich_video(tmp_path_factory: pytest.TempPathFactory, make_video: MakeFilm) -> Path:
    """Two sound tracks, subtitles, chapters, a title, languages."""
    folder = tmp_path_factory.mktemp("rich")
    picture = make_video(folder / "picture.mkv", codec="libx264")
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
    rich_video: Path,
    colorizer: Colorizer,
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[Path, VideoReport]:
    target = tmp_path_factory.mktemp("result") / request.param
    return target, colorizer.video(rich_video, target)


def test_all_sound_tracks_are_copied(
    rich_video: Path, rich_result: tuple[Path, VideoReport]
) -> None:
    before, after = packets_of(rich_video, "audio"), packets_of(rich_result[0], "audio")
    assert len(before) == 2
    assert [[content for _, content in track] for track in after] == [
        [content for _, content in track] for track in before
    ]


def test_marks_of_tracks_are_kept(rich_video: Path, rich_result: tuple[Path, VideoReport]) -> None:
    with av.open(str(rich_video)) as before, av.open(str(rich_result[0])) as after:
        for kind in ("video", "audio"):
            had = [track.disposition for track in before.streams if track.type == kind]
            has = [track.disposition for track in after.streams if track.type == kind]
            if rich_result[0].suffix == ".mp4":  # which plays its first tracks by default
                had[0] |= Disposition.default
            assert has == had


def test_track_languages_are_kept(rich_result: tuple[Path, VideoReport]) -> None:
    with av.open(str(rich_result[0])) as film:
        assert [track.metadata["language"] for track in film.streams.audio] == ["jpn", "fra"]


def test_subtitles_are_copied_or_their_loss_is_told(
    rich_video: Path, rich_result: tuple[Path, VideoReport]
) -> None:
    target, report = rich_result
    if target.suffix == ".mkv":
        assert packets_of(target, "subtitle") == packets_of(rich_video, "subtitle")
        assert messages_of(report) == []
    else:  # MP4 takes no SubRip
        assert any("subtitle" in remark for remark in messages_of(report))


def test_title_and_chapters_are_kept(
    rich_video: Path, rich_result: tuple[Path, VideoReport]
) -> None:
    with av.open(str(rich_video)) as before, av.open(str(rich_result[0])) as after:
        titles = {key.lower(): text for key, text in after.metadata.items()}
        assert titles["title"] == "Voyage à la Lune"
        for old, new in zip(before.chapters(), after.chapters(), strict=True):
            assert new["metadata"]["title"] == old["metadata"]["title"]
            assert old["time_base"] is not None
            assert new["time_base"] is not None
            assert new["start"] * new["time_base"] == old["start"] * old["time_base"]


@pytest.mark.parametrize("suffix", ["avi", "ts"])
def test_chapters_that_the_container_does_not_hold_are_said(
    suffix: str, rich_video: Path, colorizer: Colorizer, tmp_path: Path
) -> None:
    target = tmp_path / f"out.{suffix}"
    report = colorizer.video(rich_video, target)
    with av.open(str(target)) as after:
        assert after.chapters() == []
    assert "the list of chapters was left out" in messages_of(report)


def test_title_in_an_old_encoding_does_no_harm(
    colorizer: Colorizer, make_video: MakeFilm, tmp_path: Path
) -> None:
    plain = make_video(tmp_path / "plain.mp4", codec="libx264", time_base=Fraction(1, 12800))
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


def test_lossless_sound_stays_lossless_and_named_in_quicktime(
    colorizer: Colorizer, small_video: Path, tmp_path: Path
) -> None:
    film = with_streams(small_video, tmp_path / "film.mkv", ["flac"], None)
    named = tmp_path / "named.mkv"
    with av.open(str(film)) as before, av.open(str(named), "w") as after:
        copies = {each.index: after.add_stream_from_template(each) for each in before.streams}
        copies[1].metadata["language"] = "fre"
        for packet in before.demux():
            if packet.size:
                packet.stream = copies[packet.stream.index]
                after.mux(packet)
    colorizer.video(named, tmp_path / "out.mov")
    with av.open(str(tmp_path / "out.mov")) as made:
        [sound] = made.streams.audio
        assert (sound.codec.name, sound.metadata["language"]) == ("alac", "fra")


def test_the_alpha_of_webm_is_left_out_and_said(
    colorizer: Colorizer, make_video: MakeFilm, tmp_path: Path
) -> None:
    picture = make_video(tmp_path / "plain.webm", codec="libvpx-vp9")
    source = tmp_path / "film.webm"
    with av.open(str(picture)) as before, av.open(str(source), "w") as after:
        copy = after.add_stream_from_template(before.streams.video[0])
        copy.metadata["alpha_mode"] = "1"
        for packet in before.demux():
            if packet.size:
                packet.stream = copy
                after.mux(packet)
    report = colorizer.video(source, tmp_path / "out.webm")
    assert "the alpha plane was left out" in messages_of(report)
    with av.open(str(tmp_path / "out.webm")) as made:
        assert "ALPHA_MODE" not in {key.upper() for key in made.streams.video[0].metadata}


def test_the_track_of_chapters_in_mp4_is_no_loss(
    rich_video: Path, colorizer: Colorizer, tmp_path: Path
) -> None:
    colorizer.video(rich_video, tmp_path / "first.mp4")
    report = colorizer.video(tmp_path / "first.mp4", tmp_path / "second.mp4")
    assert not [each for each in messages_of(report) if "data stream" in each]
    with av.open(str(tmp_path / "second.mp4")) as made:
        assert len(made.chapters()) == 2


def test_flash_gets_one_track_that_its_players_know(
    colorizer: Colorizer, small_video: Path, tmp_path: Path
) -> None:
    source = with_streams(small_video, tmp_path / "film.mkv", ["flac", "aac"], None)
    report = colorizer.video(source, tmp_path / "out.flv")
    assert "audio stream 2 was left out" in messages_of(report)
    with av.open(str(tmp_path / "out.flv")) as made:
        assert [each.codec_context.name for each in made.streams.audio] == ["aac"]
