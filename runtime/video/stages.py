"""The stages of a colored video: decode, shrink, infer, stabilize, enlarge."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from itertools import islice

import numpy as np

from ..color import F32, gray_to_lightness
from .chroma import Scratch, SteadyRounding, chroma_planes
from .frames import FrameLayout, gray_of
from .prefetch import prefetch
from .protocols import Batch, ColoredPicture, Guide, Network, Run, Start
from .reader import Picture, VideoReader
from .stabilizer import Stabilizer


@contextmanager
def colored_pictures(
    run: Run,
    start: Start,
    network: Network,
    guide: Guide | None,
    stored: Callable[[FrameLayout], FrameLayout],
) -> Iterator[Iterator[ColoredPicture]]:
    """Yield the pictures that follow START in color; decoding and the network work ahead.

    STORED turns the layout of the source's frames into the one in which they are written.
    """
    reader = VideoReader(run.source, run.container)
    colorizer = FrameColorizer(run, start, network, guide, stored)
    pictures = run.watch.timed("decode", reader.pictures(start.position))
    decoded = prefetch(pictures, 2 * run.settings.batch)
    # A whole batch, so that the encoder has work while the network has.
    ahead = prefetch(colorizer.colored(decoded), run.settings.batch)
    with closing(decoded), closing(ahead):
        try:
            yield ahead
        finally:
            reader.cancel()


class FrameColorizer:
    """Colors the frames of one video in order, batch by batch."""

    def __init__(
        self,
        run: Run,
        start: Start,
        network: Network,
        guide: Guide | None,
        stored: Callable[[FrameLayout], FrameLayout],
    ) -> None:
        self._run, self._start, self._stored = run, start, stored
        self._network, self._guide = network, guide
        self._state = start.state
        self._stabilizer: Stabilizer | None = None
        self._rounding: SteadyRounding | None = None
        self._scratch = Scratch()

    def colored(self, pictures: Iterable[Picture]) -> Iterator[ColoredPicture]:
        """Yield the PICTURES that follow the start, in color."""
        settings, frames, rest = self._run.settings, 0, iter(pictures)
        while batch := list(islice(rest, settings.batch)):
            if settings.options.stabilize and frames % settings.segment_frames == 0:
                # What OpenCV's flow keeps of earlier frames, and the rounding, are not stored with
                # a segment: the codes of a frame at full size would double it.
                self._stabilizer, self._rounding = Stabilizer(self._state), SteadyRounding()
            yield from self._color(batch, self._start.frames + frames)
            frames += len(batch)

    def _color(self, pictures: Sequence[Picture], first: int) -> Iterator[ColoredPicture]:
        watch, layout = self._run.watch, self._stored(pictures[0].layout)
        with watch.stage("network"):
            answers = self._infer(pictures, first)
        for picture, lightness, fresh in zip(pictures, *answers, strict=True):
            ab = fresh
            if self._stabilizer is not None:
                with watch.stage("stabilize"):
                    ab = self._stabilizer.steady(lightness, fresh)
                self._state = self._stabilizer.state
            with watch.stage("enlarge"):
                saturated = ab * np.float32(self._run.settings.saturation)
                planes = chroma_planes(lightness, saturated, layout, self._scratch, self._rounding)
            yield ColoredPicture(picture, layout, planes, self._state)

    def _infer(self, pictures: Sequence[Picture], first: int) -> tuple[F32, F32]:
        """Return L* (N, h, w) and ab (N, h, w, 2)."""
        grays = [gray_of(picture.luma, picture.layout) for picture in pictures]
        small = self._network.shrink(grays)
        batch = Batch(
            first=first,
            pictures=pictures,
            time_base=self._run.facts.time_base,
            grays=grays,
            small=small,
            lightness=gray_to_lightness(small),
        )
        hints = None if self._guide is None else self._guide.hints(batch)
        return batch.lightness, self._network.infer(batch, hints, self._run.tell)
