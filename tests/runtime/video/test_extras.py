"""Film: fonts, covers and sound go with the picture into every container that takes them."""

import io
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av.stream import AttachmentStream, Disposition
from helpers.video import FFV1, MakeFilm, messages_of, packets_of, read_frames
from PIL import Image

from colorize.runtime.colorizer import Colorizer
from colorize.runtime.video.options import VideoOptions

FONT = bytes([0, 1, 0, 0]) * 50


def _cover() -> bytes:
    content = io.BytesIO()
    Image.new("RGB", (32, 32), (200, 30, 30)).save(content, "JPEG")
    return content.getvalue()


@pytest.fixture(scope="module")
def dressed_video(tmp_path_factory: pytest.TempPathFactory, make_video: MakeFilm) -> Path:
    """A Matroska film with a font and a cover."""
    folder = tmp_path_factory.mktemp("dressed")
    picture = make_video(folder / "picture.mkv", codec="libx264")
    with av.open(str(picture)) as film, av.open(str(folder / "film.mkv"), "w") as dressed:
        video = dressed.add_stream_from_template(film.streams.video[0])
        dressed.add_attachment("font.ttf", "font/ttf", FONT)
        dressed.add_attachment("cover.jpg", "image/jpeg", _cover())
        for packet in film.demux(video=0):
            if packet.size:
                packet.stream = video
                dressed.mux(packet)
    return folder / "film.mkv"


def _covers(film: Path) -> list[bytes]:
    with av.open(str(film)) as container:
        covers = [
            stream
            for stream in container.streams.video
            if stream.disposition & Disposition.attached_pic
        ]
        return [bytes(packet) for packet in container.demux(covers) if packet.size]


def test_fonts_and_covers_are_kept_in_matroska(
    dressed_video: Path, colorizer: Colorizer, tmp_path: Path
) -> None:
    report = colorizer.video(dressed_video, tmp_path / "out.mkv", FFV1)
    assert messages_of(report) == []
    with av.open(str(tmp_path / "out.mkv")) as film:
        [font] = [stream for stream in film.streams if isinstance(stream, AttachmentStream)]
        assert (font.name, font.mimetype, font.data) == ("font.ttf", "font/ttf", FONT)
    assert _covers(tmp_path / "out.mkv") == [_cover()]
    assert len(read_frames(tmp_path / "out.mkv")) == 10


def test_covers_cross_from_matroska_to_mp4_and_back(
    dressed_video: Path, colorizer: Colorizer, tmp_path: Path
) -> None:
    report = colorizer.video(dressed_video, tmp_path / "out.mp4")
    assert messages_of(report) == ["attachment stream 1 was left out"]
    assert _covers(tmp_path / "out.mp4") == [_cover()]
    assert messages_of(colorizer.video(tmp_path / "out.mp4", tmp_path / "back.mkv")) == []
    assert _covers(tmp_path / "back.mkv") == [_cover()]


def _click_video(path: Path, picture: Path, codec: str, rate: int, layout: str) -> Path:
    """A film with a click in its sound, half a second from its start."""
    with av.open(str(picture)) as film, av.open(str(path), "w") as clicking:
        video = clicking.add_stream_from_template(film.streams.video[0])
        sound = clicking.add_stream(codec, rate=rate, layout=layout)
        assert isinstance(sound, av.AudioStream)
        wave = np.zeros((sound.codec_context.layout.nb_channels, rate), np.float32)
        wave[:, rate // 2 : rate // 2 + 200] = 0.9
        frame = av.AudioFrame.from_ndarray(wave, "fltp", layout)
        frame.rate, frame.pts, frame.time_base = rate, 0, Fraction(1, rate)
        clicking.mux(sound.encode(frame))
        clicking.mux(sound.encode(None))
        for packet in film.demux(video=0):
            if packet.size:
                packet.stream = video
                clicking.mux(packet)
    return path


def _click(film: Path) -> float:
    """When the loudest sample comes, in seconds from the first frame."""
    with av.open(str(film)) as container:
        resampler = av.AudioResampler(format="fltp", layout="mono", rate=48000)
        loudest, when = 0.0, 0.0
        for decoded in container.decode(audio=0):
            for frame in resampler.resample(decoded):
                wave = np.abs(frame.to_ndarray()[0])
                if wave.max() > loudest and frame.time is not None:
                    loudest = float(wave.max())
                    when = frame.time + int(wave.argmax()) / 48000
    return when


@pytest.mark.parametrize(
    ("codec", "rate", "layout", "name", "heard"),
    [
        ("aac", 44100, "stereo", "out.webm", "opus"),
        ("ac3", 48000, "5.1", "out.webm", "opus"),
        ("pcm_s16le", 8000, "mono", "out.webm", "opus"),
        ("pcm_s16le", 48000, "5.1", "out.mp4", "alac"),
    ],
)
def test_sound_is_encoded_anew_only_where_the_container_forces_it(
    codec: str,
    rate: int,
    layout: str,
    name: str,
    heard: str,
    colorizer: Colorizer,
    make_video: MakeFilm,
    tmp_path: Path,
) -> None:
    picture = make_video(tmp_path / "picture.mkv", codec="libx264", times=range(0, 1000, 40))
    source = _click_video(tmp_path / "film.mkv", picture, codec, rate, layout)
    report = colorizer.video(source, tmp_path / name)
    [said] = messages_of(report)
    assert "audio stream 1 was encoded again" in said
    assert f"takes no {codec}" in said
    with av.open(str(tmp_path / name)) as film:
        assert film.streams.audio[0].codec.canonical_name == heard
        channels = film.streams.audio[0].codec_context.layout.nb_channels
        assert channels == {"mono": 1, "stereo": 2, "5.1": 6}[layout]
    assert _click(tmp_path / name) == pytest.approx(_click(source), abs=0.03)


@pytest.mark.parametrize("name", ["out.mkv", "out.mp4", "out.mov", "out.ts", "out.avi"])
def test_sound_that_the_container_takes_is_copied(
    name: str, colorizer: Colorizer, make_video: MakeFilm, tmp_path: Path
) -> None:
    picture = make_video(tmp_path / "picture.mkv", codec="libx264", times=range(0, 1000, 40))
    source = _click_video(tmp_path / "film.mkv", picture, "ac3", 48000, "stereo")
    assert messages_of(colorizer.video(source, tmp_path / name)) == []
    [before], [after] = packets_of(source, "audio"), packets_of(tmp_path / name, "audio")
    assert [content for _, content in after] == [content for _, content in before]


def test_what_a_container_refuses_is_said_before_the_work(
    small_video: Path, colorizer: Colorizer, tmp_path: Path
) -> None:
    """QuickTime lists VP9 and refuses it when its head is written."""
    with pytest.raises(Exception, match=r"\.mov cannot hold libvpx-vp9; name out\.mkv"):
        colorizer.video(small_video, tmp_path / "out.mov", VideoOptions(codec="libvpx-vp9"))
    assert list(tmp_path.iterdir()) == []
