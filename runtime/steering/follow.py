"""How a video is steered: its scenes alone, or its reference frames too."""

from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from itertools import islice
from threading import Event

from ..color import F32, U8
from ..video.frames import gray_of
from ..video.picture import Picture
from ..video.prefetch import Passage, prefetch
from ..video.protocols import FrameSteering, Run, Start, State
from ..video.reader import VideoReader
from .carrier import Carrier
from .lookahead import Outlook, outlooks
from .references import Reference
from .scenes import CutDetector

_FRAMES_AHEAD = 256  # whose planes wait on the disk, up to the last reference
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

    def watch(self, pictures: Iterable[Picture]) -> Iterable[Picture]:
        """Return PICTURES: it sees their grays in time."""
        return pictures

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
        """Yield what follows the frames after START.

        Up to the last reference a second decoder runs ahead of it.
        """
        reader, cancelled = VideoReader(run.source, run.container), Event()
        steady = run.settings.options.stabilize
        begin, last = self._first(run), max(self.references)
        first = begin + start.frames
        own = last + 1 - first if last > first else 0
        passing = Passage[Picture](_DECODED_AHEAD, cancelled)

        def decoded() -> Generator[Picture]:
            if own:
                wanted = islice(run.stretch.onward(reader, begin, start.position), own)
                ahead = prefetch(run.watch.timed("decode ahead", wanted), _DECODED_AHEAD)
                with closing(ahead):
                    yield from ahead
            yield from passing

        def watch(pictures: Iterable[Picture]) -> Iterator[Picture]:
            try:
                for index, picture in enumerate(pictures):
                    if index >= own:
                        passing.put(picture)
                    yield picture
            finally:
                passing.end()

        def cancel() -> None:
            cancelled.set()
            reader.cancel()

        def known() -> Generator[Callable[[], Outlook]]:
            try:
                with closing(decoded()) as pictures:
                    yield from outlooks(
                        (gray_of(picture.luma, picture.layout) for picture in pictures),
                        self.references,
                        first=first,
                        past=Carrier.past(start.state),
                        folder=run.folder,
                        cancelled=cancelled,
                        steady=steady,
                    )
            finally:
                passing.leave()

        # Not full when the frames that are decoded ahead reach what is passed on.
        most = max(_FRAMES_AHEAD, 4 * run.settings.batch)
        with closing(prefetch(known(), most, at_once=True)) as ahead:
            try:
                yield Carrier(ahead, start.state, cancel, watch, first=begin, steady=steady)
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
