"""Film through pipes: y4m in and out, told from photographs by its content."""

import io
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import BinaryIO, cast

import av
import numpy as np
import pytest
from helpers.video import (
    MakeFilm,
    assert_same_luma,
    chroma_distance,
    left_in,
    messages_of,
    read_frames,
    times_of,
)

from colorize.runtime.colorizer import Colorizer
from colorize.runtime.errors import ArgumentError, InputError, OutputError
from colorize.runtime.video.options import VideoOptions

Finished = subprocess.CompletedProcess[str]
Run = Callable[..., Finished]


def _y4m(path: Path, source: Path, fmt: str) -> Path:
    """SOURCE as FFmpeg itself writes it to y4m."""
    options = {"strict": "-1"}
    with (
        av.open(str(source)) as film,
        av.open(str(path), "w", format="yuv4mpegpipe", options=options) as raw,
    ):
        stream = raw.add_stream("wrapped_avframe", rate=25)
        assert isinstance(stream, av.VideoStream)
        video = film.streams.video[0].codec_context
        stream.width, stream.height, stream.pix_fmt = video.width, video.height, fmt
        for index, frame in enumerate(film.decode(video=0)):
            plain = frame.reformat(format=fmt)
            plain.pts, plain.time_base = index, Fraction(1, 25)
            raw.mux(stream.encode(plain))
        raw.mux(stream.encode(None))
    return path


def _out(colorizer: Colorizer, source: Path, target: Path) -> list[str]:
    with target.open("wb") as sink:
        return messages_of(colorizer.video(source, sink))


@pytest.mark.parametrize(
    "fmt", ["yuv420p", "yuv422p", "yuv444p", "gray", "yuv420p10le", "yuv422p12le", "yuv444p16le"]
)
def test_luma_reaches_y4m_bit_for_bit_as_ffmpeg_reads_it(
    fmt: str, colorizer: Colorizer, make_video: MakeFilm, tmp_path: Path
) -> None:
    source = make_video(tmp_path / "film.mkv", fmt=fmt)
    assert _out(colorizer, source, tmp_path / "out.y4m") == []
    frames = read_frames(tmp_path / "out.y4m")
    assert_same_luma(read_frames(source), frames)
    assert frames[0].format.name == fmt.replace("gray", "yuv420p")
    assert min(chroma_distance(frame) for frame in frames) > 5
    assert times_of(frames) == [Fraction(index, 25) for index in range(10)]


def test_a_pipe_gets_the_frames_of_a_file(
    colorizer: Colorizer, make_video: MakeFilm, tmp_path: Path
) -> None:
    """Also where segments meet: there the rounding of colors begins anew."""
    source = make_video(tmp_path / "film.mkv", times=range(0, 1600, 40))
    options = VideoOptions(segment_frames=16)
    with (tmp_path / "out.y4m").open("wb") as sink:
        colorizer.video(source, sink, options)
    colorizer.video(source, tmp_path / "out.mkv", replace(options, codec="ffv1"))
    piped, filed = (read_frames(tmp_path / name) for name in ("out.y4m", "out.mkv"))
    assert len(piped) == 40
    for one, other in zip(piped, filed, strict=True):
        np.testing.assert_array_equal(one.to_ndarray(), other.to_ndarray())


@pytest.mark.parametrize("fmt", ["yuv420p", "yuv444p", "yuv420p10le", "yuv422p12le"])
def test_y4m_of_ffmpeg_is_read_from_a_pipe(
    fmt: str, colorizer: Colorizer, small_video: Path, tmp_path: Path
) -> None:
    source = _y4m(tmp_path / "film.y4m", small_video, fmt)
    with source.open("rb") as pipe:
        alone = cast(BinaryIO, SimpleNamespace(read=pipe.read))  # no seeking, as a pipe has it
        colorizer.video(alone, tmp_path / "out.mkv", VideoOptions(codec="ffv1"))
    frames = read_frames(tmp_path / "out.mkv")
    assert_same_luma(read_frames(source), frames)
    assert len(frames) == 10
    assert left_in(tmp_path) == ["film.y4m", "out.mkv"]


def test_size_aspect_and_range_stand_in_the_header(
    colorizer: Colorizer, make_video: MakeFilm, tmp_path: Path
) -> None:
    source = make_video(
        tmp_path / "film.mp4", codec="libx264", aspect=Fraction(16, 15), color_range=2
    )
    _out(colorizer, source, tmp_path / "out.y4m")
    with av.open(str(tmp_path / "out.y4m")) as film:
        assert film.streams.video[0].sample_aspect_ratio == Fraction(16, 15)
    assert int(read_frames(tmp_path / "out.y4m")[0].color_range) == 2


def test_what_y4m_cannot_hold_is_said(
    clip: Path, colorizer: Colorizer, make_video: MakeFilm, tmp_path: Path
) -> None:
    [said] = _out(colorizer, clip, tmp_path / "out.y4m")
    assert said == "y4m holds no sound: 1 other streams were left out"
    uneven = make_video(tmp_path / "film.mkv", times=[0, 40, 80, 500, 540])
    [said] = _out(colorizer, uneven, tmp_path / "out.y4m")
    assert "one frame rate" in said


def test_a_reader_that_goes_away_ends_the_run(clip: Path, colorizer: Colorizer) -> None:
    class Gone(io.BytesIO):
        def write(self, content: object) -> int:
            raise BrokenPipeError(32, "Broken pipe")

    with pytest.raises(OutputError, match="Broken pipe"):
        colorizer.video(clip, Gone())


COMMAND = "import sys; from colorize.runtime.cli import main; main(sys.argv[1:])"


def _process(content: bytes, *words: object) -> "subprocess.CompletedProcess[bytes]":
    command = [sys.executable, "-c", COMMAND, *(str(word) for word in words)]
    return subprocess.run(command, input=content, capture_output=True, check=False, timeout=120)


def test_the_command_tells_film_from_photo_on_stdin(
    small_video: Path, photo: Path, tiny_model: Path, tmp_path: Path
) -> None:
    source = _y4m(tmp_path / "film.y4m", small_video, "yuv420p")
    words = ("-", "-o", "-", "--model", tiny_model, "--backend", "openvino")
    film = _process(source.read_bytes(), *words)
    assert film.returncode == 0, film.stderr
    (tmp_path / "out.y4m").write_bytes(film.stdout)
    assert_same_luma(read_frames(source), read_frames(tmp_path / "out.y4m"))
    picture = _process(photo.read_bytes(), *words)
    assert picture.returncode == 0
    assert picture.stdout[:2] == b"\xff\xd8"
    neither = _process(b"This is a letter.", *words)
    assert neither.returncode == 2
    assert neither.stdout == b""


def test_the_command_writes_a_film_to_stdout(clip: Path, tiny_model: Path, tmp_path: Path) -> None:
    run = _process(b"", clip, "-o", "-", "--model", tiny_model, "--backend", "openvino")
    assert run.returncode == 0
    assert b"y4m holds no sound" in run.stderr
    (tmp_path / "out.y4m").write_bytes(run.stdout)
    assert_same_luma(read_frames(clip), read_frames(tmp_path / "out.y4m"))


def test_a_pipe_that_breaks_off_early_is_refused(
    small_video: Path, colorizer: Colorizer, tmp_path: Path
) -> None:
    source = _y4m(tmp_path / "film.y4m", small_video, "yuv420p")
    for cut in (5, 60, 2000):
        content = io.BytesIO(source.read_bytes()[:cut])
        with pytest.raises(InputError):
            colorizer.video(content, tmp_path / "out.mkv")
    assert left_in(tmp_path) == ["film.y4m"]


def test_of_a_pipe_that_breaks_off_later_the_whole_frames_are_kept(
    small_video: Path, colorizer: Colorizer, tmp_path: Path
) -> None:
    source = _y4m(tmp_path / "film.y4m", small_video, "yuv420p")
    content = io.BytesIO(source.read_bytes()[:20_000])
    assert colorizer.video(content, tmp_path / "out.mkv").frames == 4


def test_settings_of_an_encoder_are_refused_where_none_is(
    small_video: Path, colorizer: Colorizer
) -> None:
    for options in (VideoOptions(codec="ffv1"), VideoOptions(crf=20), VideoOptions(preset="slow")):
        with pytest.raises(ArgumentError, match="y4m is raw"):
            colorizer.video(small_video, io.BytesIO(), options)
