"""Photographs on the page: opened once, seen small while colors are painted, and finished whole."""

import threading
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from ..color import U8
from ..colorizer import Colorizer
from ..errors import ArgumentError, ColorizeError
from ..files import fitting, whole_file
from ..inputs import MARK, OVERLAY_MARK
from ..jobs import Job, run_all
from ..photo.photo import Photo
from ..photo.reader import read_photo
from ..photo.stream import workers_of
from ..photo.writer import format_of, write_photo
from ..steering.hints import Hints
from ..video.options import VideoOptions
from .media import Medium, said

SEEN_SIDE = 1280
"""Long side, in pixels, at which the page shows photographs and strokes are painted."""
_KEPT_PIXELS = 100_000_000  # of grays of opened photographs: a byte each
_MODELS = 2  # loaded at once


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What is chosen of a photograph's colors, as of colorize-run."""

    model: str
    size: int | None = None  # None: the model's own
    saturation: float = 1.0
    refine: bool = False


@dataclass(frozen=True)
class Opened:
    """What the page needs of a photograph while it is painted on."""

    gray: U8  # (H, W), whole and upright
    seen: Photo  # 8-bit sRGB, upright, at most SEEN_SIDE
    canvas: U8  # gray (h, w), as large, to paint on
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True)
class Preview:
    """A photograph as the page shows it, uint8 sRGB (h, w, 3)."""

    before: U8
    after: U8
    remarks: tuple[str, ...] = ()


class Models:
    """The networks of one server, each loaded when it is first asked for."""

    def __init__(self, paths: Mapping[str, Path], default: str) -> None:
        """PATHS are the ONNX files that may be asked for, by name; DEFAULT is one of the names."""
        self.paths, self.default = dict(paths), default
        self._loaded: OrderedDict[str, Colorizer] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, settings: Settings) -> Colorizer:
        """Return what colors by SETTINGS; ArgumentError for what it does not take.

        It shares the engine with the others of its model, so nobody closes it.
        """
        if settings.model not in self.paths:
            known = ", ".join(self.paths)
            raise ArgumentError(f"there is no model {settings.model!r}; these are: {known}")
        with self._lock:  # whoever asks for the same one waits for it
            colorizer = self._loaded.get(settings.model)
            if colorizer is None:
                colorizer = Colorizer(self.paths[settings.model], on_notice=lambda _: None)
                self._loaded[settings.model] = colorizer
            self._loaded.move_to_end(settings.model)
            if len(self._loaded) > _MODELS:
                self._loaded.popitem(last=False)  # its engine goes with its last user
        return colorizer.adjusted(
            size=settings.size, saturation=settings.saturation, refine=settings.refine
        )


class Photos:
    """The photographs that are open on the page, for any number of threads."""

    def __init__(self, models: Models) -> None:
        self.models = models
        self._opened: OrderedDict[str, Future[Opened]] = OrderedDict()
        self._lock = threading.Lock()

    def open(self, medium: Medium) -> Opened:
        """Return MEDIUM as it is painted on, read at most once; InputError if it cannot be."""
        with self._lock:
            future = self._opened.get(medium.id)
            mine = future is None
            if future is None:
                future = self._opened[medium.id] = Future()
            self._opened.move_to_end(medium.id)
        if mine:
            try:
                future.set_result(_opened(medium))
            except BaseException as error:
                with self._lock:
                    self._opened.pop(medium.id, None)
                future.set_exception(error)
            self._forget_old()
        return future.result()

    def _forget_old(self) -> None:
        with self._lock:
            done = [key for key, each in self._opened.items() if each.done()]
            pixels = {key: self._opened[key].result().gray.size for key in done}
            for key in done[:-1]:
                if sum(pixels.values()) <= _KEPT_PIXELS:
                    break
                del pixels[key], self._opened[key]

    def preview(self, medium: Medium, settings: Settings, hints: Hints | None = None) -> Preview:
        """Return MEDIUM in color, small: the same colors as `finish` gives it."""
        colorizer, opened = self.models.get(settings), self.open(medium)
        [answer] = colorizer.answers([opened.gray], [hints])
        colored = colorizer.join(opened.seen, answer, colorizer.photo_threads)
        return Preview(opened.seen.rgb, colored.rgb, (*opened.remarks, *colored.remarks))

    def finish(
        self, work: Sequence[tuple[Medium, Path | None]], settings: Settings, folder: Path
    ) -> Iterator["Finished"]:
        """Write photographs in color to FOLDER, each with the layer painted on it, if any.

        They are streamed as colorize-run streams them, and the files are the same.
        """
        colorizer, several = self.models.get(settings), len(work) > 1
        jobs = [
            Job(
                medium.path,
                (folder / f"{number:03}" if several else folder) / _result_name(medium.name),
                overwrite=True,
                overlay=layer,
            )
            for number, (medium, layer) in enumerate(work)
        ]
        ran = run_all(jobs, colorizer, VideoOptions(), lambda _: lambda _: None)
        for (medium, layer), (job, future) in zip(work, ran, strict=True):
            names = {medium.path: medium.name} | ({layer: "the strokes"} if layer else {})
            error = future.exception()
            if error is None:
                remarks = tuple(said(notice.message, names) for notice in future.result())
                yield Finished(medium, job.target, remarks)
            elif isinstance(error, ColorizeError):
                yield Finished(medium, None, (said(error, names),))
            else:
                raise error


@dataclass(frozen=True)
class Finished:
    """What became of a photograph."""

    medium: Medium
    file: Path | None  # None: it could not be colored, and `said` has one line that says why
    said: tuple[str, ...]


@contextmanager
def naming(medium: Medium) -> Iterator[None]:
    """Let a failure name the photograph as its user does, and not by our path."""
    try:
        yield
    except ColorizeError as error:
        raise type(error)(said(error, {medium.path: medium.name})) from error


def _opened(medium: Medium) -> Opened:
    with naming(medium):
        photo = read_photo(medium.path)
    height, width = photo.codes.shape[:2]
    share = min(1.0, SEEN_SIDE / max(height, width))
    seen = photo.rgb
    if share < 1:
        size = max(1, round(width * share)), max(1, round(height * share))
        seen = np.asarray(cv2.resize(seen, size, interpolation=cv2.INTER_AREA), np.uint8)
    small = Photo(seen)
    return Opened(photo.gray(workers_of()), small, small.gray(), photo.remarks)


def save_layer(medium: Medium, layer: U8, folder: Path) -> Path:
    """Write LAYER (h, w, 4), painted on MEDIUM, to FOLDER, as colorize-run --hints takes it."""
    if not layer[..., 3].any():
        raise ArgumentError("nothing is painted; paint on the photograph first")
    stem = Path(medium.name).stem
    target = folder / f"{fitting(stem, f'{OVERLAY_MARK}.png')}{OVERLAY_MARK}.png"
    write_photo(target, Photo(np.ascontiguousarray(layer[..., :3]), layer[..., 3]))
    return target


def _result_name(name: str) -> str:
    source = Path(name)
    suffix = source.suffix if format_of(source.suffix) is not None else ".png"
    end = f"{MARK}{suffix}"
    return f"{fitting(source.stem, end)}{end}"


def zipped(files: Sequence[Path], target: Path) -> Path:
    """Write FILES, which are compressed already, to one archive."""
    from zipfile import ZIP_STORED, ZipFile

    with whole_file(target) as part, ZipFile(part, "w", ZIP_STORED) as archive:
        for number, file in enumerate(files, start=1):
            name = file.name if file.name not in archive.namelist() else f"{number}_{file.name}"
            archive.write(file, name)
    return target
