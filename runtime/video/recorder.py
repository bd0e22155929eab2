"""Puts a colored video on the disk, segment by segment."""

import os
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import av
import av.error
import numpy as np
from av.video.stream import VideoStream

from ..errors import OutputError
from .clock import AnyPacket
from .codecs import ENCODERS
from .encoder import EncoderChoice, add_encoder, create_container
from .frames import build_frame
from .interlacing import FieldMarks, marked
from .joint import rehearse
from .options import VideoOptions
from .picture import Picture, Position
from .protocols import ColoredPicture, Run, State
from .segments import Origin, Seam, Segment, state_digest
from .source import StreamFacts
from .work_folder import WorkFolder

_FEWEST = 10  # frames of one order of fields that are worth a key frame


class Recorder:
    """Cuts a video into segments of one length; each is ended in another thread."""

    def __init__(
        self,
        work: WorkFolder,
        target: Path,
        choose: EncoderChoice,
        run: Run,
        *,
        pictures_alone: bool = False,
        rehearsed: bool = False,
    ) -> None:
        """REHEARSED: it is known already that the container takes all that will come."""
        self._alone, self._rehearsed = pictures_alone, rehearsed
        self._work, self._target, self._choose, self._run = work, target, choose, run
        self._seam = work.tail
        self.frames = self._seam.frames
        self._writer: SegmentWriter | None = None
        self._last: ColoredPicture | None = None
        self._cuts: list[int] = []
        self._ending = ThreadPoolExecutor(1)
        self._finishing: Future[Segment] | None = None

    def add(self, item: ColoredPicture) -> bool:
        """Encode the next frame; False if `begin_again` finds those that follow finished."""
        if self._writer is None:
            packets = self._work.begin_segment(self._seam.number)
            options, layout = self._choose(item.picture.layout)
            if self._seam.number == 0 and not self._rehearsed:
                rehearse(
                    self._run,
                    self._work.path,
                    self._target,
                    options,
                    layout,
                    pictures_alone=self._alone,
                )
            facts, fields = self._run.facts, self._seam.interlaced
            self._writer = SegmentWriter(
                packets, self._target, options, item, facts, interlaced=fields
            )
        self._writer.encode(item)
        if item.begins_scene:
            self._cuts.append(self.frames)
        self._last = item
        self.frames += 1
        if self._writer.frames < self._work.segment_frames:
            return True
        self._end_segment()
        return not self._work.is_reusable(self._seam)

    def begin_again(self) -> None:
        """Go on after the segments that an earlier run finished."""
        self._collect()
        self._work.reuse()
        self._seam = self._work.tail
        self.frames = self._seam.frames

    def _end_segment(self) -> None:
        if self._writer is None or self._last is None:
            return
        self._collect()
        end = Position.of(self.frames, self._last.picture)
        origin = Origin(
            after=self._seam,
            end=state_digest(self._last.state),
            cuts=tuple(self._cuts),
            references=self._work.references,
        )
        self._finishing = self._ending.submit(self._writer.finish, end, origin, self._last.state)
        self._seam = Seam(
            number=self._seam.number + 1,
            position=end,
            state=origin.end,
            interlaced=self._writer.interlaced,
        )
        self._writer, self._cuts = None, []

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
    """Encodes the frames of one segment with an encoder of its own, into PACKETS.

    Where the first INTERLACED frame comes, the encoder is opened anew for all that follow.
    """

    def __init__(
        self,
        packets: Path,
        target: Path,
        options: VideoOptions,
        first: ColoredPicture,
        facts: StreamFacts,
        *,
        interlaced: bool = False,
    ) -> None:
        self.frames = 0
        self._path, self._target, self._first, self._facts = packets, target, first.picture, facts
        self._options, self._layout = options, first.layout
        # Nothing is written to this container. The encoder asks it what form its packets need.
        self._container = create_container(target, target)
        self.interlaced = interlaced or first.layout.interlaced
        self._rows: list[tuple[int, int, int, bool]] = []
        self._headers: dict[int, bytes] = {}
        fields = first.picture.interlaced
        self._top_first = first.picture.top_first if fields else first.layout.top_first
        self._fields = 0  # frames of two fields that the encoder took
        self._orders = dict[int, bool | None]()  # by the times of frames of fields, as in `marked`
        self._video = self._open_encoder()
        self._file = packets.open("wb")

    def _open_encoder(self) -> VideoStream:
        layout = replace(self._layout, interlaced=self.interlaced, top_first=self._top_first)
        self._marks, self._fields = FieldMarks(), 0
        video = add_encoder(self._container, self._target, self._options, layout, self._facts)
        self._headers[len(self._rows)] = video.codec_context.extradata or b""
        self._encoder = ENCODERS[video.codec_context.name]
        return video

    def encode(self, item: ColoredPicture) -> None:
        """Encode one frame at its own time."""
        picture = item.picture
        if self._begins_anew(picture):
            self._encode(None)
            self.interlaced, self._top_first = True, picture.top_first
            self._container.close()
            self._container = create_container(self._target, self._target)
            self._video = self._open_encoder()
        if self.interlaced:
            self._orders[picture.pts] = picture.top_first if picture.interlaced else None
        frame = build_frame(picture.luma, item.chroma, self._layout, picture.carrier)
        if self.interlaced and self._video.codec_context.name == "libx264":
            frame = self._marks.mark(frame, top_first=self._top_first)
        self._fields += picture.interlaced
        frame.pts, frame.time_base = picture.pts, self._facts.time_base
        frame.duration = picture.duration
        self._encode(frame)
        self.frames += 1

    def _begins_anew(self, picture: Picture) -> bool:
        """Whether PICTURE needs an encoder of its own: for fields, or for their other order."""
        if not picture.interlaced or not self._encoder.marks_each_frame:
            return False
        if not self.interlaced:
            return True
        worth = not self._fields or self._fields >= _FEWEST
        turned = picture.top_first != self._top_first
        return turned and worth and self._video.codec_context.name == "libx264"

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
        data = bytes(packet)
        if packet.pts in self._orders and self._video.codec_context.name == "libx264":
            data = marked(data, top_first=self._orders.pop(packet.pts))
        self._file.write(data)
        self._rows.append((packet.pts, packet.duration or 0, len(data), packet.is_keyframe))

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
                headers=self._headers,
                interlaced=self.interlaced,
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
