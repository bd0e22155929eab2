"""Film: a run that is stopped anywhere is gone on with, to the very frames of an unbroken run."""

import signal
import subprocess
import sys
from collections.abc import Callable
from fractions import Fraction
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from av.video.stream import VideoStream
from helpers.video import (
    IN_SEGMENTS,
    content_of,
    left_in,
    messages_of,
    packets_of,
    parts_in,
    plane_of,
    read_frames,
    stopped,
    times_of,
)

from colorize.runtime.color import F32
from colorize.runtime.colorizer import Colorizer
from colorize.runtime.engines.memory_fallback import MemoryFallback
from colorize.runtime.errors import OutputError
from colorize.runtime.video.colorize import VideoProgress
from colorize.runtime.video.muxer import Muxer
from colorize.runtime.video.options import VideoOptions


def _natural_video(
    path: Path, clip: Path, codec: str, frames: int, settings: dict[str, str] | None = None
) -> Path:
    """The first FRAMES frames of the sample film, small."""
    with av.open(str(clip)) as source, av.open(str(path), "w") as video:
        stream = video.add_stream(codec, rate=25, options=settings or {})
        assert isinstance(stream, VideoStream)
        stream.width, stream.height, stream.pix_fmt = 160, 96, "yuv420p"
        for index, frame in enumerate(islice(source.decode(video=0), frames)):
            small = frame.reformat(width=160, height=96, format="yuv420p")
            small.pts, small.time_base = index, Fraction(1, 25)
            video.mux(stream.encode(small))
        video.mux(stream.encode(None))
    return path


pytestmark = pytest.mark.usefixtures("repeating_encoders")


@pytest.mark.parametrize("frames", [16, 33, 70, 99])
def test_a_stopped_run_is_gone_on_with_to_the_same_frames(
    frames: int, clip: Path, unbroken: Path, colorizer: Colorizer, tmp_path: Path
) -> None:
    target = tmp_path / "out.mkv"
    said = stopped(colorizer, clip, target, frames)
    kept = frames // 16 * 16
    assert f"{kept} finished frames are kept" in said
    assert "run the same command again to resume" in said
    assert not target.exists()
    progress: list[VideoProgress] = []
    report = colorizer.video(clip, target, IN_SEGMENTS, progress.append)
    assert (report.frames, report.resumed) == (100, kept)
    assert [step.frames for step in progress] == list(range(kept, 101))[kept == 0 :]
    assert f"resumes after {kept} finished frames" in messages_of(report)
    assert content_of(target) == content_of(unbroken)
    assert packets_of(target, "audio") == packets_of(unbroken, "audio")
    assert left_in(tmp_path) == ["out.mkv"]


def test_segments_join_to_the_frames_that_one_encoder_gets(
    clip: Path, colorizer: Colorizer, unbroken: Path
) -> None:
    before, after = read_frames(clip), read_frames(unbroken)
    lag = times_of(after)[0] - times_of(before)[0]  # Matroska begins with the sound
    for old_time, new_time in zip(times_of(before), times_of(after), strict=True):
        assert abs(new_time - old_time - lag) <= Fraction(1, 1000)
    for old, new in zip(before, after, strict=True):
        assert np.abs(plane_of(new).astype(int) - plane_of(old)).mean() < 2


@pytest.mark.parametrize("codec", ["libx264", "libx265", "libvpx-vp9", "libsvtav1", "ffv1"])
def test_every_encoder_goes_on_to_the_same_frames(
    codec: str, clip: Path, colorizer: Colorizer, tmp_path: Path
) -> None:
    source = _natural_video(tmp_path / "film.mkv", clip, "ffv1", 41)
    options = VideoOptions(codec=codec, segment_frames=8)
    colorizer.video(source, tmp_path / "unbroken.mkv", options)
    stopped(colorizer, source, tmp_path / "out.mkv", 27, options)
    report = colorizer.video(source, tmp_path / "out.mkv", options)
    assert report.resumed == 24
    assert content_of(tmp_path / "out.mkv") == content_of(tmp_path / "unbroken.mkv")


@pytest.mark.parametrize(
    ("name", "codec", "settings"),
    [
        ("film.mp4", "libx264", {"x264-params": "bframes=3:open-gop=1:keyint=12"}),
        ("film.mkv", "libx265", {"x265-params": "log-level=error:keyint=12:open-gop=1"}),
        ("film.ts", "libx264", {}),
        ("film.avi", "mpeg4", {}),
        ("film.mpg", "mpeg2video", {}),
        ("film.webm", "libvpx-vp9", {}),
    ],
)
def test_every_kind_of_source_is_found_again_where_it_was_left(
    name: str,
    codec: str,
    settings: dict[str, str],
    clip: Path,
    colorizer: Colorizer,
    tmp_path: Path,
) -> None:
    source = _natural_video(tmp_path / name, clip, codec, 60, settings)
    colorizer.video(source, tmp_path / "unbroken.mkv", IN_SEGMENTS)
    stopped(colorizer, source, tmp_path / "out.mkv", 40)
    assert colorizer.video(source, tmp_path / "out.mkv", IN_SEGMENTS).resumed == 32
    assert content_of(tmp_path / "out.mkv") == content_of(tmp_path / "unbroken.mkv")


def test_a_seek_that_lands_elsewhere_is_noticed(
    clip: Path,
    unbroken: Path,
    colorizer: Colorizer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A film with an index that is wrong: what follows is found by reading from the start."""
    stopped(colorizer, clip, tmp_path / "out.mkv", 70)
    monkeypatch.setattr("colorize.runtime.video.reader._SEEK_BACK_SECONDS", -1)
    colorizer.video(clip, tmp_path / "out.mkv", IN_SEGMENTS)
    assert content_of(tmp_path / "out.mkv") == content_of(unbroken)


KILLED = """
import ctypes, os, signal, sys
getattr(ctypes.CDLL(None), 'mallopt', lambda *_: 0)(-6, 165)  # as films.filled_memory
from pathlib import Path
from typing import Any
from colorize.runtime.colorizer import Colorizer
from colorize.runtime.video.options import VideoOptions
from colorize.runtime.video.muxer import Muxer
from colorize.runtime.video import muxer
source, target, model, event, count = sys.argv[1:]
left = int(count)
def strike():
    global left
    left -= 1
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)
def kill(progress):
    if event == "frame":
        strike()
replace, stored = Path.replace, muxer.stored_packets
def replace_and_strike(self, other):
    if event == "before a file is whole":
        strike()
    replace(self, other)
    if event == "after a file is whole":
        strike()
Path.replace = replace_and_strike
def packets(segments):
    for packet in stored(segments):
        if event == "while joining":
            strike()
        yield packet
muxer.stored_packets = packets
with Colorizer(Path(model), backend="openvino", precision="fp32") as colorizer:
    options = VideoOptions(preset="ultrafast", segment_frames=16)
    colorizer.video(Path(source), Path(target), options, kill)
"""


@pytest.mark.parametrize(
    ("event", "count", "resumed"),
    [
        ("frame", 5, {0}),
        ("frame", 49, {0, 16, 32, 48}),  # segments are finished beside the frames that follow
        ("before a file is whole", 4, {32}),  # the first is the manifest
        ("after a file is whole", 4, {48}),
        ("while joining", 50, {100}),
        ("before a file is whole", 9, {100}),  # the film itself
    ],
)
def test_a_killed_process_is_gone_on_with(
    event: str,
    count: int,
    resumed: set[int],
    clip: Path,
    unbroken: Path,
    tiny_model: Path,
    colorizer: Colorizer,
    tmp_path: Path,
) -> None:
    target = tmp_path / "out.mkv"
    words = [clip, target, tiny_model, event, count]
    command = [sys.executable, "-c", KILLED, *(str(word) for word in words)]
    process = subprocess.run(command, capture_output=True, check=False, timeout=120)
    assert process.returncode == -signal.SIGKILL
    assert not target.exists()
    report = colorizer.video(clip, target, IN_SEGMENTS)
    assert report.resumed in resumed
    assert content_of(target) == content_of(unbroken)
    assert left_in(tmp_path) == ["out.mkv"]


def test_a_run_that_dies_while_joining_colors_nothing_again(
    clip: Path,
    unbroken: Path,
    colorizer: Colorizer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    target, write = tmp_path / "out.mkv", Muxer.write

    def fail(self: Muxer, frames: Any, most: int | None = None) -> None:
        if most is None:  # else it is the rehearsal
            raise OutputError("out.mkv: cannot write it (No space left on device)")
        write(self, frames, most)

    with monkeypatch.context() as patch:
        patch.setattr(Muxer, "write", fail)
        with pytest.raises(OutputError, match="100 finished frames are kept"):
            colorizer.video(clip, target, IN_SEGMENTS)
    assert left_in(tmp_path) == [path.name for path in parts_in(tmp_path)]
    report = colorizer.video(clip, target, IN_SEGMENTS)
    assert "network" not in report.stages
    assert content_of(target) == content_of(unbroken)


def test_the_last_line_of_a_stopped_command_says_how_to_go_on(
    clip: Path,
    colorize_run: Callable[..., "subprocess.CompletedProcess[str]"],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    infer, batches = MemoryFallback.infer, iter(range(1000))

    def interrupted(self: MemoryFallback, *given: Any) -> tuple[F32, int]:
        if next(batches) == 8:
            raise KeyboardInterrupt
        return infer(self, *given)

    short = partial(VideoOptions, segment_frames=16)
    monkeypatch.setattr("colorize.runtime.cli.VideoOptions", short)
    words = (clip, "-o", tmp_path / "out.mkv", "--preset", "ultrafast")
    with monkeypatch.context() as patch:
        patch.setattr(MemoryFallback, "infer", interrupted)
        run = colorize_run(*words)
    assert run.returncode == 130, run.stderr
    last = run.stderr.splitlines()[-1]
    assert last.startswith("colorize-run: interrupted; ")
    assert last.endswith("run the same command again to resume")
    again = colorize_run(*words)
    assert again.returncode == 0
    assert f"{clip}: resumes after " in again.stderr
    assert left_in(tmp_path) == ["out.mkv"]


def test_a_damaged_source_is_gone_on_with_to_the_same_times(
    clip: Path, colorizer: Colorizer, tmp_path: Path
) -> None:
    """What the decoder's threads fill damage with differs from run to run; times do not."""
    data = bytearray(clip.read_bytes())
    for share in (0.3, 0.7):
        begin = int(len(data) * share)
        data[begin : begin + 3000] = np.random.default_rng(0).bytes(3000)
    source = tmp_path / "film.mp4"
    source.write_bytes(data)
    colorizer.video(source, tmp_path / "unbroken.mkv", IN_SEGMENTS)
    stopped(colorizer, source, tmp_path / "out.mkv", 60)
    report = colorizer.video(source, tmp_path / "out.mkv", IN_SEGMENTS)
    assert (report.resumed, report.frames) == (48, 100)
    assert any("damage" in line for line in messages_of(report))
    before, after = (read_frames(tmp_path / name) for name in ("unbroken.mkv", "out.mkv"))
    assert times_of(after) == times_of(before)
