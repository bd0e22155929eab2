"""Out of memory: less is tried, every time with a line; and threads that share a Colorizer."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from helpers.video import IN_SEGMENTS, stopped

from colorize.runtime.color import F32, U8
from colorize.runtime.colorizer import Colorizer
from colorize.runtime.errors import OutOfMemoryError
from colorize.runtime.models.contract import ModelInfo
from colorize.runtime.notices import Notice
from colorize.runtime.resize import shrink_hints
from colorize.runtime.steering.hints import Hints
from colorize.runtime.video.options import VideoOptions

FFV1 = VideoOptions(codec="ffv1", stabilize=False)
OUT = "out of memory"


class Tight:
    """Lets an engine raise above LIMIT pixels in one call, from call number AFTER on."""

    def __init__(self, colorizer: Colorizer, limit: int, after: int = 0) -> None:
        self.shapes: list[tuple[int, ...]] = []  # that were computed
        self.limit, self.after, self.calls = limit, after, 0
        self._real = colorizer.engine._compute
        colorizer.engine._compute = self  # type: ignore[method-assign]

    def __call__(self, lightness: F32, *hints: F32) -> F32:
        self.calls += 1
        if lightness.size > self.limit and self.calls > self.after:
            raise OutOfMemoryError("the engine's own words")
        self.shapes.append(lightness.shape)
        return self._real(lightness, *hints)


@pytest.fixture
def open_noted(tiny_model: Path) -> Callable[..., tuple[Colorizer, list[str]]]:
    """`open_noted()` returns a Colorizer in float32 and the notes that it will give."""

    def open_colorizer(**options: Any) -> tuple[Colorizer, list[str]]:
        notes: list[str] = []

        def note(notice: Notice) -> None:
            if notice.topic == "memory":
                assert notice.severity == "warning"
                notes.append(str(notice))

        options = {"backend": "openvino", "precision": "fp32", "on_notice": note, **options}
        return Colorizer(options.pop("model", tiny_model), **options), notes

    return open_colorizer


Open = Callable[..., tuple[Colorizer, list[str]]]


def _grays(count: int, height: int = 96, width: int = 144) -> list[U8]:
    values = np.random.default_rng(0).integers(0, 256, (count, height, width), np.uint8)
    return list(values)


def test_enough_memory_is_not_remarked(open_noted: Open) -> None:
    colorizer, notes = open_noted()
    tight = Tight(colorizer, 10**9)
    colorizer.chroma(_grays(19))
    assert [shape[0] for shape in tight.shapes] == [8, 8, 3]  # the last batch is a partial one
    assert notes == []


def test_a_batch_that_does_not_fit_is_halved_and_changes_no_color(open_noted: Open) -> None:
    colorizer, notes = open_noted()
    expected = colorizer.chroma(_grays(11))
    tight = Tight(colorizer, 64 * 96 * 3)
    answers = colorizer.chroma(_grays(11))
    assert [shape[0] for shape in tight.shapes] == [2, 2, 2, 2, 2, 1]
    for (_, ab), (_, truth) in zip(answers, expected, strict=True):
        np.testing.assert_allclose(ab, truth, atol=1e-4)
    assert [note.count("pictures at once") for note in notes] == [1, 1]
    assert "with 8 pictures at once; continuing with 4" in notes[0]
    colorizer.chroma(_grays(4))
    assert len(notes) == 2  # it stays at 2, and says so once
    assert [shape[0] for shape in tight.shapes[6:]] == [2, 2]


def test_hints_shrink_with_the_pictures_that_do_not_fit(
    open_noted: Open, tiny_hint_model: Path
) -> None:
    colorizer, notes = open_noted(model=tiny_hint_model)
    grays = np.full((3, 64, 96), 128, np.uint8)
    hints = np.zeros((3, 3, 64, 96), np.float32)
    for picture in range(3):
        hints[picture, :, 10:20, 20:40] = np.array([30, -20 * picture, 1])[:, None, None]
    fallback = colorizer._fallback
    about = Notice("pictures", topic="memory", severity="warning")

    def infer() -> tuple[F32, int]:
        return fallback.infer(grays, 0, about, lambda notice: notes.append(str(notice)), hints)

    exact, _ = infer()
    assert np.ptp(exact[..., 0]) == pytest.approx(30, abs=1e-3)
    tight = Tight(colorizer, 2 * 64 * 96)
    batched, halvings = infer()
    assert ([shape[0] for shape in tight.shapes], halvings) == ([1, 1, 1], 0)
    np.testing.assert_allclose(batched, exact, atol=1e-4)
    Tight(colorizer, 32 * 48)
    coarse, halvings = infer()
    assert halvings == 1
    assert "colored at 32" in notes[-1]
    assert np.abs(coarse - exact)[:, 12:18, 22:38].max() < 1e-3  # inside: the same color
    assert np.abs(coarse - exact)[:, 24:].max() < 1e-3  # away from it: none


def test_notices_count_the_pictures_that_had_no_room(
    open_noted: Open, tiny_hint_model: Path
) -> None:
    """Of two pictures one has hints: each is computed by itself."""
    colorizer, notes = open_noted(model=tiny_hint_model)
    Tight(colorizer, 40 * 40)
    grays = [np.full((64, 96), 128, np.uint8)] * 2
    colorizer.answers(grays, [Hints.points([(48, 32, "#a05050", 9)]), None])
    assert len(notes) == 3  # two of the one with hints
    assert all(note.startswith("picture of 96x64: out of memory") for note in notes)


def test_shrunk_hints_are_not_mixed_with_missing_ones() -> None:
    hints = np.zeros((3, 8, 8), np.float32)
    hints[:, 1, 1], hints[:, 4:6, 4:6] = (40, -20, 1), np.array([10, 30, 0.5])[:, None, None]
    small = shrink_hints(hints, (4, 4))
    np.testing.assert_allclose(small[:, 0, 0], (40, -20, 0.25), rtol=1e-6)
    np.testing.assert_allclose(small[:, 2, 2], (10, 30, 0.5), rtol=1e-6)
    assert np.count_nonzero(small) == 6


def test_a_size_that_does_not_fit_is_halved_and_said_for_each_photo(open_noted: Open) -> None:
    colorizer, notes = open_noted()
    gray = np.tile(np.linspace(0, 255, 144).astype(np.uint8), (96, 1))
    [(lightness, exact)] = colorizer.chroma([gray])
    tight = Tight(colorizer, 32 * 48)
    [(same, ab)] = colorizer.chroma([gray])
    assert tight.shapes == [(1, 1, 32, 48)]
    assert notes == [
        "picture of 144x96: out of memory at working size 64: colored at 32, more coarsely"
    ]
    np.testing.assert_array_equal(same, lightness)
    assert ab.shape == exact.shape == (64, 96, 2)
    assert np.abs(ab - exact)[:, 4:-4].max() < 1.5  # a smooth ramp survives a smaller network
    colorizer.chroma([gray])
    assert len(notes) == 2  # the next photograph is tried whole again


def test_at_the_smallest_size_it_is_refused_with_the_mend(open_noted: Open) -> None:
    colorizer, notes = open_noted()
    Tight(colorizer, 0)
    with pytest.raises(OutOfMemoryError, match=r"even for one picture at working size 8: close "):
        colorizer.image(np.zeros((96, 144, 3), np.uint8))
    assert [note.split("colored at ")[1] for note in notes] == [
        f"{size}, more coarsely" for size in (32, 16, 8)
    ]


def test_a_model_of_fixed_size_is_refused_at_once(
    open_noted: Open, save_model: Callable[..., Path], tiny_info: ModelInfo, tmp_path: Path
) -> None:
    metadata = {**tiny_info.to_metadata(), "colorize.fixed_size": "64x64"}
    model = save_model(tmp_path / "fixed.onnx", metadata, sides=("N", 64, 64))
    colorizer, notes = open_noted(model=model)
    Tight(colorizer, 0)
    with pytest.raises(OutOfMemoryError, match=OUT):
        colorizer.chroma(_grays(1))
    assert notes == []


def _planes(path: Path) -> list[bytes]:
    with av.open(str(path)) as video:
        return [frame.to_ndarray().tobytes() for frame in video.decode(video=0)]


def test_memory_that_ends_in_a_film_leaves_its_frames_and_names_the_first_coarser_one(
    open_noted: Open, make_video: Callable[..., Path], tmp_path: Path
) -> None:
    video = make_video(tmp_path / "film.mkv", times=range(0, 800, 40), size=(128, 96))
    colorizer, notes = open_noted()
    colorizer.video(video, tmp_path / "whole.mkv", FFV1)
    assert notes == []
    tight = Tight(colorizer, 40 * 40, after=1)  # the first batch of eight still fits
    report = colorizer.video(video, tmp_path / "tight.mkv", FFV1)
    assert report.frames == 20
    assert [str(notice) for notice in report.notices] == notes
    assert {(notice.frame, notice.time) for notice in report.notices} == {(8, 0.32)}
    whole, coarse = _planes(tmp_path / "whole.mkv"), _planes(tmp_path / "tight.mkv")
    assert len(coarse) == 20
    assert coarse[:8] == whole[:8]
    assert all(a != b for a, b in zip(coarse[8:], whole[8:], strict=True))
    assert [note for note in notes if "more coarsely" in note] == [
        f"{video}: from frame 8 on: {OUT} at working size 64: colored at 32, more coarsely"
    ]
    assert {shape[2:] for shape in tight.shapes[1:]} == {(32, 48)}


def test_the_first_coarser_frame_is_counted_from_the_start_of_the_film(
    open_noted: Open, make_video: Callable[..., Path], tmp_path: Path
) -> None:
    video = make_video(tmp_path / "film.mkv", times=range(0, 1280, 40), size=(128, 96))
    colorizer, notes = open_noted()
    stopped(colorizer, video, tmp_path / "out.mkv", 20)
    Tight(colorizer, 40 * 40)
    assert colorizer.video(video, tmp_path / "out.mkv", IN_SEGMENTS).resumed == 16
    assert [note for note in notes if "more coarsely" in note] == [
        f"{video}: from frame 16 on: {OUT} at working size 64: colored at 32, more coarsely"
    ]


def test_without_a_taker_notes_are_warnings(tiny_model: Path) -> None:
    with Colorizer(tiny_model, backend="openvino") as colorizer:
        Tight(colorizer, 32 * 48)
        with pytest.warns(RuntimeWarning, match="colored at 32, more coarsely"):
            colorizer.image(np.zeros((96, 144, 3), np.uint8))


def test_the_command_prints_the_lines(
    colorize_run: Callable[..., Any], photo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from colorize.runtime.engines.openvino import OpenVINOEngine

    real = OpenVINOEngine._compute

    def compute(self: OpenVINOEngine, lightness: F32) -> F32:
        if lightness.shape[2] > 32:
            raise RuntimeError("Failed to allocate 25165824 bytes of memory")
        return real(self, lightness)

    monkeypatch.setattr(OpenVINOEngine, "_compute", compute)
    run = colorize_run(photo, "-o", tmp_path / "photo.png")
    assert run.returncode == 0
    assert f"{OUT} at working size 64: colored at 32, more coarsely\n" in run.stderr
    assert (tmp_path / "photo.png").is_file()


def test_threads_that_share_a_colorizer_take_turns(
    tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pictures = [
        np.random.default_rng(seed).integers(0, 256, (40 + 8 * seed, 64, 3), np.uint8)
        for seed in range(8)
    ]
    with Colorizer(tiny_model, precision="fp32") as colorizer:
        expected = [colorizer.image(picture) for picture in pictures]
        real, inside, most = colorizer.engine._compute, threading.Semaphore(1), []

        def compute(lightness: F32) -> F32:
            alone = inside.acquire(blocking=False)
            most.append(alone)
            try:
                return real(lightness)
            finally:
                if alone:
                    inside.release()

        monkeypatch.setattr(colorizer.engine, "_compute", compute)
        with ThreadPoolExecutor(8) as pool:
            results = list(pool.map(colorizer.image, pictures * 4))
    assert most == [True] * 32
    for result, truth in zip(results, expected * 4, strict=True):
        np.testing.assert_array_equal(result, truth)
