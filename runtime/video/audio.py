"""Sound is copied; a track that the new container cannot hold is encoded again."""

from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import Literal

import av
import av.error
from av.audio.stream import AudioStream
from av.container import OutputContainer

from ..errors import OutputError
from .clock import AnyPacket

_Codec = Literal["alac", "aac", "libopus", "mp2", "pcm_s24le", "pcm_s16le"]
_CODECS: tuple[_Codec, ...] = ("aac", "libopus", "pcm_s24le", "mp2", "pcm_s16le")
_RATES = {
    "aac": (96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000),
    "libopus": (48000,),
    "mp2": (48000, 44100, 32000),
}
_UNLISTED = {"mpegts": {"aac"}, "mxf": {"pcm_s24le"}}  # what PyAV's list does not know
_STUDIO_RATE = 48000  # the only one of MXF
_USUAL_LAYOUTS = {1: "mono", 2: "stereo", 3: "3.0", 4: "4.0", 5: "5.0", 6: "5.1", 8: "7.1"}
_FORMATS: dict[_Codec, str] = {
    "alac": "s32p",
    "aac": "fltp",
    "libopus": "flt",
    "mp2": "s16",
    "pcm_s24le": "s32",
    "pcm_s16le": "s16",
}
_LOSSLESS = ("pcm_s", "pcm_u", "flac", "alac", "truehd", "mlp", "wavpack", "tta", "ape")
_BITS_PER_CHANNEL = 96000  # a second: transparent for most ears


class Reencoder:
    """Encodes one sound track again for CONTAINER, without loss where it takes such a codec."""

    def __init__(
        self, source: AudioStream, container: OutputContainer, damage: Callable[[], None]
    ) -> None:
        codec = _codec(source, container)
        rate = source.codec_context.sample_rate
        if container.format.name == "mxf" or rate not in _RATES.get(codec, (rate,)):
            rate = _STUDIO_RATE
        layout = _layout(codec, rate, source)
        stream = container.add_stream(codec, rate=rate, layout=layout)
        if not isinstance(stream, AudioStream):
            raise OutputError(f"{container.name}: holds no sound")
        if codec in ("aac", "libopus", "mp2"):
            stream.bit_rate = _BITS_PER_CHANNEL * stream.codec_context.layout.nb_channels
        else:
            stream.format = _FORMATS[codec]
        stream.time_base = Fraction(1, rate)
        self._source, self.stream, self._damage = source, stream, damage

    def packets(self, packet: AnyPacket | None) -> Iterator[AnyPacket]:
        """Yield the new packets for PACKET of the source; None ends the track."""
        try:
            frames = self._source.decode(packet)
        except av.error.InvalidDataError:
            self._damage()
            frames = []
        except EOFError:
            frames = []
        for frame in frames:
            yield from self.stream.encode(frame)
        if packet is None:
            yield from self.stream.encode(None)


def _codec(source: AudioStream, container: OutputContainer) -> _Codec:
    """Return the best codec for SOURCE of those that CONTAINER takes."""
    taken = {*container.supported_codecs}
    taken |= _UNLISTED.get(container.format.name, set())
    whole = source.codec.canonical_name.startswith(_LOSSLESS)
    if whole and "alac" in taken and source.codec_context.layout.nb_channels <= 8:
        return "alac"
    return next((codec for codec in _CODECS if codec.removeprefix("lib") in taken), "aac")


def _layout(codec: _Codec, rate: int, source: AudioStream) -> str:
    """Return the channels of SOURCE if CODEC takes them, else the nearest that it does."""
    channels = source.codec_context.layout.nb_channels
    usual = _USUAL_LAYOUTS.get(channels, "stereo")
    for layout in (source.codec_context.layout.name, usual):
        trial = av.CodecContext.create(codec, "w")
        try:
            trial.sample_rate, trial.layout, trial.format = rate, layout, _FORMATS[codec]
            trial.open()
        except (av.error.FFmpegError, ValueError):
            continue
        return layout
    return "stereo"
