"""Sound is copied; a track that the new container cannot hold is encoded again."""

from collections.abc import Iterator
from fractions import Fraction
from typing import Literal

import av
import av.error
from av.audio.stream import AudioStream
from av.container import OutputContainer

from ..errors import OutputError
from .reader import AnyPacket

_Codec = Literal["aac", "libopus"]
_OPUS_RATE = 48000
_AAC_RATES = (96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000)
_USUAL_LAYOUTS = {1: "mono", 2: "stereo", 3: "3.0", 4: "4.0", 5: "5.0", 6: "5.1", 8: "7.1"}
_FORMATS: dict[_Codec, str] = {"aac": "fltp", "libopus": "flt"}
_BITS_PER_CHANNEL = 96000  # a second: transparent for most ears


class Reencoder:
    """Encodes one sound track again for CONTAINER: as AAC, or as Opus if it takes no AAC."""

    def __init__(self, source: AudioStream, container: OutputContainer) -> None:
        takes_aac = {"aac", "mpegts"} & {*container.supported_codecs, container.format.name}
        codec: _Codec = "aac" if takes_aac else "libopus"
        rate = source.codec_context.sample_rate
        if codec == "libopus" or rate not in _AAC_RATES:
            rate = _OPUS_RATE
        layout = _layout(codec, rate, source)
        stream = container.add_stream(codec, rate=rate, layout=layout)
        if not isinstance(stream, AudioStream):
            raise OutputError(f"{container.name}: holds no sound")
        stream.bit_rate = _BITS_PER_CHANNEL * stream.codec_context.layout.nb_channels
        stream.time_base = Fraction(1, rate)
        self._source, self.stream = source, stream

    def packets(self, packet: AnyPacket | None) -> Iterator[AnyPacket]:
        """Yield the new packets for PACKET of the source; None ends the track."""
        try:
            frames = self._source.decode(packet)
        except (av.error.InvalidDataError, EOFError):
            frames = []
        for frame in frames:
            yield from self.stream.encode(frame)
        if packet is None:
            yield from self.stream.encode(None)


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
