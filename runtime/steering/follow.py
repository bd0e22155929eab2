"""How a video is steered: its scenes alone, or its reference frames too."""

from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from itertools import islice
from threading import Event

from ..color import F32, U8
from ..video.frames import gray_of
from ..video.prefetch import prefetch
from ..video.protocols import FrameSteering, Run, Start, State
from ..video.reader import VideoReader
from .carrier import Carrier
from .lookahead import outlooks
from .references import Reference
from .scenes import CutDetector

_FRAMES_AHEAD = 256  # whose planes wait on the disk
_DECODED_AHEAD = 2  # whole frames, in memory


@dataclass(frozen=True)
class SceneSteering:
    """Tells where scenes begin, and leaves colors as they are."""

    @contextmanager
    def follow(self, run: Run, start: Start) -> Iterator[FrameSteering]:
        """Yield what follows the frames after START."""
        yield _Scenes(start.state, run.stretch.first)


class _Scenes:
    def __init__(self, state: State, first: int) -> None:
        self.first = first
        self._detector = CutDetector(state.get("scene"))

    @property
    def state(self) -> State:
        scene = self._detector.state
        return {} if scene is None else {"scene": scene}

    def begins_scene(self, gray: U8) -> bool:
        return self._detector.is_cut(gray)

    def places(self, shape: tuple[int, int]) -> None:
        """It measures no motion that others could use."""

    def colors(self, lightness: F32, ab: F32) -> tuple[F32, F32]:
        return lightness, ab

    def cancel(self) -> None:
        """Nothing to stop: it does not look ahead."""


@dataclass(frozen=True)
class ReferenceSteering:
    """Carries the colors of REFERENCES, by their frames, through their scenes."""

    references: Mapping[int, Reference]

    @contextmanager
    def follow(self, run: Run, start: Start) -> Iterator[FrameSteering]:
        """Yield what follows the frames after START; a second decoder runs ahead of it."""
        reader, cancelled = VideoReader(run.source, run.container), Event()
        steady = run.settings.options.stabilize
        begin = self._first(run)
        wanted = run.stretch.onward(reader, begin, start.position)
        pictures = run.watch.timed("decode ahead", wanted)
        grays = prefetch(
            (gray_of(picture.luma, picture.layout) for picture in pictures), _DECODED_AHEAD
        )
        known = outlooks(
            grays,
            self.references,
            first=begin + start.frames,
            past=Carrier.past(start.state),
            folder=run.folder,
            cancelled=cancelled,
            steady=steady,
        )

        def cancel() -> None:
            cancelled.set()
            reader.cancel()

        with closing(grays), closing(known), closing(prefetch(known, _FRAMES_AHEAD)) as ahead:
            try:
                yield Carrier(ahead, start.state, cancel, first=begin, steady=steady)
            finally:
                cancel()

    def _first(self, run: Run) -> int:
        """Return the last reference before a stretch if it is of the same scene, else its begin."""
        first = run.stretch.first
        begin = max((frame for frame in self.references if frame <= first), default=first)
        if begin < first:
            detector = CutDetector()
            pictures = run.stretch.onward(VideoReader(run.source, run.container), begin, None)
            for picture in islice(pictures, first + 1 - begin):
                if detector.is_cut(gray_of(picture.luma, picture.layout)):
                    return first
        return begin
