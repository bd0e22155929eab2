"""Film: the folder of finished segments, where disk, source or run are not what they were."""

import os
from collections.abc import Callable
from dataclasses import replace
from itertools import chain, repeat
from pathlib import Path

import numpy as np
import pytest
from helpers.video import IN_SEGMENTS, content_of, left_in, messages_of, parts_in, stopped

from colorize.runtime.colorizer import Colorizer
from colorize.runtime.errors import InputError, OutputError
from colorize.runtime.video.clock import AnyPacket
from colorize.runtime.video.colorize import VideoProgress, VideoReport
from colorize.runtime.video.options import VideoOptions, VideoSettings
from colorize.runtime.video.recorder import SegmentWriter
from colorize.runtime.video.segments import Segment
from colorize.runtime.video.work_folder import WorkFolder

pytestmark = pytest.mark.usefixtures("repeating_encoders")


def _again_with(
    change: str, clip: Path, model: Path, other: Path, source: Path, target: Path
) -> VideoReport:
    """Run again with one thing changed."""
    saturation = 0.5 if change == "saturation" else 1.0
    size = 128 if change == "working size" else None
    used = other if change == "model" else model
    options = VideoOptions(
        preset="ultrafast",
        segment_frames=16,
        crf=23 if change == "crf" else None,
        stabilize=change != "stabilize",
    )
    if change == "source":
        os.utime(source)
    with Colorizer(
        used, backend="openvino", precision="fp32", saturation=saturation, size=size
    ) as colorizer:
        return colorizer.video(source, target, options)


@pytest.mark.parametrize(
    "change", ["saturation", "working size", "crf", "stabilize", "source", "model"]
)
def test_segments_of_another_run_are_not_used_and_that_is_said(
    change: str,
    clip: Path,
    colorizer: Colorizer,
    tiny_model: Path,
    save_model: Callable[..., Path],
    tmp_path: Path,
) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    metadata = dict(colorizer.info.to_metadata()) | {"colorize.licence": "CC0"}
    other = save_model(tmp_path / "other.onnx", metadata)
    source = tmp_path / "film.mp4"
    source.write_bytes(clip.read_bytes())
    stopped(colorizer, source, folder / "out.mkv", 40)
    [earlier] = parts_in(folder)
    report = _again_with(change, clip, tiny_model, other, source, folder / "out.mkv")
    assert report.resumed == 0
    [said] = [line for line in messages_of(report) if "not used" in line]
    assert f"its {change} differed ({earlier})" in said
    assert left_in(folder) == ["out.mkv"]  # the film is whole: nobody needs the others


@pytest.mark.parametrize("name", ["00001.npz", "00001.packets", "manifest.json"])
@pytest.mark.parametrize("damage", ["cut", "gone", "flipped"])
def test_damaged_segments_are_made_again(
    name: str, damage: str, clip: Path, unbroken: Path, colorizer: Colorizer, tmp_path: Path
) -> None:
    if (name, damage) == ("00001.packets", "flipped"):
        pytest.skip("encoded frames carry no checksum; the disk has one")
    stopped(colorizer, clip, tmp_path / "out.mkv", 70)
    [folder] = parts_in(tmp_path)
    content = bytearray((folder / name).read_bytes())
    (folder / name).unlink()
    if damage == "cut":
        (folder / name).write_bytes(content[: len(content) // 2])
    elif damage == "flipped":
        content[len(content) // 2] ^= 255
        (folder / name).write_bytes(content)
    report = colorizer.video(clip, tmp_path / "out.mkv", IN_SEGMENTS)
    assert report.resumed < 64
    assert content_of(tmp_path / "out.mkv") == content_of(unbroken)


def test_two_runs_do_not_write_one_film(clip: Path, colorizer: Colorizer, tmp_path: Path) -> None:
    target = tmp_path / "out.mkv"

    def run_again(progress: VideoProgress) -> None:
        if progress.frames == 20:
            with pytest.raises(OutputError, match="another run is writing it"):
                colorizer.video(clip, target, IN_SEGMENTS)

    assert colorizer.video(clip, target, IN_SEGMENTS, run_again).frames == 100


def test_an_error_without_finished_segments_leaves_no_folder(
    clip: Path, colorizer: Colorizer, tmp_path: Path
) -> None:
    assert stopped(colorizer, clip, tmp_path / "out.mkv", 10) == ""
    assert left_in(tmp_path) == []


def test_a_signal_that_comes_before_the_first_frame_leaves_no_folder(
    clip: Path, colorizer: Colorizer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(_: Path) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(WorkFolder, "_manifest", staticmethod(interrupt))
    with pytest.raises(KeyboardInterrupt):
        colorizer.video(clip, tmp_path / "out.mkv", IN_SEGMENTS)
    assert left_in(tmp_path) == []


def test_segments_are_read_without_pickle(tmp_path: Path) -> None:
    np.savez(tmp_path / "00000.npz", end=np.array([{"a": 1}], object))
    (tmp_path / "00000.packets").touch()
    assert Segment.load(tmp_path / "00000.packets") is None


@pytest.mark.parametrize("content", [b"", b"PK", bytes(100)])
def test_damaged_records_of_segments_are_none(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "00000.npz").write_bytes(content)
    (tmp_path / "00000.packets").touch()
    assert Segment.load(tmp_path / "00000.packets") is None


def test_the_film_is_on_the_disk_before_its_segments_go(
    clip: Path, colorizer: Colorizer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flushed: list[tuple[str, int, bool]] = []

    def note(path: Path) -> None:
        segments = bool(list(path.parent.glob("*.packets")))
        flushed.append((path.name, path.stat().st_size, segments))

    monkeypatch.setattr("colorize.runtime.video.joint.flush", note)
    colorizer.video(clip, tmp_path / "out.mkv", IN_SEGMENTS)
    assert flushed == [(".joined.mkv", (tmp_path / "out.mkv").stat().st_size, True)]


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), OSError(5, "I/O error")])
def test_a_full_disk_keeps_what_is_finished(
    error: OSError,
    clip: Path,
    unbroken: Path,
    colorizer: Colorizer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stored = SegmentWriter._store
    count = iter(range(1000))

    def full(self: SegmentWriter, packet: AnyPacket) -> None:
        if next(count) > 50:
            raise error
        stored(self, packet)

    with monkeypatch.context() as patch:
        patch.setattr(SegmentWriter, "_store", full)
        with pytest.raises(OutputError) as raised:
            colorizer.video(clip, tmp_path / "out.mkv", IN_SEGMENTS)
    assert str(error.strerror) in str(raised.value)
    segment = VideoSettings(options=IN_SEGMENTS, batch=colorizer.best_batch).segment_frames
    assert f"{50 // segment * segment} finished frames are kept" in str(raised.value)
    colorizer.video(clip, tmp_path / "out.mkv", IN_SEGMENTS)
    assert content_of(tmp_path / "out.mkv") == content_of(unbroken)


def test_a_source_that_is_replaced_meanwhile_is_refused(
    clip: Path, colorizer: Colorizer, tmp_path: Path
) -> None:
    """Its sound would be another film's."""
    source, other = tmp_path / "film.mp4", tmp_path / "other.mp4"
    for path in (source, other):
        path.write_bytes(clip.read_bytes())
    os.utime(source, (1e9, 1e9))

    def swap(progress: VideoProgress) -> None:
        if progress.frames == 90:
            other.replace(source)

    with pytest.raises(InputError, match="changed while it was read; 100 finished frames are kept"):
        colorizer.video(source, tmp_path / "out.mkv", IN_SEGMENTS, on_progress=swap)
    assert not (tmp_path / "out.mkv").exists()


def test_too_little_room_to_join_is_said_before(
    clip: Path, colorizer: Colorizer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    free = iter([10**12, 1000])  # before the first frame, and after the last
    monkeypatch.setattr(
        "colorize.runtime.video.room.shutil.disk_usage",
        lambda _: type("Usage", (), {"free": next(free)}),
    )
    with pytest.raises(OutputError, match=r"only 0\.0 GB are free; make room; 100 finished"):
        colorizer.video(clip, tmp_path / "out.mkv", IN_SEGMENTS)


def test_too_little_room_for_any_film_of_this_size_is_said_before_the_first_frame(
    clip: Path, colorizer: Colorizer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = type("Usage", (), {"free": 1000})
    monkeypatch.setattr("colorize.runtime.video.room.shutil.disk_usage", lambda _: usage)
    frames = list[int]()
    with pytest.raises(OutputError, match="while it is made") as raised:
        colorizer.video(
            clip, tmp_path / "out.mkv", IN_SEGMENTS, lambda seen: frames.append(seen.frames)
        )
    assert frames == []
    assert "finished frames" not in str(raised.value)


@pytest.mark.parametrize(
    ("options", "tight"),
    [
        (IN_SEGMENTS, True),  # 100 frames of 512x288, twice, at 0.4 bits a pixel: 1.5 MB
        (replace(IN_SEGMENTS, crf=29), False),  # two times twelve steps of 6 less: a quarter
        (replace(IN_SEGMENTS, crf=5), True),
    ],
)
def test_a_disk_on_which_it_may_get_tight_is_said(
    options: VideoOptions,
    tight: bool,
    clip: Path,
    colorizer: Colorizer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    free = chain([10**6], repeat(10**12))  # before the first frame, and later
    monkeypatch.setattr(
        "colorize.runtime.video.room.shutil.disk_usage",
        lambda _: type("Usage", (), {"free": next(free)}),
    )
    trial = replace(options, duration=4.0)  # all of it, but nothing to resume
    report = colorizer.video(clip, tmp_path / "out.mkv", trial)
    said = [message for message in messages_of(report) if "GB are free" in message]
    assert len(said) == tight


def test_a_source_that_vanishes_keeps_what_is_finished(
    clip: Path, unbroken: Path, colorizer: Colorizer, tmp_path: Path
) -> None:
    source = tmp_path / "film.mp4"
    source.write_bytes(clip.read_bytes())
    os.utime(source, (1e9, 1e9))

    def vanish(progress: VideoProgress) -> None:
        if progress.frames == 90:
            source.unlink()

    with pytest.raises(InputError, match="100 finished frames are kept"):
        colorizer.video(source, tmp_path / "out.mkv", IN_SEGMENTS, vanish)
    source.write_bytes(clip.read_bytes())
    os.utime(source, (1e9, 1e9))
    assert colorizer.video(source, tmp_path / "out.mkv", IN_SEGMENTS).resumed == 100
    assert content_of(tmp_path / "out.mkv") == content_of(unbroken)
