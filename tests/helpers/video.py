"""Shared by the tests of films: what is in a film, read back frame by frame."""

import ctypes
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av.filter import Graph
from av.filter.context import FilterContext
from av.video.reformatter import ColorRange
from av.video.stream import VideoStream
from numpy.typing import NDArray

from colorize.runtime.colorizer import Colorizer
from colorize.runtime.video.colorize import VideoProgress, VideoReport
from colorize.runtime.video.frames import FrameLayout, Plane
from colorize.runtime.video.options import VideoOptions, VideoSettings
from colorize.runtime.video.protocols import ColoredPicture, Run, Start
from colorize.runtime.video.source import Source

MakeFilm = Callable[..., Path]
Samples = NDArray[np.uint8] | NDArray[np.uint16]

_M_PERTURB = -6  # of glibc's malloc.h
FFV1 = VideoOptions(codec="ffv1")
LOSSLESS = VideoOptions(codec="libx264", crf=0, preset="ultrafast")
MPEG, JPEG = int(ColorRange.MPEG), int(ColorRange.JPEG)
WEIGHTS = {1: (0.2126, 0.0722), 6: (0.299, 0.114), 9: (0.2627, 0.0593)}  # Kr, Kb by H.273 code


def scratched(video: Path, target: Path) -> Path:
    """Copy FILM with 3000 bytes in its middle made noise."""
    data = bytearray(video.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 3000] = np.random.default_rng(0).bytes(3000)
    target.write_bytes(data)
    return target


def read_frames(video: Path) -> list[av.VideoFrame]:
    with av.open(str(video)) as container:
        return list(container.decode(video=0))


def plane_of(frame: av.VideoFrame, index: int = 0) -> Samples:
    plane = frame.planes[index]
    if frame.format.components[0].bits > 8:
        deep = np.frombuffer(bytes(plane), np.uint16)
        return deep.reshape(plane.height, -1)[:, : plane.width]
    samples = np.frombuffer(bytes(plane), np.uint8)
    return samples.reshape(plane.height, -1)[:, : plane.width]


def times_of(frames: Sequence[av.VideoFrame]) -> list[Fraction]:
    times = []
    for frame in frames:
        assert frame.pts is not None
        assert frame.time_base is not None
        times.append(frame.pts * frame.time_base)
    return times


def packets_of(video: Path, kind: str) -> list[list[tuple[Fraction, bytes]]]:
    """(time, content) of each packet of each stream of KIND."""
    with av.open(str(video)) as container:
        streams = [stream for stream in container.streams if stream.type == kind]
        found: dict[int, list[tuple[Fraction, bytes]]] = {stream.index: [] for stream in streams}
        for packet in container.demux(streams):
            if packet.size and packet.pts is not None and packet.time_base is not None:
                found[packet.stream.index].append((packet.pts * packet.time_base, bytes(packet)))
    return list(found.values())


def chroma_distance(frame: av.VideoFrame) -> float:
    """The mean distance of Cb and Cr from gray, in steps of 8 bits."""
    depth = frame.format.components[0].bits
    planes = [plane_of(frame, index).astype(float) - 2 ** (depth - 1) for index in (1, 2)]
    return float(np.hypot(*planes).mean() / 2 ** (depth - 8))


def assert_same_luma(before: Sequence[av.VideoFrame], after: Sequence[av.VideoFrame]) -> None:
    assert len(after) == len(before)
    for old, new in zip(before, after, strict=True):
        np.testing.assert_array_equal(plane_of(new), plane_of(old))


def left_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


SUBTITLES = "1\n00:00:00,000 --> 00:00:00,200\nGrüße\n\n2\n00:00:00,200 --> 00:00:00,400\nAdieu\n"


IN_SEGMENTS = VideoOptions(preset="ultrafast", segment_frames=16)
Planes = list[bytes]


def content_of(video: Path) -> list[tuple[Fraction, Planes]]:
    frames = read_frames(video)
    planes = [[plane_of(frame, index).tobytes() for index in range(3)] for frame in frames]
    return list(zip(times_of(frames), planes, strict=True))


def stop_at(frames: int, error: type[BaseException] = KeyboardInterrupt) -> Callable[..., None]:
    def stop(progress: VideoProgress) -> None:
        if progress.frames == frames:
            raise error

    return stop


def stopped(
    colorizer: Colorizer,
    source: Path,
    target: Path,
    frames: int,
    options: VideoOptions = IN_SEGMENTS,
) -> str:
    """Stop a run after FRAMES frames and return what it says."""
    with pytest.raises(KeyboardInterrupt) as raised:
        colorizer.video(source, target, options, stop_at(frames))
    return str(raised.value)


def messages_of(report: VideoReport) -> list[str]:
    return [notice.message for notice in report.notices]


class MemorySink:
    """Keeps the colored pictures of a video that begins at START."""

    def __init__(self, start: Start) -> None:
        self.start = start
        self.pictures: list[ColoredPicture] = []

    @property
    def frames(self) -> int:
        return self.start.frames + len(self.pictures)

    @property
    def chroma(self) -> list[Plane]:
        return [item.chroma for item in self.pictures]

    @property
    def folder(self) -> None:
        return None

    def check(self, source: Source, settings: VideoSettings) -> None:
        pass

    @contextmanager
    def open(self, run: Run) -> Iterator["MemorySink"]:
        yield self

    def stored(self, layout: FrameLayout) -> FrameLayout:
        return layout

    @property
    def resumed(self) -> int:
        return self.start.frames

    def add(self, item: ColoredPicture) -> bool:
        self.pictures.append(item)
        return True

    def finish(self) -> None:
        pass


def parts_in(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.suffix == ".parts")


@contextmanager
def filled_memory() -> Iterator[None]:
    """Fill all memory that is asked for with one value, where the C library is glibc.

    x264 and x265 read memory that nobody wrote, and choose by it where costs are nearly equal:
    without this even two unbroken runs over pictures this small differ now and then.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_PERTURB, 165)
    yield
    if mallopt is not None:
        mallopt(_M_PERTURB, 0)


class FieldMarker:
    """Marks frames of one video as interlaced."""

    def __init__(self, *, top_first: bool) -> None:
        self._mode = "tff" if top_first else "bff"
        self._graph: Graph | None = None

    def mark(self, frame: av.VideoFrame) -> av.VideoFrame:
        """Return FRAME with the mark; its samples are not copied."""
        if self._graph is None:
            self._graph, start = _graph(frame)
            setter = self._graph.add("setfield", self._mode)
            self._graph.link_nodes(start, setter, self._graph.add("buffersink")).configure()
        self._graph.vpush(frame)
        return self._graph.vpull()


def _graph(frame: av.VideoFrame) -> tuple[Graph, FilterContext]:
    graph = Graph()
    base = frame.time_base or Fraction(1, 25)
    start = graph.add_buffer(
        width=frame.width, height=frame.height, format=frame.format, time_base=base
    )
    return graph, start


def with_sound(picture: Path, target: Path, codec: str, start: float = 0) -> Path:
    """Write the frames of PICTURE with a tone, in CODEC, that begins at START seconds."""
    return with_streams(picture, target, [codec], None, start=start, copied=True)


def with_streams(
    picture: Path,
    target: Path,
    sounds: Sequence[str],
    words: Path | None,
    *,
    start: float = 0,
    seconds: float = 0.5,
    copied: bool = False,
    codec: str = "mpeg4",
    fmt: str = "yuv420p",
    tags: Mapping[str, str] | None = None,
) -> Path:
    """Write PICTURE with a tone of SECONDS in each codec of SOUNDS and the subtitles of WORDS.

    The frames are COPIED, or encoded anew by CODEC in the format FMT; TAGS are those of the file.
    """
    options = {"movflags": "use_metadata_tags"} if tags else {}
    with (
        av.open(str(picture)) as film,
        av.open(str(target), "w", container_options=options) as made,
    ):
        made.metadata.update(tags or {})
        before = film.streams.video[0]
        if copied:
            video = made.add_stream_from_template(before)
        else:
            new = made.add_stream(codec, rate=25)
            assert isinstance(new, VideoStream)
            new.width, new.height, new.pix_fmt, video = before.width, before.height, fmt, new
        video.metadata["timecode"] = "10:00:00:00"
        tracks = [made.add_stream(sound, rate=48000) for sound in sounds]
        for track in tracks:
            assert isinstance(track, av.AudioStream)
            track.layout = "stereo"
        text = av.open(str(words)) if words else None
        written = made.add_stream_from_template(text.streams.subtitles[0]) if text else None
        for track in tracks:
            assert isinstance(track, av.AudioStream)
            wave = np.sin(np.arange(int(48000 * seconds)) / 20).astype(np.float32)
            tone = av.AudioFrame.from_ndarray(np.stack([wave, wave]), "fltp", "stereo")
            tone.rate, tone.pts, tone.time_base = 48000, int(start * 48000), Fraction(1, 48000)
            made.mux(track.encode(tone))
            made.mux(track.encode(None))
        if copied:
            for copy in film.demux(before):
                if copy.size:
                    copy.stream = video
                    made.mux(copy)
        else:
            for index, frame in enumerate(film.decode(video=0)):
                frame.pts, frame.time_base = index, Fraction(1, 25)
                made.mux(video.encode(frame.reformat(format=fmt)))
            made.mux(video.encode(None))
        if text is not None and written is not None:
            for line in text.demux():
                if line.size:
                    line.stream = written
                    made.mux(line)
            text.close()
    return target
