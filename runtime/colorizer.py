"""The object that Python users hold: pictures in, pictures out."""

import warnings
from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Self, get_args

import numpy as np
from numpy.typing import NDArray

from .color import F32, U8, Codes, Depth, gray_to_lightness
from .engines.base import Engine, Precision
from .engines.memory_fallback import MemoryFallback, OnNote
from .engines.select import open_engine
from .errors import ArgumentError, EngineError
from .files import known_sha256
from .models.catalog import DEFAULT_MODEL, find_model
from .models.contract import ModelInfo
from .photo.photo import Photo, apply_chroma
from .photo.stream import Steps, stream
from .resize import seen_shape, shrink
from .video.options import VideoOptions
from .video.stabilizer import Stabilizer

if TYPE_CHECKING:
    from .video.colorize import Progress, VideoReport

MAX_SIZE = 2048
"""The largest working size: memory grows with its square, and colors do not get better."""


@dataclass
class _VideoProgress:
    name: str
    resumed: int = 0  # frames that an earlier run finished
    frames: int = 0
    halvings: int = 0  # of the working size, where memory ended


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
        on_note: OnNote | None = None,
    ) -> None:
        """Load MODEL, a bundled model's name or an ONNX file that keeps the contract.

        DEVICE is auto, cpu, cuda, cuda:N, gpu or npu; one that is named is used or refused. SIZE is
        the short side in pixels at which the network works (default: the model's own), SATURATION
        multiplies a* and b*. REFINE lets colors in photographs follow the edges of lightness (see
        photo/refine.py). CUDA_GRAPH launches the work for each shape as a whole, which TensorRT
        alone can. ON_NOTE gets what must be known at once, such as a smaller size where
        memory ends (default: a warning). Raises ModelError, EngineError or ArgumentError.
        """
        if not 0 <= saturation <= 4:
            raise ArgumentError(f"saturation is {saturation}; it must lie in 0..4")
        if precision not in get_args(Precision):
            known = ", ".join(get_args(Precision))
            raise ArgumentError(f"precision is {precision!r}; it must be one of {known}")
        self._closed = False
        self.engine: Engine = open_engine(find_model(model), backend, precision, device)
        self._fallback = MemoryFallback(self.engine, on_note or _warn)
        if cuda_graph:
            try:
                self.engine.capture_graphs()
            except EngineError:
                self.close()
                raise
        fixed = self.info.fixed_size
        if fixed is not None and size is not None:
            self.close()
            raise ArgumentError(f"size is {size}; this model takes {fixed[1]}x{fixed[0]} alone")
        self.size = self.info.native_size if size is None else size
        if not self.info.size_multiple <= self.size <= MAX_SIZE:
            self.close()
            raise ArgumentError(
                f"size is {self.size}; it must lie in {self.info.size_multiple}..{MAX_SIZE}"
            )
        self.saturation = saturation
        self.refine = refine

    @property
    def info(self) -> ModelInfo:
        """What the model's file says of itself."""
        return self.engine.info

    @property
    def best_batch(self) -> int:
        """How many pictures the engine computes fastest together."""
        return self.engine.best_batch

    def working_shape(self, height: int, width: int) -> tuple[int, int]:
        """Return the (height, width) at which the network sees a picture of this size."""
        return seen_shape(self.info, height, width, self.size)

    def chroma(
        self, grays: Sequence[U8], video: "_VideoProgress | None" = None
    ) -> list[tuple[F32, F32]]:
        """Return L* (h, w) and ab (h, w, 2), working size, for 8-bit grays (H, W) of one such.

        Where memory ends, the network sees smaller pictures, but the planes keep their size, so
        that a stabilizer goes on; FILM remembers that for the frames to come.
        """
        shape = self.working_shape(*grays[0].shape)
        small = np.stack([shrink(gray, shape) for gray in grays])
        if video is None:
            height, width = grays[0].shape
            what = f"picture of {width}x{height}" if len(grays) == 1 else f"{len(grays)} pictures"
            ab, _ = self._fallback.infer(small, 0, what)
        else:
            what = f"{video.name}: from frame {video.resumed + video.frames} on"
            ab, video.halvings = self._fallback.infer(small, video.halvings, what)
            video.frames += len(grays)
        return list(zip(gray_to_lightness(small), ab, strict=True))

    def image(self, rgb: NDArray[Depth]) -> NDArray[Depth]:
        """Colorize one picture: sRGB (H, W, 3) or gray (H, W), 8 or 16 bits, to sRGB as deep.

        The lightness L* of the input is kept at full size; its own colors are ignored. Raises
        ArgumentError for other arrays, EngineError or ModelError if the network fails.
        """
        return self.photo(_as_photo(rgb)).codes.astype(rgb.dtype, copy=False)

    def images(self, pictures: Iterable[NDArray[Depth]]) -> Generator[NDArray[Depth]]:
        """Yield `image` of each picture, in order: faster, and in memory that does not grow.

        Pictures are taken in this thread, up to four groups of four of the engine's best batches
        ahead, or of photo_stream.MAX_PIXELS_AHEAD pixels, and those of one working shape go through
        the network together: leave an array as it is until its result is out. An engine may round
        batches otherwise, by a level; OpenVINO does not. A picture that cannot be colored raises
        its error in its place, after those before it; close the generator to stop early.
        """
        if isinstance(pictures, np.ndarray) and pictures.shape[2:] in ((), (3,)):
            raise ArgumentError(f"{pictures.shape} is one picture; give it to image()")
        steps: Steps[NDArray[Depth], Codes] = Steps(_pixels, _as_photo, _codes)
        for picture, result in stream(self, pictures, steps):
            yield result.result().astype(picture.dtype, copy=False)

    def photo(self, photo: Photo) -> Photo:
        """Colorize what `images.read_photo` read, in its own depth and color space."""
        [answer] = self.chroma([photo.gray()])
        return self.join(photo, *answer)

    def join(self, photo: Photo, lightness: F32, ab: F32) -> Photo:
        """Color PHOTO with what `chroma` answered for its gray; any thread may call this."""
        return apply_chroma(photo, ab, self.saturation, lightness if self.refine else None)

    def video(
        self,
        source: str | Path | BinaryIO,
        target: str | Path | BinaryIO,
        options: VideoOptions | None = None,
        on_progress: Callable[["Progress"], None] = lambda _: None,
        on_remark: Callable[[str], None] | None = None,
    ) -> "VideoReport":
        """Colorize a film; sound is copied, luma handed on unchanged: see video.colorize.

        If a run was stopped, the same call resumes it. A binary
        stream in place of a path is read or written as raw y4m.
        Colors are held still from frame to frame unless OPTIONS say stabilize=False.
        """
        from .video.colorize import (  # photographs do not wait for PyAV
            colorize_to_y4m,
            colorize_video,
        )

        options, engine = options or VideoOptions(), self.engine
        pipe = None if isinstance(source, str | Path) else source
        path = source if isinstance(source, str | Path) else "-"
        video = _VideoProgress(str(path))
        chroma = partial(self.chroma, video=video)

        def report(progress: "Progress") -> None:
            video.resumed = progress.resumed
            on_progress(progress)

        stabilizer = Stabilizer() if options.stabilize else None
        if not isinstance(target, str | Path):
            if options.codec or options.crf is not None or options.preset:
                raise ArgumentError("y4m is raw: it takes no codec, crf or preset")
            return colorize_to_y4m(
                chroma,
                Path(path),
                target,
                batch=engine.best_batch,
                saturation=self.saturation,
                stabilizer=stabilizer,
                segment_frames=options.segment_frames,
                on_progress=report,
                pipe=pipe,
            )
        return colorize_video(
            chroma,
            Path(path),
            Path(target),
            options,
            batch=engine.best_batch,
            saturation=self.saturation,
            stabilizer=stabilizer,
            on_progress=report,
            pipe=pipe,
            on_remark=on_remark,
            made_by={
                "model": known_sha256(engine.model),
                "engine": f"{engine.name} on {engine.device}, {engine.precision}",
                "working size": str(self.size),
            },
        )

    def close(self) -> None:
        """Give back the engine, once no thread uses it; a second time does nothing."""
        if not self._closed:
            self._closed = True
            self._fallback.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _warn(note: str) -> None:
    warnings.warn(note, RuntimeWarning, stacklevel=2)


def _as_photo(rgb: object) -> Photo:
    """Return sRGB (H, W, 3) or gray (H, W) as a photograph; ArgumentError if it is neither."""
    if (
        not isinstance(rgb, np.ndarray)
        or not rgb.size
        or rgb.dtype not in (np.uint8, np.uint16)
        or rgb.ndim not in (2, 3)
        or rgb.shape[2:] not in ((), (3,))
    ):
        shown = f"{rgb.dtype} {rgb.shape}" if isinstance(rgb, np.ndarray) else repr(rgb)
        raise ArgumentError(
            f"a picture is {shown}; give uint8 or uint16 of shape (H, W, 3) or (H, W)"
        )
    return Photo(np.dstack([rgb] * 3) if rgb.ndim == 2 else rgb)


def _pixels(rgb: NDArray[Any]) -> int:
    return int(np.prod(np.shape(rgb)[:2]))


def _codes(_: object, photo: Photo) -> Codes:
    return photo.codes
