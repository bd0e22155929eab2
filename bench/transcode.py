"""Transcoding alone: what any program must do to a film that it writes anew."""

from contextlib import closing
from pathlib import Path

import av
from av.container import OutputContainer
from av.stream import Stream
from av.video.stream import VideoStream

from ..runtime.encoders import encoder_settings
from ..runtime.errors import ArgumentError
from ..runtime.film_reader import AnyPacket, film_stream, open_film
from ..runtime.film_writer import FilmOptions
from ..runtime.frames import FrameLayout, layout_of


def transcode(source: Path, target: Path, options: FilmOptions) -> int:
    """Decode SOURCE, encode it as colorize-run would, copy its sound; return the frames.

    Frames go from the decoder to the encoder untouched, in this one thread; FFmpeg's own threads
    are those that colorize-run gives it.
    """
    with closing(open_film(source)) as film, av.open(str(target), "w") as made:
        stream = film_stream(film)
        stream.thread_type = "AUTO"
        video = _add_encoder(made, stream, target, options)
        sounds: dict[Stream, Stream] = {
            sound: made.add_stream_from_template(sound) for sound in film.streams.audio
        }
        early: list[AnyPacket] = []
        layout: FrameLayout | None = None
        count = 0
        for packet in film.demux([stream, *film.streams.audio]):
            if packet.stream is not stream:
                if packet.dts is None:
                    continue
                packet.stream = sounds[packet.stream]
                if layout is None:  # muxing opens every stream, and the film's is not known yet
                    early.append(packet)
                else:
                    made.mux(packet)
                continue
            for frame in stream.decode(packet):
                if layout is None:
                    layout = layout_of(frame)
                    _open(made, video, stream, layout)
                    made.mux(early)
                plain = frame.reformat(format=layout.format)  # itself, where nothing changes
                plain.pict_type = 0
                made.mux(video.encode(plain))
                count += 1
        made.mux(video.encode(None))
    return count


def _add_encoder(
    made: OutputContainer, stream: VideoStream, target: Path, options: FilmOptions
) -> VideoStream:
    codec, settings = encoder_settings(target, options)
    video = made.add_stream(codec, rate=stream.average_rate, options=settings)
    if not isinstance(video, VideoStream):
        raise ArgumentError(f"codec {codec}: does not encode pictures")
    return video


def _open(
    made: OutputContainer, video: VideoStream, stream: VideoStream, layout: FrameLayout
) -> None:
    context = video.codec_context
    context.width, context.height, context.pix_fmt = layout.width, layout.height, layout.format
    if stream.time_base is not None:
        context.time_base = stream.time_base
    context.thread_type = "AUTO"
    made.start_encoding()
