"""What passes between the head, which writes, and the workers, which color."""

import pickle
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..engines.base import Precision
from ..errors import EngineError
from ..jobs import Job
from ..notices import Notice
from ..video.options import VideoOptions, VideoSettings
from ..video.protocols import State, Steering
from ..video.segments import Seam
from ..video.source import Source


@dataclass(frozen=True, kw_only=True)
class Equipment:
    """What every worker colors with: the head's model, by its content, and the head's settings."""

    name: str  # of the model's file
    sha256: str
    model: NDArray[np.uint8]  # the file's content
    sidecar: bytes | None  # that of the JSON file beside it
    backend: str
    precision: Precision
    device: str
    threads: int | None  # of an engine on the CPU
    size: int | None  # None: the model takes one size alone
    saturation: float
    refine: bool
    cuda_graph: bool
    expects_hints: bool


@dataclass(frozen=True)
class Facts:
    """What a worker is: it must color as the head does."""

    node: str
    versions: Mapping[str, str]  # of all that colors depend on
    processor: str


@dataclass(frozen=True)
class PhotoTask:
    """Photographs that one worker colors."""

    jobs: Sequence[Job]
    seen: Sequence[str]  # the identities of their sources, as the head sees them
    attempts: int = 0

    @property
    def name(self) -> str:
        """What Ray's dashboard calls it."""
        first = self.jobs[0].source.name
        return first if len(self.jobs) == 1 else f"{first} and {len(self.jobs) - 1} more"


@dataclass(frozen=True)
class PhotoDone:
    """A photograph in color: the content of its file, or why there is none."""

    index: int  # among the task's jobs
    content: bytes = b""
    notices: tuple[Notice, ...] = ()
    error: Exception | None = None


@dataclass(frozen=True, kw_only=True)
class FilmTask:
    """A stretch of a film: segments that follow each other, colored by one worker."""

    source: Source
    seen: Mapping[Path, str]  # identities of source and references, as the head sees them
    settings: VideoSettings
    steering: Steering
    stored: Path  # whose suffix is the container that the segments are for
    options: VideoOptions  # of the encoder
    pictures_alone: bool
    first: int  # segment
    count: int | None  # segments; None: to the end of the film
    seam: Seam | None  # what the first follows; None: the worker finds a cut before it
    state: State = field(default_factory=dict)  # what is remembered at the seam
    times: NDArray[np.int64] | None = None  # of the frames before the first segment
    attempts: int = 0

    @property
    def name(self) -> str:
        """What Ray's dashboard calls it."""
        frames = self.settings.segment_frames
        begin = self.first * frames
        end = "the end" if self.count is None else str(begin + self.count * frames - 1)
        return f"{self.source.path.name}: frames {begin} to {end}"


@dataclass(frozen=True)
class Packets:
    """Encoded frames of a segment, a part of them."""

    number: int
    begins: bool  # the segment
    content: NDArray[np.uint8]


@dataclass(frozen=True)
class Made:
    """A segment is whole: all of its packets were sent."""

    number: int
    facts: bytes  # the content of its .npz file


@dataclass(frozen=True)
class Reached:
    """How many frames of a stretch are colored."""

    frames: int


@dataclass(frozen=True)
class Spent:
    """What a stretch took."""

    stages: Mapping[str, float]  # seconds of work a stage
    seconds: float
    lead_in: float  # of these, before the first frame that was not colored by another worker


@dataclass(frozen=True)
class Unfit:
    """Why a stretch cannot be begun before the one before it is done; nothing of it was made."""

    reason: str


@dataclass(frozen=True)
class FilmEnds:
    """The film has no more frames."""

    segments: int  # of the whole film


@dataclass(frozen=True)
class Finished:
    """The task is done."""


@dataclass(frozen=True)
class Failed:
    """The task ended with an error."""

    error: Exception


Task = PhotoTask | FilmTask
Message = (
    PhotoDone | Packets | Made | Reached | Spent | Unfit | FilmEnds | Notice | Finished | Failed
)
Devices = dict[str, list[Any]]


def sendable(error: Exception) -> Exception:
    """Return ERROR, or its text where it cannot be sent to another process."""
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return EngineError(f"{type(error).__name__}: {error}")
    return error
