"""Stretches of long films: what lies long before them is not decoded."""

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import pytest
from helpers.video import MakeFilm, content_of

from colorize.runtime.colorizer import Colorizer
from colorize.runtime.video import reader as module
from colorize.runtime.video.options import VideoOptions
from colorize.runtime.video.picture import Picture

FRAMES = 1000


@pytest.fixture(scope="module")
def long_film(make_video: MakeFilm, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A film of 40 seconds whose keyframes, with B-frames between, are 2 seconds apart."""
    return make_video(
        tmp_path_factory.mktemp("long") / "long.mp4",
        codec="libx264",
        time_base=Fraction(1, 12800),
        times=range(0, 512 * FRAMES, 512),
        options={"preset": "ultrafast", "g": "50", "bf": "2"},
    )


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    """`decoded()`: how many pictures were decoded until now."""
    count, picture = 0, module._Decoding._picture

    def counted(self: module._Decoding, *arguments: object) -> Picture:
        nonlocal count
        count += 1
        return picture(self, *arguments)  # type: ignore[arg-type]  # passed on as they come

    monkeypatch.setattr(module._Decoding, "_picture", counted)
    return lambda: count


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".avi"])
def test_a_late_stretch_is_that_of_the_whole(
    long_film: Path,
    colorizer: Colorizer,
    tmp_path: Path,
    decoded: Callable[[], int],
    suffix: str,
) -> None:
    film = long_film.with_suffix(suffix)
    if not film.exists():
        _copy(long_film, film)
    options = VideoOptions(codec="ffv1", start=36.0, duration=0.4)
    report = colorizer.video(film, tmp_path / "late.mkv", options)
    assert report.frames == 10
    most = 500 if suffix != ".avi" else FRAMES  # AVI is read from its beginning
    assert decoded() < most
    lumas = [planes[0] for _, planes in content_of(tmp_path / "late.mkv")]
    with av.open(str(film)) as source:
        own = [bytes(frame.planes[0]) for frame in source.decode(video=0)]
    width = len(own[0]) // 48
    assert lumas == [
        b"".join(luma[row * width : row * width + 64] for row in range(48)) for luma in own[900:910]
    ]


def test_frames_that_are_not_where_they_should_be_are_counted_from_the_start(
    long_film: Path, colorizer: Colorizer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = VideoOptions(codec="ffv1", start=36.0, duration=0.4)
    colorizer.video(long_film, tmp_path / "one.mkv", options)
    monkeypatch.setattr(module, "_SEEK_BACK_SECONDS", -3)  # lands behind the frame
    colorizer.video(long_film, tmp_path / "other.mkv", options)
    assert content_of(tmp_path / "one.mkv") == content_of(tmp_path / "other.mkv")


def _copy(film: Path, target: Path) -> None:
    with av.open(str(film)) as source, av.open(str(target), "w") as made:
        if target.suffix == ".avi":  # without B-frames, which it stores badly
            stream = made.add_stream("ffv1", rate=25)
            stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
            for frame in source.decode(video=0):
                made.mux(stream.encode(frame))
            made.mux(stream.encode(None))
            return
        stream = made.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.size:
                packet.stream = stream
                made.mux(packet)
