"""Nothing fails after coloring: every container with every kind of stream beside the picture."""

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import pytest
from av.stream import Stream
from av.video.stream import VideoStream
from helpers.commands import Finished
from helpers.video import (
    FFV1,
    SUBTITLES,
    MakeFilm,
    left_in,
    messages_of,
    packets_of,
    with_sound,
    with_streams,
)

from colorize.runtime.colorizer import Colorizer
from colorize.runtime.errors import ArgumentError, OutputError
from colorize.runtime.video.muxer import SOUND, Muxer, RefusedError
from colorize.runtime.video.options import VideoOptions

SOUNDS = ["aac", "libmp3lame", "mp2", "ac3", "libopus", "flac", "alac"]
SOUNDS += ["pcm_s16le", "pcm_s24le", "pcm_f32le"]
CONTAINERS = ["mkv", "mp4", "m4v", "mov", "webm", "avi", "ts", "mxf", "mpg", "flv", "nut"]
CODECS = {"mxf": "dnxhd", "mpg": "libx264", "flv": "libx264"}


@pytest.fixture(scope="module")
def everything(make_video: MakeFilm, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A film with a track of each kind of sound, subtitles of text, a font and a timecode."""
    folder = tmp_path_factory.mktemp("everything")
    (folder / "words.srt").write_text(SUBTITLES, encoding="utf-8")
    picture = make_video(
        folder / "picture.mkv",
        codec="mpeg4",
        size=(256, 128),
        times=range(5),
        time_base=Fraction(1, 25),
    )
    return with_streams(picture, folder / "all.mkv", SOUNDS, folder / "words.srt")


@pytest.mark.parametrize("suffix", CONTAINERS)
def test_no_stream_of_any_kind_fails_after_coloring(
    suffix: str, everything: Path, colorizer: Colorizer, tmp_path: Path
) -> None:
    target = tmp_path / f"out.{suffix}"
    options = VideoOptions(codec=CODECS.get(suffix))
    report = colorizer.video(everything, target, options)
    said = " ".join(messages_of(report))
    with av.open(str(target)) as made, av.open(str(everything)) as before:
        assert len(made.streams.video) == 1
        for kind in ("audio", "subtitle"):
            had = [stream.index for stream in before.streams if stream.type == kind]
            has = [stream.index for stream in made.streams if stream.type == kind]
            lost = [index for index in had if f"{kind} stream {index} was left out" in said]
            assert len(has) + len(lost) == len(had)
        if suffix not in ("mpg", "flv"):
            assert len(made.streams.audio) > 0


BITMAPS = ["dvd_subtitle", "hdmv_pgs_subtitle", "dvb_subtitle"]


def _other_streams(
    target: Path, words: list[str], data: list[str], attached: list[tuple[str, str, bytes]]
) -> Path:
    """Write a film whose packets beside the picture are no more than muxers look at."""
    with av.open(str(target), "w") as made:
        picture = made.add_stream("mpeg4", rate=25)
        assert isinstance(picture, VideoStream)
        picture.width, picture.height, picture.pix_fmt = 256, 128, "yuv420p"
        others = [made.add_mux_stream(name) for name in words]
        others += [made.add_data_stream(name) for name in data]
        for name, kind, content in attached:
            made.add_attachment(name, kind, content)
        for number in range(5):
            frame = av.VideoFrame(256, 128, "yuv420p")
            frame.pts, frame.time_base = number, Fraction(1, 25)
            made.mux(picture.encode(frame))
        for number in range(2):
            for other in others:
                packet = av.Packet(b"\x80\0\0" + bytes(29))  # to PGS, the end of a picture
                packet.stream, packet.time_base = other, Fraction(1, 1000)
                packet.pts = packet.dts = 80 * number
                packet.duration = 80
                made.mux(packet)
        made.mux(picture.encode(None))
    return target


@pytest.fixture(scope="module")
def unusual(photo: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Films with subtitles of pictures, covers, fonts and data."""
    folder = tmp_path_factory.mktemp("unusual")
    cover = ("cover.jpg", "image/jpeg", photo.read_bytes())
    font = ("font.ttf", "application/x-truetype-font", b"glyphs")
    return {
        "mkv": _other_streams(folder / "a.mkv", [*BITMAPS, "ass", "webvtt"], [], [cover, font]),
        "ts": _other_streams(folder / "b.ts", ["dvb_subtitle", "dvb_teletext"], ["klv"], []),
        "mov": _other_streams(folder / "c.mov", ["mov_text", "eia_608"], [], []),
        "mp4": _other_streams(folder / "d.mp4", ["dvd_subtitle", "mov_text"], ["bin_data"], []),
    }


def _named(stream: Stream) -> str:
    context = getattr(stream, "codec_context", None)
    return "unknown" if context is None else str(context.codec.canonical_name)


KEPT = {  # of the streams of "unusual" Matroska, by its container; all others are said to be lost
    "mkv": [*BITMAPS, "ass", "webvtt", "mjpeg", "unknown"],
    "mp4": ["dvd_subtitle", "mov_text", "mjpeg"],
    "m4v": ["mov_text"],
    "mov": ["mov_text"],
    "webm": ["webvtt"],
    "ts": ["dvb_subtitle"],
    "m2ts": ["hdmv_pgs_subtitle"],
    "mpg": ["dvd_subtitle"],
    "nut": ["dvd_subtitle", "dvb_subtitle", "ass"],
    "avi": [],
    "mxf": [],
    "flv": [],
}


@pytest.mark.parametrize("suffix", KEPT)
def test_bitmaps_covers_fonts_and_data_are_kept_or_said(
    suffix: str, unusual: dict[str, Path], colorizer: Colorizer, tmp_path: Path
) -> None:
    for kind, source in unusual.items():
        target = tmp_path / f"{kind}.{suffix}"
        report = colorizer.video(source, target, VideoOptions(codec=CODECS.get(suffix)))
        said = [message for message in messages_of(report) if "was left out" in message]
        with av.open(str(target)) as made, av.open(str(source)) as before:
            kept = [_named(stream) for stream in made.streams][1:]
            for stream in list(before.streams)[1:]:
                lost = any(f"{stream.type} stream {stream.index} was" in line for line in said)
                assert lost or stream.type in {each.type for each in made.streams}
            assert len(kept) + len(said) == len(before.streams) - 1
        assert kind != "mkv" or kept == KEPT[suffix]


def test_times_that_step_back_are_corrected_and_counted(
    colorizer: Colorizer, make_video: MakeFilm, tmp_path: Path
) -> None:
    picture = make_video(tmp_path / "picture.mkv", times=range(0, 400, 40))
    source = with_streams(picture, tmp_path / "film.ts", ["mp2", "mp2"], None, codec="mpeg2video")
    data = source.read_bytes()
    joined = tmp_path / "joined.ts"  # all its packets twice: the second time they are late
    joined.write_bytes(data + data)
    for suffix in ("mkv", "mp4"):
        report = colorizer.video(
            joined, tmp_path / f"out.{suffix}", FFV1 if suffix == "mkv" else None
        )
        assert report.frames == 20
        for track in packets_of(tmp_path / f"out.{suffix}", "audio"):
            times = [time for time, _ in track]
            assert times == sorted(times)


def test_a_stream_that_is_refused_at_the_end_is_dropped_and_said(
    everything: Path, colorizer: Colorizer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    guard = Muxer._guard

    def refuse(self: Muxer, write: object, stream: object = None) -> None:
        track = self.tracks.by_index.get(3)
        if track is not None and stream is track.stream:
            raise RefusedError("no", 3)
        guard(self, write, stream)  # type: ignore[arg-type]

    monkeypatch.setattr(Muxer, "_guard", refuse)
    report = colorizer.video(everything, tmp_path / "out.mkv", FFV1)
    assert "audio stream 3 was left out" in messages_of(report)
    assert len(packets_of(tmp_path / "out.mkv", "audio")) == len(SOUNDS) - 1


def test_given_sound_that_is_refused_without_a_packet_is_dropped_and_said(
    everything: Path, colorizer: Colorizer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    guard = Muxer._guard

    def refuse(self: Muxer, write: object, stream: object = None) -> None:
        if any(number >= SOUND for number in self.tracks.by_index) and stream is None:
            raise RefusedError("no")
        guard(self, write, stream)  # type: ignore[arg-type]

    monkeypatch.setattr(Muxer, "_guard", refuse)
    sound = with_sound(everything, tmp_path / "sound.mkv", "aac")
    report = colorizer.video(
        everything, tmp_path / "out.mkv", VideoOptions(codec="ffv1", audio=sound)
    )
    assert f"audio stream 1 of {sound} was left out" in messages_of(report)
    with av.open(str(tmp_path / "out.mkv")) as film:
        assert [stream.type for stream in film.streams] == ["video", "subtitle"]


def test_what_will_fail_again_says_nothing_of_running_it_again(
    everything: Path, colorizer: Colorizer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise RefusedError("never")

    monkeypatch.setattr("colorize.runtime.video.recorder.rehearse", lambda *_, **__: None)
    monkeypatch.setattr(Muxer, "write", refuse)
    with pytest.raises(OutputError) as raised:
        colorizer.video(everything, tmp_path / "out.mkv", FFV1)
    assert "command again" not in str(raised.value)


@pytest.mark.parametrize(
    ("name", "codec", "fixes"),
    [
        ("out.ogv", "libvpx-vp9", ["name out.mkv"]),
        ("out.m4v", "libx265", ["name out.mkv", "give --codec libx264"]),
        ("out.ts", "ffv1", ["name out.mkv", "give --codec libx264"]),  # its muxer takes anything
        ("out.mp4", "prores_ks", ["name out.mkv", "give --codec libx264"]),
    ],
)
def test_a_container_that_takes_no_such_film_is_refused_before_any_work(
    name: str,
    codec: str,
    fixes: list[str],
    everything: Path,
    colorize_run: Callable[..., Finished],
    tmp_path: Path,
) -> None:
    refused = colorize_run(everything, "-o", tmp_path / name, "--codec", codec)
    assert refused.returncode == 2
    [line] = refused.stderr.strip().splitlines()  # the engine, too, would be said
    assert f"{Path(name).suffix} cannot hold {codec}; {', or '.join(fixes)}" in line
    assert left_in(tmp_path) == []


def test_a_film_that_could_not_be_read_back_is_refused_by_the_rehearsal(
    everything: Path, colorizer: Colorizer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where a film's own size or depth is the reason, which no other film shows."""
    monkeypatch.setattr("colorize.runtime.video.sinks.check_fit", lambda *_: None)
    with pytest.raises(ArgumentError, match=r"cannot be used in \.ts"):
        colorizer.video(everything, tmp_path / "out.ts", VideoOptions(codec="ffv1"))
    assert left_in(tmp_path) == []


def test_two_runs_give_the_encoder_the_same_frames(
    colorizer: Colorizer, make_video: MakeFilm, tmp_path: Path
) -> None:
    """At a width that is no multiple of 16, by an encoder that keeps to what it is given."""
    source = make_video(tmp_path / "film.mkv", size=(120, 72))
    made = []
    for name in ("one.mkv", "two.mkv"):
        colorizer.video(source, tmp_path / name, FFV1)
        made.append(packets_of(tmp_path / name, "video"))
    assert made[0] == made[1]
