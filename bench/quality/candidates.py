"""Candidates: models, folders of colored pictures, and the two references gray and truth."""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np

from ...runtime.color import U8, lab_to_rgb, rgb_to_lab, to_codes
from ...runtime.colorizer import Colorizer
from ...runtime.engines.base import Precision
from ...runtime.errors import InputError
from ...runtime.files import photo_files
from ...runtime.inputs import MARK
from ...runtime.photo.decoding import UndecodableError, decoding, limited, open_encoded
from ...runtime.photo.photo import join
from ...runtime.photo.reader import read_photo
from ...runtime.steering.hints import Hints
from ...train.data.hints import patches_of_256
from ...train.data.sources import PhotoFile
from ..settings import Model, Settings, nothing_less
from .dataset import PROTOCOLS, DataSet, first_few

_ORIENTATION = 0x0112
_TURNED_FROM = 5  # EXIF orientations from here on swap the sides
GRAY = "gray"
TRUTH = "truth"


@dataclass(frozen=True)
class Candidate:
    """One row of the quality table: a model under settings, or a folder of colored pictures."""

    name: str
    backend: str | None = None
    precision: Precision = "auto"
    device: str = "auto"
    size: int | None = None
    model: Model | None = None
    hints: int | None = None  # how many simulated ones the model is given; None: not asked for
    seed: int = 0  # of their places
    pictures: tuple[Path, ...] = ()  # one for each photograph of the data set

    @property
    def title(self) -> str:
        """The name, with the size, the precision and the hints where they were asked for."""
        size = f" @{self.size}" if self.size else ""
        precision = f" {self.precision}" if self.precision != "auto" else ""
        hints = "" if self.hints is None else f", hints: {self.hints}"
        return f"{self.name}{size}{precision}{hints}"


Colorize = Callable[[U8, int], U8]
"""Takes a truth (H, W, 3) and its index in the data set; returns it in the candidate's colors."""


def find_candidates(models: Sequence[Model], data: DataSet, settings: Settings) -> list[Candidate]:
    """Return each model x precision x size x hints, and each folder; InputError if one is unfit."""
    rows = [
        Candidate(
            name=model.name,
            backend=settings.backends[0],
            precision=precision,
            device=settings.device,
            size=size,
            model=model,
            hints=hints,
            seed=settings.seed,
        )
        for model, precision, size, hints in product(
            models, settings.precisions, settings.sizes, settings.hints
        )
    ]
    colored = [
        Candidate(
            name=folder.resolve().name, pictures=_match(folder, data.photos, settings.protocol)
        )
        for folder in settings.colored
    ]
    titles = [candidate.title for candidate in (*rows, *colored)] + [GRAY, TRUTH]
    twice = sorted({title for title in titles if titles.count(title) > 1})
    if twice:
        raise InputError(f"two rows would be called {twice[0]}; rename the folder of pictures")
    return [*rows, *colored]


def _match(folder: Path, photos: Sequence[PhotoFile], protocol: str) -> tuple[Path, ...]:
    """Return FOLDER's picture for each photograph: the same name, whatever the suffix.

    A name as colorize-run gives it counts more: beside it the photograph itself may lie.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; --colored wants a folder of pictures")
    files = [(path.relative_to(folder).with_suffix(""), path) for path in photo_files(folder)]
    found = dict(files) | {
        name.with_name(name.name.removesuffix(MARK)): path
        for name, path in files
        if name.name.endswith(MARK)
    }
    names = [Path(photo.name).with_suffix("") for photo in photos]
    missing = [photo.name for photo, name in zip(photos, names, strict=True) if name not in found]
    if missing:
        raise InputError(f"{folder}: has no picture for {first_few(missing)}")
    pictures = tuple(found[name] for name in names)
    wrong = []
    for photo, picture in zip(photos, pictures, strict=True):
        own, true = _size(picture.read_bytes()), _size(photo.read())
        if own and true and own not in (true, _size_after(protocol, true)):
            wrong.append(f"{photo.name} {own[0]}x{own[1]}, not {true[0]}x{true[1]}")
    if wrong:
        raise InputError(f"{folder}: sizes differ from the photographs': {first_few(wrong)}")
    return pictures


def _size(content: bytes) -> tuple[int, int] | None:
    """Return (width, height) as shown; None if it cannot be read, which scoring reports."""
    try:
        with limited(), open_encoded(content) as image, decoding():
            turned = image.getexif().get(_ORIENTATION, 1) >= _TURNED_FROM
            return image.size[::-1] if turned else image.size
    except UndecodableError:
        return None


def _size_after(protocol: str, size: tuple[int, int]) -> tuple[int, int]:
    height, width = PROTOCOLS[protocol](np.zeros((*size[::-1], 3), np.uint8)).shape[:2]
    return width, height


def open_candidate(
    candidate: Candidate, protocol: str, stack: ExitStack
) -> tuple[Colorize, str | None]:
    """Return what colorizes as CANDIDATE does, closed by STACK, and the precision it computes in.

    ColorizeError if its model cannot be loaded.
    """
    if candidate.model is None:

        def read(truth: U8, index: int) -> U8:
            picture = read_photo(candidate.pictures[index]).rgb
            return picture if picture.shape == truth.shape else PROTOCOLS[protocol](picture)

        return read, None
    colorizer = stack.enter_context(
        Colorizer(
            candidate.model.path,
            backend=candidate.backend or "auto",
            precision=candidate.precision,
            device=candidate.device,
            size=candidate.size,
            expects_hints=bool(candidate.hints),
            on_notice=nothing_less,
        )
    )
    count, seed = candidate.hints or 0, candidate.seed

    def colorize(truth: U8, index: int) -> U8:
        return colorizer.image(truth, hints=hints_of_truth(truth, count, seed + index))

    return colorize, colorizer.engine.precision


def without_colors(rgb: U8) -> U8:
    """Return the gray picture (H, W, 3) that has the lightness of RGB (H, W, 3)."""
    return join(rgb, np.zeros((1, 1, 2), np.float32))


def hints_of_truth(truth: U8, count: int, seed: int) -> Hints | None:
    """Return COUNT hints, 7 of 256 pixels wide, in the mean colors of TRUTH (H, W, 3) there.

    The same SEED gives the same places. None without hints.
    """
    if count == 0:
        return None
    lab = rgb_to_lab(truth)
    ab = np.ascontiguousarray(lab[..., 1:].transpose(2, 0, 1))
    planes = patches_of_256(ab, count, np.random.default_rng(seed))
    rgb = lab_to_rgb(np.dstack([lab[..., 0], planes[0], planes[1]]))
    codes = to_codes(np.dstack([rgb, planes[2]]), np.dtype(np.uint16))  # 8 bits would round them
    return Hints.overlay(codes)
