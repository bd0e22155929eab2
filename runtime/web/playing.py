"""Films as every browser plays them: H.264 of 8 bits and AAC in MP4."""

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av

from ..files import whole_file
from ..video.side_data import display_of

_PLAYED = {  # codecs by container
    ".mp4": {"h264", "av1", "aac", "mp3", "opus", "flac"},
    ".webm": {"vp8", "vp9", "av1", "opus", "vorbis"},
}
_OPTIONS = {"crf": "18", "preset": "veryfast"}
_SOUND_RATE = 48_000


def is_playable(film: Path) -> bool:
    """Tell whether browsers play the film at FILM, picture and sound."""
    known = _PLAYED.get(film.suffix, set())
    with av.open(str(film)) as container:
        video = container.streams.video[0]
        names = {_codec_of(each) for each in (video, *container.streams.audio[:1])}
        return names <= known and video.pix_fmt in ("yuv420p", "yuvj420p")


def _codec_of(stream: Any) -> str:
    return str(stream.codec_context.codec.canonical_name)


def write_playable(film: Path, target: Path, on_frame: Callable[[int], None]) -> None:
    """Write FILM to TARGET as browsers play it, with its first sound, whole or not at all.

    ON_FRAME gets the number of frames done; what it raises ends it.
    """
    frames = 0
    with whole_file(target) as part, av.open(str(film)) as source:
        video, sounds = source.streams.video[0], source.streams.audio[:1]
        video.thread_type = "AUTO"
        clip = Clip(part, video, *sounds, display=display_of_film(film))
        for packet in source.demux([video, *sounds]):
            for frame in packet.decode():
                if isinstance(frame, av.AudioFrame):
                    clip.add_sound(frame)
                elif isinstance(frame, av.VideoFrame):
                    clip.add(plain(frame), frame.pts, frame.time_base)
                    frames += 1
                    on_frame(frames)
        clip.close()


def plain(frame: av.VideoFrame) -> av.VideoFrame:
    """Return FRAME in 4:2:0 of 8 bits, with even sides."""
    return frame.reformat(frame.width // 2 * 2, frame.height // 2 * 2, "yuv420p")


def display_of_film(film: Path) -> tuple[int, ...] | None:
    """Return the display matrix of the film at FILM; None if it turns nothing."""
    with av.open(str(film)) as container:
        first = next(container.decode(container.streams.video[0]), None)
        return None if first is None else display_of(first)


class Clip:
    """An MP4 file that is being written."""

    def __init__(
        self,
        target: Path,
        source: Any,
        sound: Any = None,
        *,
        display: tuple[int, ...] | None = None,
    ) -> None:
        """SOURCE is the stream of the pictures, SOUND that of their sound, DISPLAY their matrix."""
        self._file = av.open(str(target), "w", container_options={"movflags": "faststart"})
        rate = source.average_rate or Fraction(25)
        self._stream: Any = self._file.add_stream("libx264", rate=rate, options=_OPTIONS)
        own, given = self._stream.codec_context, source.codec_context
        own.width, own.height = given.width // 2 * 2, given.height // 2 * 2
        own.pix_fmt, own.time_base = "yuv420p", source.time_base
        own.color_range, own.colorspace = given.color_range, given.colorspace
        if given.sample_aspect_ratio:
            own.sample_aspect_ratio = given.sample_aspect_ratio
        if display is not None:
            self._stream.set_display_matrix(display)
        self._sound: Any = None
        if sound is not None:
            self._sound = self._file.add_stream("aac", rate=_SOUND_RATE)
            self._sound.layout = "stereo"
            self._resampler = av.AudioResampler("fltp", "stereo", _SOUND_RATE)

    def add(self, frame: av.VideoFrame, pts: int | None, time_base: Fraction | None) -> None:
        """Encode FRAME, which is `plain`, shown at PTS in TIME_BASE."""
        frame.pts, frame.time_base = pts, time_base
        self._file.mux(self._stream.encode(frame))

    def add_sound(self, frame: av.AudioFrame | None) -> None:
        """Encode FRAME; None: no more come."""
        for part in self._resampler.resample(frame):
            self._file.mux(self._sound.encode(part))

    def close(self) -> None:
        """Write what the encoders still hold."""
        self._file.mux(self._stream.encode(None))
        if self._sound is not None:
            self.add_sound(None)
            self._file.mux(self._sound.encode(None))
        self._file.close()
