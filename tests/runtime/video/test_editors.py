"""Editors' formats: their codecs, MXF, timecode, tags that players look for."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from helpers.video import (
    FFV1,
    SUBTITLES,
    MakeFilm,
    left_in,
    messages_of,
    packets_of,
    plane_of,
    read_frames,
    with_streams,
)

from colorize.runtime.colorizer import Colorizer
from colorize.runtime.errors import ArgumentError
from colorize.runtime.video.options import VideoOptions


@pytest.fixture(scope="module")
def master(make_video: MakeFilm, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """ProRes 422 of 10 bits in QuickTime: a timecode, 24-bit sound, a camera's keys."""
    folder = tmp_path_factory.mktemp("master")
    picture = make_video(
        folder / "picture.mkv", size=(256, 128), times=range(5), time_base=Fraction(1, 25)
    )
    return with_streams(
        picture,
        folder / "master.mov",
        ["pcm_s24le"],
        None,
        seconds=0.2,
        codec="prores_ks",
        fmt="yuv422p10le",
        tags={"com.apple.quicktime.make": "Arriflex", "title": "Reel 1"},
    )


@pytest.mark.parametrize(
    ("name", "codec", "made", "profile"),
    [
        ("out.mov", "prores_ks", "prores", "HQ"),
        ("out.mov", "dnxhd", "dnxhd", "DNXHR HQX"),
        ("out.mxf", None, "dnxhd", "DNXHR HQX"),
        ("out.mov", None, "h264", None),
    ],
)
def test_editors_get_their_formats_with_timecode_and_sound(
    name: str,
    codec: str | None,
    made: str,
    profile: str | None,
    master: Path,
    colorizer: Colorizer,
    tmp_path: Path,
) -> None:
    report = colorizer.video(master, tmp_path / name, VideoOptions(codec=codec))
    with av.open(str(tmp_path / name)) as film:
        stream = film.streams.video[0]
        assert stream.codec_context.name == made
        assert stream.codec_context.pix_fmt == "yuv422p10le"
        assert profile is None or stream.profile == profile
        assert {**film.metadata, **stream.metadata}["timecode"] == "10:00:00:00"
        assert film.streams.audio[0].codec_context.name == "pcm_s24le"
    [before], [after] = packets_of(master, "audio"), packets_of(tmp_path / name, "audio")
    assert b"".join(data for _, data in after) == b"".join(data for _, data in before)
    lost = "mxf takes no com.apple.quicktime.make, title: these tags were left out"
    assert messages_of(report) == ([lost] if name == "out.mxf" else [])


@pytest.mark.parametrize(
    ("name", "codec", "profile"),
    [
        ("out.mov", "prores_ks", "4444"),
        ("out.mxf", "prores_ks", None),
        ("out.mov", "dnxhd", "DNXHR 444"),
        ("out.mxf", None, "DNXHR 444"),
        ("out.mkv", "ffv1", None),
        ("out.mxf", "ffv1", None),
    ],
)
def test_prores_4444_goes_on_in_444(
    name: str,
    codec: str | None,
    profile: str | None,
    make_video: MakeFilm,
    colorizer: Colorizer,
    tmp_path: Path,
) -> None:
    """FFmpeg gives its frames as 12 bits; FFV1 keeps them, the editors' encoders have 10."""
    picture = make_video(
        tmp_path / "a.mkv", size=(256, 128), times=range(3), time_base=Fraction(1, 25)
    )
    source = with_streams(
        picture, tmp_path / "a.mov", ["pcm_s24le"], None, codec="prores_ks", fmt="yuv444p10le"
    )
    report = colorizer.video(source, tmp_path / name, VideoOptions(codec=codec))
    with av.open(str(tmp_path / name)) as film:
        assert profile is None or film.streams.video[0].profile == profile
        assert film.streams.audio[0].codec_context.name == "pcm_s24le"
    whole = codec == "ffv1"
    rounded = "yuv444p12le was written as yuv444p10le"
    assert (rounded in messages_of(report)) != whole
    for old, new in zip(read_frames(source), read_frames(tmp_path / name), strict=True):
        bits = new.format.components[0].bits
        assert new.format.name.startswith("yuv444p")
        before, after = (plane_of(each).astype(float) for each in (old, new))
        off = np.abs(after / 2 ** (bits - 8) - before / 16)  # in steps of 8 bits
        assert off.max() == 0 if whole else off.mean() < 0.5
        if codec == "prores_ks":  # DNxHR loses more than rounding can show
            assert abs((after - before).mean()) < 0.7  # of 12 bits; cut off, they lose 1.5


def test_mxf_is_read(master: Path, colorizer: Colorizer, tmp_path: Path) -> None:
    colorizer.video(master, tmp_path / "master.mxf")
    report = colorizer.video(tmp_path / "master.mxf", tmp_path / "out.mkv", FFV1)
    assert report.frames == 5
    with av.open(str(tmp_path / "out.mkv")) as film:
        tags = {key.lower(): text for key, text in film.streams.video[0].metadata.items()}
        assert tags["timecode"] == "10:00:00:00"


def test_sound_of_24_bits_is_kept_whole_in_mp4(
    master: Path, colorizer: Colorizer, tmp_path: Path
) -> None:
    report = colorizer.video(master, tmp_path / "out.mp4")
    message = "audio stream 1 was encoded again, as alac: mp4 takes no pcm_s24le"
    assert message in messages_of(report)
    waves = []
    for path in (master, tmp_path / "out.mp4"):
        with av.open(str(path)) as film:
            frames = [frame.to_ndarray() for frame in film.decode(audio=0)]
            planes = [f if f.shape[0] == 2 else f.reshape(-1, 2).T for f in frames]
            waves.append(np.concatenate(planes, axis=1))
    np.testing.assert_array_equal(waves[1][:, : waves[0].shape[1]], waves[0])


@pytest.mark.parametrize("suffix", ["mp4", "mov"])
def test_hevc_is_tagged_as_quicktime_wants(
    suffix: str, small_video: Path, colorizer: Colorizer, tmp_path: Path
) -> None:
    options = VideoOptions(codec="libx265", preset="ultrafast")
    colorizer.video(small_video, tmp_path / f"out.{suffix}", options)
    with av.open(str(tmp_path / f"out.{suffix}")) as film:
        assert film.streams.video[0].codec_context.codec_tag == "hvc1"


@pytest.mark.parametrize("suffix", ["mov", "mp4", "mkv", "ts", "avi"])
@pytest.mark.parametrize("key", ["com.apple.quicktime.make", "firmware", "Kamera"])
def test_keys_of_any_vendor_are_kept_or_said(
    key: str, suffix: str, small_video: Path, colorizer: Colorizer, tmp_path: Path
) -> None:
    tags = {key: "Arriflex", "title": "Reel 1"}
    source = with_streams(small_video, tmp_path / "a.mov", [], None, tags=tags)
    report = colorizer.video(source, tmp_path / f"out.{suffix}")
    with av.open(str(tmp_path / f"out.{suffix}")) as film:
        kept = {name.lower(): text for name, text in film.metadata.items()}
    lost = {"ts": f"mpegts takes no {key}, title: ", "avi": f"avi takes no {key}: "}.get(suffix)
    assert kept.get("title") == (None if suffix == "ts" else "Reel 1")
    if lost is None:
        assert kept[key.lower()] == "Arriflex"
        assert messages_of(report) == []
    else:
        assert lost + "these tags were left out" in messages_of(report)


@pytest.mark.parametrize(
    ("before", "after", "kind"), [("mkv", "mp4", "mov_text"), ("mp4", "mkv", "subrip")]
)
def test_text_subtitles_are_converted_with_their_times(
    before: str,
    after: str,
    kind: str,
    small_video: Path,
    colorizer: Colorizer,
    tmp_path: Path,
) -> None:
    (tmp_path / "words.srt").write_text(SUBTITLES, encoding="utf-8")
    source = with_streams(small_video, tmp_path / "film.mkv", [], tmp_path / "words.srt")
    if before == "mp4":
        colorizer.video(source, tmp_path / "source.mp4")
        source = tmp_path / "source.mp4"
    target = tmp_path / f"out.{after}"
    colorizer.video(source, target)
    with av.open(str(target)) as film:
        [stream] = film.streams.subtitles
        assert stream.codec_context.name in (kind, "srt")
        shown = [
            (round(float(packet.pts * packet.time_base), 1), bytes(packet))
            for packet in film.demux(stream)
            if packet.size > 2 and packet.pts is not None
        ]
    assert [time for time, _ in shown] == [0.0, 0.2]
    assert "Grüße".encode() in shown[0][1]
    assert b"Adieu" in shown[1][1]


@pytest.mark.parametrize(
    ("name", "fix"), [("out.mov", "--codec prores_ks"), ("out.mp4", "out.mkv")]
)
def test_a_film_too_deep_for_its_container_is_refused_with_what_can_be_done(
    name: str, fix: str, colorizer: Colorizer, make_video: MakeFilm, tmp_path: Path
) -> None:
    source = make_video(tmp_path / "deep.mkv", codec="ffv1", fmt="yuv444p16le", times=range(3))
    with pytest.raises(ArgumentError, match=fix):
        colorizer.video(source, tmp_path / name)
    assert left_in(tmp_path) == ["deep.mkv"]
