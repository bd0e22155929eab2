"""Film: a run that is stopped anywhere is gone on with, to the very frames of an unbroken run."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from fractions import Fraction
from functools import partial
from itertools import islice, pairwise
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from av.video.stream import VideoStream
from films import MakeFilm, left_in, packets_of, plane_of, read_frames, times_of

from colorize.runtime.color import F32, U8
from colorize.runtime.colorizer import Colorizer
from colorize.runtime.errors import InputError, OutputError
from colorize.runtime.film_reader import AnyPacket
from colorize.runtime.film_writer import FilmOptions, FilmWriter
from colorize.runtime.recorder import SegmentWriter
from colorize.runtime.segments import Segment
from colorize.runtime.video import FilmReport, Progress

OPTIONS = FilmOptions(preset="ultrafast", segment_frames=16)
Planes = list[bytes]


def _content(film: Path) -> list[tuple[Fraction, Planes]]:
    frames = read_frames(film)
    planes = [[plane_of(frame, index).tobytes() for index in range(3)] for frame in frames]
    return list(zip(times_of(frames), planes, strict=True))


def _stop_at(frames: int, error: type[BaseException] = KeyboardInterrupt) -> Callable[..., None]:
    def stop(progress: Progress) -> None:
        if progress.frames == frames:
            raise error

    return stop


def _stopped(
    colorizer: Colorizer,
    source: Path,
    target: Path,
    frames: int,
    options: FilmOptions = OPTIONS,
) -> str:
    """Stop a run after FRAMES frames and return what it says."""
    with pytest.raises(KeyboardInterrupt) as raised:
        colorizer.video(source, target, options, _stop_at(frames))
    return str(raised.value)


def _parts(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.suffix == ".parts")


def _natural_film(
    path: Path, clip: Path, codec: str, frames: int, settings: dict[str, str] | None = None
) -> Path:
    """The first FRAMES frames of the sample film, small.

    Of artificial stripes x264 and x265 make other frames in each run: their lookahead reads memory
    that nobody wrote, which decides where costs are equal.
    """
    with av.open(str(clip)) as source, av.open(str(path), "w") as film:
        stream = film.add_stream(codec, rate=25, options=settings or {})
        assert isinstance(stream, VideoStream)
        stream.width, stream.height, stream.pix_fmt = 160, 96, "yuv420p"
        for index, frame in enumerate(islice(source.decode(video=0), frames)):
            small = frame.reformat(width=160, height=96, format="yuv420p")
            small.pts, small.time_base = index, Fraction(1, 25)
            film.mux(stream.encode(small))
        film.mux(stream.encode(None))
    return path


@pytest.fixture(scope="module")
def unbroken(clip: Path, colorizer: Colorizer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sample film in colour, in segments, without a break."""
    target = tmp_path_factory.mktemp("unbroken") / "out.mkv"
    colorizer.video(clip, target, OPTIONS)
    return target


@pytest.mark.parametrize("frames", [16, 33, 70, 99])
def test_a_stopped_run_is_gone_on_with_to_the_same_frames(
    frames: int, clip: Path, unbroken: Path, colorizer: Colorizer, tmp_path: Path
) -> None:
    target = tmp_path / "out.mkv"
    said = _stopped(colorizer, clip, target, frames)
    kept = frames // 16 * 16
    assert f"{kept} finished frames are kept" in said
    assert "run the same command again to go on" in said
    assert not target.exists()
    progress: list[Progress] = []
    report = colorizer.video(clip, target, OPTIONS, progress.append)
    assert (report.frames, report.resumed) == (100, kept)
    assert [step.frames for step in progress] == list(range(kept + 1, 101))
    assert f"goes on after {kept} finished frames" in report.remarks
    assert _content(target) == _content(unbroken)
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
    name: str, codec: str, colorizer: Colorizer, make_film: MakeFilm, tmp_path: Path
) -> None:
    uneven = [40 * index + (index * 7) % 13 for index in range(41)]
    even = list(range(0, 41 * 40, 40))
    source = make_film(tmp_path / "film.mkv", times=even if name == "out.avi" else uneven)
    options = FilmOptions(codec=codec, segment_frames=8)
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


@pytest.mark.parametrize("codec", ["libx264", "libx265", "libvpx-vp9", "libsvtav1", "ffv1"])
def test_every_encoder_goes_on_to_the_same_frames(
    codec: str, clip: Path, colorizer: Colorizer, tmp_path: Path
) -> None:
    source = _natural_film(tmp_path / "film.mkv", clip, "ffv1", 41)
    options = FilmOptions(codec=codec, segment_frames=8)
    colorizer.video(source, tmp_path / "unbroken.mkv", options)
    _stopped(colorizer, source, tmp_path / "out.mkv", 27, options)
    report = colorizer.video(source, tmp_path / "out.mkv", options)
    assert report.resumed == 24
    assert _content(tmp_path / "out.mkv") == _content(tmp_path / "unbroken.mkv")


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
    source = _natural_film(tmp_path / name, clip, codec, 60, settings)
    colorizer.video(source, tmp_path / "unbroken.mkv", OPTIONS)
    _stopped(colorizer, source, tmp_path / "out.mkv", 40)
    assert colorizer.video(source, tmp_path / "out.mkv", OPTIONS).resumed == 32
    assert _content(tmp_path / "out.mkv") == _content(tmp_path / "unbroken.mkv")


def test_a_seek_that_lands_elsewhere_is_noticed(
    clip: Path,
    unbroken: Path,
    colorizer: Colorizer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A film with an index that is wrong: what follows is found by reading from the start."""
    _stopped(colorizer, clip, tmp_path / "out.mkv", 70)
    monkeypatch.setattr("colorize.runtime.film_reader._SEEK_BACK_SECONDS", -1)
    colorizer.video(clip, tmp_path / "out.mkv", OPTIONS)
    assert _content(tmp_path / "out.mkv") == _content(unbroken)


KILLED = """
import os, signal, sys
from pathlib import Path
from typing import Any
from colorize.runtime.color import F32, U8
from colorize.runtime.colorizer import Colorizer
from colorize.runtime.film_reader import AnyPacket
from colorize.runtime.film_writer import FilmOptions, FilmWriter
from colorize.runtime import film_writer
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
replace, stored = Path.replace, film_writer.stored_packets
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
film_writer.stored_packets = packets
with Colorizer(Path(model), backend="openvino", precision="fp32") as colorizer:
    options = FilmOptions(preset="ultrafast", segment_frames=16)
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
    report = colorizer.video(clip, target, OPTIONS)
    assert report.resumed in resumed
    assert _content(target) == _content(unbroken)
    assert left_in(tmp_path) == ["out.mkv"]


def test_a_run_that_dies_while_joining_colours_nothing_again(
    clip: Path,
    unbroken: Path,
    colorizer: Colorizer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    target = tmp_path / "out.mkv"

    def fail(*_: object) -> None:
        raise OutputError("out.mkv: cannot write it (No space left on device)")

    with monkeypatch.context() as patch:
        patch.setattr(FilmWriter, "write", fail)
        with pytest.raises(OutputError, match="100 finished frames are kept"):
            colorizer.video(clip, target, OPTIONS)
    assert left_in(tmp_path) == [path.name for path in _parts(tmp_path)]
    report = colorizer.video(clip, target, OPTIONS)
    assert "network" not in report.stages
    assert _content(target) == _content(unbroken)


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
            colorizer.video(clip, tmp_path / "out.mkv", OPTIONS)
    assert str(error.strerror) in str(raised.value)
    assert "48 finished frames are kept" in str(raised.value)
    colorizer.video(clip, tmp_path / "out.mkv", OPTIONS)
    assert _content(tmp_path / "out.mkv") == _content(unbroken)


def test_too_little_room_to_join_is_said_before(
    clip: Path, colorizer: Colorizer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = type("Usage", (), {"free": 1000})
    monkeypatch.setattr("colorize.runtime.recorder.shutil.disk_usage", lambda _: usage)
    with pytest.raises(OutputError, match=r"only 0\.0 GB are free; make room; 100 finished"):
        colorizer.video(clip, tmp_path / "out.mkv", OPTIONS)


def test_a_source_that_vanishes_keeps_what_is_finished(
    clip: Path, unbroken: Path, colorizer: Colorizer, tmp_path: Path
) -> None:
    source = tmp_path / "film.mp4"
    source.write_bytes(clip.read_bytes())
    os.utime(source, (1e9, 1e9))

    def vanish(progress: Progress) -> None:
        if progress.frames == 90:
            source.unlink()

    with pytest.raises(InputError, match="100 finished frames are kept"):
        colorizer.video(source, tmp_path / "out.mkv", OPTIONS, vanish)
    source.write_bytes(clip.read_bytes())
    os.utime(source, (1e9, 1e9))
    assert colorizer.video(source, tmp_path / "out.mkv", OPTIONS).resumed == 100
    assert _content(tmp_path / "out.mkv") == _content(unbroken)


def _again_with(
    change: str, clip: Path, model: Path, other: Path, source: Path, target: Path
) -> FilmReport:
    """Run again with one thing changed."""
    saturation = 0.5 if change == "saturation" else 1.0
    size = 128 if change == "working size" else None
    used = other if change == "model" else model
    options = FilmOptions(
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
    _stopped(colorizer, source, folder / "out.mkv", 40)
    [earlier] = _parts(folder)
    report = _again_with(change, clip, tiny_model, other, source, folder / "out.mkv")
    assert report.resumed == 0
    [said] = [line for line in report.remarks if "not used" in line]
    assert f"its {change} differed ({earlier})" in said
    assert left_in(folder) == ["out.mkv"]  # the film is whole: nobody needs the others


@pytest.mark.parametrize("name", ["00001.npz", "00001.packets", "manifest.json"])
@pytest.mark.parametrize("damage", ["cut", "gone", "flipped"])
def test_damaged_segments_are_made_again(
    name: str, damage: str, clip: Path, unbroken: Path, colorizer: Colorizer, tmp_path: Path
) -> None:
    if (name, damage) == ("00001.packets", "flipped"):
        pytest.skip("encoded frames carry no checksum; the disk has one")
    _stopped(colorizer, clip, tmp_path / "out.mkv", 70)
    [folder] = _parts(tmp_path)
    content = bytearray((folder / name).read_bytes())
    (folder / name).unlink()
    if damage == "cut":
        (folder / name).write_bytes(content[: len(content) // 2])
    elif damage == "flipped":
        content[len(content) // 2] ^= 255
        (folder / name).write_bytes(content)
    report = colorizer.video(clip, tmp_path / "out.mkv", OPTIONS)
    assert report.resumed < 64
    assert _content(tmp_path / "out.mkv") == _content(unbroken)


def test_two_runs_do_not_write_one_film(clip: Path, colorizer: Colorizer, tmp_path: Path) -> None:
    target = tmp_path / "out.mkv"

    def run_again(progress: Progress) -> None:
        if progress.frames == 20:
            with pytest.raises(OutputError, match="another run is writing it"):
                colorizer.video(clip, target, OPTIONS)

    assert colorizer.video(clip, target, OPTIONS, run_again).frames == 100


def test_decoding_times_rise_and_never_follow_the_showing(
    colorizer: Colorizer, make_film: MakeFilm, tmp_path: Path
) -> None:
    """Uneven times and frames out of order: what players and containers ask for still holds."""
    uneven = [0, 40, 41, 170, 171, 400, 5000, 5033, 5067, 5100, 5101, 5102, 9000, 9001, 9002, 9900]
    source = make_film(tmp_path / "film.mkv", times=[*uneven, 9950])
    colorizer.video(source, tmp_path / "out.mp4", FilmOptions(segment_frames=8))
    with av.open(str(tmp_path / "out.mp4")) as film:
        packets = [packet for packet in film.demux(video=0) if packet.size]
    times = [(packet.dts, packet.pts) for packet in packets]
    assert len(times) == 17
    assert all(dts is not None and pts is not None and dts <= pts for dts, pts in times)
    decoding = [dts for dts, _ in times if dts is not None]
    assert all(later > earlier for earlier, later in pairwise(decoding))


def test_an_error_without_finished_segments_leaves_no_folder(
    clip: Path, colorizer: Colorizer, tmp_path: Path
) -> None:
    assert _stopped(colorizer, clip, tmp_path / "out.mkv", 10) == ""
    assert left_in(tmp_path) == []


def test_segments_are_read_without_pickle(tmp_path: Path) -> None:
    np.savez(tmp_path / "00000.npz", end=np.array([{"a": 1}], object))
    (tmp_path / "00000.packets").touch()
    assert Segment.load(tmp_path / "00000.packets") is None


def test_the_last_line_of_a_stopped_command_says_how_to_go_on(
    clip: Path,
    colorize_run: Callable[..., "subprocess.CompletedProcess[str]"],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    chroma, batches = Colorizer.chroma, iter(range(1000))

    def interrupted(self: Colorizer, greys: Sequence[U8], **rest: Any) -> list[tuple[F32, F32]]:
        if next(batches) == 8:
            raise KeyboardInterrupt
        return chroma(self, greys, **rest)

    short = partial(FilmOptions, segment_frames=16)
    monkeypatch.setattr("colorize.runtime.film_writer.FilmOptions", short)
    words = (clip, "-o", tmp_path / "out.mkv", "--preset", "ultrafast")
    with monkeypatch.context() as patch:
        patch.setattr(Colorizer, "chroma", interrupted)
        run = colorize_run(*words)
    assert run.returncode == 130, run.stderr
    last = run.stderr.splitlines()[-1]
    assert last.startswith("colorize-run: interrupted; ")
    assert last.endswith("run the same command again to go on")
    again = colorize_run(*words)
    assert again.returncode == 0
    assert f"{clip}: goes on after " in again.stderr
    assert left_in(tmp_path) == ["out.mkv"]


def test_a_damaged_source_is_gone_on_with_to_the_same_frames(
    clip: Path, colorizer: Colorizer, tmp_path: Path
) -> None:
    """Behind damage nothing is found by seeking: what the decoder fills depends on all before."""
    data = bytearray(clip.read_bytes())
    for share in (0.3, 0.7):
        begin = int(len(data) * share)
        data[begin : begin + 3000] = np.random.default_rng(0).bytes(3000)
    source = tmp_path / "film.mp4"
    source.write_bytes(data)
    whole = colorizer.video(source, tmp_path / "unbroken.mkv", OPTIONS)
    _stopped(colorizer, source, tmp_path / "out.mkv", 60)
    report = colorizer.video(source, tmp_path / "out.mkv", OPTIONS)
    assert report.resumed == 48
    assert [line for line in report.remarks if "goes on" not in line] == whole.remarks
    assert _content(tmp_path / "out.mkv") == _content(tmp_path / "unbroken.mkv")
