"""Color that holds still: less flicker, no trails, no memory across cuts, nothing paled."""

import pickle
import subprocess
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from helpers.video import MemorySink
from numpy.typing import NDArray

from colorize.bench.video.temporal import flicker, motion
from colorize.runtime.color import F32, U8, lab_to_rgb, to_bytes
from colorize.runtime.colorizer import Colorizer
from colorize.runtime.steering.follow import SceneSteering
from colorize.runtime.steering.scenes import CutDetector
from colorize.runtime.video.chroma import SteadyRounding, chroma_planes
from colorize.runtime.video.colorize import colorize_video
from colorize.runtime.video.frames import FrameLayout, gray_of, layout_of, luma_of
from colorize.runtime.video.options import VideoOptions, VideoSettings
from colorize.runtime.video.protocols import Batch, Start
from colorize.runtime.video.source import Source
from colorize.runtime.video.stabilizer import Stabilizer
from colorize.train.metrics import colorfulness

Answers = list[tuple[F32, F32]]
Run = Callable[..., subprocess.CompletedProcess[str]]

SHAPE = (96, 144)


def _texture(seed: int, low: float, high: float) -> F32:
    """L* of soft blotches, which flow can follow."""
    noise = np.random.default_rng(seed).standard_normal(SHAPE).astype(np.float32)
    soft = cv2.GaussianBlur(noise, (0, 0), 2.5)
    return np.asarray(cv2.normalize(soft, None, low, high, cv2.NORM_MINMAX), np.float32)  # type: ignore[call-overload]


def _plain(a: float, b: float) -> F32:
    return np.full((*SHAPE, 2), (a, b), np.float32)


def _steady(frames: Sequence[tuple[F32, F32]], stabilizer: Stabilizer | None = None) -> list[F32]:
    stabilizer, cuts = stabilizer or Stabilizer(), CutDetector()
    grays = [(lightness * np.float32(2.55)).astype(np.uint8) for lightness, _ in frames]
    return [
        stabilizer.steady(lightness, ab, begins_scene=cuts.is_cut(gray))
        for gray, (lightness, ab) in zip(grays, frames, strict=True)
    ]


def _moving_square() -> Iterator[tuple[F32, F32, NDArray[np.bool_]]]:
    """A textured red square that crosses a greenish ground, 3 pixels a frame; where it is."""
    ground, square = _texture(0, 20, 60), _texture(1, 50, 90)
    for index in range(30):
        left = 10 + 3 * index
        inside = np.zeros(SHAPE, np.bool_)
        inside[30:66, left : left + 36] = True
        moved = np.roll(square, 3 * index, axis=1)
        lightness = np.where(inside, moved, ground)
        yield lightness, np.where(inside[..., None], _plain(55, 35), _plain(-20, 15)), inside


def _errors(
    frames: Sequence[tuple[F32, F32]], places: Sequence[NDArray[np.bool_]], reach: int
) -> tuple[float, float]:
    """The largest distance from the fresh ab, away from and within REACH of a square's edge."""
    away, near = 0.0, 0.0
    kernel = np.ones((2 * reach + 1, 2 * reach + 1), np.uint8)
    for (_, fresh), ab, place in zip(frames, _steady(frames), places, strict=True):
        error = np.hypot(ab[..., 0] - fresh[..., 0], ab[..., 1] - fresh[..., 1])
        rim = cv2.morphologyEx(place.astype(np.uint8), cv2.MORPH_GRADIENT, kernel) > 0
        away, near = max(away, float(error[~rim].max())), max(near, float(error[rim].mean()))
    return away, near


def test_a_moving_object_keeps_its_color_and_leaves_no_trail() -> None:
    lightness, ab, places = zip(*_moving_square(), strict=True)
    away, near = _errors(list(zip(lightness, ab, strict=True)), places, reach=3)
    assert away < 6  # red is 78 from the ground
    assert near < 8


def test_an_object_as_light_as_its_ground_leaves_no_trail() -> None:
    """Only the network's answer tells where it is."""
    _, ab, places = zip(*_moving_square(), strict=True)
    away, near = _errors([(_texture(0, 20, 60), each) for each in ab], places, reach=6)
    assert away < 6
    assert near < 8


def _lag(step: float) -> float:
    """The share of a change of color by STEP that is still missing 5 frames later."""
    lightness = _texture(0, 10, 90)
    colors = [_plain(10, 10)] * 40 + [_plain(10 + step, 10)] * 5
    last = _steady([(lightness, ab) for ab in colors])[-1]
    return float((10 + step - last[..., 0]).mean() / step)


def test_small_changes_are_waverings_and_large_ones_another_color() -> None:
    assert _lag(6) > 0.6
    assert _lag(60) < 0.01


def test_wavering_answers_do_not_shorten_the_mean() -> None:
    """Answers that waver by a tenth of the way to another color count all the same."""
    lightness, rng = _texture(0, 10, 90), np.random.default_rng(0)
    stabilizer = Stabilizer()
    _steady(
        [(lightness, _plain(*rng.normal(10, 5, 2).astype(np.float32))) for _ in range(40)],
        stabilizer,
    )
    assert stabilizer.state is not None
    assert stabilizer.state[..., 3].mean() > 12


def test_a_cut_starts_anew() -> None:
    before = [(_texture(0, 10, 90), _plain(20, 20))] * 5
    after = (_texture(1, 10, 90), _plain(15, 10))
    *_, first = _steady([*before, after])
    np.testing.assert_array_equal(first, after[1])


def test_a_frame_of_another_size_starts_anew() -> None:
    lightness, ab = np.zeros((40, 40), np.float32), np.ones((40, 40, 2), np.float32)
    *_, first = _steady([(_texture(0, 10, 90), _plain(20, 20)), (lightness, ab)])
    np.testing.assert_array_equal(first, ab)


def test_colors_of_a_still_picture_come_to_rest_at_their_mean() -> None:
    lightness, rng = _texture(0, 10, 90), np.random.default_rng(0)
    frames = [
        (lightness, _plain(30, -20) + rng.normal(0, 4, 2).astype(np.float32)) for _ in range(60)
    ]
    rest = np.array([ab.mean((0, 1)) for ab in _steady(frames)])[20:]
    given = np.array([ab.mean((0, 1)) for _, ab in frames])[20:]
    assert np.abs(np.diff(rest, axis=0)).mean() < 0.15 * np.abs(np.diff(given, axis=0)).mean()
    np.testing.assert_allclose(rest.mean(0), [30, -20], atol=1)
    assert np.hypot(*rest.T).mean() == pytest.approx(np.hypot(*given.T).mean(), rel=0.03)


@pytest.mark.parametrize("shape", [(8, 8), (8, 16), (16, 16), (32, 64), (16, 512), (32, 512)])
def test_small_pictures_are_steadied_too(shape: tuple[int, int]) -> None:
    lightness = cv2.resize(_texture(0, 10, 90), shape[::-1]).astype(np.float32)
    first, second = np.zeros((*shape, 2), np.float32), np.full((*shape, 2), 4, np.float32)
    [_, ab] = _steady([(lightness, first), (lightness, second)])
    np.testing.assert_allclose(ab, 2, atol=0.2)


def _frames(video: Path) -> list[av.VideoFrame]:
    with av.open(str(video)) as container:
        return list(container.decode(video=0))


@pytest.fixture(scope="module")
def bundled() -> Iterator[Colorizer]:
    with Colorizer() as opened:
        yield opened


@pytest.fixture(scope="module")
def answers(bundled: Colorizer, clip: Path) -> tuple[list[U8], Answers]:
    """The sample film's frames as grays, and the bundled network's answers to them."""
    frames = _frames(clip)
    layout = layout_of(frames[0])
    grays = [gray_of(luma_of(frame, layout), layout) for frame in frames]
    return grays, [bundled.chroma([gray])[0] for gray in grays]


def _mean_flicker(grays: Sequence[U8], abs_: Sequence[F32]) -> float:
    full = [cv2.resize(ab, grays[0].shape[::-1]).astype(np.float32) for ab in abs_]
    changes = [
        flicker(full[i - 1], full[i], motion(grays[i - 1], grays[i])) for i in range(1, 80, 6)
    ]
    return float(np.mean([change for change in changes if change is not None]))


def _colorfulness(answers: Answers) -> float:
    pictures = [lab_to_rgb(np.dstack([lightness, ab])) for lightness, ab in answers]
    return float(np.mean([colorfulness(to_bytes(picture)) for picture in pictures]))


def test_the_sample_film_flickers_not_half_as_much_at_equal_colorfulness(
    answers: tuple[list[U8], Answers],
) -> None:
    grays, given = answers
    steadied = _steady(given)
    before = _mean_flicker(grays, [ab for _, ab in given])
    assert _mean_flicker(grays, steadied) < 0.35 * before
    kept = [(lightness, ab) for (lightness, _), ab in zip(given, steadied, strict=True)]
    assert _colorfulness(kept) == pytest.approx(_colorfulness(given), rel=0.03)


def test_cuts_of_the_sample_film_are_seen_and_nothing_else_is_taken_for_one(
    answers: tuple[list[U8], Answers],
) -> None:
    _, given = answers
    fresh = [
        index
        for index, ((_, ab), steadied) in enumerate(zip(given, _steady(given), strict=True))
        if np.array_equal(ab, steadied)
    ]
    assert fresh == [0, 36, 68]


@pytest.mark.parametrize("carry", [lambda s: s, lambda s: pickle.loads(pickle.dumps(s))])
def test_with_its_state_another_stabilizer_goes_on_exactly(
    carry: Callable[[F32], F32], answers: tuple[list[U8], Answers]
) -> None:
    _, given = answers
    unbroken = _steady(given[:60])
    first = Stabilizer()
    parts = _steady(given[:47], first)
    assert first.state is not None
    parts += _steady(given[47:60], Stabilizer(carry(first.state)))
    np.testing.assert_array_equal(parts, unbroken)


class _Wavering:
    """A network whose ab jump by 6 from frame to frame."""

    def __init__(self, colorizer: Colorizer) -> None:
        self.shrink = colorizer.shrink
        self._colorizer = colorizer

    def infer(self, batch: Batch, *_: object) -> F32:
        jumps = [(batch.first + place) % 2 * 6 for place in range(len(batch.pictures))]
        answers = self._colorizer.chroma(batch.grays)
        return np.stack(
            [ab + np.float32(jump) for (_, ab), jump in zip(answers, jumps, strict=True)]
        )


def _colored(
    colorizer: Colorizer, source: Path, options: VideoOptions, start: Start | None = None
) -> MemorySink:
    sink = MemorySink(start or Start())
    settings = VideoSettings(options=options, batch=5)
    report = colorize_video(_Wavering(colorizer), Source(source), sink, settings, SceneSteering())
    assert ("stabilize" in report.stages) == options.stabilize
    return sink


def _chroma_of(video: Path) -> list[F32]:
    return [frame.to_ndarray()[frame.height :].astype(np.float32) for frame in _frames(video)]


def test_a_film_in_two_parts_is_the_film_in_one(
    colorizer: Colorizer, make_video: Callable[..., Path], tmp_path: Path
) -> None:
    """The stabilizer's place is between the network and the encoder, in the order of frames."""
    still = make_video(tmp_path / "still.mkv", flat=120, times=range(0, 800, 40))
    half = make_video(tmp_path / "half.mkv", flat=120)
    options = VideoOptions(segment_frames=10)  # what else is remembered starts again in each
    whole = _colored(colorizer, still, options)
    first = _colored(colorizer, half, options)
    second = _colored(colorizer, half, options, Start(state=first.pictures[-1].state))
    np.testing.assert_array_equal([*first.chroma, *second.chroma], whole.chroma)


def test_only_a_stabilized_film_holds_still(
    colorizer: Colorizer, make_video: Callable[..., Path], tmp_path: Path
) -> None:
    still = make_video(tmp_path / "still.mkv", flat=120)
    jumps = {}
    for stabilize in (False, True):
        sink = _colored(colorizer, still, VideoOptions(stabilize=stabilize))
        jumps[stabilize] = np.abs(np.diff(np.asarray(sink.chroma, int), axis=0))[5:].mean()
    assert jumps[True] < 0.3 * jumps[False]


def _wavering_planes(depth: int) -> tuple[FrameLayout, list[F32]]:
    """The chroma of 30 frames of one color and a thirtieth of a unit of noise, unrounded ab."""
    layout = replace(layout_of(av.VideoFrame(SHAPE[1], SHAPE[0], "yuv420p")), depth=depth)
    noise = np.random.default_rng(3).standard_normal((30, *SHAPE, 2)) / 30
    slope = np.linspace(-30, 30, SHAPE[1], dtype=np.float32)[None, :, None]
    return layout, list((noise + slope).astype(np.float32))


@pytest.mark.parametrize("depth", [8, 10])
def test_rounding_does_not_enlarge_a_waver(depth: int) -> None:
    layout, frames = _wavering_planes(depth)
    lightness, rounding = np.full(SHAPE, 60, np.float32), SteadyRounding()
    plain = [chroma_planes(lightness, ab, layout).astype(int) for ab in frames]
    held = [chroma_planes(lightness, ab, layout, rounding=rounding).astype(int) for ab in frames]
    np.testing.assert_array_equal(held[0], plain[0])
    assert np.abs(np.diff(held, axis=0)).mean() < 0.2 * np.abs(np.diff(plain, axis=0)).mean()
    assert np.abs(np.subtract(held, plain)).max() == 1
    smaller = replace(layout, width=72, height=48)
    assert chroma_planes(lightness, frames[0], smaller, rounding=rounding).shape == (24, 36, 2)


def test_rounding_follows_what_changes() -> None:
    layout, _ = _wavering_planes(8)
    lightness, rounding = np.full(SHAPE, 60, np.float32), SteadyRounding()
    for step in range(40):
        ab = _plain(step, -step)
        held = chroma_planes(lightness, ab, layout, rounding=rounding).astype(int)
        assert np.abs(held - chroma_planes(lightness, ab, layout)).max() <= 1
    cut = _plain(-30, 40)
    steady = chroma_planes(lightness, cut, layout, rounding=rounding)
    np.testing.assert_array_equal(steady, chroma_planes(lightness, cut, layout))


def test_without_it_every_frame_has_the_networks_own_colors(
    small_video: Path, tiny_model: Path, colorize_run: Run, tmp_path: Path
) -> None:
    bare, steady = tmp_path / "bare.mkv", tmp_path / "steady.mkv"
    fp32 = ("--codec", "ffv1", "--precision", "fp32")
    told = colorize_run(small_video, "-o", bare, *fp32, "--no-stabilize")
    assert "stabilize" not in told.stderr
    told = colorize_run(small_video, "-o", steady, *fp32)
    assert "stabilize" in told.stderr
    frames = _frames(small_video)
    layout = layout_of(frames[0])
    with Colorizer(tiny_model, backend="openvino", precision="fp32") as colorizer:
        for frame, result in zip(frames, _frames(bare), strict=True):
            [(lightness, ab)] = colorizer.chroma([gray_of(luma_of(frame, layout), layout)])
            planes = chroma_planes(lightness, ab, layout)
            for index in (1, 2):
                plane = result.planes[index]
                samples = np.frombuffer(bytes(plane), np.uint8).reshape(plane.height, -1)
                np.testing.assert_array_equal(samples[:, : plane.width], planes[..., index - 1])
    assert not np.array_equal(_chroma_of(bare), _chroma_of(steady))
