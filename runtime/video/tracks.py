"""What becomes of each stream of the source that is not colored: copied, converted, or left out."""

import io
from collections.abc import Callable, Iterator
from contextlib import suppress
from fractions import Fraction
from typing import Protocol

import av
import av.error
from av.container import InputContainer, OutputContainer
from av.format import Flags
from av.stream import AttachmentStream, Disposition, Stream
from av.subtitles.stream import SubtitleStream

from .audio import Reencoder
from .clock import AnyPacket, is_format
from .encoder import keeps_all_keys
from .subtitles import SubtitleConverter, text_kind

COPIED = ("audio", "subtitle")
"""Kinds of streams that are copied packet by packet."""

_COVERS = {"mjpeg": ("cover.jpg", "image/jpeg"), "png": ("cover.png", "image/png")}
_IN_TRANSPORT_STREAMS = frozenset(
    ["aac", "ac3", "dca", "dts", "dvb_subtitle", "dvbsub", "eac3", "mp2", "mp3", "mp3float", "opus"]
)
# In those of Blu-ray discs, which FFmpeg writes under this suffix alone.
_IN_M2TS = (_IN_TRANSPORT_STREAMS | {"hdmv_pgs_subtitle"}) - {"dvb_subtitle", "dvbsub"}
_PROGRAM_STREAMS = ("mpeg", "vob", "svcd", "dvd")
_IN_PROGRAM_STREAMS = frozenset(["ac3", "dca", "dts", "dvd_subtitle", "mp2", "mp3", "mp3float"])
_IN_FLV = frozenset(["aac", "mp3", "mp3float", "nellymoser", "speex", "adpcm_swf"])
_NO_PCM = ("mp4", "ipod")  # many players take PCM there for noise
_IN_MXF = frozenset(["pcm_s16le", "pcm_s24le"])
_IN_QUICKTIME = {  # languages that FFmpeg knows there by their other code of ISO 639-2 alone
    **{"fre": "fra", "rum": "ron", "cze": "ces", "slo": "slk"},
    **{"deu": "ger", "nld": "dut", "ell": "gre", "isl": "ice", "zho": "chi", "sqi": "alb"},
}
_MXF_RATE = 48000


class Track(Protocol):
    """One stream of the result."""

    @property
    def stream(self) -> Stream:
        """The new stream."""

    def packets(self, packet: AnyPacket | None) -> Iterator[AnyPacket]:
        """Yield what is written for PACKET of the source; None ends the track."""


class _Copy:
    def __init__(self, stream: Stream) -> None:
        self.stream = stream
        self._due = 0  # where a packet has no time

    def packets(self, packet: AnyPacket | None) -> Iterator[AnyPacket]:
        if packet is None:
            return
        if packet.dts is None:
            packet.dts = self._due if packet.pts is None else packet.pts
        if packet.pts is None:
            packet.pts = packet.dts
        self._due = packet.dts + (packet.duration or 0)
        packet.stream = self.stream
        yield packet


class _Cover:
    """A picture is one packet without a time."""

    def __init__(self, stream: Stream) -> None:
        self.stream = stream

    def packets(self, packet: AnyPacket | None) -> Iterator[AnyPacket]:
        if packet is not None:
            packet.pts = packet.dts = 0
            packet.stream = self.stream
            yield packet


class Tracks:
    """The streams beside the picture, on their way from SOURCE to CONTAINER."""

    def __init__(
        self, source: InputContainer, container: OutputContainer, damage: Callable[[], None]
    ) -> None:
        """DAMAGE is told of every packet that cannot be converted."""
        self.by_index: dict[int, Track] = {}
        """By the number of the stream in the source."""
        self.converted: list[str] = []
        """What the user should hear of streams that are not copied."""
        self._source, self._container, self._damage = source, container, damage

    def take(self, stream: Stream, number: int | None = None) -> bool:
        """Prepare to write STREAM, as NUMBER; False if the container has it in no form."""
        if isinstance(stream, AttachmentStream):
            return self._attach(stream.name or "attachment", stream.mimetype, stream.data)
        if stream.disposition & Disposition.attached_pic:
            return self._take_cover(stream)
        if stream.type not in COPIED or stream.codec_context is None:
            return False
        single = self._container.format.name == "flv"  # players of old know no second track
        if single and any(each.stream.type == stream.type for each in self.by_index.values()):
            return False
        track = self._track(stream)
        if track is None:
            return False
        track.stream.metadata.update(stream.metadata)  # the language, above all
        if self._container.format.name == "mov":
            language = stream.metadata.get("language", "")
            track.stream.metadata["language"] = _IN_QUICKTIME.get(language, language)
        track.stream.disposition = stream.disposition
        self.by_index[stream.index if number is None else number] = track
        return True

    def _track(self, stream: Stream) -> Track | None:
        container, name = self._container, stream.codec.canonical_name
        if _holds(container, stream):
            return _Copy(container.add_stream_from_template(stream))
        if isinstance(stream, av.AudioStream):
            with suppress(av.error.FFmpegError, ValueError, TypeError):
                sound = Reencoder(stream, container, self._damage)
                self._note(stream, "was encoded again,", sound.stream.codec_context.name, name)
                layout = sound.stream.codec_context.layout
                if layout.nb_channels < stream.codec_context.layout.nb_channels:
                    mixed = f"audio stream {stream.index} was mixed down to {layout.name}"
                    self.converted.append(mixed)
                return sound
        if isinstance(stream, SubtitleStream) and (kind := text_kind(stream, container)):
            with suppress(av.error.FFmpegError, ValueError):
                text = SubtitleConverter(stream, container, kind, self._damage)
                styled = name in ("ass", "ssa")
                done = "was converted without most of its styles," if styled else "was converted,"
                self._note(stream, done, kind, name)
                return text
        return None

    def _note(self, stream: Stream, done: str, now: str, before: str) -> None:
        named = self._container.format.name
        self.converted.append(
            f"{stream.type} stream {stream.index} {done} as {now}: {named} takes no {before}"
        )

    def _attach(self, name: str, kind: str | None, data: bytes) -> bool:
        if self._container.format.name != "matroska" or not data:
            return False
        self._container.add_attachment(name, kind or "application/octet-stream", data)
        return True

    def _take_cover(self, stream: Stream) -> bool:
        """Keep a cover picture: a stream of one packet in MP4, an attachment in Matroska.

        In MP4 it lies among the tags that iTunes knows, which are not written beside all keys.
        """
        if self._container.format.name == "mp4" and not keeps_all_keys(self._container):
            copy = self._container.add_stream_from_template(stream, opaque=True)
            copy.disposition = stream.disposition
            self.by_index[stream.index] = _Cover(copy)
            return True
        if stream.codec.canonical_name not in _COVERS:
            return False
        packet = next(self._source.demux(stream), None)
        self._source.seek(0)
        return packet is not None and self._attach(
            *_COVERS[stream.codec.canonical_name], bytes(packet)
        )


def _holds(container: OutputContainer, stream: Stream) -> bool:
    """Tell whether CONTAINER takes the packets of STREAM; trying it is the only sure way."""
    # PyAV lists some codecs under the name of their decoder (dca), others under their own (dts).
    names = {stream.codec.name, stream.codec.canonical_name}
    if container.format.name == "mpegts":  # its list is empty, and it accepts any stream as data
        of_disc = container.name.endswith(".m2ts")
        return bool(names & (_IN_M2TS if of_disc else _IN_TRANSPORT_STREAMS))
    if container.format.name in _PROGRAM_STREAMS:  # the same
        return bool(names & _IN_PROGRAM_STREAMS)
    if container.format.name == "mxf":  # its list is empty, and it takes nothing before a picture
        is_sound = isinstance(stream, av.AudioStream) and bool(names & _IN_MXF)
        return is_sound and getattr(stream.codec_context, "sample_rate", 0) == _MXF_RATE
    if container.format.name == "flv" and not names & _IN_FLV:  # its list has newer ones
        return False
    if not names & container.supported_codecs:
        return False
    if isinstance(stream, av.AudioStream):
        is_pcm = stream.codec.canonical_name.startswith("pcm")
        if is_pcm and container.format.name in _NO_PCM:
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


class Order:
    """Sees to it that the times of one stream of the result go on, as its muxer wants."""

    def __init__(self, container: OutputContainer, stream: Stream) -> None:
        self.corrected = 0
        self.kind = stream.type
        loose = is_format(container, Flags.ts_nonstrict) or stream.type not in (
            "audio",
            "video",
        )
        self._step, self._stream = 0 if loose else 1, stream
        self._last: int | None = None  # in the stream's own time base

    def correct(self, packet: AnyPacket) -> None:
        """Move PACKET behind the one before, as ffmpeg does, if it is not."""
        base = self._stream.time_base
        if base is None or packet.dts is None:
            return
        scale = packet.time_base / base
        time = round(packet.dts * scale)
        if self._last is not None and time < self._last + self._step:
            self.corrected += 1
            time = self._last + self._step
            packet.dts = -(-time * scale.denominator // scale.numerator)
        if packet.pts is not None and packet.pts < packet.dts:
            packet.pts = packet.dts
        self._last = time


def seconds(packet: AnyPacket) -> Fraction:
    """Return when PACKET is decoded."""
    return packet.dts * packet.time_base if packet.dts is not None else Fraction(0)
