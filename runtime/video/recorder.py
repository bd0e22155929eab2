"""Puts a colored video on the disk, segment by segment."""

import os
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import av
import av.error
import numpy as np

from ..errors import OutputError
from .encoder import EncoderChoice, add_encoder, create_container, rehearse
from .frames import build_frame
from .interlacing import FieldMarker
from .options import VideoOptions
from .protocols import ColoredPicture, State
from .reader import AnyPacket, Position
from .segments import Origin, Segment, WorkFolder, state_digest
from .source import StreamFacts


class Recorder:
    """Cuts a video into segments of one length; each is ended in another thread."""

    def __init__(
        self, work: WorkFolder, target: Path, choose: EncoderChoice, facts: StreamFacts
    ) -> None:
        self.frames = work.frames
        self._work, self._target, self._choose, self._facts = work, target, choose, facts
        self._number = len(work.segments)
        self._writer: SegmentWriter | None = None
        self._last: ColoredPicture | None = None
        self._begin = self._state_before()
        self._cuts: list[int] = []
        self._ending = ThreadPoolExecutor(1)
        self._finishing: Future[Segment] | None = None

    def _state_before(self) -> str:
        segments = self._work.segments
        return segments[-1].origin.end if segments else state_digest({})

    def add(self, item: ColoredPicture) -> bool:
        """Encode the next frame; False if `begin_again` finds those that follow finished."""
        if self._writer is None:
            packets = self._work.begin_segment(self._number)
            options, layout = self._choose(item.picture.layout)
            if self._number == 0:
                rehearse(self._work.path, self._target, options, layout, self._facts)
            self._writer = SegmentWriter(packets, self._target, options, item, self._facts)
            self._number += 1
        self._writer.encode(item)
        if item.begins_scene:
            self._cuts.append(self.frames)
        self._last = item
        self.frames += 1
        if self._writer.frames < self._work.segment_frames:
            return True
        self._end_segment()
        return not self._work.is_reusable(self._number, self.frames, self._begin)

    def begin_again(self) -> None:
        """Go on after the segments that an earlier run finished."""
        self._collect()
        self._work.reuse()
        self.frames, self._number = self._work.frames, len(self._work.segments)
        self._begin = self._state_before()

    def _end_segment(self) -> None:
        if self._writer is None or self._last is None:
            return
        self._collect()
        end = Position.of(self.frames, self._last.picture)
        origin = Origin(
            begin=self._begin,
            end=state_digest(self._last.state),
            cuts=tuple(self._cuts),
            references=self._work.references,
        )
        self._finishing = self._ending.submit(self._writer.finish, end, origin, self._last.state)
        self._writer, self._begin, self._cuts = None, origin.end, []

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
            pass  # the run has ended with an error already: this one, or one before it
        finally:
            self._ending.shutdown()
            if self._writer is not None:
                self._writer.close()


class SegmentWriter:
    """Encodes the frames of one segment with an encoder of its own, into PACKETS."""

    def __init__(
        self,
        packets: Path,
        target: Path,
        options: VideoOptions,
        first: ColoredPicture,
        facts: StreamFacts,
    ) -> None:
        self.frames = 0
        self._path, self._target, self._first, self._facts = packets, target, first.picture, facts
        self._layout = layout = first.layout
        # Nothing is written to this container. The encoder asks it what form its packets need.
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
            packets = self._video.encode(frame)
        except (av.error.FFmpegError, OSError, ValueError) as error:
            raise self._failed("encode", error) from error
        try:
            for packet in packets:
                self._store(packet)
        except OSError as error:
            raise self._failed("write", error) from error

    def _failed(self, what: str, error: Exception) -> OutputError:
        reason = getattr(error, "strerror", None) or error
        return OutputError(f"{self._target}: cannot {what} it ({reason})")

    def _store(self, packet: AnyPacket) -> None:
        if packet.pts is None:
            raise OutputError(f"{self._target}: its encoder gives frames without times")
        self._file.write(packet)
        row = (packet.pts, packet.duration or 0, packet.size, packet.is_keyframe)
        self._rows.append(row)

    def finish(self, end: Position, origin: Origin, state: State) -> Segment:
        """Encode what the encoder still holds and record the segment, whole."""
        try:
            self._encode(None)
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()
            pts, durations, sizes, keys = zip(*self._rows, strict=True)
            segment = Segment(
                packets=self._path,
                pts=np.array(pts, np.int64),
                durations=np.array(durations, np.int64),
                sizes=np.array(sizes, np.int64),
                keyframes=np.array(keys, np.bool_),
                extradata=self._video.codec_context.extradata or b"",
                end=end,
                layout=self._first.layout,
                origin=origin,
                state=state,
            )
            segment.save()
        except OSError as error:
            raise self._failed("write", error) from error
        finally:
            self.close()
        return segment

    def close(self) -> None:
        """Give the file and the encoder back, finished or not."""
        self._file.close()
        self._container.close()
