"""Copies of films that browsers play."""

from pathlib import Path

import av
import numpy as np
import pytest
from helpers.video import MakeFilm, plane_of, read_frames, times_of, with_streams

from colorize.runtime.web.playing import is_playable, write_playable
from colorize.runtime.web.previews import _write_clips


@pytest.fixture
def master(make_video: MakeFilm, tmp_path: Path) -> Path:
    """A film as archives keep it: FFV1 of 10 bits in 4:2:2, uneven sides, and PCM sound."""
    picture = make_video(tmp_path / "picture.mkv", fmt="yuv422p10le", size=(66, 49))
    return with_streams(
        picture, tmp_path / "master.mkv", ["pcm_s24le"], None, codec="ffv1", fmt="yuv422p10le"
    )


def test_a_master_becomes_what_browsers_play(master: Path, tmp_path: Path) -> None:
    assert not is_playable(master)
    copy, seen = tmp_path / "copy.mp4", list[int]()
    write_playable(master, copy, seen.append)
    assert is_playable(copy)
    before, after = read_frames(master), read_frames(copy)
    assert seen == list(range(1, 11))
    assert times_of(after) == times_of(before)
    with av.open(str(copy)) as container:
        video, sound = container.streams.video[0], container.streams.audio[0]
        assert (video.codec_context.name, video.pix_fmt) == ("h264", "yuv420p")
        assert sound.codec_context.name == "aac"
        loud = [frame.to_ndarray() for frame in container.decode(sound)]
    assert sum(part.shape[1] for part in loud) == pytest.approx(24_000, abs=2048)
    assert np.abs(np.concatenate(loud, axis=1)).max() > 0.1
    darker = plane_of(before[0])[:48].astype(float) / 4 - plane_of(after[0])
    assert np.abs(darker).mean() < 3


@pytest.mark.parametrize("turn", [90, 180, 270])
def test_turned_films_are_copied_and_previewed_turned(
    make_video: MakeFilm, tmp_path: Path, turn: int
) -> None:
    plain = make_video(tmp_path / "plain.mkv", codec="libx264", size=(64, 48))
    film = tmp_path / "turned.mp4"
    with av.open(str(plain)) as source, av.open(str(film), "w") as made:
        stream = made.add_stream_from_template(source.streams.video[0])
        stream.set_display_rotation(turn)
        for packet in source.demux(source.streams.video[0]):
            if packet.size:
                packet.stream = stream
                made.mux(packet)
    turned = read_frames(film)[0].rotation
    assert turned
    write_playable(film, tmp_path / "copy.mp4", lambda _: None)
    _write_clips(film, tmp_path / "before.mp4", tmp_path / "after.mp4", lambda: None)
    for name in ("copy", "before", "after"):
        frame = read_frames(tmp_path / f"{name}.mp4")[0]
        assert (frame.rotation, frame.width, frame.height) == (turned, 64, 48), name


def test_films_that_browsers_play_are_left_alone(clip: Path, small_video: Path) -> None:
    assert is_playable(clip)
    assert is_playable(small_video)


@pytest.mark.parametrize("sound", ["mp3", "libopus", "flac"])
def test_sounds_that_browsers_play_are_left_alone(
    make_video: MakeFilm, tmp_path: Path, sound: str
) -> None:
    picture = make_video(tmp_path / "picture.mkv", codec="libx264", fmt="yuv420p")
    film = with_streams(picture, tmp_path / "film.mp4", [sound], None, codec="libx264")
    assert is_playable(film)


@pytest.mark.parametrize(
    ("codec", "fmt", "suffix"),
    [("libx264", "yuv444p", "mp4"), ("mpeg4", "yuv420p", "mp4"), ("libx264", "yuv420p", "mkv")],
)
def test_other_films_are_not_taken_for_playable(
    make_video: MakeFilm, tmp_path: Path, codec: str, fmt: str, suffix: str
) -> None:
    film = make_video(tmp_path / f"film.{suffix}", codec=codec, fmt=fmt)
    assert not is_playable(film)


def test_what_is_stopped_leaves_no_copy(master: Path, tmp_path: Path) -> None:
    def stop(_: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_playable(master, tmp_path / "copy.mp4", stop)
    assert not list(tmp_path.glob("*copy*"))
    assert not list(tmp_path.glob(".*"))
