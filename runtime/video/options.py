"""What the user chooses of a film; photographs must not wait for PyAV, so it stands alone."""

from dataclasses import dataclass


@dataclass(frozen=True)
class VideoOptions:
    """How a film is written; None: the encoder's default here."""

    codec: str | None = None  # an FFmpeg encoder: libx264, libx265, libvpx-vp9, h264_nvenc ...
    crf: int | None = None
    preset: str | None = None
    stabilize: bool = True  # colors are held still from frame to frame
    segment_frames: int = 240  # that a stopped run loses at most, some 10 seconds of film
