"""Film: hostile files end in color or in one line; never in a crash, a hang or a wrong success."""

import os
import shutil
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from helpers import fuzz_videos
from helpers.video import (
    FFV1,
    MakeFilm,
    assert_same_luma,
    left_in,
    messages_of,
    packets_of,
    read_frames,
    times_of,
)

from colorize.runtime.colorizer import Colorizer
from colorize.runtime.errors import ArgumentError, OutputError
from colorize.runtime.video.options import VideoOptions


@pytest.mark.parametrize("share", [0.2, 0.35, 0.5, 0.65, 0.8])
def test_damage_keeps_every_frame_and_its_time(
    share: float, clip: Path, colorizer: Colorizer, tmp_path: Path
) -> None:
    data = bytearray(clip.read_bytes())
    begin = int(len(data) * share)
    data[begin : begin + 3000] = np.random.default_rng(0).bytes(3000)
    source = tmp_path / "scratched.mp4"
    source.write_bytes(data)
    report = colorizer.video(source, tmp_path / "out.mp4", VideoOptions(preset="ultrafast"))
    assert report.frames == 100
    assert messages_of(report)
    assert times_of(read_frames(tmp_path / "out.mp4")) == times_of(read_frames(clip))
    assert len(packets_of(tmp_path / "out.mp4", "audio")[0]) > 100


def test_lost_frames_repeat_the_one_before(
    colorizer: Colorizer, make_video: MakeFilm, tmp_path: Path
) -> None:
    """Each frame stands for itself, and two of them are overwritten."""
    source = make_video(tmp_path / "film.mov", codec="png", fmt="rgb24")
    with av.open(str(source)) as film:
        contents = [bytes(packet) for packet in film.demux(video=0) if packet.size]
    data = source.read_bytes()
    for index in (3, 4):
        data = data.replace(contents[index], bytes(len(contents[index])))
    source.write_bytes(data)
    report = colorizer.video(source, tmp_path / "out.mkv", FFV1)
    frames = read_frames(tmp_path / "out.mkv")
    lost = "2 damaged packets were skipped; 2 frames lost with them repeat the one before"
    assert lost in messages_of(report)
    assert times_of(frames) == [Fraction(time, 1000) for time in range(0, 400, 40)]
    assert_same_luma([frames[2], frames[2]], frames[3:5])


def test_a_film_without_a_keyframe_at_its_start(
    colorizer: Colorizer, make_video: MakeFilm, tmp_path: Path
) -> None:
    whole = make_video(
        tmp_path / "whole.ts",
        codec="libx264",
        times=range(40),
        time_base=Fraction(1, 25),
        options={"x264-params": "keyint=20:min-keyint=20:scenecut=0:bframes=0"},
    )
    data = whole.read_bytes()
    source = tmp_path / "film.ts"
    source.write_bytes(data[188 * 12 :])
    report = colorizer.video(source, tmp_path / "out.mkv", FFV1)
    frames = read_frames(tmp_path / "out.mkv")
    assert 20 <= report.frames <= 40
    assert_same_luma(read_frames(whole)[-20:], frames[-20:])


@pytest.mark.parametrize("rate", [90000, 1000])
@pytest.mark.parametrize("name", ["out.mp4", "out.mkv"])
def test_absurd_frame_rates(
    rate: int, name: str, colorizer: Colorizer, make_video: MakeFilm, tmp_path: Path
) -> None:
    source = make_video(
        tmp_path / "film.mp4", codec="libx264", times=range(12), time_base=Fraction(1, rate)
    )
    report = colorizer.video(source, tmp_path / name, VideoOptions(segment_frames=8))
    assert report.frames == len(read_frames(tmp_path / name)) == 12
    if name == "out.mp4":
        assert times_of(read_frames(tmp_path / name)) == times_of(read_frames(source))


@pytest.mark.parametrize("size", [(16, 16), (17, 15), (15, 16), (2, 2)])
@pytest.mark.parametrize("codec", ["libx264", "libx265", "ffv1"])
def test_tiny_and_odd_films(
    size: tuple[int, int], codec: str, colorizer: Colorizer, make_video: MakeFilm, tmp_path: Path
) -> None:
    source = make_video(tmp_path / "film.mkv", size=size)
    try:
        colorizer.video(source, tmp_path / "out.mkv", VideoOptions(codec=codec))
    except ArgumentError:  # H.265 has no pictures so small
        assert codec == "libx265"
        assert left_in(tmp_path) == ["film.mkv"]
    else:
        frame = read_frames(tmp_path / "out.mkv")[0]
        assert (frame.width, frame.height) == size


def _with_sound(path: Path, picture: Path, seconds: float) -> Path:
    with av.open(str(picture)) as film, av.open(str(path), "w") as both:
        video = both.add_stream_from_template(film.streams.video[0])
        sound = both.add_stream("aac", rate=8000, layout="mono")
        assert isinstance(sound, av.AudioStream)
        wave = np.sin(np.arange(int(8000 * seconds)) / 5)[None].astype(np.float32)
        frame = av.AudioFrame.from_ndarray(wave, "fltp", "mono")
        frame.rate, frame.pts, frame.time_base = 8000, 0, Fraction(1, 8000)
        both.mux(sound.encode(frame))
        both.mux(sound.encode(None))
        for packet in film.demux():
            if packet.size:
                packet.stream = video
                both.mux(packet)
    return path


def test_sound_longer_than_the_picture_is_whole(
    small_video: Path, colorizer: Colorizer, tmp_path: Path
) -> None:
    source = _with_sound(tmp_path / "film.mp4", small_video, 30)
    colorizer.video(source, tmp_path / "out.mp4")
    assert packets_of(tmp_path / "out.mp4", "audio") == packets_of(source, "audio")
    assert len(read_frames(tmp_path / "out.mp4")) == 10


@pytest.mark.parametrize("name", ["ein Film.mp4", "映画 🎬.mp4", "a'b\"c%d#e.mp4", "-film.mp4"])
def test_names_with_spaces_and_of_any_script(
    name: str,
    small_video: Path,
    colorizer: Colorizer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder = tmp_path / "Filme aus 1920 é"
    folder.mkdir()
    shutil.copy(small_video, folder / name)
    monkeypatch.chdir(folder)
    colorizer.video(Path(name), Path(f"out {name}"))
    assert len(read_frames(folder / f"out {name}")) == 10
    assert left_in(folder) == sorted([name, f"out {name}"])


def test_the_wrong_extension_does_no_harm(
    small_video: Path, colorizer: Colorizer, tmp_path: Path
) -> None:
    for name in ("film.avi", "film.mkv", "film.jpg"):
        shutil.copy(small_video, tmp_path / name)
        assert colorizer.video(tmp_path / name, tmp_path / "out.mkv", FFV1).frames == 10


def test_the_output_is_never_the_input(
    small_video: Path, colorizer: Colorizer, tmp_path: Path
) -> None:
    source = Path(shutil.copy(small_video, tmp_path / "film.mp4"))
    (tmp_path / "link.mp4").symlink_to(source)
    for target in (source, tmp_path / "link.mp4"):
        with pytest.raises(ArgumentError, match="is the input itself"):
            colorizer.video(source, target)
    assert source.read_bytes() == small_video.read_bytes()


def test_a_folder_that_cannot_be_written_is_refused_before_the_work(
    small_video: Path, colorizer: Colorizer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="cannot write there"):
        colorizer.video(small_video, tmp_path / "file" / "out.mkv")
    if os.geteuid() != 0:  # root may write everywhere
        tmp_path.chmod(0o500)
        with pytest.raises(OutputError, match="cannot write there"):
            colorizer.video(small_video, tmp_path / "out.mkv")
        tmp_path.chmod(0o700)


@pytest.mark.parametrize("back", [10, 4000])
def test_a_clock_that_jumps_back_is_put_right(
    back: int, colorizer: Colorizer, make_video: MakeFilm, tmp_path: Path
) -> None:
    """Two recordings, one after the other in one file."""
    parts = []
    for number, start in enumerate((back + 400, 400)):
        part = make_video(
            tmp_path / f"part{number}.ts",
            codec="libx264",
            times=range(start, start + 400, 40),
            options={"tune": "zerolatency"},
        )
        parts.append(part.read_bytes())
    source = tmp_path / "film.ts"
    source.write_bytes(b"".join(parts))
    report = colorizer.video(source, tmp_path / "out.mkv", FFV1)
    times = times_of(read_frames(tmp_path / "out.mkv"))
    assert times == sorted(set(times))
    assert times[-1] - times[0] < 1
    said = " ".join(messages_of(report))
    assert ("clock jumps" in said) == (back == 4000)


KINDS = {
    "mp4": "libx264",
    "mkv": "libx265",
    "avi": "mpeg4",
    "ts": "libx264",
    "webm": "libvpx-vp9",
    "mpg": "mpeg2video",
}


def _fuzz(kind: str, first: int, last: int, make_video: MakeFilm, folder: Path) -> None:
    source = make_video(
        folder / f"film.{kind}",
        codec=KINDS[kind],
        times=range(20),
        time_base=Fraction(1, 25),
        options={"x265-params": "log-level=error"} if kind == "mkv" else {},
    )
    (folder / "cases").mkdir()
    counted = 20 if kind == "mp4" else 0  # the others do not say how many frames they hold
    words = [source, folder / "cases", counted, first, last]
    command = [sys.executable, fuzz_videos.__file__, *(str(word) for word in words)]
    run = subprocess.run(command, capture_output=True, text=True, check=False, timeout=500)
    assert run.returncode == 0, run.stderr[-3000:]
    assert run.stdout.endswith("survived\n")


@pytest.mark.parametrize("kind", KINDS)
def test_flipped_bits_never_crash_nor_hang_nor_succeed_wrongly(
    kind: str, make_video: MakeFilm, tmp_path: Path
) -> None:
    _fuzz(kind, 0, 12, make_video, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_many_flipped_bits(kind: str, make_video: MakeFilm, tmp_path: Path) -> None:
    _fuzz(kind, 100, 300, make_video, tmp_path)


def test_an_absurd_pixel_aspect_is_left_out(
    colorizer: Colorizer, make_video: MakeFilm, tmp_path: Path
) -> None:
    source = make_video(
        tmp_path / "film.mp4", codec="libx264", size=(512, 16), aspect=Fraction(65535, 65534)
    )
    report = colorizer.video(source, tmp_path / "out.mkv", FFV1)
    assert messages_of(report) == ["the pixel aspect 65535/65534 was left out"]
    assert len(read_frames(tmp_path / "out.mkv")) == 10
