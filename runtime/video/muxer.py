"""The file that is written: segments of video, and the other streams of the source."""

import errno
import heapq
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from fractions import Fraction
from functools import partial
from pathlib import Path

import av
import av.error
import av.logging
from av.container import InputContainer
from av.stream import Discard, Disposition, Stream
from av.video.stream import VideoStream

from ..errors import OutputError
from ..notices import Notice
from .clock import AnyPacket, Clock
from .codecs import ENCODERS
from .encoder import add_encoder, create_container
from .frames import FrameLayout
from .matroska import PLACEHOLDER_ROTATION, can_hold, write_aspect
from .options import VideoOptions
from .reader import read_packets
from .segments import Segment, stored_packets
from .side_data import CAPTIONS, FIELDS, HDR10, ORDERS, TAKES_HDR
from .source import StreamFacts, open_sound, open_video, video_stream
from .stretch import Window
from .tracks import Order, Track, Tracks, seconds

_MATROSKA = ("matroska", "webm")
SOUND = 1 << 16
"""Is added to the numbers of streams in a file of sound alone."""
TIMECODE = -1
"""Stands for the timecode among the numbers of streams."""
_OWN_TAGS = ("encoder", "rotate", "duration", "bps", "number_of_", "_statistics_", "vendor_id")
"""Begin the names of tags that describe the source's packets, which are new."""
_OF_CONTAINER = (
    *("major_brand", "minor_version", "compatible_brands", "handler", "timecode"),
    *("uid", "generation_uid", "product_", "company_name", "application_platform"),
    *("modification_date", "material_package", "file_package", "reel_umid"),
    *("operational_pattern", "toolkit_version"),
)
"""Begin the names of tags that each container has of its own; a timecode is told apart."""
_CHAPTERED = ("mp4", "mov", "ipod", *_MATROSKA)
_TIMECODED = ("mov", "mp4", "mxf", *_MATROSKA)
_ALPHA = "alpha_mode"
"""The tag by which WebM says that its frames have an alpha plane."""
_FAR = 100_000  # packets in which a rehearsal looks for the first of each stream
DISK = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EFBIG)
"""Errors of the disk, after which the same work can be tried again."""


_MATRIX_KEPT = ("mp4", "mov", "ipod", *_MATROSKA)
_ANNEX_B = (b"\0\0\1", b"\0\0\0\1")


class RefusedError(OutputError):
    """What the container does not take, at the packet of a stream of the source, if at one."""

    def __init__(self, message: str, stream: int | None = None) -> None:
        super().__init__(message)
        self.stream = stream


class Muxer:
    """Muxes finished segments with all else of the source, without encoding the frames again."""

    def __init__(
        self,
        source: InputContainer,
        video: VideoStream,
        part: Path,
        target: Path,
        options: VideoOptions,
        layout: FrameLayout,
        without: Collection[int] = (),
        carried: Collection[str] = (),
        *,
        window: Window | None = None,
    ) -> None:
        """VIDEO is the stream of SOURCE that was colored; the streams WITHOUT are left out.

        CARRIED names what its frames carried beside their picture. Of all else, what is in WINDOW
        is written.
        """
        self._window = window
        self._left_out: list[Notice] = []
        self._said: list[Notice] = []
        self._damaged = False  # sound or subtitles
        self._source, self._target, self._layout, self._part = source, target, layout, part
        self._aspect: Fraction | None = None  # to be written into the finished file
        self._source_video = video
        # QuickTime's form that keeps all keys has no place for covers.
        covers = any(stream.disposition & Disposition.attached_pic for stream in source.streams)
        self._container = create_container(part, target, None if covers else source.metadata)
        facts = StreamFacts.of(video)
        self._video = add_encoder(self._container, target, options, layout, facts)
        self._note_marks(facts)
        self._note_side_data(carried)
        self.tracks = Tracks(source, self._container, self._note_damage)
        timecode = self._set_metadata(keep_timecode=TIMECODE not in without and not window)
        chapters = source.chapters()
        has_chapters = (
            bool(chapters) and self._container.format.name in _CHAPTERED and window is None
        )
        self._sound = None if options.audio is None else open_sound(options.audio)
        for stream in source.streams:
            if stream is video or (timecode and stream.type == "data" and _is_timecode(stream)):
                continue
            if has_chapters and _is_chapters(stream):
                continue
            replaced = self._sound is not None and stream.type == "audio"
            if replaced or stream.index in without or not self.tracks.take(stream):
                self._leave_out(f"{stream.type} stream {stream.index}")
        for stream in [] if self._sound is None else self._sound.streams.audio:
            number = SOUND + stream.index
            if number in without or not self.tracks.take(stream, number):
                self._leave_out(f"audio stream {stream.index} of {options.audio}")
        if has_chapters:
            self._container.set_chapters(chapters)
        elif chapters:
            self._leave_out("the list of chapters")
        self._orders: dict[int, Order] = {}

    def _set_metadata(self, *, keep_timecode: bool) -> bool:
        """Write the tags of the file and its picture; return whether its timecode is kept."""
        own = {
            key: text
            for key, text in self._source_video.metadata.items()
            if not key.lower().startswith(_OWN_TAGS)
        }
        self._container.metadata.update(self._source.metadata)
        for key in [key for key in own if key.lower() == _ALPHA]:
            if own.pop(key) == "1":  # FFmpeg's own decoders of VP8 and VP9 leave it aside
                self._leave_out("the alpha plane")
        timecode = own.pop("timecode", None) or self._container.metadata.pop("timecode", None)
        self._video.metadata.update(own)
        self._video.disposition = self._source_video.disposition
        if timecode is None:
            return False
        if not keep_timecode or self._container.format.name not in _TIMECODED:
            self._leave_out(f"the timecode {timecode}")
            return False
        self._video.metadata["timecode"] = timecode
        return True

    def _note_marks(self, facts: StreamFacts) -> None:
        encoder = ENCODERS[self._video.codec_context.name]
        in_matroska = self._container.format.name in _MATROSKA
        if facts.aspect and facts.aspect != 1 and in_matroska and not encoder.keeps_aspect:
            size = (self._layout.width, self._layout.height)
            if self._layout.display or not can_hold(*size, facts.aspect):
                self._leave_out(f"the pixel aspect {facts.aspect}")
            else:
                self._video.set_display_rotation(PLACEHOLDER_ROTATION)
                self._aspect = facts.aspect
        if self._layout.display and self._container.format.name not in _MATRIX_KEPT:
            self._leave_out("the mark that players turn it")
        name = self._container.format.name
        # In QuickTime, FFmpeg writes no mark beside Avid's own tags.
        avid = self._video.codec_context.name == "dnxhd"
        marks_fields = name == "matroska" or (name == "mov" and not avid)
        if self._layout.interlaced and not encoder.interlacing and not marks_fields:
            self._leave_out("the mark that its frames are interlaced")

    def _note_side_data(self, carried: Collection[str]) -> None:
        codec = self._video.codec_context.name
        kept = {CAPTIONS} if ENCODERS[codec].keeps_captions else set[str]()
        if ENCODERS[codec].marks_each_frame:
            kept.add(ORDERS)
        if ENCODERS[codec].marks_each_frame or self._layout.interlaced:  # see `_note_marks`
            kept.add(FIELDS)
        if codec in TAKES_HDR and self._layout.hdr:
            kept.add(HDR10)
        for what in sorted({*carried} - kept):
            self._leave_out(what)
        if HDR10 in kept and codec == "libx264":
            message = (
                f"{HDR10} is in the H.264 stream alone, where few players look; libx265 is better"
            )
            self._said.append(Notice(message, topic="output"))

    def _leave_out(self, what: str) -> None:
        verb = "were" if what == CAPTIONS else "was"
        self._left_out.append(Notice(f"{what} {verb} left out", topic="output", severity="warning"))

    @property
    def notices(self) -> list[Notice]:
        """What is not as in the source."""
        message = "damage in its sound or subtitles was skipped"
        damage = [Notice(message, topic="source", severity="warning")] if self._damaged else []
        corrected = [
            Notice(
                f"{order.corrected} packets of {order.kind} had times out "
                "of order, which were corrected",
                topic="source",
                severity="warning",
            )
            for order in self._orders.values()
            if order.corrected
        ]
        converted = [
            Notice(message, topic="output", severity="warning") for message in self.tracks.converted
        ]
        return [
            *self._layout.notices,
            *converted,
            *damage,
            *corrected,
            *self._said,
            *self._left_out,
        ]

    def write(self, frames: Iterable[AnyPacket], most: int | None = None) -> None:
        """Write FRAMES with the packets of the source between them, and the container's end.

        MOST is how many packets of each stream are written. Raises RefusedError.
        """
        self._guard(self._container.start_encoding)
        self._orders = {
            stream.index: Order(self._container, stream) for stream in self._container.streams
        }
        for packet in heapq.merge(self._own(frames), self._others(most), key=seconds):
            self._orders[packet.stream.index].correct(packet)
            self._guard(partial(self._container.mux, packet), packet.stream)
        self._guard(self._container.close)
        if self._aspect is not None:
            write_aspect(self._part, self._aspect)

    def close(self) -> None:
        """Close the container, finished or not."""
        with suppress(av.error.FFmpegError, OSError):
            self._container.close()
        if self._sound is not None:
            self._sound.close()

    def _own(self, frames: Iterable[AnyPacket]) -> Iterator[AnyPacket]:
        for packet in frames:
            packet.stream = self._video
            yield packet

    def film(self, segments: Sequence[Segment]) -> Iterator[AnyPacket]:
        """Yield the packets of SEGMENTS; RefusedError if they cannot be joined.

        Where the encoder was opened anew with other headers, they go into the stream.
        """
        head = self._video.codec_context.extradata or b""
        for stored in stored_packets(segments):
            data = stored.data
            if stored.header != head and stored.is_keyframe:
                if not stored.header.startswith(_ANNEX_B):
                    raise RefusedError(
                        f"{self._target}: {self._video.codec_context.name} begins its parts "
                        "differently; take another --codec"
                    )
                data = stored.header + data
            packet = av.Packet(data)
            packet.pts, packet.dts, packet.duration = stored.pts, stored.dts, stored.duration
            packet.time_base = self._video.codec_context.time_base
            packet.is_keyframe = stored.is_keyframe
            yield packet

    def _others(self, most: int | None) -> Iterator[AnyPacket]:
        """Yield the packets of the other streams as they are written."""
        own = {number: track for number, track in self.tracks.by_index.items() if number < SOUND}
        given = {
            number - SOUND: track
            for number, track in self.tracks.by_index.items()
            if number >= SOUND
        }
        sound = iter(()) if self._sound is None else self._written(self._sound, given, most)
        yield from heapq.merge(self._written(self._source, own, most), sound, key=seconds)

    def _written(
        self, container: InputContainer, tracks: Mapping[int, Track], most: int | None
    ) -> Iterator[AnyPacket]:
        streams = [container.streams[index] for index in tracks]
        if not streams:
            return
        clock = Clock(container)
        if container is self._source and not clock.watched:
            self._source_video.discard = Discard.all
        written = defaultdict[int, int](int)
        for packet in read_packets(container, streams, clock, self._note_damage):
            index = packet.stream.index
            if self._window is not None and not self._window.takes(packet):
                if self._window.ended(packet):
                    break
                continue
            written[index] += 1
            if most is None or written[index] <= most:
                yield from tracks[index].packets(packet)
            elif all(written[index] > most for index in tracks) or sum(written.values()) > _FAR:
                break
        for track in tracks.values():
            yield from track.packets(None)

    def _note_damage(self) -> None:
        self._damaged = True

    def _guard(self, write: Callable[[], object], stream: Stream | None = None) -> None:
        try:
            write()
        except (av.error.FFmpegError, OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            message = f"{self._target}: cannot write it ({reason})"
            if isinstance(error, OSError) and error.errno in DISK:
                raise OutputError(message) from error
            raise RefusedError(message, self._index_of(stream)) from error

    def _index_of(self, stream: Stream | None) -> int | None:
        tracks = self.tracks.by_index.items()
        return next((index for index, track in tracks if track.stream is stream), None)


def lost_tags(source: InputContainer, made: Path) -> list[Notice]:
    """Return which tags of SOURCE the finished file MADE does not have."""
    with open_video(made) as container:
        stream = video_stream(container)
        kept = {key.lower() for key in (*container.metadata, *stream.metadata)}
        name = container.format.name.split(",")[0]
    wanted = [key for key in source.metadata if not key.lower().startswith(_OWN_TAGS)]
    lost = [key for key in wanted if not {key.lower(), key.lower().split("-")[0]} & kept]
    lost = [key for key in lost if not key.lower().startswith(_OF_CONTAINER)]
    if not lost:
        return []
    message = f"{name} takes no {', '.join(sorted(lost))}: these tags were left out"
    return [Notice(message, topic="output", severity="warning")]


def given_sound(options: VideoOptions) -> list[int]:
    """Return the numbers by which a Muxer knows the tracks of OPTIONS' file of sound."""
    if options.audio is None:
        return []
    with open_sound(options.audio) as sound:
        return [SOUND + stream.index for stream in sound.streams.audio]


def _is_timecode(stream: Stream) -> bool:
    return stream.codec_context is None and "timecode" in stream.metadata


def _is_chapters(stream: Stream) -> bool:
    """Tell whether STREAM is the track of text that QuickTime keeps its chapters in."""
    handler = stream.metadata.get("handler_name")
    return stream.type == "data" and stream.codec_context is None and handler == "SubtitleHandler"
