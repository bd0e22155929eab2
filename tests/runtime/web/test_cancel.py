"""`Colorizer.video(cancel=...)` ends as Ctrl-C does: nothing half-written, segments kept."""

import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import av
import pytest
from helpers.video import IN_SEGMENTS, content_of, left_in, parts_in

from colorize.runtime.colorizer import Colorizer
from colorize.runtime.video import sequence
from colorize.runtime.video.clock import AnyPacket
from colorize.runtime.video.colorize import VideoProgress
from colorize.runtime.video.frames import FrameLayout
from colorize.runtime.video.muxer import Muxer
from colorize.runtime.video.prefetch import prefetch
from colorize.runtime.video.segments import Segment


def _canceled_at(
    frames: int, colorizer: Colorizer, source: Path, target: Path
) -> KeyboardInterrupt:
    """Cancel from another thread after FRAMES frames and return what the call raises."""
    cancel = threading.Event()

    def progress(now: VideoProgress) -> None:
        if now.frames == frames:
            other = threading.Thread(target=cancel.set)
            other.start()
            other.join()

    with pytest.raises(KeyboardInterrupt) as raised:
        colorizer.video(source, target, IN_SEGMENTS, progress, cancel=cancel)
    return raised.value


def test_cancel_keeps_segments_and_the_same_call_goes_on(
    colorizer: Colorizer, clip: Path, tmp_path: Path, unbroken: Path
) -> None:
    target = tmp_path / "out.mkv"
    error = _canceled_at(40, colorizer, clip, target)
    assert "32 finished frames are kept in" in str(error)
    assert not target.exists()
    assert parts_in(tmp_path)
    report = colorizer.video(clip, target, IN_SEGMENTS, cancel=threading.Event())
    assert (report.frames, report.resumed) == (100, 32)
    assert content_of(target) == content_of(unbroken)
    assert left_in(tmp_path) == ["out.mkv"]


def test_cancel_while_the_film_is_joined_leaves_no_target(
    colorizer: Colorizer, clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target, cancel, film = tmp_path / "out.mkv", threading.Event(), Muxer.film

    def canceled(muxer: Muxer, segments: Sequence[Segment]) -> Iterator[AnyPacket]:
        for packet in film(muxer, segments):
            yield packet
            cancel.set()

    monkeypatch.setattr(Muxer, "film", canceled)
    with pytest.raises(KeyboardInterrupt, match="100 finished frames are kept in"):
        colorizer.video(clip, target, IN_SEGMENTS, cancel=cancel)
    assert not target.exists()
    [parts] = parts_in(tmp_path)
    assert not list(parts.glob(".joined*"))
    monkeypatch.undo()
    report = colorizer.video(clip, target, IN_SEGMENTS)
    assert (report.frames, report.resumed) == (100, 100)


def test_cancel_before_the_first_frame_leaves_nothing(
    colorizer: Colorizer, small_video: Path, tmp_path: Path
) -> None:
    cancel, seen = threading.Event(), list[VideoProgress]()
    cancel.set()
    with pytest.raises(KeyboardInterrupt):
        colorizer.video(small_video, tmp_path / "out.mp4", None, seen.append, cancel=cancel)
    assert seen == []
    assert left_in(tmp_path) == []


def test_numbered_frames_appear_all_or_none(
    colorizer: Colorizer, small_video: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cancel, save = threading.Event(), sequence._save

    def canceled(frame: av.VideoFrame, layout: FrameLayout, path: Path) -> None:
        save(frame, layout, path)
        cancel.set()

    monkeypatch.setattr(sequence, "_save", canceled)
    with pytest.raises(KeyboardInterrupt, match="10 finished frames"):
        colorizer.video(small_video, tmp_path / "f_%03d.png", cancel=cancel)
    assert not list(tmp_path.glob("f_*.png"))
    monkeypatch.undo()
    assert colorizer.video(small_video, tmp_path / "f_%03d.png").resumed == 10
    assert len(list(tmp_path.glob("f_*.png"))) == 10


def test_waiting_ends_where_the_check_raises() -> None:
    asked, never = threading.Event(), threading.Event()
    canceled = threading.Event()

    def items() -> Iterator[int]:
        yield 1
        asked.set()
        canceled.set()
        never.wait(60)

    def check() -> None:
        if canceled.is_set():
            never.set()  # so that the thread can be joined
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(prefetch(items(), 1, check))
    assert asked.is_set()
