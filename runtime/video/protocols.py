"""What passes between the stages of a video, and what can be put in their places."""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from threading import Event
from typing import Any, Protocol

from av.container import InputContainer
from av.video.stream import VideoStream
from numpy.typing import NDArray

from ..color import F32, U8
from ..notices import OnNotice
from .frames import FrameLayout, Plane
from .options import VideoSettings
from .picture import Flaws, Picture, Position
from .prefetch import Stopwatch
from .source import Source, StreamFacts
from .stretch import Stretch

State = Mapping[str, NDArray[Any]]
"""What is remembered from frame to frame, by names; an array in it is never changed."""


@dataclass(frozen=True, kw_only=True)
class Run:
    """One video being colored."""

    source: Source
    container: InputContainer  # the source, open
    video: VideoStream  # of the container: what is colored
    facts: StreamFacts
    settings: VideoSettings
    tell: OnNotice
    watch: Stopwatch
    stretch: Stretch = field(default_factory=Stretch)
    folder: Path | None = None  # for what is kept until the end; None: the system's
    cancel: Event = field(default_factory=Event)  # set by another thread: the run is to end

    def check_cancel(self) -> None:
        """Raise KeyboardInterrupt, as Ctrl-C does, once the run is to end."""
        if self.cancel.is_set():
            raise KeyboardInterrupt


@dataclass(frozen=True)
class Start:
    """Where a run begins: at the first frame, or after the last that an earlier run finished."""

    position: Position | None = None
    state: State = field(default_factory=dict)  # of the steering and the stabilizer

    @property
    def frames(self) -> int:
        """How many frames are finished."""
        return self.position.frames if self.position else 0

    @property
    def flaws(self) -> Flaws:
        """What was wrong with those frames."""
        return self.position.flaws if self.position else Flaws()


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Frames that follow each other and go through the network together."""

    first: int  # index of the first frame, counted from 0 in the whole video
    pictures: Sequence[Picture]  # each with its luma at full size, and its time `pts`
    time_base: Fraction  # seconds a step of `pts`
    grays: Sequence[U8]  # (H, W): the luma as 8-bit grays, upright as players show it
    small: U8  # (N, h, w): the grays at working size
    lightness: F32  # (N, h, w): their L*, 0..100

    @property
    def time(self) -> float:
        """When the first frame is shown, in seconds."""
        return float(self.pictures[0].pts * self.time_base)


class Guide(Protocol):
    """Knows colors of frames before the network sees them: from strokes or reference frames."""

    def hints(self, batch: Batch) -> F32 | None:
        """Return what is known of BATCH's colors, None for nothing.

        float32 (N, 3, h, w) at working size: a*, b* and the confidence in them, 0..1; where that is
        0, a* and b* are 0.
        """


class Network(Protocol):
    """Gives frames their colors, before they are stabilized."""

    def shrink(self, grays: Sequence[U8]) -> U8:
        """Return 8-bit grays (H, W) of one size at the working size: (N, h, w)."""

    def infer(self, batch: Batch, hints: F32 | None, tell: OnNotice) -> F32:
        """Return ab (N, h, w, 2) for BATCH, with a guide's hints (N, 3, h, w) if there are any."""


class FrameSteering(Protocol):
    """Follows the frames of one run, in order."""

    @property
    def first(self) -> int:
        """Which frame it must see first, for its colors of a stretch to be those of the whole."""

    @property
    def state(self) -> State:
        """What it remembers after the last frame."""

    def watch(self, pictures: Iterable[Picture]) -> Iterable[Picture]:
        """Return PICTURES, as they are decoded ahead of what follows; it may look at them."""

    def begins_scene(self, gray: U8) -> bool:
        """Go on to the next frame, a gray (H, W); return whether a scene begins with it."""

    def places(self, shape: tuple[int, int]) -> tuple[F32, F32] | None:
        """Return x and y (h, w): where that frame's pixels were in the one before; None: unknown.

        SHAPE is (h, w), in whose pixels they are told.
        """

    def colors(self, lightness: F32, ab: F32) -> tuple[F32, F32]:
        """Return L* (h, w) and ab (h, w, 2) of that frame, of any size.

        LIGHTNESS and AB are those of the network, stabilized and saturated, at working size.
        """

    def cancel(self) -> None:
        """Stop looking ahead: nobody waits for the frames any more."""


class Steering(Protocol):
    """Knows the scenes of a video and, where the user gave reference frames, their colors."""

    def follow(self, run: Run, start: Start) -> AbstractContextManager[FrameSteering]:
        """Return what follows the frames of RUN after START."""


@dataclass(frozen=True)
class ColoredPicture:
    """A frame with its chroma, and what is remembered after it."""

    picture: Picture
    layout: FrameLayout
    chroma: Plane  # (rows, columns, 2), code values
    begins_scene: bool
    state: State


class Writer(Protocol):
    """Takes the frames of one video."""

    @property
    def start(self) -> Start:
        """Where the next frames begin."""

    @property
    def frames(self) -> int:
        """How many frames it has, those of an earlier run too."""

    @property
    def resumed(self) -> int:
        """How many of them an earlier run had finished."""

    @property
    def folder(self) -> Path | None:
        """Where there is room for what a run keeps until its end; None: the system's folder."""

    def stored(self, layout: FrameLayout) -> FrameLayout:
        """Return the layout in which frames of LAYOUT are written; ArgumentError if in none."""

    def add(self, item: ColoredPicture) -> bool:
        """Take the next frame; OutputError if it cannot be written.

        False: an earlier run finished the frames that follow; begin again at the new `start`.
        """

    def finish(self) -> None:
        """Write what comes after the last frame, and tell what is not as in the source."""


class Sink(Protocol):
    """Where a video goes."""

    def check(self, source: Source, settings: VideoSettings) -> None:
        """Raise ArgumentError or OutputError for what can be refused before a frame is read."""

    def open(self, run: Run) -> AbstractContextManager[Writer]:
        """Return the writer for RUN; leaving it early keeps what an earlier run can resume."""
