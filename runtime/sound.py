"""Sound that its new container cannot hold, encoded anew; everywhere else it is copied."""

from collections.abc import Iterator
from fractions import Fraction

import av
import av.error
from av.audio.stream import AudioStream
from av.container import OutputContainer

from .errors import OutputError
from .film_reader import AnyPacket

_OPUS_RATE = 48000
_AAC_RATES = (96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000)
_BITS_PER_CHANNEL = 96000  # a second: transparent for most ears


class Reencoder:
    """Decodes one sound track and encodes it for CONTAINER: AAC, or Opus where that is not held."""

    def __init__(self, source: AudioStream, container: OutputContainer) -> None:
        codec = "aac" if "aac" in container.supported_codecs else "libopus"
        rate = source.codec_context.sample_rate
        if codec == "libopus" or rate not in _AAC_RATES:
            rate = _OPUS_RATE
        stream = container.add_stream(codec, rate=rate, layout=source.codec_context.layout)
        if not isinstance(stream, AudioStream):
            raise OutputError(f"{container.name}: holds no sound")
        stream.bit_rate = _BITS_PER_CHANNEL * source.codec_context.channels
        stream.time_base = Fraction(1, rate)
        self._source, self.stream = source, stream

    def packets(self, packet: AnyPacket | None) -> Iterator[AnyPacket]:
        """Yield what becomes of PACKET; None ends the track."""
        try:
            frames = self._source.decode(packet)
        except (av.error.InvalidDataError, EOFError):
            frames = []
        for frame in frames:
            yield from self.stream.encode(frame)
        if packet is None:
            yield from self.stream.encode(None)
