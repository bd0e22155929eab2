"""Nothing fails after coloring: every container with every kind of stream beside the picture."""

from fractions import Fraction
from pathlib import Path

import av
import pytest
from helpers.video import FFV1, SUBTITLES, MakeFilm, messages_of, packets_of, with_streams

from colorize.runtime.colorizer import Colorizer
from colorize.runtime.errors import ArgumentError, OutputError
from colorize.runtime.video.muxer import Muxer, RefusedError
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


def test_a_container_that_takes_no_such_film_is_refused_before_the_first_frame(
    everything: Path, colorizer: Colorizer, tmp_path: Path
) -> None:
    frames = list[int]()
    with pytest.raises(ArgumentError, match=r"cannot be used in \.ogv"):
        colorizer.video(
            everything,
            tmp_path / "out.ogv",
            VideoOptions(codec="libvpx-vp9"),
            lambda progress: frames.append(progress.frames),
        )
    assert frames == []


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
