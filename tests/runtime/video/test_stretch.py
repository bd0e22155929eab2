"""A late stretch of a film: the frames of the whole, though what is long before is not decoded."""

from collections.abc import Callable, Sequence
from fractions import Fraction
from itertools import islice
from pathlib import Path

import av
import numpy as np
import pytest
from av.video.stream import VideoStream
from helpers.video import messages_of, with_streams

from colorize.runtime.colorizer import Colorizer
from colorize.runtime.video.clock import AnyPacket
from colorize.runtime.video.options import VideoOptions
from colorize.runtime.video.reader import Picture, VideoReader, _Decoding, shown_times
from colorize.runtime.video.source import Source

FRAMES, LATE = 700, 640  # at 25 a second
LONG = {"x264-params": "keyint=100:min-keyint=100:scenecut=0:bframes=3:b-pyramid=normal:ref=4"}
Decoded = list[Picture]


def _film(
    path: Path,
    parameters: str = "",
    *,
    first: int = 0,
    codec: str = "libx264",
    muxer: dict[str, str] | None = None,
) -> Path:
    """Write moving noise with long groups of pictures; its times begin at FIRST frames."""
    noise = np.random.default_rng(7).integers(30, 220, (48, 64 + FRAMES), np.uint8)
    options = {"x264-params": ":".join(filter(None, (LONG["x264-params"], parameters)))}
    with av.open(str(path), "w", options=muxer or {}) as made:
        stream = made.add_stream(codec, rate=25, options=options if codec == "libx264" else {})
        assert isinstance(stream, VideoStream)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.time_base = Fraction(1, 25)
        for index in range(FRAMES):
            gray = np.ascontiguousarray(noise[:, index : index + 64])
            frame = av.VideoFrame.from_ndarray(gray, "gray").reformat(format="yuv420p")
            frame.pts, frame.time_base = first + index, Fraction(1, 25)
            made.mux(stream.encode(frame))
        made.mux(stream.encode(None))
    return path


def _with_edit_list(path: Path) -> Path:
    """As a cutter leaves it: copied from the middle of a group, whose begin an edit list hides."""
    whole = _film(path.with_name("whole.mp4"))
    with av.open(str(whole)) as source, av.open(str(path), "w") as made:
        before = source.streams.video[0]
        stream = made.add_stream_from_template(before)
        for packet in source.demux(before):
            if packet.dts is not None and packet.pts is not None and packet.time_base is not None:
                shift = round(Fraction(30, 25) / packet.time_base)
                packet.pts, packet.dts = packet.pts - shift, packet.dts - shift
                packet.stream = stream
                made.mux(packet)
    return path


def _without_cues(path: Path) -> Path:
    return _film(path, muxer={"live": "1"})


FILMS: dict[str, tuple[str, Callable[[Path], Path]]] = {
    "closed groups": ("mp4", _film),
    "open groups": ("mkv", lambda path: _film(path, "open-gop=1")),
    "a late begin": ("mkv", lambda path: _film(path, first=250)),
    "an edit list": ("mp4", _with_edit_list),
    "no cues": ("mkv", _without_cues),
    "fragments": ("mp4", lambda path: _film(path, muxer={"movflags": "frag_keyframe+empty_moov"})),
    "rolling refresh": ("mkv", lambda path: _film(path, "intra-refresh=1:bframes=0")),
    "one group": ("mp4", lambda path: _film(path, "keyint=2000")),
    "MPEG-2": ("mkv", lambda path: _film(path, codec="mpeg2video")),
    "no index": ("ts", _film),
    "decoding times": ("avi", _film),
}
DECODED_WHOLE = {"one group", "no index", "decoding times"}


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The times of all frames that are decoded."""
    times: list[int] = []
    whole = _Decoding._picture

    def counted(self: _Decoding, frame: av.VideoFrame, layout: object, pts: int) -> Picture:
        times.append(pts)
        return whole(self, frame, layout, pts)  # type: ignore[arg-type]

    monkeypatch.setattr(_Decoding, "_picture", counted)
    return times


def _frames(pictures: Sequence[Picture]) -> list[tuple[int, int, bytes]]:
    return [(each.pts, each.duration, each.luma.tobytes()) for each in pictures]


@pytest.mark.parametrize("kind", FILMS)
def test_a_late_stretch_has_the_frames_of_the_whole(
    kind: str, tmp_path: Path, decoded: list[int]
) -> None:
    suffix, make = FILMS[kind]
    source = Source(make(tmp_path / f"film.{suffix}"))
    with source.open() as container:
        times = shown_times(container, source.video(container))
    with source.open() as container:
        whole = list(islice(VideoReader(source, container).pictures(), LATE, LATE + 20))
    decoded.clear()
    with source.open() as container:
        found = VideoReader(source, container).pictures_from(LATE, times)
        late = list(islice(found, len(whole)))
    assert len(whole) >= 10
    assert _frames(late) == _frames(whole)
    assert (len(decoded) >= LATE) == (kind in DECODED_WHOLE)


@pytest.mark.parametrize("shift", [0, 15])
def test_a_seek_that_lands_behind_the_frame_is_noticed(
    shift: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where the index of a file is wrong."""
    film = Source(_film(tmp_path / "film.mp4"))
    seek = _Decoding.seek_before

    def beyond(self: _Decoding, pts: int, first: int | None = None) -> bool:
        return seek(self, pts + shift * 12800, first)

    monkeypatch.setattr(_Decoding, "seek_before", beyond)
    with film.open() as container:
        times = shown_times(container, film.video(container))
    with film.open() as container:
        first = next(VideoReader(film, container).pictures_from(590, times))
    with film.open() as container:
        expected = next(islice(VideoReader(film, container).pictures(), 590, None))
    assert _frames([first]) == _frames([expected])


def _clicking(path: Path, codec: str, picture: Path) -> Path:
    """PICTURE with a click each half second."""
    with av.open(str(picture)) as film, av.open(str(path), "w") as made:
        before = film.streams.video[0]
        video = made.add_stream_from_template(before)
        sound = made.add_stream(codec, rate=48000, layout="mono")
        assert isinstance(sound, av.AudioStream)
        first = min(packet.pts for packet in film.demux(before) if packet.pts is not None)
        film.seek(0)
        begin = float(first * (before.time_base or 1))
        wave = np.zeros(int(48000 * FRAMES / 25), np.float32)
        for at in range(12000, len(wave), 24000):
            wave[at : at + 48] = 0.9
        packets: list[AnyPacket] = []
        for at in range(0, len(wave), 1024):
            part = wave[None, at : at + 1024]
            frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(part), "fltp", "mono")
            frame.rate, frame.time_base = 48000, Fraction(1, 48000)
            frame.pts = int(begin * 48000) + at
            packets += sound.encode(frame)
        packets += sound.encode(None)
        for packet in film.demux(before):
            if packet.size:
                packet.stream = video
                packets.append(packet)
        for packet in sorted(packets, key=lambda each: (each.dts or 0) * each.time_base):
            made.mux(packet)
    return path


def _clicks(video: Path) -> list[float]:
    """Return when, in seconds from its first frame, VIDEO clicks, as players would play it."""
    with av.open(str(video)) as container:
        picture = min(frame.time or 0.0 for frame in container.decode(video=0))
    heard: list[float] = []
    with av.open(str(video)) as container:
        for frame in container.decode(audio=0):
            loud = np.abs(frame.to_ndarray()[0].astype(float))
            for at in np.flatnonzero(loud > 0.4 * (1 if frame.format.name == "fltp" else 2**15)):
                time = (frame.time or 0.0) + at / 48000 - picture
                if not heard or time - heard[-1] > 0.1:
                    heard.append(time)
    return heard


@pytest.mark.parametrize(
    ("source", "target", "codec"),
    [
        ("closed groups", "mp4", "aac"),
        pytest.param("closed groups", "mkv", "aac", marks=pytest.mark.slow),
        ("a late begin", "mkv", "libopus"),
        pytest.param("a late begin", "mp4", "libmp3lame", marks=pytest.mark.slow),
        ("an edit list", "mp4", "aac"),
        pytest.param("no cues", "mov", "pcm_s16le", marks=pytest.mark.slow),
    ],
)
def test_a_late_stretch_has_its_sound_at_its_pictures(
    source: str, target: str, codec: str, tmp_path: Path, colorizer: Colorizer
) -> None:
    suffix, make = FILMS[source]
    film = _clicking(tmp_path / f"sound.{suffix}", codec, make(tmp_path / f"film.{suffix}"))
    out = tmp_path / f"out.{target}"
    options = VideoOptions(codec="libx264", preset="ultrafast", start=20, duration=3)
    colorizer.video(film, out, options)
    whole = [time - 20 for time in _clicks(film) if 20.1 < time < 22.9]
    late = [time for time in _clicks(out) if 0.1 < time < 2.9]
    assert len(whole) > 4
    assert late == pytest.approx(whole, abs=0.003)


def test_a_late_stretch_has_its_subtitles(tmp_path: Path, colorizer: Colorizer) -> None:
    words = tmp_path / "words.srt"
    times = (("18", "21"), ("22", "22"), ("23", "24"))
    words.write_text(
        "".join(
            f"{n}\n00:00:{a},000 --> 00:00:{b},500\nline {n}\n\n" for n, (a, b) in enumerate(times)
        )
    )
    film = with_streams(_film(tmp_path / "film.mp4"), tmp_path / "film.mkv", [], words, copied=True)
    out = tmp_path / "out.mkv"
    report = colorizer.video(film, out, VideoOptions(codec="ffv1", start=20, duration=3))
    assert messages_of(report) == []
    with av.open(str(out)) as container:
        lines = [
            (bytes(packet), packet.pts, packet.duration)
            for packet in container.demux(subtitles=0)
            if packet.size
        ]
    assert lines == [(b"line 0", 0, 1500), (b"line 1", 2000, 500)]
