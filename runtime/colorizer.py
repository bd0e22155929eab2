"""The object that Python users hold: pictures in, pictures out."""

from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, replace
from itertools import compress
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, BinaryIO, Self, get_args

import numpy as np
from numpy.typing import NDArray

from .color import F32, U8, Depth, gray_to_lightness
from .engines.base import Engine, Precision
from .engines.memory_fallback import MemoryFallback
from .engines.select import open_engine
from .engines.video import VideoNetwork
from .errors import ArgumentError, EngineError
from .files import known_sha256, numbered_name
from .models.catalog import DEFAULT_MODEL, find_model
from .models.contract import CHANNELS, HINTS, ModelInfo
from .notices import Notice, OnNotice, warn
from .photo.arrays import as_photo, paired, pixels_of
from .photo.photo import Photo, apply_chroma
from .photo.stream import Steps, stream, workers_of
from .resize import checked_size, seen_shape, shrink
from .steering.hints import Hints
from .steering.spread import extend_hints, spread_hints
from .video.options import VideoOptions, VideoSettings

if TYPE_CHECKING:
    from .steering.extract import Extraction, Scene
    from .steering.references import Reference
    from .video.colorize import VideoProgress, VideoReport
    from .video.sinks import SegmentMaker

_LISTENS = np.float32(1 / 3)
"""How far the answer goes from that without hints to that with them, before hints are spread.

A network that listens has understood a few hints better than the spreading, and many less well: on
validation photographs a third of the way was best over 1, 10 and 100 hints.
"""


@dataclass(frozen=True)
class Answer:
    """What a photograph's colors are made of, at working size."""

    lightness: F32  # (h, w)
    ab: F32  # (h, w, 2), the model's
    hints: F32 | None = None  # (3, h, w): a*, b*, confidence
    remarks: tuple[str, ...] = ()  # on the hints, for the user


class Colorizer:
    """A loaded model that colorizes photographs and films; a context manager.

    Threads may share it: they take turns at the network and do the rest side by side.

        with Colorizer() as colorizer:
            rgb = colorizer.image(rgb)
    """

    def __init__(
        self,
        model: str | Path = DEFAULT_MODEL,
        *,
        backend: str = "auto",
        precision: Precision = "auto",
        device: str = "auto",
        size: int | None = None,
        saturation: float = 1.0,
        refine: bool = False,
        cuda_graph: bool = False,
        threads: int | None = None,
        expects_hints: bool = False,
        on_notice: OnNotice = warn,
    ) -> None:
        """Load MODEL, a bundled model's name or an ONNX file that keeps the contract.

        DEVICE is auto, cpu, cuda, cuda:N, gpu or npu; one that is named is used or refused. SIZE is
        the short side in pixels at which the network works (default: the model's own), SATURATION
        multiplies a* and b*. REFINE lets colors in photographs follow the edges of lightness (see
        photo/refine.py). CUDA_GRAPH launches the work for each shape as a whole, which
        TensorRT alone can. THREADS is how many cores an engine on the CPU, and `photo`, may
        use. EXPECTS_HINTS says that photographs come with hints: OpenVINO then loads its network
        for those alone at first; colors stay the same. ON_NOTICE gets what the user should know as
        it arises, such as a smaller size where memory runs out (default: those of severity warning
        become Python warnings).
        Raises ModelError, EngineError or ArgumentError.
        """
        _check_saturation(saturation)
        if precision not in get_args(Precision):
            known = ", ".join(get_args(Precision))
            raise ArgumentError(f"precision is {precision!r}; it must be one of {known}")
        self._closed = False
        self.engine: Engine = open_engine(
            find_model(model), backend, precision, device, threads, expects_hints=expects_hints
        )
        self._fallback = MemoryFallback(self.engine)
        self._on_notice, self._threads = on_notice, threads
        if cuda_graph:
            try:
                self.engine.capture_graphs()
            except EngineError:
                self.close()
                raise
        try:
            self.size = checked_size(self.info, size)
        except ArgumentError:
            self.close()
            raise
        self.saturation = saturation
        self.refine = refine
        self.cuda_graph = cuda_graph
        self.expects_hints = expects_hints

    def adjusted(
        self,
        *,
        size: int | None = None,
        saturation: float | None = None,
        refine: bool | None = None,
    ) -> Self:
        """Return a Colorizer with other settings on the same engine, which is this one's to close.

        SIZE None is the model's own; other settings that are None stay as they are. Both may be
        used side by side. ArgumentError for values out of range.
        """
        other = copy(self)
        other.size = checked_size(self.info, size)
        if saturation is not None:
            _check_saturation(saturation)
            other.saturation = saturation
        other.refine = self.refine if refine is None else refine
        other._closed = True  # closing it must not take the engine away
        return other

    @property
    def info(self) -> ModelInfo:
        """What the model's file says of itself."""
        return self.engine.info

    @property
    def best_batch(self) -> int:
        """How many pictures the engine computes fastest together."""
        return self.engine.best_batch

    @property
    def photo_threads(self) -> int:
        """How many threads convert a single photograph and join it with its colors."""
        return workers_of(self._threads)

    def working_shape(self, height: int, width: int) -> tuple[int, int]:
        """Return the (height, width) at which the network sees a picture of this size."""
        return seen_shape(self.info, height, width, self.size)

    def shrink(self, grays: Sequence[U8]) -> U8:
        """Return 8-bit grays (H, W) of one size as the network sees them: (N, h, w)."""
        shape = self.working_shape(*grays[0].shape)
        return np.stack([shrink(gray, shape) for gray in grays])

    def chroma(self, grays: Sequence[U8]) -> list[tuple[F32, F32]]:
        """Return L* (h, w) and ab (h, w, 2), working size, for 8-bit grays (H, W) of one such.

        If memory runs out, the network sees smaller pictures, but the planes keep their size.
        """
        small = self.shrink(grays)
        ab = self._infer(small, grays)
        return list(zip(gray_to_lightness(small), ab, strict=True))

    def _infer(self, small: U8, grays: Sequence[U8], hints: F32 | None = None) -> F32:
        """Return ab (N, h, w, 2) for SMALL (N, h, w), which are GRAYS at working size."""
        height, width = grays[0].shape
        what = f"picture of {width}x{height}" if len(grays) == 1 else f"{len(grays)} pictures"
        about = Notice(what, topic="memory", severity="warning")
        return self._fallback.infer(small, 0, about, self._on_notice, hints)[0]

    def answers(self, grays: Sequence[U8], hints: Sequence[Hints | None]) -> list[Answer]:
        """Return `chroma` of photographs, of one working size, with what is known of their colors.

        ArgumentError if HINTS do not fit their photograph.
        """
        if not any(hints):
            return [Answer(*answer) for answer in self.chroma(grays)]
        small = self.shrink(grays)
        lightness = gray_to_lightness(small)
        planes = [
            each.planes((gray.shape[0], gray.shape[1]), light) if each else (None, ())
            for each, gray, light in zip(hints, grays, lightness, strict=True)
        ]
        empty = np.zeros((CHANNELS[HINTS], *small.shape[1:]), np.float32)
        given = np.stack([empty if each is None else each for each, _ in planes])
        told = np.asarray(given[:, 2].any(axis=(1, 2)) & self.info.takes_hints)
        ab = np.empty((*small.shape, 2), np.float32)
        if not told.all():
            ab[~told] = self._infer(small[~told], list(compress(grays, ~told)))
        if told.any():
            ab[told] = self._listening(small[told], list(compress(grays, told)), given[told])
        return [
            Answer(light, plane, each, remarks)
            for light, plane, (each, remarks) in zip(lightness, ab, planes, strict=True)
        ]

    def _listening(self, small: U8, grays: Sequence[U8], hints: F32) -> F32:
        """Return `_infer` of SMALL, but a third of the way to what the network makes of HINTS.

        Both answers are the whole network's, so that the part without hints need not be loaded.
        """
        ab = self._infer(small, grays, np.zeros_like(hints))
        if self.info.extended_hints:
            seen = zip(gray_to_lightness(small), ab, hints, strict=True)
            hints = np.stack([extend_hints(*each) for each in seen])
        return ab + _LISTENS * (self._infer(small, grays, hints) - ab)

    def image(self, rgb: NDArray[Depth], *, hints: Hints | None = None) -> NDArray[Depth]:
        """Colorize one picture: sRGB (H, W, 3) or gray (H, W), 8 or 16 bits, to sRGB as deep.

        The lightness L* of the input is kept at full size; its own colors are ignored. HINTS say
        which colors its things have. Raises ArgumentError for other arrays and for hints that do
        not fit, EngineError or ModelError if the network fails.
        """
        photo = self.photo(as_photo(rgb), hints=hints)
        self._notify(photo)
        return photo.codes.astype(rgb.dtype, copy=False)

    def images(
        self,
        pictures: Iterable[NDArray[Depth]],
        *,
        hints: Iterable[Hints | None] | None = None,
    ) -> Generator[NDArray[Depth]]:
        """Yield `image` of each picture, in order: faster, and in memory that does not grow.

        HINTS are those of each picture, None where it has none, as many as there are pictures.

        Pictures are taken in this thread, up to four groups of four of the engine's best batches
        ahead, or of photo.stream.MAX_PIXELS_AHEAD pixels, and those of one working shape go through
        the network together: leave an array as it is until its result is out. An engine may round
        batches otherwise, by a level; OpenVINO does not. A picture that cannot be colored raises
        its error in its place, after those before it; close the generator to stop early.
        """
        if isinstance(pictures, np.ndarray) and pictures.shape[2:] in ((), (3,)):
            raise ArgumentError(f"{pictures.shape} is one picture; give it to image()")
        steps = Steps[tuple[NDArray[Depth], Hints | None], Photo](
            lambda pair: pixels_of(pair[0]),
            lambda pair: as_photo(pair[0]),
            lambda _, photo: photo,
            lambda pair: pair[1],
        )
        for (picture, _), result in stream(self, paired(pictures, hints), steps):
            photo = result.result()
            self._notify(photo)
            yield photo.codes.astype(picture.dtype, copy=False)

    def _notify(self, photo: Photo) -> None:
        for remark in photo.remarks:
            self._on_notice(Notice(remark, topic="output", severity="warning"))

    def photo(self, photo: Photo, *, hints: Hints | None = None) -> Photo:
        """Colorize what `reader.read_photo` read, in its own depth and color space.

        What became of HINTS is added to its remarks; ArgumentError if they do not fit.
        """
        [answer] = self.answers([photo.gray(self.photo_threads)], [hints])
        return self.join(photo, answer, self.photo_threads)

    def join(self, photo: Photo, answer: Answer, threads: int = 1) -> Photo:
        """Color PHOTO with what `answers` has for its gray, by THREADS; any thread may call it."""
        ab, saturation = answer.ab, self.saturation
        if answer.hints is not None:  # their colors are not scaled, the model's are
            ab = spread_hints(answer.lightness, ab * np.float32(saturation), answer.hints)
            saturation = 1.0
        guide = answer.lightness if self.refine else None
        colored = apply_chroma(photo, ab, saturation, guide, threads)
        return replace(colored, remarks=photo.remarks + answer.remarks)

    def video(
        self,
        source: str | Path | BinaryIO,
        target: str | Path | BinaryIO,
        options: VideoOptions | None = None,
        on_progress: Callable[["VideoProgress"], None] = lambda _: None,
        *,
        references: "str | Path | Mapping[int, Reference] | None" = None,
        keep_segments: bool | None = None,
        cancel: Event | None = None,
        helpers: "SegmentMaker | None" = None,
    ) -> "VideoReport":
        """Colorize a video; sound is copied, luma passed on unchanged: see video.colorize.

        If a run was stopped, the same call resumes it. A binary stream in place of a path is read
        or written as raw y4m. Colors are held still from frame to frame unless OPTIONS say
        stabilize=False. The report's notices are also given to `on_notice` as they arise.

        REFERENCES, a folder or what `steering.references.find_references` returns of one, give
        frames their colors, which are carried through their scenes. KEEP_SEGMENTS keeps what a run
        with other references can use again (default: if there are references). Once another thread
        sets CANCEL, the call ends as by Ctrl-C: a KeyboardInterrupt, whose message tells how many
        finished frames are kept for the same call to go on after. HELPERS, such
        as the workers of `cluster.films.FilmWorkers`, make the segments elsewhere.
        """
        from .steering.follow import ReferenceSteering, SceneSteering
        from .steering.references import digests, references_for
        from .video.colorize import colorize_video  # photographs do not wait for PyAV
        from .video.sequence import sink_of
        from .video.source import Source

        options = options or VideoOptions()
        frames = isinstance(target, str | Path) and numbered_name(Path(target))
        engine, origin = self.engine, Source.of(source, options, full_range=frames)
        known = None if references is None else references_for(origin, references)
        trial = options.is_trial  # is short: it is colored anew each time
        kept = not trial and (known is not None if keep_segments is None else keep_segments)
        made_by = {
            "model": known_sha256(engine.model),
            "engine": f"{engine.name} on {engine.device}, {engine.precision}",
            "working size": str(self.size),
        }
        return colorize_video(
            self.network(str(origin.path)),
            origin,
            sink_of(target),
            VideoSettings(
                options=options,
                batch=engine.best_batch,
                saturation=self.saturation,
                made_by=None if trial else made_by,
                references=None if known is None else digests(known),
                keep_segments=kept,
            ),
            SceneSteering() if known is None else ReferenceSteering(known),
            helpers=helpers,
            on_progress=on_progress,
            on_notice=self._on_notice,
            cancel=cancel,
        )

    def network(self, source: str) -> VideoNetwork:
        """Return the network for the frames of one video; notices speak of SOURCE."""
        return VideoNetwork(self.shrink, self._fallback, source)

    @staticmethod
    def scenes(
        path: str | Path,
        every: float | None = None,
        on_frame: Callable[[int], None] = lambda _: None,
    ) -> "list[Scene]":
        """Return the scenes of a video, each with the frames that are best painted.

        EVERY chooses more frames in long scenes, that many seconds apart. ON_FRAME gets the number
        of frames seen. InputError if PATH cannot be read.
        """
        from .steering.extract import find_scenes
        from .video.source import Source

        return find_scenes(Source(Path(path)), every, on_frame)

    def extract_references(
        self,
        path: str | Path,
        folder: str | Path,
        every: float | None = None,
        stream: int | None = None,
        on_frame: Callable[[int], None] = lambda _: None,
    ) -> "Extraction":
        """Write the chosen frames of each scene of a video, in color, to FOLDER.

        STREAM is the file's number of its video stream (default: the best). ON_FRAME gets the
        number of frames in which scenes were looked for.

        See steering.extract.extract_references; raises InputError or OutputError.
        """
        from .steering.extract import extract_references
        from .video.source import Source

        source = Source(Path(path), stream=stream)
        return extract_references(source, Path(folder), self.image, every, on_frame)

    def close(self) -> None:
        """Give back the engine, once no thread uses it; a second time does nothing."""
        if not self._closed:
            self._closed = True
            self._fallback.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _check_saturation(saturation: float) -> None:
    if not 0 <= saturation <= 4:
        raise ArgumentError(f"saturation is {saturation}; it must lie in 0..4")
