"""Clips to measure films with: cut to length, scaled, repeated where they are too short."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import av

from ...runtime.errors import InputError
from ...runtime.video.source import open_video, video_stream

CRF, PRESET = 16, "veryfast"
"""Of what is read again: only its loss matters."""


def make_clip(source: Path, target: Path, height: int, frames: int) -> Path:
    """Write TARGET, FRAMES frames of SOURCE at HEIGHT pixels in 4:2:0, with its sound (mp4, mkv).

    A film that is shorter starts again, without sound from there on. InputError if it is no film
    or has no frames.
    """
    with closing(open_video(source)) as source_video, av.open(str(target), "w") as made:
        stream = video_stream(source_video)
        context, rate = stream.codec_context, stream.average_rate
        height -= height % 2  # 4:2:0 has no odd sides
        width = round(height * context.width / context.height / 2) * 2
        video = made.add_stream("libx264", rate=rate, options={"crf": str(CRF), "preset": PRESET})
        video.width, video.height, video.pix_fmt = width, height, "yuv420p"
        copies = [
            (sound, made.add_stream_from_template(sound))
            for sound in source_video.streams.audio[:1]
        ]
        made.start_encoding()
        seconds = frames / float(rate or 25)
        for sound, copy in copies:
            for packet in source_video.demux(sound):
                if packet.pts is not None and packet.pts * packet.time_base < seconds:
                    packet.stream = copy
                    made.mux(packet)
        for index, frame in enumerate(_endless(source, frames)):
            scaled = frame.reformat(width=width, height=height, format="yuv420p")
            scaled.pts, scaled.time_base = index, 1 / rate if rate else None
            made.mux(video.encode(scaled))
        made.mux(video.encode(None))
    return target


def _endless(source: Path, frames: int) -> Iterator[av.VideoFrame]:
    left = frames
    while left:
        before = left
        with closing(open_video(source)) as source_video:
            for frame in source_video.decode(video_stream(source_video)):
                if left == 0:
                    return
                left -= 1
                yield frame
        if left == before:
            raise InputError(f"{source}: not one frame of it could be decoded")
