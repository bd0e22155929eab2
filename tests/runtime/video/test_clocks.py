"""Time as players show it: jumps of clocks, raw streams, edit lists, frames without data."""

from collections.abc import Callable
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest
from helpers.commands import Finished
from helpers.video import (
    FFV1,
    MakeFilm,
    assert_same_luma,
    messages_of,
    packets_of,
    read_frames,
    times_of,
    with_sound,
)

from colorize.runtime.colorizer import Colorizer
from colorize.runtime.errors import ArgumentError
from colorize.runtime.video.options import VideoOptions


def _recording(make_video: MakeFilm, path: Path, start: float, size: tuple[int, int]) -> bytes:
    """Half a second of MPEG-2 with sound whose clock begins at START seconds."""
    times = [round(start * 25) + index for index in range(13)]
    picture = make_video(
        path.with_suffix(".mkv"),
        codec="mpeg2video",
        size=size,
        times=times,
        time_base=Fraction(1, 25),
    )
    return with_sound(picture, path, "mp2", start=start).read_bytes()


@pytest.mark.parametrize("starts", [(0, 3600), (3600, 0), (20, 0)])
@pytest.mark.parametrize("suffix", [".ts", ".vob"])
def test_jumps_of_the_clock_are_taken_out_of_picture_and_sound(
    starts: tuple[int, int],
    suffix: str,
    colorizer: Colorizer,
    make_video: MakeFilm,
    tmp_path: Path,
) -> None:
    parts = [
        _recording(make_video, tmp_path / f"{number}{suffix}", start, (64, 48))
        for number, start in enumerate(starts)
    ]
    source = tmp_path / f"film{suffix}"
    source.write_bytes(b"".join(parts))
    report = colorizer.video(source, tmp_path / "out.mkv", FFV1)
    times = [float(time) for time in times_of(read_frames(tmp_path / "out.mkv"))]
    [sound] = packets_of(tmp_path / "out.mkv", "audio")
    assert len(times) == 26
    assert max(later - time for time, later in pairwise(times)) < 0.2
    assert times[-1] < 1.5
    assert float(sound[-1][0]) == pytest.approx(times[-1], abs=0.2)
    assert "clock jumps" in " ".join(messages_of(report))


def test_frames_of_another_size_are_scaled_to_the_first(
    colorizer: Colorizer, make_video: MakeFilm, tmp_path: Path
) -> None:
    parts = [
        _recording(make_video, tmp_path / f"{number}.ts", number / 2 + 0.02, size)
        for number, size in enumerate([(64, 48), (96, 80)])
    ]
    source = tmp_path / "film.ts"
    source.write_bytes(b"".join(parts))
    report = colorizer.video(source, tmp_path / "out.mkv", FFV1)
    assert {(frame.width, frame.height) for frame in read_frames(tmp_path / "out.mkv")} == {
        (64, 48)
    }
    assert report.frames in (25, 26)  # the decoder drops one that waits for its turn
    assert "13 frames of another size were scaled to that of the first" in messages_of(report)


@pytest.mark.parametrize(
    ("name", "codec", "rate"),
    [
        *(("raw.h264", "libx264", rate) for rate in (25, 50)),
        ("raw.hevc", "libx265", 25),
        *(("raw.m2v", "mpeg2video", rate) for rate in (25, 50)),
    ],
)
def test_raw_streams_get_the_rate_of_the_stream(
    name: str, codec: str, rate: int, colorizer: Colorizer, make_video: MakeFilm, tmp_path: Path
) -> None:
    options = {"x265-params": "log-level=none"} if codec == "libx265" else {"bf": "2"}
    source = make_video(
        tmp_path / name, codec=codec, times=range(10), time_base=Fraction(1, rate), options=options
    )
    report = colorizer.video(source, tmp_path / "out.mkv", FFV1)
    frames = read_frames(tmp_path / "out.mkv")
    assert_same_luma(read_frames(source), frames)
    assert [round(time * rate) for time in times_of(frames)] == list(range(10))
    assert messages_of(report) == [f"its frames carry no times: they are counted, {rate} a second"]


def test_raw_dv_says_its_rate(colorizer: Colorizer, tmp_path: Path) -> None:
    source = tmp_path / "tape.dv"
    with av.open(str(source), "w") as made:
        stream = made.add_stream("dvvideo", rate=25)
        stream.width, stream.height, stream.pix_fmt = 720, 576, "yuv420p"
        for shade in (60, 90, 120):
            frame = av.VideoFrame.from_ndarray(np.full((864, 720), shade, np.uint8), "yuv420p")
            made.mux(stream.encode(frame))
        made.mux(stream.encode())
    colorizer.video(source, tmp_path / "out.mkv", FFV1)
    with av.open(str(tmp_path / "out.mkv")) as film:
        assert film.streams.video[0].average_rate == 25
    assert [frame.time for frame in read_frames(tmp_path / "out.mkv")] == [0, 0.04, 0.08]


def test_asf_of_decoding_times_alone_plays_evenly(
    colorizer: Colorizer, make_video: MakeFilm, tmp_path: Path
) -> None:
    picture = make_video(
        tmp_path / "plain.mkv", codec="libx264", times=range(12), time_base=Fraction(1, 25)
    )
    source = tmp_path / "film.asf"
    with av.open(str(picture)) as film, av.open(str(source), "w") as made:
        stream = made.add_stream_from_template(film.streams.video[0])
        for packet in film.demux(film.streams.video[0]):
            if packet.size:
                packet.stream = stream
                made.mux(packet)
    report = colorizer.video(source, tmp_path / "out.mkv", FFV1)
    times = [float(time) for time in times_of(read_frames(tmp_path / "out.mkv"))]
    steps = [later - time for time, later in pairwise(times)]
    assert steps == pytest.approx([0.04] * 11, abs=0.002)
    assert messages_of(report) == []


def test_an_edit_list_raises_no_alarm(
    colorizer: Colorizer, make_video: MakeFilm, tmp_path: Path
) -> None:
    whole = make_video(
        tmp_path / "whole.mp4",
        codec="libx264",
        times=range(20),
        time_base=Fraction(1, 25),
        options={"bf": "0"},
    )
    cut = tmp_path / "cut.mp4"
    with av.open(str(whole)) as film, av.open(str(cut), "w") as made:
        stream = made.add_stream_from_template(film.streams.video[0])
        for packet in film.demux(film.streams.video[0]):
            if packet.size and packet.dts is not None and packet.pts is not None:
                packet.dts -= 5 * 512  # FFmpeg hides what lies before 0 by an edit list
                packet.pts -= 5 * 512
                packet.stream = stream
                made.mux(packet)
    shown = read_frames(cut)
    assert len(shown) < 20
    report = colorizer.video(cut, tmp_path / "out.mkv", FFV1)
    assert report.frames == len(shown)
    hidden = 20 - len(shown)
    assert messages_of(report) == [f"{hidden} of its 20 frames are not shown, by its own edit list"]


def test_frames_without_data_raise_no_alarm(
    colorizer: Colorizer, make_video: MakeFilm, tmp_path: Path
) -> None:
    times = [0, 1, 2, 5, 6, 7]  # AVI stores frames that repeat the one before between them
    source = make_video(
        tmp_path / "film.avi", codec="mpeg4", times=times, time_base=Fraction(1, 25)
    )
    report = colorizer.video(source, tmp_path / "out.mkv", FFV1)
    assert report.frames == len(read_frames(source)) == 6
    assert messages_of(report) == []


@pytest.fixture(scope="module")
def two_pictures(make_video: MakeFilm, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A film of two video streams, 32x32 and 64x48, and a cover picture of 96x96."""
    folder = tmp_path_factory.mktemp("two")
    parts = [
        make_video(folder / "small.mp4", codec="libx264", size=(32, 32)),
        make_video(folder / "large.mp4", codec="libx264", size=(64, 48)),
    ]
    target = folder / "two.mp4"
    with av.open(str(target), "w") as made:
        sources = [av.open(str(part)) for part in parts]
        copies = [made.add_stream_from_template(each.streams.video[0]) for each in sources]
        for source, copy in zip(sources, copies, strict=True):
            for packet in source.demux(source.streams.video[0]):
                if packet.size:
                    packet.stream = copy
                    made.mux(packet)
            source.close()
    return target


def _size(video: Path) -> tuple[int, int]:
    frame = read_frames(video)[0]
    return frame.width, frame.height


def test_the_largest_picture_is_colored(
    two_pictures: Path, colorizer: Colorizer, tmp_path: Path
) -> None:
    report = colorizer.video(two_pictures, tmp_path / "out.mkv", FFV1)
    assert _size(tmp_path / "out.mkv") == (64, 48)
    said = " ".join(messages_of(report))
    assert "video stream 1 (64x48) is colored; --stream takes another of 0" in said


def test_another_stream_can_be_named(
    two_pictures: Path, colorize_run: Callable[..., Finished], tmp_path: Path
) -> None:
    done = colorize_run(two_pictures, "-o", tmp_path / "out.mkv", "--stream", 0)
    assert done.returncode == 0
    assert _size(tmp_path / "out.mkv") == (32, 32)
    refused = colorize_run(two_pictures, "-o", tmp_path / "no.mkv", "--stream", 7)
    assert refused.returncode == 2
    assert "choose one of 0 (32x32), 1 (64x48)" in refused.stderr


def test_streams_are_told_apart_when_a_run_is_resumed(
    two_pictures: Path, colorizer: Colorizer, tmp_path: Path
) -> None:
    with pytest.raises(ArgumentError, match="stream 9"):
        colorizer.video(two_pictures, tmp_path / "out.mkv", VideoOptions(stream=9))
    assert np.prod(_size(two_pictures)) > 0
