"""Reads a video: frames in the order of showing, across damage, from any of them on."""

import heapq
import re
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from fractions import Fraction
from itertools import islice
from typing import Any

import av
import av.error
import av.logging
from av.container import InputContainer
from av.video.stream import VideoStream

from ..errors import InputError
from .clock import AnyPacket, Clock
from .frames import FrameLayout, layout_of, luma_of
from .interlacing import FieldOrder
from .picture import Flaws, Picture, Position, luma_hash
from .side_data import CAPTIONS, ORDERS, kinds_of
from .source import Source, is_linear, is_untimed, path_of, rate_of

# Containers with an index to find a position by, whose times do not depend on earlier packets.
_SEEKABLE = ("mp4", "matroska")
_SEEK_BACK_SECONDS = 10  # beyond open groups of pictures, whose first frames need the group before
_OF_ASF = ("wmv", "msmpeg4", "vc1")  # codecs
_MOST_TRIES = 100  # to continue reading behind damage
_SITINGS = ("left", "center", "topleft", "top", "bottomleft", "bottom")


def read_packets(
    container: InputContainer, streams: list[Any], clock: Clock, damage: Callable[[], None]
) -> Iterator[AnyPacket]:
    """Yield the packets of STREAMS in the order of the file; InputError if it cannot be read.

    CLOCK corrects their times. DAMAGE is called for each place that cannot be read. The video ends
    where nothing follows one.
    """
    tries = 0
    wanted = {stream.index for stream in streams}
    watched = [stream for stream in clock.watched if stream.index not in wanted]
    while tries < _MOST_TRIES:
        try:
            for packet in container.demux([*streams, *watched]):
                if packet.size:  # the empty packet that ends a stream has none
                    tries = 0
                    clock.correct(packet)
                    if packet.stream.index in wanted:
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


def shown_times(container: InputContainer, video: VideoStream) -> list[int]:
    """Return when the frames of VIDEO are shown, in its time base, as `VideoReader` gives them.

    They are those of its packets, without decoding one.
    """
    clock = Clock(container)
    packets = read_packets(container, [video], clock, lambda: None)
    shown = (packet for packet in packets if not packet.is_discard)
    found = [packet.dts if packet.pts is None else packet.pts for packet in shown]
    if is_untimed(container):
        step = frame_step(video)
        return [round(number * step) for number in range(len(found))]
    return sorted(time for time in found if time is not None)


def frame_step(video: VideoStream) -> Fraction:
    """Return how long a frame of VIDEO is shown on average, in its time base."""
    return 1 / (rate_of(video) * (video.time_base or Fraction(1, av.time_base)))


def is_seekable(container: InputContainer) -> bool:
    """Tell whether a frame in CONTAINER is found without decoding all that come before it."""
    return bool(set(container.format.name.split(",")) & set(_SEEKABLE))


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
                yield from _Decoding(self._source, container).pictures()
            return
        for seek in (True, False):
            with self._source.again(self._container) as container:
                decoding = _Decoding(self._source, container)
                if seek and not decoding.seek(after):
                    continue
                pictures = decoding.pictures()
                if self._reached(pictures, after):
                    yield from pictures
                    return
        path = self._source.path
        raise InputError(f"{path}: its frames are not those of the earlier run any more")

    def pictures_from(self, number: int, times: Sequence[int]) -> Iterator[Picture]:
        """Yield the frames from NUMBER on, of a video whose frames are shown at TIMES.

        Those long before it are not decoded, where the file has a place to begin at and all frames
        from there on come at their times, without damage. Raises InputError as `pictures`.
        """
        with self._source.again(self._container) as container:
            decoding = _Decoding(self._source, container)
            if decoding.seek_before(times[number], times[0]):
                pictures = decoding.pictures()
                if (picture := self._found(decoding, pictures, number, times)) is not None:
                    yield picture
                    yield from pictures
                    return
        yield from islice(self.pictures(), number, None)

    def _found(
        self, decoding: "_Decoding", pictures: Iterator[Picture], number: int, times: Sequence[int]
    ) -> Picture | None:
        """Return frame NUMBER of the PICTURES after a seek; None if they cannot be trusted."""
        place = -1
        try:
            for picture in pictures:
                if place < 0:
                    place = bisect_left(times, picture.pts)
                    decoding.passed_over(place)
                if place > number or picture.pts != times[place] or picture.flaws.in_frames:
                    break
                if place == number:
                    return picture
                place += 1
        except InputError:  # it may be readable up to there all the same
            pass
        return None

    def _reached(self, pictures: Iterator[Picture], position: Position) -> bool:
        """Read PICTURES up to POSITION; False if its frame is not there as it was."""
        for picture in pictures:
            if picture.pts >= position.pts:
                # A decoder with threads does not fill damage with the same pixels in every run.
                damaged = position.flaws.in_frames > 0
                known = position.luma_sha256
                same = damaged or not known or luma_hash(picture.luma) == known
                return picture.pts == position.pts and same
            if self._cancelled:
                break
        return False


class _Decoding:
    """One pass over the frames of an open video."""

    def __init__(self, source: Source, container: InputContainer) -> None:
        video = source.video(container)
        self._container, self._video = container, video
        self._rgb_full_range = source.full_range
        self._video.thread_type = "AUTO"
        if is_linear(video):
            video.codec_context.options = {"apply_trc": "iec61966_2_1"}  # sRGB
        self._clock = Clock(container)
        self._step = frame_step(video)
        self._counted = is_untimed(container)
        self._siting = _siting_of(container, self._video)
        self._layout: FrameLayout | None = None
        self._last: Picture | None = None
        self._flaws = Flaws()
        self._frames = 0
        self._fields = FieldOrder()
        self._unseen: list[int] = []  # a heap: times of packets whose frames have not come yet
        # AVI stores decoding times alone, and so does ASF of what was made for other containers.
        # Sorted, they are the times of showing.
        own = video.codec_context.codec.canonical_name.startswith(_OF_ASF)
        self._in_order = container.format.name == "avi" or (
            container.format.name == "asf" and not own
        )

    def seek(self, position: Position) -> bool:
        """Go to some frame before POSITION; False if seeking cannot be trusted in this file."""
        return not position.flaws.any and self.seek_before(position.pts)

    def seek_before(self, pts: int, first: int | None = None) -> bool:
        """Go to some frame before the one that is shown at PTS; False if that cannot be trusted.

        Or if it is of no use, because the video begins at FIRST.
        """
        base = self._video.time_base
        if not is_seekable(self._container) or base is None:
            return False
        depth = self._video.codec_context.reorder_depth
        back = pts - int(_SEEK_BACK_SECONDS / base)
        if first is not None and back <= first:
            return False
        try:
            self._container.seek(back, stream=self._video)
        except (av.error.FFmpegError, OSError):
            return False
        self._video.codec_context.reorder_depth = depth  # flushing resets it
        return True

    def passed_over(self, frames: int) -> None:
        """Take it that so many FRAMES come before those that were decoded."""
        self._frames += frames

    def pictures(self) -> Iterator[Picture]:
        """Yield the frames; those that were lost repeat the one before."""
        packets = read_packets(self._container, [self._video], self._clock, self._note_damage)
        for packet in packets:
            time = packet.pts if packet.pts is not None else packet.dts
            time = packet.dts if self._container.format.name == "avi" else time
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
            self._layout = self._layout or layout_of(
                frame, self._siting, rgb_full_range=self._rgb_full_range
            )
            if frame.is_corrupt:
                self._flaws = replace(self._flaws, repaired=self._flaws.repaired + 1)
            self._flaws = replace(self._flaws, jumps=self._clock.jumps)
            pts = self._time_of(frame)
            if not (self._in_order or self._counted):
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
        if self._in_order or self._counted:
            return []
        lost = self._flaws.damaged - self._flaws.repeated
        if self._video.frames:
            lost = max(lost, 0) and self._video.frames - self._frames
        return sorted(self._unseen)[: max(lost, 0)]

    def _repeats(self, times: list[int]) -> Iterator[Picture]:
        for time in times:
            if self._last is not None and time > self._last.pts:
                self._flaws = replace(self._flaws, repeated=self._flaws.repeated + 1)
                again = replace(self._last, pts=time, flaws=self._flaws, carrier=None)
                yield self._shown(again)

    def _shown(self, picture: Picture) -> Picture:
        self._last = picture
        self._frames += 1
        return picture

    def _time_of(self, frame: av.VideoFrame) -> int:
        """Return when FRAME is shown, always later than the one before."""
        if self._counted:
            return round(self._frames * self._step)
        pts = heapq.heappop(self._unseen) if self._in_order and self._unseen else frame.pts
        last = self._last
        if last is None:
            return pts or 0
        if pts is not None and pts > last.pts:
            return pts
        self._flaws = replace(self._flaws, misdated=self._flaws.misdated + 1)
        step = last.duration or int(self._step)
        # Half a step: a whole one would make the next frame late too, and all that follow.
        return last.pts + max(step if pts is None else step // 2, 1)

    def _picture(self, frame: av.VideoFrame, layout: FrameLayout, pts: int) -> Picture:
        carried = kinds_of(frame)
        top_first = not frame.interlaced_frame or self._fields.is_top_first(frame)
        if frame.interlaced_frame and layout.interlaced and top_first != layout.top_first:
            carried |= {ORDERS}
        if not carried <= {*self._flaws.carried}:
            known = tuple(sorted({*self._flaws.carried, *carried}))
            self._flaws = replace(self._flaws, carried=known)
        now = (frame.width, frame.height, frame.format.name)
        if now != (layout.width, layout.height, layout.source_format):
            self._flaws = replace(self._flaws, rescaled=self._flaws.rescaled + 1)
            frame = frame.reformat(
                layout.width, layout.height, layout.source_format, interpolation="BICUBIC"
            )
        luma = luma_of(frame, layout)
        duration = max(frame.duration or 0, 0)
        return Picture(
            luma=luma,
            pts=pts,
            duration=duration,
            interlaced=frame.interlaced_frame,
            top_first=top_first,
            layout=layout,
            flaws=self._flaws,
            carrier=frame if frame.interlaced_frame or CAPTIONS in carried else None,
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
