"""The stages of a colored video: decode, shrink, infer, stabilize, enlarge."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from itertools import islice

import numpy as np

from ..color import F32, U8, gray_to_lightness
from .chroma import Scratch, SteadyRounding, chroma_planes
from .frames import FrameLayout, Plane, gray_of
from .picture import Picture
from .prefetch import prefetch
from .protocols import (
    Batch,
    ColoredPicture,
    FrameSteering,
    Guide,
    Network,
    Run,
    Start,
    State,
    Steering,
)
from .reader import VideoReader
from .side_data import as_stored, upright
from .stabilizer import Stabilizer

Finish = Callable[[F32, F32, FrameLayout, Scratch, SteadyRounding | None], Plane]
"""Makes a frame's planes of L* (h, w) and ab (h, w, 2), as `chroma_planes` does."""


@contextmanager
def colored_pictures(
    run: Run,
    start: Start,
    network: Network,
    guide: Guide | None,
    steering: Steering,
    stored: Callable[[FrameLayout], FrameLayout],
    *,
    most: int | None = None,
) -> Iterator[Iterator[ColoredPicture]]:
    """Yield the pictures that follow START in color; decoding and the network work ahead.

    STORED turns the layout of the source's frames into the one in which they are written. MOST is
    how many are wanted, in whole batches.
    """
    reader = VideoReader(run.source, run.container)
    with steering.follow(run, start) as frames:
        colorizer = FrameColorizer(run, start, network, guide, frames, stored)
        pictures = run.stretch.pictures(reader, frames.first, start.position)
        if most is not None:
            pictures = islice(pictures, most)
        pictures = run.watch.timed("decode", pictures)

        def check() -> None:
            try:
                run.check_cancel()
            except BaseException:  # what the stages wait for ends before they are waited for
                reader.cancel()
                frames.cancel()
                raise

        decoded = prefetch(frames.watch(pictures), 2 * run.settings.batch)
        # A whole batch, so that the encoder has work while the network has.
        ahead = prefetch(colorizer.colored(decoded), run.settings.batch, check)
        with closing(decoded), closing(ahead):
            try:
                yield ahead
            finally:
                reader.cancel()
                frames.cancel()


class FrameColorizer:
    """Colors the frames of one video in order, batch by batch."""

    def __init__(
        self,
        run: Run,
        start: Start,
        network: Network,
        guide: Guide | None,
        steering: FrameSteering,
        stored: Callable[[FrameLayout], FrameLayout],
        finish: Finish = chroma_planes,
    ) -> None:
        self._run, self._start, self._stored, self._finish = run, start, stored, finish
        self._network, self._guide = network, guide
        self._steering = steering
        self._state = start.state.get("stabilizer")
        self._stabilizer: Stabilizer | None = None
        self._rounding: SteadyRounding | None = None
        self._scratch = Scratch()

    def colored(self, pictures: Iterable[Picture]) -> Iterator[ColoredPicture]:
        """Yield the PICTURES that follow the start, in color."""
        settings, frames, rest = self._run.settings, 0, iter(pictures)
        stretch, begin = self._run.stretch, self._steering.first
        before = islice(rest, stretch.first - begin)
        if settings.options.stabilize:
            self._stabilizer, self._rounding = Stabilizer(self._state), SteadyRounding()
        while batch := list(islice(before, settings.batch)):
            for _ in self._color(batch, begin):  # for what is remembered of them
                begin += 1
        while batch := list(islice(rest, settings.batch)):
            finished = self._start.frames + frames
            if settings.options.stabilize and finished % settings.segment_frames == 0:
                # What OpenCV's flow keeps of earlier frames, and the rounding, are not stored with
                # a segment: the codes of a frame at full size would double it.
                self._stabilizer, self._rounding = Stabilizer(self._state), SteadyRounding()
            yield from self._color(batch, stretch.first + finished)
            frames += len(batch)

    def _color(self, pictures: Sequence[Picture], first: int) -> Iterator[ColoredPicture]:
        watch, layout = self._run.watch, self._stored(pictures[0].layout)
        with watch.stage("network"):
            answers = self._infer(pictures, first)
        begin = self._run.stretch.pts
        for picture, gray, lightness, fresh in zip(pictures, *answers, strict=True):
            ab = fresh
            with watch.stage("steer"):
                begins = self._steering.begins_scene(gray)
            if self._stabilizer is not None:
                with watch.stage("stabilize"):
                    places = self._steering.places((lightness.shape[0], lightness.shape[1]))
                    ab = self._stabilizer.steady(
                        lightness, fresh, begins_scene=begins, places=places
                    )
                self._state = self._stabilizer.state
            with watch.stage("steer"):
                saturated = ab * np.float32(self._run.settings.saturation)
                own_lightness, own_ab = self._steering.colors(lightness, saturated)
            # Carried colors move with their things: codes held in one place would lag behind them.
            rounding = self._rounding if own_ab is saturated else None
            with watch.stage("enlarge"):
                planes = self._finish(own_lightness, own_ab, layout, self._scratch, rounding)
            yield ColoredPicture(
                picture=replace(picture, pts=picture.pts - begin) if begin else picture,
                layout=layout,
                chroma=planes,
                begins_scene=begins,
                state=self._remembered(),
            )

    def _remembered(self) -> State:
        own = {} if self._state is None else {"stabilizer": self._state}
        return {**self._steering.state, **own}

    def _infer(self, pictures: Sequence[Picture], first: int) -> tuple[Sequence[U8], F32, F32]:
        """Return grays (H, W), L* (N, h, w) and ab (N, h, w, 2)."""
        grays = [gray_of(picture.luma, picture.layout) for picture in pictures]
        display = pictures[0].layout.display
        shown: list[U8] = [upright(gray, display) for gray in grays]
        small = self._network.shrink(shown)
        batch = Batch(
            first=first,
            pictures=pictures,
            time_base=self._run.facts.time_base,
            grays=shown,
            small=small,
            lightness=gray_to_lightness(small),
        )
        hints = None if self._guide is None else self._guide.hints(batch)
        answers = self._network.infer(batch, hints, self._run.tell)
        lightness = np.stack([as_stored(each, display) for each in batch.lightness])
        return grays, lightness, np.stack([as_stored(ab, display) for ab in answers])
