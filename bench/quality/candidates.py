"""Those whose colors are judged: models, folders of colored pictures, and two references."""

import io
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np
from PIL import Image

from ...runtime.color import U8
from ...runtime.colorizer import Colorizer
from ...runtime.engines.base import Precision
from ...runtime.errors import InputError
from ...runtime.files import photo_files
from ...runtime.jobs import MARK
from ...runtime.photo.photo import join
from ...runtime.photo.reader import UNREADABLE, limited, read_photo
from ..settings import Settings, Subject, nothing_less
from .dataset import PROTOCOLS, DataSet, PhotoRef, first_few

_ORIENTATION = 0x0112
_TURNED_FROM = 5  # EXIF orientations from here on swap the sides
GRAY = "gray"
TRUTH = "truth"


@dataclass(frozen=True)
class Entrant:
    """One row of the quality table: a model under settings, or a folder of colored pictures."""

    name: str
    backend: str | None = None
    precision: Precision = "auto"
    device: str = "auto"
    size: int | None = None
    subject: Subject | None = None
    pictures: tuple[Path, ...] = ()  # one for each photograph of the data set

    @property
    def title(self) -> str:
        """The name, with the working size and the precision where they were asked for."""
        size = f" @{self.size}" if self.size else ""
        return f"{self.name}{size}" + (f" {self.precision}" if self.precision != "auto" else "")


Painter = Callable[[U8, int], U8]
"""Returns the truth (H, W, 3), the so-manieth photograph of the data set, in its own colors."""


def entrants(
    subjects: Sequence[Subject], folders: Sequence[Path], data: DataSet, settings: Settings
) -> list[Entrant]:
    """Return every model x precision x size, and every folder; InputError if one does not fit."""
    models = [
        Entrant(subject.name, settings.backends[0], precision, settings.device, size, subject)
        for subject, precision, size in product(subjects, settings.precisions, settings.sizes)
    ]
    colored = [
        Entrant(folder.resolve().name, pictures=_match(folder, data.photos, settings.protocol))
        for folder in folders
    ]
    titles = [entrant.title for entrant in (*models, *colored)] + [GRAY, TRUTH]
    twice = sorted({title for title in titles if titles.count(title) > 1})
    if twice:
        raise InputError(f"two rows would be called {twice[0]}; rename the folder of pictures")
    return [*models, *colored]


def _match(folder: Path, photos: Sequence[PhotoRef], protocol: str) -> tuple[Path, ...]:
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
        own, true = _size(picture.read_bytes()), _size(photo.content())
        if own and true and own not in (true, _size_after(protocol, true)):
            wrong.append(f"{photo.name} {own[0]}x{own[1]}, not {true[0]}x{true[1]}")
    if wrong:
        raise InputError(f"{folder}: sizes differ from the photographs': {first_few(wrong)}")
    return pictures


def _size(content: bytes) -> tuple[int, int] | None:
    """Return (width, height) as shown; None if it cannot be read, which judging will report."""
    try:
        with limited(), Image.open(io.BytesIO(content)) as image:
            turned = image.getexif().get(_ORIENTATION, 1) >= _TURNED_FROM
            return image.size[::-1] if turned else image.size
    except UNREADABLE:
        return None


def _size_after(protocol: str, size: tuple[int, int]) -> tuple[int, int]:
    height, width = PROTOCOLS[protocol](np.zeros((*size[::-1], 3), np.uint8)).shape[:2]
    return width, height


def painter(entrant: Entrant, protocol: str, stack: ExitStack) -> tuple[Painter, str | None]:
    """Return what paints for ENTRANT, closed by STACK, and its arithmetic's precision.

    ColorizeError if its model cannot be loaded.
    """
    if entrant.subject is None:
        return lambda truth, index: _cut(
            read_photo(entrant.pictures[index]).rgb, truth, protocol
        ), None
    colorizer = stack.enter_context(
        Colorizer(
            entrant.subject.path,
            backend=entrant.backend or "auto",
            precision=entrant.precision,
            device=entrant.device,
            size=entrant.size,
            on_notice=nothing_less,
        )
    )
    return lambda truth, _: colorizer.image(truth), colorizer.engine.precision


def _cut(picture: U8, truth: U8, protocol: str) -> U8:
    return picture if picture.shape == truth.shape else PROTOCOLS[protocol](picture)


def without_colors(rgb: U8) -> U8:
    """Return the gray picture (H, W, 3) that has the lightness of RGB (H, W, 3)."""
    return join(rgb, np.zeros((1, 1, 2), np.float32))
