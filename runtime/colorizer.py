"""The object that Python users hold: pictures in, pictures out."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import BinaryIO, Self

import numpy as np
from numpy.typing import NDArray

from .catalog import DEFAULT_MODEL, find_model
from .color import F32, U8, Depth, grey_to_lightness
from .contract import ModelInfo
from .engines.base import Engine, Precision
from .engines.select import open_engine
from .errors import ArgumentError
from .files import sha256
from .film_writer import FilmOptions
from .images import Photo, colour
from .planes import shrink, working_shape
from .stabilize import Stabilizer
from .video import FilmReport, Progress, colorize_film, colorize_to_y4m

MAX_SIZE = 2048
"""The largest working size: memory grows with its square, and colours do not get better."""


class Colorizer:
    """A loaded model that colorizes photographs and films; a context manager, for one thread.

    with Colorizer() as colorizer:
        rgb = colorizer.image(rgb)
    """

    def __init__(
        self,
        model: str | Path = DEFAULT_MODEL,
        *,
        backend: str = "auto",
        precision: Precision = "auto",
        size: int | None = None,
        saturation: float = 1.0,
    ) -> None:
        """Load MODEL, a bundled model's name or an ONNX file that keeps the contract.

        SIZE is the short side in pixels at which the network works (default: the model's own),
        SATURATION multiplies a* and b*. Raises ModelError, EngineError or ArgumentError.
        """
        if not 0 <= saturation <= 4:
            raise ArgumentError(f"saturation is {saturation}; it must lie in 0..4")
        self.engine: Engine = open_engine(find_model(model), backend, precision)
        fixed = self.info.fixed_size
        if fixed is not None and size is not None:
            self.close()
            raise ArgumentError(f"size is {size}; this model takes {fixed[1]}x{fixed[0]} alone")
        self.size = self.info.native_size if size is None else size
        if not self.info.size_multiple <= self.size <= MAX_SIZE:
            self.close()
            raise ArgumentError(
                f"size is {size}; it must lie in {self.info.size_multiple}..{MAX_SIZE}"
            )
        self.saturation = saturation

    @property
    def info(self) -> ModelInfo:
        """What the model's file says of itself."""
        return self.engine.info

    def working_shape(self, height: int, width: int) -> tuple[int, int]:
        """Return the (height, width) at which the network sees a picture of this size."""
        if self.info.fixed_size is not None:
            return self.info.fixed_size
        return working_shape(height, width, self.size, self.info.size_multiple)

    def chroma(self, greys: Sequence[U8]) -> list[tuple[F32, F32]]:
        """Return L* (h, w) and ab (h, w, 2), working size, for 8-bit greys (H, W) of one size."""
        shape = self.working_shape(*greys[0].shape)
        lightness = grey_to_lightness(np.stack([shrink(grey, shape) for grey in greys]))
        batch = self.engine.best_batch
        answers = [
            self.engine.infer(np.ascontiguousarray(lightness[i : i + batch, None]))
            for i in range(0, len(lightness), batch)
        ]
        ab = np.concatenate(answers).transpose(0, 2, 3, 1)
        return list(zip(lightness, np.ascontiguousarray(ab), strict=True))

    def image(self, rgb: NDArray[Depth]) -> NDArray[Depth]:
        """Colorize one picture: sRGB (H, W, 3) or grey (H, W), 8 or 16 bits, to sRGB as deep.

        The lightness L* of the input is kept at full size; its own colours are ignored.
        """
        if (
            not rgb.size
            or rgb.dtype not in (np.uint8, np.uint16)
            or rgb.ndim not in (2, 3)
            or rgb.shape[2:] not in ((), (3,))
        ):
            raise ArgumentError(
                f"a picture is {rgb.dtype} {rgb.shape}; "
                "give uint8 or uint16 of shape (H, W, 3) or (H, W)"
            )
        colour_planes = np.dstack([rgb] * 3) if rgb.ndim == 2 else rgb
        return self.photo(Photo(colour_planes)).codes.astype(rgb.dtype, copy=False)

    def photo(self, photo: Photo) -> Photo:
        """Colorize what `images.read_photo` read, in its own depth and colour space."""
        [(_, ab)] = self.chroma([photo.grey()])
        return colour(photo, ab, self.saturation)

    def video(
        self,
        source: str | Path | BinaryIO,
        target: str | Path | BinaryIO,
        options: FilmOptions | None = None,
        on_progress: Callable[[Progress], None] = lambda _: None,
        on_remark: Callable[[str], None] | None = None,
    ) -> FilmReport:
        """Colorize a film; sound is copied, luma handed on unchanged: see video.colorize_film.

        A run that was stopped is gone on with: the same call again finishes the film. A binary
        stream in place of a path is read or written as raw y4m.
        Colours are held still from frame to frame unless OPTIONS say stabilize=False.
        """
        options = options or FilmOptions()
        pipe = None if isinstance(source, str | Path) else source
        path = source if isinstance(source, str | Path) else "-"
        stabilizer = Stabilizer() if options.stabilize else None
        if not isinstance(target, str | Path):
            return colorize_to_y4m(
                self.chroma,
                Path(path),
                target,
                batch=self.engine.best_batch,
                saturation=self.saturation,
                stabilizer=stabilizer,
                on_progress=on_progress,
                pipe=pipe,
            )
        return colorize_film(
            self.chroma,
            Path(path),
            Path(target),
            options,
            batch=self.engine.best_batch,
            saturation=self.saturation,
            stabilizer=stabilizer,
            on_progress=on_progress,
            pipe=pipe,
            on_remark=on_remark,
            made_by={
                "model": sha256(self.engine.model),
                "engine": str(self.engine),
                "working size": str(self.size),
            },
        )

    def close(self) -> None:
        """Give back the engine."""
        self.engine.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
