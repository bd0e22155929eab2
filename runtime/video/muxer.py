"""The file that is written: segments of video, and the other streams of the source."""

import heapq
import io
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from fractions import Fraction
from functools import partial
from pathlib import Path

import av
import av.error
import av.logging
from av.container import InputContainer, OutputContainer
from av.stream import AttachmentStream, Discard, Disposition, Stream

from ..errors import OutputError
from ..files import flush
from ..notices import Notice
from .audio import Reencoder
from .codecs import ENCODERS
from .encoder import EncoderChoice, add_encoder, create_container
from .frames import FrameLayout
from .matroska import PLACEHOLDER_ROTATION, can_hold, write_aspect
from .options import VideoOptions
from .reader import AnyPacket, read_packets
from .segments import Segment, WorkFolder, stored_packets
from .source import StreamFacts, video_stream

COPIED = ("audio", "subtitle")
"""Kinds of streams that are copied packet by packet."""

_MATROSKA = ("matroska", "webm")
_COVERS = {"mjpeg": ("cover.jpg", "image/jpeg"), "png": ("cover.png", "image/png")}
_IN_TRANSPORT_STREAMS = frozenset(
    ["aac", "ac3", "dca", "dts", "dvb_subtitle", "dvbsub", "eac3", "mp2", "mp3", "mp3float", "opus"]
)


def _holds(container: OutputContainer, stream: Stream) -> bool:
    """Tell whether CONTAINER takes the packets of STREAM; trying it is the only sure way."""
    # PyAV lists some codecs under the name of their decoder (dca), others under their own (dts).
    names = {stream.codec.name, stream.codec.canonical_name}
    if container.format.name == "mpegts":  # its list is empty, and it accepts any stream as data
        return bool(names & _IN_TRANSPORT_STREAMS)
    if not names & container.supported_codecs:
        return False
    if isinstance(stream, av.AudioStream) and container.format.name in ("mp4", "ipod"):
        # MP4 must name the place of each channel of PCM. Where it cannot, it fails at the very end.
        nameless = stream.codec_context.layout.name.endswith("channels")
        if nameless and stream.codec.name.startswith("pcm"):
            return False
    trial = av.open(io.BytesIO(), "w", format=container.format.name)
    try:
        trial.add_stream_from_template(stream)
        trial.start_encoding()
    except (av.error.FFmpegError, ValueError):
        return False
    finally:
        with suppress(av.error.FFmpegError, ValueError):
            trial.close()
    return True


class Muxer:
    """Muxes finished segments with all else of the source, without encoding the frames again."""

    def __init__(
        self,
        source: InputContainer,
        part: Path,
        target: Path,
        options: VideoOptions,
        layout: FrameLayout,
        *,
        pictures_alone: bool = False,
    ) -> None:
        self._reencodings: list[Notice] = []
        self._left_out: list[Notice] = []
        self._damaged = False  # sound or subtitles
        self._source, self._target, self._layout, self._part = source, target, layout, part
        self._aspect: Fraction | None = None  # to be written into the finished file
        self._source_video = video_stream(source)
        self._container = create_container(part, target)
        facts = StreamFacts.of(self._source_video)
        self._video = add_encoder(self._container, target, options, layout, facts)
        self._note_marks(facts)
        self._copies: dict[int, Stream] = {}
        self._reencoded: dict[int, Reencoder] = {}
        self._covers: set[int] = set()
        for stream in () if pictures_alone else source.streams:
            if stream is not self._source_video and not self._take(stream):
                self._leave_out(f"{stream.type} stream {stream.index}")
        self._container.metadata.update(source.metadata)
        if not pictures_alone:
            self._container.set_chapters(source.chapters())

    def _note_marks(self, facts: StreamFacts) -> None:
        encoder = ENCODERS[self._video.codec_context.name]
        in_matroska = self._container.format.name in _MATROSKA
        if facts.aspect and facts.aspect != 1 and in_matroska and not encoder.keeps_aspect:
            size = (self._layout.width, self._layout.height)
            if self._layout.rotation or not can_hold(*size, facts.aspect):
                self._leave_out(f"the pixel aspect {facts.aspect}")
            else:
                self._video.set_display_rotation(PLACEHOLDER_ROTATION)
                self._aspect = facts.aspect
        marks_fields = self._container.format.name in ("matroska", "mov")
        if self._layout.interlaced and not encoder.interlacing and not marks_fields:
            self._leave_out("the mark that its frames are interlaced")

    def _leave_out(self, what: str) -> None:
        self._left_out.append(Notice(f"{what} was left out", topic="output", severity="warning"))

    @property
    def notices(self) -> list[Notice]:
        """What is not as in the source."""
        message = "damage in its sound or subtitles was skipped"
        damage = [Notice(message, topic="source", severity="warning")] if self._damaged else []
        return [*self._layout.notices, *self._reencodings, *damage, *self._left_out]

    def _take(self, stream: Stream) -> bool:
        """Prepare to copy STREAM, or to encode it again; False if the container takes neither."""
        if isinstance(stream, AttachmentStream):
            return self._attach(stream.name or "attachment", stream.mimetype, stream.data)
        if stream.disposition & Disposition.attached_pic:
            return self._take_cover(stream)
        if stream.type not in COPIED or stream.codec_context is None:
            return False
        if _holds(self._container, stream):
            copy = self._container.add_stream_from_template(stream)
        elif isinstance(stream, av.AudioStream):
            self._reencoded[stream.index] = Reencoder(stream, self._container)
            copy = self._reencoded[stream.index].stream
            message = (
                f"audio stream {stream.index} was encoded again, as {copy.codec_context.name}: "
                f"{self._target.suffix} takes no {stream.codec.canonical_name}"
            )
            self._reencodings.append(Notice(message, topic="output", severity="warning"))
        else:
            return False
        copy.metadata.update(stream.metadata)  # the language, above all
        copy.disposition = stream.disposition
        self._copies[stream.index] = copy
        return True

    def _attach(self, name: str, kind: str | None, data: bytes) -> bool:
        if self._container.format.name != "matroska" or not data:
            return False
        self._container.add_attachment(name, kind or "application/octet-stream", data)
        return True

    def _take_cover(self, stream: Stream) -> bool:
        """Keep a cover picture: a stream of one packet in MP4, an attachment in Matroska."""
        if self._container.format.name in ("mp4", "mov", "ipod"):
            copy = self._container.add_stream_from_template(stream, opaque=True)
            copy.disposition = stream.disposition
            self._copies[stream.index] = copy
            return True
        if stream.codec.canonical_name not in _COVERS:
            return False
        packet = next(self._source.demux(stream), None)
        self._source.seek(0)
        return packet is not None and self._attach(
            *_COVERS[stream.codec.canonical_name], bytes(packet)
        )

    def write(self, segments: Sequence[Segment]) -> None:
        """Write SEGMENTS with the packets of the source between them, and the container's end."""
        extradata = self._video.codec_context.extradata or b""
        if any(segment.extradata != extradata for segment in segments):
            raise OutputError(
                f"{self._target}: {self._video.codec_context.name} begins its parts differently; "
                "take another --codec"
            )
        self._guard(self._container.start_encoding)
        everything = heapq.merge(self._own_packets(segments), self._others(), key=_seconds)
        for packet in everything:
            self._guard(partial(self._container.mux, packet))
        self._guard(self._container.close)
        if self._aspect is not None:
            write_aspect(self._part, self._aspect)

    def close(self) -> None:
        """Close the container, finished or not."""
        with suppress(av.error.FFmpegError, OSError):
            self._container.close()

    def _own_packets(self, segments: Sequence[Segment]) -> Iterator[AnyPacket]:
        for stored in stored_packets(segments):
            packet = av.Packet(stored.data)
            packet.pts, packet.dts, packet.duration = stored.pts, stored.dts, stored.duration
            packet.time_base = self._video.codec_context.time_base
            packet.is_keyframe = stored.is_keyframe
            packet.stream = self._video
            yield packet

    def _others(self) -> Iterator[AnyPacket]:
        """Yield the packets of the source's other streams as they are written."""
        streams = [self._source.streams[index] for index in (*self._copies, *self._reencoded)]
        streams = list(dict.fromkeys(streams))
        if not streams:
            return
        self._source_video.discard = Discard.all
        for packet in read_packets(self._source, streams, self._note_damage):
            reencoder = self._reencoded.get(packet.stream.index)
            if reencoder is not None:
                yield from reencoder.packets(packet)
            elif packet.dts is not None or packet.stream.type == "video":
                if packet.stream.type == "video":  # a cover has no time
                    packet.pts = packet.dts = 0
                packet.stream = self._copies[packet.stream.index]
                yield packet
        for reencoder in self._reencoded.values():
            yield from reencoder.packets(None)

    def _note_damage(self) -> None:
        self._damaged = True

    def _guard(self, write: Callable[[], object]) -> None:
        try:
            write()
        except (av.error.FFmpegError, OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            raise OutputError(f"{self._target}: cannot write it ({reason})") from error


def _seconds(packet: AnyPacket) -> Fraction:
    return packet.dts * packet.time_base if packet.dts is not None else Fraction(0)


def mux_segments(
    work: WorkFolder,
    source: InputContainer,
    target: Path,
    choose: EncoderChoice,
    *,
    pictures_alone: bool = False,
) -> list[Notice]:
    """Write the segments of WORK and the other streams of SOURCE, or PICTURES_ALONE, to TARGET.

    Return what of it is not as in the source.
    """
    needed = int(sum(segment.sizes.sum() for segment in work.segments))
    free = shutil.disk_usage(work.path).free
    if free < needed:
        raise OutputError(
            f"{target}: its parts take {needed / 1e9:.1f} GB more to be joined, and only "
            f"{free / 1e9:.1f} GB are free; make room"
        )
    options, layout = choose(work.segments[0].layout)
    part = work.path / f".joined{target.suffix}"  # on the target's disk, and gone with the folder
    try:
        muxer = Muxer(source, part, target, options, layout, pictures_alone=pictures_alone)
        try:
            muxer.write(work.segments)
        finally:
            muxer.close()
        flush(part)  # before the segments go: the power may fail right after
        part.replace(target)
    except OSError as error:
        reason = error.strerror or error
        raise OutputError(f"{target}: cannot write it ({reason})") from error
    finally:
        part.unlink(missing_ok=True)
    return muxer.notices
