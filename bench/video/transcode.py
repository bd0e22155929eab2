"""Transcoding alone: what any program must do that writes a video again."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import av
from av.container import InputContainer, OutputContainer
from av.stream import Stream
from av.video.stream import VideoStream

from ...runtime.video.clock import AnyPacket
from ...runtime.video.codecs import choose_encoder
from ...runtime.video.encoder import add_encoder
from ...runtime.video.frames import layout_of
from ...runtime.video.options import VideoOptions
from ...runtime.video.source import StreamFacts, open_video, video_stream


def transcode(source: Path, target: Path, options: VideoOptions) -> int:
    """Decode SOURCE, encode it as colorize-run would, copy its sound; return the frames.

    Frames go from the decoder to the encoder untouched, in this one thread; FFmpeg's own threads
    are those that colorize-run gives it.
    """
    count = 0
    video: VideoStream | None = None
    with closing(open_video(source)) as source_video, av.open(str(target), "w") as made:
        early: list[AnyPacket] = []
        sounds: dict[Stream, Stream] = {}
        for item in _items(source_video):
            if isinstance(item, av.Packet):
                # The first frame tells the format, without which nothing can be written.
                if video is None:
                    early.append(item)
                else:
                    _copy(made, item, sounds)
                continue
            if video is None:
                facts = StreamFacts.of(video_stream(source_video))
                chosen, layout = choose_encoder(target, options, layout_of(item))
                video = add_encoder(made, target, chosen, layout, facts)
                sounds |= {s: made.add_stream_from_template(s) for s in source_video.streams.audio}
                made.start_encoding()
                for packet in early:
                    _copy(made, packet, sounds)
            plain = item.reformat(format=video.codec_context.pix_fmt)  # itself, if it is that
            plain.pict_type = 0
            made.mux(video.encode(plain))
            count += 1
        if video is not None:
            made.mux(video.encode(None))
    return count


def _items(source_video: InputContainer) -> Iterator[av.VideoFrame | AnyPacket]:
    """Yield frames of the film and packets of sound, in the order of the file."""
    stream = video_stream(source_video)
    stream.thread_type = "AUTO"
    for packet in source_video.demux([stream, *source_video.streams.audio]):
        if packet.stream is stream:
            yield from stream.decode(packet)
        elif packet.dts is not None:  # the empty packet that ends a stream has none
            yield packet


def _copy(made: OutputContainer, packet: AnyPacket, sounds: dict[Stream, Stream]) -> None:
    packet.stream = sounds[packet.stream]
    made.mux(packet)
