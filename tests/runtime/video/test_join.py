"""Film: segments are joined without encoding them again, every frame at its time."""

from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest
from helpers.video import MakeFilm, plane_of, read_frames, times_of

from colorize.runtime.colorizer import Colorizer
from colorize.runtime.video.options import VideoOptions


@pytest.mark.parametrize(
    ("name", "codec"),
    [
        ("out.mp4", "libx264"),
        ("out.mp4", "libx265"),
        ("out.mkv", "libx265"),
        ("out.mov", "libx264"),
        ("out.ts", "libx264"),
        ("out.avi", "libx264"),
        ("out.webm", "libvpx-vp9"),
        ("out.mp4", "libsvtav1"),
        ("out.mkv", "ffv1"),
    ],
)
def test_joined_segments_decode_to_every_frame_at_its_time(
    name: str, codec: str, colorizer: Colorizer, make_video: MakeFilm, tmp_path: Path
) -> None:
    uneven = [40 * index + (index * 7) % 13 for index in range(41)]
    even = list(range(0, 41 * 40, 40))
    source = make_video(tmp_path / "film.mkv", times=even if name == "out.avi" else uneven)
    options = VideoOptions(codec=codec, segment_frames=8)
    colorizer.video(source, tmp_path / name, options)
    frames = read_frames(tmp_path / name)
    assert len(frames) == 41
    assert all(frame.is_corrupt is False for frame in frames)
    before, after = times_of(read_frames(source)), times_of(frames)
    if name == "out.avi":  # it has no times, and FFmpeg gives those of decoding
        assert after == sorted(after)
    else:
        exact = Fraction(1, 90000) if name == "out.ts" else 0
        start = after[0] - before[0] if name == "out.ts" else 0
        assert all(abs(new - start - old) <= exact for old, new in zip(before, after, strict=True))
    for old, new in zip(read_frames(source), frames, strict=True):
        assert np.abs(plane_of(new).astype(int) - plane_of(old)).mean() < 6


def test_decoding_times_rise_and_never_follow_the_showing(
    colorizer: Colorizer, make_video: MakeFilm, tmp_path: Path
) -> None:
    """Uneven times and frames out of order: what players and containers ask for still holds."""
    uneven = [0, 40, 41, 170, 171, 400, 5000, 5033, 5067, 5100, 5101, 5102, 9000, 9001, 9002, 9900]
    source = make_video(tmp_path / "film.mkv", times=[*uneven, 9950])
    colorizer.video(source, tmp_path / "out.mp4", VideoOptions(segment_frames=8))
    with av.open(str(tmp_path / "out.mp4")) as video:
        packets = [packet for packet in video.demux(video=0) if packet.size]
    times = [(packet.dts, packet.pts) for packet in packets]
    assert len(times) == 17
    assert all(dts is not None and pts is not None and dts <= pts for dts, pts in times)
    decoding = [dts for dts, _ in times if dts is not None]
    assert all(later > earlier for earlier, later in pairwise(decoding))
