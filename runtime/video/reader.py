"""Reads a video: frames in the order of showing, across damage, from any of them on."""

import hashlib
import heapq
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import av
import av.error
import av.logging
from av.container import InputContainer
from av.video.stream import VideoStream

from ..errors import InputError
from ..notices import Notice
from .frames import FrameLayout, Plane, layout_of, luma_of
from .source import Source, path_of, video_stream

if TYPE_CHECKING:
    AnyPacket = av.Packet[Any]
else:
    AnyPacket = av.Packet  # generic in its stub alone

# Containers with an index to find a position by, whose times do not depend on earlier packets.
_SEEKABLE = ("mp4", "matroska")
_SEEK_BACK_SECONDS = 10  # beyond open groups of pictures, whose first frames need the group before
_MOST_STEP_BACK = Fraction(1)  # seconds; a clock that jumps back by less is corrected
_MOST_TRIES = 100  # to continue reading behind damage
_SITINGS = ("left", "center", "topleft", "top", "bottomleft", "bottom")


@dataclass(frozen=True)
class Flaws:
    """What was wrong with a video up to some frame, and was bridged."""

    damaged: int = 0  # packets that could not be decoded
    repeated: int = 0  # frames lost in them, in whose place the one before is repeated
    repaired: int = 0  # frames with damage inside, which the decoder filled
    misdated: int = 0  # frames whose time was not after the one before

    @property
    def notices(self) -> list[Notice]:
        """They, for the user."""
        said = []
        if self.damaged:
            said.append(
                f"{self.damaged} damaged packets were skipped; "
                f"{self.repeated} frames lost with them repeat the one before"
            )
        if self.repaired:
            said.append(f"{self.repaired} frames had damage inside that the decoder filled")
        if self.misdated:
            said.append(f"{self.misdated} frames had times out of order, which were corrected")
        return [Notice(message, topic="source", severity="warning") for message in said]


@dataclass(frozen=True, kw_only=True)
class Picture:
    """A decoded frame on its way."""

    luma: Plane  # (H, W), code values
    pts: int  # in the source's time base
    duration: int  # the same; 0 if the source does not tell
    interlaced: bool
    layout: FrameLayout
    flaws: Flaws


@dataclass(frozen=True, kw_only=True)
class Position:
    """A frame in the film, by its place, time and content: where an earlier run had come to."""

    frames: int  # up to and with this one
    pts: int
    luma_sha256: str
    flaws: Flaws

    @classmethod
    def of(cls, frames: int, picture: Picture) -> "Position":
        """Return the position of PICTURE, the film's FRAMES-th."""
        return cls(
            frames=frames,
            pts=picture.pts,
            luma_sha256=luma_hash(picture.luma),
            flaws=picture.flaws,
        )


def luma_hash(luma: Plane) -> str:
    """Return the SHA-256 of a luma plane."""
    return hashlib.sha256(luma.tobytes()).hexdigest()


def read_packets(
    container: InputContainer, streams: list[Any], damage: Callable[[], None]
) -> Iterator[AnyPacket]:
    """Yield the packets of STREAMS in the order of the file; InputError if it cannot be read.

    DAMAGE is called for each place that cannot be read. The video ends where nothing follows one.
    """
    tries = 0
    while tries < _MOST_TRIES:
        try:
            for packet in container.demux(streams):
                if packet.size:  # the empty packet that ends a stream has none
                    tries = 0
                    yield packet
        except (av.error.InvalidDataError, IndexError):  # IndexError: a stream that appears midway
            damage()
            tries += 1
        except (av.error.FFmpegError, OSError) as error:
            raise InputError(
                f"{path_of(container)}: cannot be read on ({error.strerror})"
            ) from error
        else:
            return


class VideoReader:
    """Decodes one video: all of it, or what follows the last frame of an earlier run."""

    def __init__(self, source: Source, container: InputContainer) -> None:
        """CONTAINER is SOURCE, open; only a pipe is read through it."""
        self._source, self._container = source, container
        self._cancelled = False

    def cancel(self) -> None:
        """Stop looking for the frame to resume after, because the run has ended."""
        self._cancelled = True

    def pictures(self, after: Position | None = None) -> Iterator[Picture]:
        """Yield the frames that follow AFTER, in the order of showing.

        Raises InputError if the video cannot be read, or does not hold AFTER any more.
        """
        if after is None:
            with self._source.again(self._container) as container:
                yield from _Decoding(container).pictures()
            return
        for seek in (True, False):
            with self._source.again(self._container) as container:
                decoding = _Decoding(container)
                if seek and not decoding.seek(after):
                    continue
                pictures = decoding.pictures()
                if self._reached(pictures, after):
                    yield from pictures
                    return
        path = self._source.path
        raise InputError(f"{path}: its frames are not those of the earlier run any more")

    def _reached(self, pictures: Iterator[Picture], position: Position) -> bool:
        """Read PICTURES up to POSITION; False if its frame is not there as it was."""
        for picture in pictures:
            if picture.pts >= position.pts:
                # A decoder with threads does not fill damage with the same pixels in every run.
                damaged = position.flaws != Flaws()
                same = damaged or luma_hash(picture.luma) == position.luma_sha256
                return picture.pts == position.pts and same
            if self._cancelled:
                break
        return False


class _Decoding:
    """One pass over the frames of an open video."""

    def __init__(self, container: InputContainer) -> None:
        self._container = container
        self._video = video_stream(container)
        self._video.thread_type = "AUTO"
        self._siting = _siting_of(container, self._video)
        self._layout: FrameLayout | None = None
        self._last: Picture | None = None
        self._flaws = Flaws()
        self._frames = 0
        self._unseen: list[int] = []  # a heap: times of packets whose frames have not come yet
        # AVI stores decoding times alone. Sorted, they are the times of showing.
        self._in_order = container.format.name == "avi"

    def seek(self, position: Position) -> bool:
        """Go to some frame before POSITION; False if seeking cannot be trusted in this file."""
        names = self._container.format.name.split(",")
        base = self._video.time_base
        if position.flaws != Flaws() or not set(names) & set(_SEEKABLE) or base is None:
            return False
        depth = self._video.codec_context.reorder_depth
        try:
            back = position.pts - int(_SEEK_BACK_SECONDS / base)
            self._container.seek(back, stream=self._video)
        except (av.error.FFmpegError, OSError):
            return False
        self._video.codec_context.reorder_depth = depth  # flushing resets it
        return True

    def pictures(self) -> Iterator[Picture]:
        """Yield the frames; those that were lost repeat the one before."""
        for packet in read_packets(self._container, [self._video], self._note_damage):
            time = packet.dts if self._in_order else packet.pts
            if time is not None:
                heapq.heappush(self._unseen, time)
            yield from self._bridged(self._decoded(packet))
        yield from self._bridged(self._decoded(None))
        yield from self._repeats(self._missing_at_end())

    def _note_damage(self) -> None:
        self._flaws = replace(self._flaws, damaged=self._flaws.damaged + 1)

    def _decoded(self, packet: AnyPacket | None) -> list[av.VideoFrame]:
        try:
            return self._video.decode(packet)
        except av.error.InvalidDataError:
            self._note_damage()
        except (av.error.FFmpegError, OSError) as error:
            if packet is not None:
                message = f"{path_of(self._container)}: cannot be decoded ({error.strerror})"
                raise InputError(message) from error
        return []

    def _bridged(self, frames: list[av.VideoFrame]) -> Iterator[Picture]:
        for frame in frames:
            self._layout = self._layout or layout_of(frame, self._siting)
            if frame.is_corrupt:
                self._flaws = replace(self._flaws, repaired=self._flaws.repaired + 1)
            pts = self._time_of(frame)
            if not self._in_order:
                yield from self._repeats(self._lost_before(pts))
            yield self._shown(self._picture(frame, self._layout, pts))

    def _lost_before(self, pts: int) -> list[int]:
        """Return when frames before PTS were due that damaged packets did not give.

        Packets without a frame of their own are not rare, so no more than were damaged.
        """
        due = []
        while self._unseen and self._unseen[0] <= pts:
            due.append(heapq.heappop(self._unseen))
        lost = self._flaws.damaged - self._flaws.repeated
        return [time for time in due if time != pts][:lost]

    def _missing_at_end(self) -> list[int]:
        if self._in_order:
            return []
        lost = self._flaws.damaged - self._flaws.repeated
        if self._video.frames:
            lost = max(lost, 0) and self._video.frames - self._frames
        return sorted(self._unseen)[: max(lost, 0)]

    def _repeats(self, times: list[int]) -> Iterator[Picture]:
        for time in times:
            if self._last is not None and time > self._last.pts:
                self._flaws = replace(self._flaws, repeated=self._flaws.repeated + 1)
                yield self._shown(replace(self._last, pts=time, flaws=self._flaws))

    def _shown(self, picture: Picture) -> Picture:
        self._last = picture
        self._frames += 1
        return picture

    def _time_of(self, frame: av.VideoFrame) -> int:
        """Return when FRAME is shown, always later than the one before."""
        pts = heapq.heappop(self._unseen) if self._in_order and self._unseen else frame.pts
        last, base = self._last, self._video.time_base
        if pts is None:
            if last is None or not last.duration:
                raise InputError(
                    f"{path_of(self._container)}: a frame has no timestamp; remux the film first"
                )
            pts = last.pts
        if last is None or pts > last.pts:
            return pts
        if base is not None and (last.pts - pts) * base > _MOST_STEP_BACK:
            raise InputError(
                f"{path_of(self._container)}: its clock jumps back by "
                f"{float((last.pts - pts) * base):.1f} s; split the film there or remux it first"
            )
        self._flaws = replace(self._flaws, misdated=self._flaws.misdated + 1)
        # Half a step: a whole one would make the next frame late too, and all that follow.
        return last.pts + max(last.duration if frame.pts is None else last.duration // 2, 1)

    def _picture(self, frame: av.VideoFrame, layout: FrameLayout, pts: int) -> Picture:
        before = f"{layout.width}x{layout.height} {layout.source_format}"
        now = f"{frame.width}x{frame.height} {frame.format.name}"
        if now != before:
            raise InputError(
                f"{path_of(self._container)}: the frame size changes from {before} to {now} in "
                "mid-film; split the film there"
            )
        luma = luma_of(frame, layout)
        duration = max(frame.duration or 0, 0)
        return Picture(
            luma=luma,
            pts=pts,
            duration=duration,
            interlaced=frame.interlaced_frame,
            layout=layout,
            flaws=self._flaws,
        )


def _siting_of(container: InputContainer, video: VideoStream) -> str | None:
    """Return where the file says that its chroma samples lie.

    PyAV does not expose it, but FFmpeg's verbose description of the stream names it.
    """
    level = av.logging.get_level()
    av.logging.set_level(av.logging.VERBOSE)
    av.logging.set_libav_level(av.logging.VERBOSE)
    try:
        described = container.dumps_format()  # type: ignore[attr-defined]  # not in its stub
    finally:
        av.logging.set_libav_level(av.logging.INFO)
        av.logging.set_level(level)
    own = re.search(rf"Stream #0:{video.index}\D[^\n]*?\(([^()]*)\), \d+x\d+", described)
    words = own[1].split(", ") if own else []
    return next((word for word in words if word in _SITINGS), None)
