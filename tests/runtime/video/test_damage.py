"""Film: damaged and hostile films, options that cannot be, and what is left of them."""

import shutil
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from helpers.video import FFV1, SUBTITLES, MakeFilm, left_in, messages_of, read_frames, scratched

from colorize.runtime.colorizer import Colorizer
from colorize.runtime.errors import ArgumentError, ColorizeError, InputError, OutputError
from colorize.runtime.video.colorize import VideoProgress
from colorize.runtime.video.options import VideoOptions


def _sound_only(path: Path, codec: str) -> None:
    with av.open(str(path), "w") as video:
        stream = video.add_stream(codec, rate=8000, layout="mono")
        assert isinstance(stream, av.AudioStream)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 8000), np.int16), "s16", "mono")
        frame.rate, frame.pts = 8000, 0
        video.mux(stream.encode(frame))
        video.mux(stream.encode(None))


def _bad_videos(name: str, path: Path, clip: Path, make_video: MakeFilm) -> None:
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
            make_video(path, codec="libx264", size=(320, 240))
            path.write_bytes(path.read_bytes()[:-1000])
        case "head_only.mp4":
            path.write_bytes(clip.read_bytes()[:4493])
        case "subtitles.mkv":
            path.write_text(SUBTITLES, encoding="utf-8")
        case _:
            raise AssertionError(name)


BAD_VIDEOS = [
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
]


@pytest.mark.parametrize("name", BAD_VIDEOS)
def test_bad_films_are_refused_and_nothing_is_left(
    name: str, clip: Path, colorizer: Colorizer, make_video: MakeFilm, tmp_path: Path
) -> None:
    source, target = tmp_path / name, tmp_path / "results" / "out.mkv"
    _bad_videos(name, source, clip, make_video)
    with pytest.raises(InputError) as raised:
        colorizer.video(source, target)
    message = str(raised.value)
    assert message.startswith(str(source))
    assert "\n" not in message
    assert not target.parent.exists() or left_in(target.parent) == []


def test_a_missing_film_is_refused(colorizer: Colorizer, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        colorizer.video(tmp_path / "none.mp4", tmp_path / "out.mp4")
    assert left_in(tmp_path) == []


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
        assert left_in(tmp_path) == ["cut.mp4"]
    else:
        assert report.frames < 100
        assert messages_of(report)


def test_damage_in_the_middle_costs_frames_but_not_the_film(
    clip: Path, colorizer: Colorizer, tmp_path: Path
) -> None:
    source = scratched(clip, tmp_path / "scratched.mp4")
    report = colorizer.video(source, tmp_path / "out.mkv", FFV1)
    assert 50 < report.frames <= 100
    assert report.frames == len(read_frames(tmp_path / "out.mkv"))


@pytest.mark.parametrize(
    ("name", "options", "expected"),
    [
        ("out.mkv", VideoOptions(codec="nonsense"), ArgumentError),
        pytest.param(
            "out.mkv",
            VideoOptions(codec="aac"),
            ArgumentError,
        ),
        ("out.mp4", VideoOptions(codec="libx264", preset="nonsense"), ColorizeError),
        ("out.webm", VideoOptions(codec="libx264"), ColorizeError),
        ("out.xyz", VideoOptions(), OutputError),
        ("out", VideoOptions(), OutputError),
    ],
)
def test_impossible_options_are_refused_and_nothing_is_left(
    name: str,
    options: VideoOptions,
    expected: type[ColorizeError],
    small_video: Path,
    colorizer: Colorizer,
    tmp_path: Path,
) -> None:
    with pytest.raises(expected) as raised:
        colorizer.video(small_video, tmp_path / name, options)
    assert "\n" not in str(raised.value)
    assert left_in(tmp_path) == []


@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError])
def test_an_interrupted_film_leaves_nothing(
    error: type[BaseException], clip: Path, colorizer: Colorizer, tmp_path: Path
) -> None:
    def stop(progress: VideoProgress) -> None:
        if progress.frames == 20:
            raise error

    with pytest.raises(error):
        colorizer.video(clip, tmp_path / "out.mp4", on_progress=stop)
    assert left_in(tmp_path) == []


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
    small_video: Path, colorizer: Colorizer, tmp_path: Path
) -> None:
    source = shutil.copy(small_video, tmp_path / "film.dat")
    assert colorizer.video(source, tmp_path / "out.mkv", FFV1).frames == 10


def test_matroska_that_breaks_off_is_said(
    colorizer: Colorizer, make_video: MakeFilm, tmp_path: Path
) -> None:
    whole = make_video(
        tmp_path / "film.mkv", codec="ffv1", times=range(25), time_base=Fraction(1, 25)
    )
    data = whole.read_bytes()
    (tmp_path / "damaged.mkv").write_bytes(data[: len(data) // 2])
    for source in (whole, tmp_path / "damaged.mkv"):
        report = colorizer.video(source, tmp_path / f"{source.stem}_out.mkv", FFV1)
        said = [each for each in messages_of(report) if "its picture ends at" in each]
        assert len(said) == (report.frames < 25), source
    assert report.frames < 25
