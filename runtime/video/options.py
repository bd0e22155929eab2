"""What the user chooses of a video; photographs must not wait for PyAV, so it stands alone."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class VideoOptions:
    """How a video is written; None: the encoder's default here."""

    codec: str | None = None  # an FFmpeg encoder: libx264, libx265, libvpx-vp9, h264_nvenc ...
    crf: int | None = None
    preset: str | None = None
    stream: int | None = None  # the file's number of the video stream; None: the best
    fps: float | None = None  # of numbered frames; None: 24
    audio: Path | None = None  # a file whose sound takes the place of the film's own
    stabilize: bool = True  # colors are held still from frame to frame
    start: float = 0.0  # seconds from the first frame, for a trial: a stretch, without chapters
    duration: float | None = None  # seconds; None: to the end
    segment_frames: int = 240  # a run that is stopped loses at most these, some 10 seconds of film

    @property
    def is_trial(self) -> bool:
        """Whether a stretch alone is colored."""
        return self.start > 0 or self.duration is not None


@dataclass(frozen=True)
class VideoSettings:
    """All that decides how a video is colored and written, beside the network itself."""

    options: VideoOptions = field(default_factory=VideoOptions)
    batch: int = 8  # frames that go through the network together
    saturation: float = 1.0  # multiplies a* and b*
    made_by: Mapping[str, str] | None = None  # names the network; None: a run cannot be resumed
    references: Mapping[int, str] | None = None  # what tells the content of each, by its frame
    keep_segments: bool = False  # after success, for a run with other references

    @property
    def segment_frames(self) -> int:
        """Frames a segment: whole batches, for a network may round a lone frame otherwise."""
        return self.batch * -(-self.options.segment_frames // self.batch)
