"""Puts a coloured film on the disk: segment by segment, then all of them joined."""

import os
import shutil
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import av
import av.error
import numpy as np
from av.container import InputContainer

from .color import F32
from .errors import OutputError
from .fields import FieldMarker
from .files import flush
from .film_options import FilmOptions
from .film_reader import AnyPacket, Picture, Position
from .film_writer import (
    FilmWriter,
    StreamFacts,
    add_encoder,
    create_container,
    rehearse,
)
from .frames import FrameLayout, Plane, build_frame
from .segments import Segment, WorkFolder

Fit = Callable[[FrameLayout], tuple[FilmOptions, FrameLayout]]
"""Names the encoder for frames of a layout, and the layout in which it stores them."""


@dataclass(frozen=True)
class ColoredPicture:
    """A frame with its chroma, and what the stabilizer remembers after it."""

    picture: Picture
    layout: FrameLayout
    chroma: Plane  # (rows, columns, 2), code values
    state: F32 | None


class Recorder:
    """Cuts a film into segments of one length; what an encoder still holds it finishes aside."""

    def __init__(self, work: WorkFolder, target: Path, fit: Fit, facts: StreamFacts) -> None:
        self.frames = work.frames
        self._work, self._target, self._fit, self._facts = work, target, fit, facts
        self._number = len(work.segments)
        self._writer: SegmentWriter | None = None
        self._last: ColoredPicture | None = None
        self._aside = ThreadPoolExecutor(1)
        self._finishing: Future[Segment] | None = None

    def add(self, item: ColoredPicture) -> None:
        """Encode the next frame."""
        if self._writer is None:
            packets = self._work.packets_path(self._number)
            options, layout = self._fit(item.picture.layout)
            if self._number == 0:
                rehearse(self._work.path, self._target, options, layout, self._facts)
            self._writer = SegmentWriter(packets, self._target, options, item, self._facts)
            self._number += 1
        self._writer.encode(item)
        self._last = item
        self.frames += 1
        if self._writer.frames == self._work.segment_frames:
            self._end_segment()

    def _end_segment(self) -> None:
        if self._writer is None or self._last is None:
            return
        self._collect()
        end = Position.of(self.frames, self._last.picture)
        self._finishing = self._aside.submit(self._writer.finish, end, self._last.state)
        self._writer = None

    def _collect(self) -> None:
        finishing, self._finishing = self._finishing, None
        if finishing is not None:
            self._work.add(finishing.result())

    def finish(self) -> None:
        """End the last segment: the film has no more frames."""
        self._end_segment()
        self._collect()

    def close(self) -> None:
        """Keep the segments that are finished; the frames of one that is not are lost."""
        try:
            self._collect()
        except OutputError:
            pass  # the error that ended the film says it, or this one came first
        finally:
            self._aside.shutdown()
            if self._writer is not None:
                self._writer.close()


def join(work: WorkFolder, source: InputContainer, target: Path, fit: Fit) -> list[str]:
    """Write the segments of WORK and the other streams of SOURCE to TARGET; return remarks."""
    needed = int(sum(segment.sizes.sum() for segment in work.segments))
    free = shutil.disk_usage(work.path).free
    if free < needed:
        raise OutputError(
            f"{target}: its parts take {needed / 1e9:.1f} GB more to be joined, and only "
            f"{free / 1e9:.1f} GB are free; make room"
        )
    options, layout = fit(work.segments[0].layout)
    part = work.path / f".joined{target.suffix}"  # on the target's disk, and gone with the folder
    try:
        writer = FilmWriter(source, part, target, options, layout)
        try:
            writer.write(work.segments)
        finally:
            writer.close()
        flush(part)  # before the segments go: the power may fail right after
        part.replace(target)
    except OSError as error:
        reason = error.strerror or error
        raise OutputError(f"{target}: cannot write it ({reason})") from error
    finally:
        part.unlink(missing_ok=True)
    return [*layout.remarks, *writer.remarks, *(f"{what} was left out" for what in writer.left_out)]


class SegmentWriter:
    """Encodes the frames of one segment with an encoder of its own, into PACKETS."""

    def __init__(
        self,
        packets: Path,
        target: Path,
        options: FilmOptions,
        first: ColoredPicture,
        facts: StreamFacts,
    ) -> None:
        self.frames = 0
        self._path, self._target, self._first, self._facts = packets, target, first.picture, facts
        self._layout = layout = first.layout
        # Nothing is written to the container: it tells the encoder what its packets must be like.
        self._container = create_container(target, target)
        self._video = add_encoder(self._container, target, options, layout, facts)
        self._marker = FieldMarker(top_first=layout.top_first) if layout.interlaced else None
        self._rows: list[tuple[int, int, int, bool]] = []
        self._file = packets.open("wb")

    def encode(self, item: ColoredPicture) -> None:
        """Encode one frame at its own time."""
        frame = build_frame(item.picture.luma, item.chroma, self._layout)
        frame.pts, frame.time_base = item.picture.pts, self._facts.time_base
        frame.duration = item.picture.duration
        if self._marker is not None and item.picture.interlaced:
            frame = self._marker.mark(frame)
        self._encode(frame)
        self.frames += 1

    def _encode(self, frame: av.VideoFrame | None) -> None:
        try:
            for packet in self._video.encode(frame):
                self._store(packet)
        except (av.error.FFmpegError, OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            raise OutputError(f"{self._target}: cannot encode or write it ({reason})") from error

    def _store(self, packet: AnyPacket) -> None:
        if packet.pts is None:
            raise ValueError("the encoder gives frames without times")
        self._file.write(packet)
        row = (packet.pts, packet.duration or 0, packet.size, packet.is_keyframe)
        self._rows.append(row)

    def finish(self, end: Position, state: F32 | None) -> Segment:
        """Encode what the encoder still holds and record the segment, whole."""
        try:
            self._encode(None)
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()
            pts, durations, sizes, keys = zip(*self._rows, strict=True)
            segment = Segment(
                self._path,
                np.array(pts, np.int64),
                np.array(durations, np.int64),
                np.array(sizes, np.int64),
                np.array(keys, np.bool_),
                self._video.codec_context.extradata or b"",
                end,
                self._first.layout,
                state,
            )
            segment.save()
        except OSError as error:
            reason = error.strerror or error
            raise OutputError(f"{self._target}: cannot write it ({reason})") from error
        finally:
            self.close()
        return segment

    def close(self) -> None:
        """Give the file and the encoder back, finished or not."""
        self._file.close()
        self._container.close()
