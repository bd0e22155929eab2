"""What passes between the stages: which frames a network and a guide see, and under what number."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from helpers.video import MakeFilm, MemorySink, plane_of, read_frames

from colorize.runtime.color import F32, U8, gray_to_lightness
from colorize.runtime.notices import Notice, OnNotice
from colorize.runtime.resize import shrink
from colorize.runtime.steering.follow import SceneSteering
from colorize.runtime.video.colorize import colorize_video
from colorize.runtime.video.flaws import Flaws
from colorize.runtime.video.options import VideoOptions, VideoSettings
from colorize.runtime.video.protocols import Batch, Start
from colorize.runtime.video.reader import Position, luma_hash
from colorize.runtime.video.source import Source

SHAPE = (8, 12)
SETTINGS = VideoSettings(options=VideoOptions(stabilize=False), batch=4)


class Listening:
    """Answers gray where nothing is known; keeps what it was asked."""

    def __init__(self) -> None:
        self.batches: list[Batch] = []

    def shrink(self, grays: Sequence[U8]) -> U8:
        return np.stack([shrink(gray, SHAPE) for gray in grays])

    def infer(self, batch: Batch, hints: F32 | None, tell: OnNotice) -> F32:
        self.batches.append(batch)
        tell(Notice(f"{len(batch.pictures)} frames", topic="speed", frame=batch.first))
        if hints is None:
            return np.zeros((*batch.small.shape, 2), np.float32)
        return np.moveaxis(hints[:, :2] * hints[:, 2:], 1, -1)


class Red:
    """Knows that the left half of one frame is red."""

    def __init__(self, frame: int) -> None:
        self.frame = frame

    def hints(self, batch: Batch) -> F32 | None:
        place = self.frame - batch.first
        if place not in range(len(batch.pictures)):
            return None
        hints = np.zeros((len(batch.pictures), 3, *SHAPE), np.float32)
        hints[place, :, :, :6] = np.array([50, 20, 1])[:, None, None]
        return hints


def test_a_network_sees_each_frame_at_both_sizes_and_its_number(
    make_video: MakeFilm, tmp_path: Path
) -> None:
    source, network = make_video(tmp_path / "film.mkv"), Listening()
    report = colorize_video(network, Source(source), MemorySink(Start()), SETTINGS, SceneSteering())
    assert [(batch.first, len(batch.pictures)) for batch in network.batches] == [
        (0, 4),
        (4, 4),
        (8, 2),
    ]
    assert [batch.time for batch in network.batches] == [0.0, 0.16, 0.32]
    lumas = [picture.luma for batch in network.batches for picture in batch.pictures]
    for luma, frame in zip(lumas, read_frames(source), strict=True):
        np.testing.assert_array_equal(luma, plane_of(frame))
    for batch in network.batches:
        np.testing.assert_array_equal(batch.small, network.shrink(batch.grays))
        np.testing.assert_array_equal(batch.lightness, gray_to_lightness(batch.small))
    assert [notice.frame for notice in report.notices] == [0, 4, 8]
    assert {notice.source for notice in report.notices} == {str(source)}


def test_what_a_guide_knows_colors_its_frame_alone(make_video: MakeFilm, tmp_path: Path) -> None:
    source, sink = make_video(tmp_path / "film.mkv"), MemorySink(Start())
    colorize_video(Listening(), Source(source), sink, SETTINGS, SceneSteering(), guide=Red(5))
    red = [float(chroma[..., 1].astype(int).mean() - 128) > 5 for chroma in sink.chroma]
    assert red == [index == 5 for index in range(10)]
    left, right = np.array_split(sink.chroma[5][..., 1], 2, axis=1)
    assert left[:, :-4].min() > 140
    assert right[:, 4:].max() < 132


def test_frames_of_a_resumed_run_keep_their_numbers(make_video: MakeFilm, tmp_path: Path) -> None:
    source, network = make_video(tmp_path / "film.mkv"), Listening()
    luma = plane_of(read_frames(source)[3])
    done = Position(frames=4, pts=120, luma_sha256=luma_hash(luma), flaws=Flaws())
    sink = MemorySink(Start(position=done))
    report = colorize_video(network, Source(source), sink, SETTINGS, SceneSteering(), guide=Red(5))
    assert [batch.first for batch in network.batches] == [4, 8]
    assert (report.frames, report.resumed) == (10, 4)
    red = [float(chroma[..., 1].astype(int).mean() - 128) > 5 for chroma in sink.chroma]
    assert red == [index == 5 for index in range(4, 10)]
