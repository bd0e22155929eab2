"""Numbered frames, as film scans come: read as a film, written as one."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import BinaryIO

import av
import cv2
import numpy as np
from av.video.codeccontext import VideoCodecContext

from ..color import F32, Codes, planes_to_rgb, to_codes
from ..errors import ArgumentError, OutputError
from ..files import flush, numbered, numbered_files, numbered_name
from ..notices import Notice
from ..resize import enlarge
from .frames import FrameLayout, samples
from .options import VideoSettings
from .protocols import Run, Sink
from .segments import stored_packets
from .side_data import FIELDS, ORDERS, upright
from .sinks import FileSink, FileWriter, written
from .source import Source
from .work_folder import WorkFolder
from .y4m import Y4MSink

_STORED = Path("frames.mkv")  # how frames wait: without loss
_JPEG = (".jpg", ".jpeg")
_WRITABLE = (".png", ".tif", ".tiff", ".dpx", *_JPEG)
_DPX = {8: "rgb24", 10: "gbrp10le", 12: "gbrp12le", 16: "rgb48le"}
_JPEG_QUALITY = 95


@dataclass(frozen=True)
class SequenceSink:
    """Numbered files, one a frame, whose suffix names the format; all are written or none.

    Until the end frames wait as those of a `FileSink` do, stored without loss.
    """

    target: Path

    def check(self, source: Source, settings: VideoSettings) -> None:
        """Raise ArgumentError for a format that is not written, or frames that are there."""
        options = settings.options
        if self.target.suffix.lower() not in _WRITABLE:
            raise ArgumentError(f"{self.target}: frames are written as {', '.join(_WRITABLE)}")
        if options.codec or options.crf is not None or options.preset:
            raise ArgumentError("numbered frames take no --codec, --crf or --preset")
        if options.audio is not None:
            raise ArgumentError(f"{self.target}: frames hold no sound; leave --audio out")
        own = {path.resolve() for path in numbered_files(source.path).values()}
        if own & {path.resolve() for path in numbered_files(self.target).values()}:
            raise ArgumentError(f"{self.target}: would replace the input; name another folder")

    @contextmanager
    def open(self, run: Run) -> Iterator[FileWriter]:
        """Yield what writes the frames; what ends the context early says how to resume."""
        options = replace(run.settings.options, codec="ffv1")

        def finish(work: WorkFolder) -> list[Notice]:
            first = run.source.first_number + run.stretch.first
            _write(work, self.target, first, run.check_cancel)
            return _lost(work, run)

        with written(run, self.target, _STORED, options, finish, pictures_alone=True) as writer:
            yield writer


def sink_of(target: str | Path | BinaryIO) -> Sink:
    """Return where a video goes that is written to TARGET: numbered frames, a file, or a stream."""
    if not isinstance(target, str | Path):
        return Y4MSink(target)
    path = Path(target)
    return SequenceSink(path) if numbered_name(path) else FileSink(path)


def _lost(work: WorkFolder, run: Run) -> list[Notice]:
    """Return what numbered frames do not hold of the film."""
    lost = [
        f"{what} was left out"
        for what in work.segments[-1].end.flaws.carried
        if what not in (FIELDS, ORDERS)
    ]
    if run.facts.aspect not in (None, 1):
        lost.append(f"the pixel aspect {run.facts.aspect} was left out")
    if others := len(run.container.streams) - 1:
        lost.append(f"numbered frames hold no sound: {others} other streams were left out")
    warned = [each for each in work.segments[0].layout.notices if each.severity == "warning"]
    return warned + [Notice(text, topic="output", severity="warning") for text in sorted(lost)]


def _write(work: WorkFolder, target: Path, first: int, check: Callable[[], None]) -> None:
    """Write the frames of WORK to TARGET, numbered from FIRST on; CHECK may end it before them."""
    folder = work.path / "frames"
    try:
        folder.mkdir(exist_ok=True)
        count = 0
        for frame in _decoded(work):
            check()
            path = folder / numbered(target, first + count).name
            _save(frame, work.segments[0].layout, path)
            flush(path)  # before the segments go: the power may fail right after
            count += 1
        numbers = range(first, first + count)
        for number in numbers:  # at no time is there less than one whole row, here or there
            path = numbered(target, number)
            (folder / path.name).replace(path)
        for number, path in numbered_files(target).items():
            if number not in numbers:  # of another run, perhaps a longer one
                path.unlink()
    except OSError as error:
        raise OutputError(f"{target}: cannot write it ({error.strerror or error})") from error


def _decoded(work: WorkFolder) -> Iterator[av.VideoFrame]:
    context: VideoCodecContext | None = None
    header = b""
    for stored in stored_packets(work.segments):
        if context is None or stored.header != header:
            header = stored.header
            context = av.CodecContext.create("ffv1", "r")
            context.extradata = header
            layout = work.segments[0].layout  # of the source, but of the same size
            context.width, context.height = layout.width, layout.height
        packet = av.Packet(stored.data)
        packet.pts = packet.dts = stored.pts
        yield from context.decode(packet)


def _save(frame: av.VideoFrame, layout: FrameLayout, path: Path) -> None:
    """Write one decoded FRAME, whose source has LAYOUT, as a picture."""
    depth = frame.format.components[0].bits
    dtype = np.uint8 if depth == 8 else np.uint16
    luma, *chroma = (
        samples(plane, dtype)[:, : plane.width].astype(np.float32) for plane in frame.planes
    )
    shape = luma.shape[0], luma.shape[1]
    large: F32 = np.stack([enlarge(plane, shape) for plane in chroma])
    rgb = planes_to_rgb(luma, large, layout.matrix, full_range=layout.full_range, depth=depth)
    deep = depth > 8 and path.suffix.lower() not in _JPEG
    codes = upright(to_codes(rgb, np.dtype(np.uint16 if deep else np.uint8)), layout.display)
    if path.suffix.lower() == ".dpx":
        path.write_bytes(_dpx(codes, depth))
        return
    quality = [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY] if path.suffix.lower() in _JPEG else []
    done, data = cv2.imencode(path.suffix, codes[..., ::-1], quality)
    if not done:
        raise OutputError(f"{path}: cannot be encoded")
    path.write_bytes(data.tobytes())


def _dpx(codes: Codes, depth: int) -> bytes:
    """Return RGB (H, W, 3) as a DPX file of the least depth that keeps DEPTH bits."""
    kept = next(bits for bits in _DPX if bits >= depth)
    if codes.dtype == np.uint8:
        whole = av.VideoFrame.from_ndarray(codes.astype(np.uint8), "rgb24")
    else:
        whole = av.VideoFrame.from_ndarray(codes.astype(np.uint16), "rgb48le")
    context = av.CodecContext.create("dpx", "w")
    context.width, context.height, context.pix_fmt = whole.width, whole.height, _DPX[kept]
    context.time_base = Fraction(1, 24)
    frame = whole.reformat(format=_DPX[kept])
    packets = [*context.encode(frame), *context.encode(None)]
    return b"".join(bytes(packet) for packet in packets)
