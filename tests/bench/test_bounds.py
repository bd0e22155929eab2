"""The bounds of colorize-run: what is compared is the same work, and the ratios are theirs."""

import json
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest
from helpers.commands import Finished
from rich.console import Console

from colorize.bench.bounds import __main__ as bounds
from colorize.bench.bounds.clips import make_clip
from colorize.bench.bounds.cold_start import ColdStart
from colorize.bench.bounds.frame_by_frame import colorize_frame_by_frame
from colorize.bench.bounds.hinted import HintedPhoto, measure_hinted
from colorize.bench.bounds.video_speed import (
    COLORIZE_RUN,
    NETWORK,
    TRANSCODE,
    TRANSCODE_SOURCE,
    VideoSpeed,
    infer_all,
    working_lightness,
)
from colorize.bench.speed import cost as costs
from colorize.bench.speed.cost import Cost, cost_of
from colorize.bench.video.transcode import transcode
from colorize.runtime.color import F32, U8, rgb_to_lab
from colorize.runtime.colorizer import Colorizer
from colorize.runtime.errors import InputError
from colorize.runtime.models.catalog import SAMPLES
from colorize.runtime.photo.reader import read_photo
from colorize.runtime.video.options import VideoOptions


def pictures(path: Path) -> list[U8]:
    """Every frame as RGB."""
    with av.open(str(path)) as video:
        return [f.to_ndarray(format="rgb24").astype(np.uint8) for f in video.decode(video=0)]


def sound(path: Path) -> list[bytes]:
    """Every packet of sound."""
    with av.open(str(path)) as video:
        return [bytes(packet) for packet in video.demux(audio=0) if packet.size]


def psnr(one: U8, two: U8) -> float:
    error = np.mean((one.astype(np.float64) - two.astype(np.float64)) ** 2)
    return float(10 * np.log10(255**2 / error))


def video_speed(wall: list[float]) -> VideoSpeed:
    """A film whose repeats took WALL seconds, 3 of transcoding and 1 of the network."""
    costs = {
        COLORIZE_RUN: tuple(Cost(seconds, 2 * seconds, 0.0) for seconds in wall),
        TRANSCODE: (Cost(3, 6, 0.0),) * len(wall),
        TRANSCODE_SOURCE: (Cost(1, 2, 0.0),) * len(wall),
        NETWORK: (Cost(1, 1, 0.0),) * len(wall),
    }
    stages = ({"decode": 1.0},) * len(wall)
    return VideoSpeed(
        video="film",
        width=64,
        height=48,
        frames=10,
        engine="engine",
        costs=costs,
        megabytes={COLORIZE_RUN: 1.0},
        stages=stages,
    )


@pytest.fixture(scope="module")
def little(clip: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The clip's first 20 frames, 256x144."""
    return make_clip(clip, tmp_path_factory.mktemp("little") / "little.mp4", 144, 20)


def test_a_ratio_is_taken_repeat_by_repeat() -> None:
    """4, 5 and 3.6 seconds over 3 + 1; of processor seconds 8, 10 and 7.2 over 6 + 1."""
    speed = video_speed([4, 5, 3.6])
    assert speed.ratios(lambda cost: cost.wall) == pytest.approx([1.0, 1.25, 0.9])
    assert speed.ratios(lambda cost: cost.cpu) == pytest.approx([8 / 7, 10 / 7, 7.2 / 7])
    ratio = bounds.Ratio.of("wall", [1.0, 1.25, 0.9])
    assert (ratio.value, ratio.least, ratio.most) == (1.0, 0.9, 1.25)


def test_cost_counts_the_work_and_not_what_was_before(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 4 cores, in 2 seconds: 3 processor seconds our own, 4 of others."""
    clocks = {"wall": 100.0, "own": 10.0, "busy": 50.0}

    def work() -> None:
        for name, seconds in (("wall", 2.0), ("own", 3.0), ("busy", 7.0)):
            clocks[name] += seconds

    monkeypatch.setattr("time.perf_counter", lambda: clocks["wall"])
    monkeypatch.setattr(costs, "_own_seconds", lambda: clocks["own"])
    monkeypatch.setattr(costs, "_busy_seconds", lambda: clocks["busy"])
    monkeypatch.setattr("os.cpu_count", lambda: 4)
    assert cost_of(work) == Cost(wall=2.0, cpu=3.0, others=0.5)
    monkeypatch.setattr(costs, "_busy_seconds", lambda: None)
    assert cost_of(work) == Cost(wall=2.0, cpu=3.0, others=None)


def test_own_seconds_are_those_of_the_processor() -> None:
    before = costs._own_seconds()
    sum(range(3_000_000))
    assert costs._own_seconds() > before


def test_ratios_of_starts_and_of_memory_are_the_right_way_round() -> None:
    whole, floor = (tuple(Cost(s, s, 0.0) for s in each) for each in ((3, 4, 5), (2, 2, 2)))
    start = bounds.show_start(ColdStart(whole, floor), Console(quiet=True))
    assert (start.value, start.least, start.most) == (2.0, 1.5, 2.5)
    [memory] = bounds._memory_ratio({3000: 300.0, 300: 200.0}, Console(quiet=True))
    assert memory.value == 1.5
    assert memory.beyond()


def test_hints_are_measured_over_the_same_photograph_without() -> None:
    second, longer = (Cost(1.0, 2.0, 0.0),) * 2, (Cost(1.2, 2.0, 0.0), Cost(1.6, 2.0, 0.0))
    photo = HintedPhoto(
        64, 48, command=second, command_hinted=longer, loaded=longer, loaded_hinted=second
    )
    command, loaded = bounds.show_hinted(photo, Console(quiet=True))
    assert command.value == pytest.approx(1.4)
    assert command.beyond()
    assert loaded.value == pytest.approx((1 / 1.2 + 1 / 1.6) / 2)
    assert loaded.bound is None


@pytest.mark.slow
def test_the_hinted_photograph_has_its_hints(tiny_model: Path, tmp_path: Path) -> None:
    photo = SAMPLES / "test" / "tulips.jpg"
    [measured] = measure_hinted(tiny_model, photo, tmp_path, [(64, 48)], 1)
    with Colorizer(tiny_model, on_notice=lambda _: None) as colorizer:
        plain = colorizer.photo(read_photo(tmp_path / "64x48.jpg")).rgb
    assert len(measured.command) == len(measured.loaded_hinted) == 1
    x, y = round(0.69 * 64), round(0.48 * 48)
    wanted = rgb_to_lab(np.array([0xE8, 0xA0, 0xB4], np.uint8))[1:]
    for name in ("command.jpg", "loaded.jpg"):  # of the last run, which has hints
        after = read_photo(tmp_path / name).rgb
        far, near = (rgb_to_lab(picture)[y, x, 1:] - wanted for picture in (plain, after))
        assert np.linalg.norm(near) < np.linalg.norm(far) / 2


def test_transcoding_keeps_the_film_and_its_sound(clip: Path, tmp_path: Path) -> None:
    target = tmp_path / "again.mp4"
    assert transcode(clip, target, VideoOptions(preset="ultrafast")) == 100
    before, after = pictures(clip), pictures(target)
    assert len(after) == len(before) == 100
    assert min(psnr(*pair) for pair in zip(before, after, strict=True)) > 30
    assert sound(target) == sound(clip)


def test_transcoding_takes_the_settings_it_is_given(clip: Path, tmp_path: Path) -> None:
    rough, fine = tmp_path / "rough.mp4", tmp_path / "fine.mp4"
    transcode(clip, rough, VideoOptions(preset="ultrafast", crf=40))
    transcode(clip, fine, VideoOptions(preset="ultrafast", crf=20))
    assert rough.stat().st_size < fine.stat().st_size / 2


def test_a_clip_is_scaled_cut_and_repeated(clip: Path, tmp_path: Path) -> None:
    short = pictures(make_clip(clip, tmp_path / "short.mp4", 144, 7))
    assert {picture.shape for picture in short} == {(144, 256, 3)}
    assert len(short) == 7
    long = pictures(make_clip(clip, tmp_path / "long.mp4", 144, 105))
    assert len(long) == 105
    for again, first in zip(long[100:], long[:5], strict=True):
        assert psnr(again, first) > 30
    assert psnr(long[100], long[50]) < 25
    odd = pictures(make_clip(clip, tmp_path / "odd.mp4", 145, 1))
    assert odd[0].shape == (144, 256, 3)


def test_a_clip_of_no_frames_is_refused(tmp_path: Path) -> None:
    source = tmp_path / "none.y4m"
    source.write_bytes(b"YUV4MPEG2 W64 H48 F25:1 C420jpeg\n")
    with pytest.raises(InputError, match="not one frame"):
        make_clip(source, tmp_path / "out.mp4", 48, 3)


def test_the_network_alone_sees_what_colorize_run_shows_it(
    colorizer: Colorizer, little: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    seen: list[F32] = []
    infer = colorizer.engine.infer

    def spy(lightness: F32, hints: F32 | None = None) -> F32:
        seen.append(lightness.copy())
        return infer(lightness, hints)

    monkeypatch.setattr(colorizer.engine, "infer", spy)
    colorizer.video(little, tmp_path / "colored.mp4", VideoOptions(preset="ultrafast"))
    shown = [picture for batch in seen for picture in batch]
    seen.clear()
    infer_all(colorizer, working_lightness(colorizer, little))
    alone = [picture for batch in seen for picture in batch]
    assert len(alone) == 20
    np.testing.assert_array_equal(np.stack(shown), np.stack(alone))


def test_frame_by_frame_colors_every_frame(
    colorizer: Colorizer, little: Path, tmp_path: Path
) -> None:
    target = tmp_path / "plain.mp4"
    assert colorize_frame_by_frame(colorizer.engine, colorizer, little, target) == 20
    ours = tmp_path / "ours.mp4"
    colorizer.video(little, ours, VideoOptions(stabilize=False, crf=10))
    for plain, good in zip(pictures(target)[::5], pictures(ours)[::5], strict=True):
        assert psnr(plain, good) > 24  # the same colors, up to its clipping and its codec


@pytest.mark.parametrize(("seconds", "code", "said"), [(4.4, 0, "within"), (5.0, 1, "BEYOND")])
def test_a_film_beyond_its_bound_fails_the_command(
    seconds: float,
    code: int,
    said: str,
    in_process: Callable[..., Finished],
    monkeypatch: pytest.MonkeyPatch,
    small_video: Path,
    tmp_path: Path,
) -> None:
    """Processor seconds, 8.8 over 7 in the first case, have no bound."""
    monkeypatch.setattr(bounds, "measure_video_speed", lambda *_, **__: video_speed([seconds]))
    done = in_process(
        bounds.main, small_video, "--only", "video", "--height", 48, "-o", tmp_path / "b.json"
    )
    assert done.returncode == code, done.stderr
    assert said in done.stdout.splitlines()[0]


@pytest.mark.slow
def test_every_bound_is_measured(
    in_process: Callable[..., Finished],
    monkeypatch: pytest.MonkeyPatch,
    tiny_model: Path,
    clip: Path,
    tmp_path: Path,
) -> None:
    monkeypatch.setattr(bounds, "_PHOTO_SIZES", ((64, 48),))
    words = ["--model", tiny_model, "--height", 64, "--frames", 12, "--repeats", 2]
    words += ["--memory-frames", 5, 20, "--preset", "ultrafast", "-o", tmp_path / "bounds.json"]
    done = in_process(bounds.main, clip, *words)
    assert done.returncode in (0, 1), done.stderr
    document = json.loads((tmp_path / "bounds.json").read_text())
    [video] = document["videos"]
    assert (video["height"], video["frames"]) == (64, 12)
    # The tiny model has no checkpoint, so no torch row.
    assert len(video["costs"]) == 5
    assert all(len(costs) == 2 for costs in video["costs"].values())
    assert set(video["megabytes"]) == set(video["costs"]) - {NETWORK}
    assert set(video["stages"][0]) >= {"decode", "network", "encode"}
    assert len(document["start"]["whole"]) == len(document["start"]["floor"]) == 2
    short, long = document["memory_mb"].values()
    assert 50 < short < 2000
    assert 50 < long < 2000
    assert [(photo["width"], photo["height"]) for photo in document["hinted"]] == [(64, 48)]
    assert all(len(photo["command_hinted"]) == 6 for photo in document["hinted"])
    assert len(document["bounds"]) == 7
