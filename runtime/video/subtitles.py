"""Subtitles: those of text become the kind that the new container takes."""

from collections.abc import Callable, Iterator

import av
import av.error
from av.container import OutputContainer
from av.subtitles.stream import SubtitleStream

from .clock import AnyPacket

_TEXTS = {
    **dict.fromkeys(("mp4", "mov", "ipod"), "mov_text"),
    "webm": "webvtt",
    "matroska": "subrip",
}
_READABLE = frozenset(["mov_text", "subrip", "srt", "ass", "ssa", "webvtt", "text", "sami"])


def text_kind(stream: SubtitleStream, container: OutputContainer) -> str | None:
    """Return the kind of text that CONTAINER takes in place of STREAM; None for bitmaps."""
    is_text = stream.codec.canonical_name in _READABLE
    return _TEXTS.get(container.format.name) if is_text else None


class SubtitleConverter:
    """Writes one track of text subtitles for CONTAINER as the kind NAME."""

    def __init__(
        self,
        source: SubtitleStream,
        container: OutputContainer,
        name: str,
        damage: Callable[[], None],
    ) -> None:
        self._source, self._damage = source, damage
        stream = container.add_stream(name)
        assert isinstance(stream, SubtitleStream)  # for mypy: the name is of text
        self.stream = stream
        source.codec_context.open(strict=False)
        header = source.codec_context.subtitle_header
        if header is not None:
            stream.codec_context.subtitle_header = header
        stream.codec_context.time_base = source.time_base or stream.codec_context.time_base
        stream.codec_context.open(strict=False)

    def packets(self, packet: AnyPacket | None) -> Iterator[AnyPacket]:
        """Yield the new packet for PACKET of the source, if it has any text."""
        if packet is None or packet.pts is None:
            return
        try:
            subtitles = self._source.codec_context.decode2(packet)
            if subtitles is None or not len(subtitles):
                return
            text = self.stream.codec_context.encode_subtitle(subtitles)
        except (av.error.FFmpegError, ValueError):
            self._damage()
            return
        base = packet.time_base
        shown = packet.duration or round(subtitles.end_display_time / 1000 / base)
        text.time_base = base
        text.pts = text.dts = packet.pts
        text.duration = shown
        text.stream = self.stream
        yield text
