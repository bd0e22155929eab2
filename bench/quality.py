"""Colour of the results: photographs coloured from their own lightness, against the truth."""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..runtime.color import U8
from ..runtime.colorizer import Colorizer
from ..runtime.contract import ModelInfo
from ..runtime.errors import ColorizeError, InputError
from ..runtime.files import fingerprint, photo_files, sha256
from ..runtime.images import is_photo, join, read_photo
from ..train.metrics import colourfulness, psnr
from .subjects import Failure, Settings, Subject

GREY = "grey"
TRUTH = "truth"


@dataclass(frozen=True)
class QualityRow:
    """One model's colours, or those of a reference: no colours at all, or the truth."""

    model: str
    backend: str | None  # None for the two references
    precision: str | None
    psnr_db: float | None  # mean over the photographs; None for the truth itself
    colourfulness: float  # mean over the photographs


@dataclass(frozen=True)
class Quality:
    """What was measured on one set of photographs."""

    data_name: str
    data_fingerprint: str  # of all readable photographs of the folder, as training makes it
    photos: int  # measured
    grey: tuple[str, ...]  # left out: they have no colours to compare with
    unreadable: tuple[str, ...]
    rows: tuple[QualityRow | Failure, ...]
    infos: dict[str, ModelInfo]  # of the models that loaded, by name


class Tally:
    """Running means over photographs, in memory that does not grow with them."""

    def __init__(self) -> None:
        self.count = 0
        self._psnr = 0.0
        self._colour = 0.0

    def add(self, picture: U8, truth: U8) -> None:
        """Count PICTURE (H, W, 3), a rendering of TRUTH (H, W, 3)."""
        self.count += 1
        self._psnr += psnr(picture, truth)
        self._colour += colourfulness(picture)

    @property
    def psnr(self) -> float:
        """Mean in dB."""
        return self._psnr / self.count

    @property
    def colourfulness(self) -> float:
        """Mean colourfulness."""
        return self._colour / self.count


def list_photos(folder: Path) -> list[Path]:
    """Return the photographs below FOLDER; InputError if it is no folder or has none."""
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; give --data a folder of colour photographs")
    files = photo_files(folder)
    if not files:
        raise InputError(f"{folder}: no photographs in it; --data needs colour photographs")
    return files


def measure_quality(
    models: Sequence[Subject],
    folder: Path,
    settings: Settings,
    on_photo: Callable[[], None] = lambda: None,
    on_remark: Callable[[str], None] = lambda _: None,
    on_pictures: Callable[[list[U8]], None] = lambda _: None,
) -> Quality:
    """Colour the photographs of FOLDER at their own size with each of MODELS and measure them.

    ON_PHOTO is called after each photograph, ON_REMARK with the reason for each one left out,
    ON_PICTURES with the grey picture, each model's and the truth.
    InputError if none can be used; a model that fails gets a Failure and the others go on.
    """
    files = list_photos(folder)
    measured = files[: settings.limit_images]
    hashes: list[str] = []
    grey: list[str] = []
    unreadable: list[str] = []
    with ExitStack() as stack:
        race = _Race(models, settings, stack)
        for path in measured:
            try:
                truth = read_photo(path).rgb
            except InputError as error:
                unreadable.append(path.name)
                on_remark(f"skipped: {error}")
            else:
                hashes.append(sha256(path))
                # The colours of a grey picture are unknown; its PSNR would reward grey answers.
                if colourfulness(truth) == 0:
                    grey.append(path.name)
                    on_remark(f"skipped: {path}: a grey picture, it has no colours to compare with")
                else:
                    on_pictures(race.run(truth))
            on_photo()
        rows = race.rows()
    if not rows:
        raise InputError(
            f"{folder}: no usable photograph among {len(measured)} "
            f"({len(grey)} grey, {len(unreadable)} unreadable); --data needs colour photographs"
        )
    # A part of the training pictures is training pictures too, so the whole folder is looked at.
    hashes += [sha256(path) for path in files[len(measured) :] if is_photo(path)]
    return Quality(
        data_name=folder.resolve().name,
        data_fingerprint=fingerprint(hashes),
        photos=race.truth.count,
        grey=tuple(grey),
        unreadable=tuple(unreadable),
        rows=rows,
        infos=race.infos,
    )


class _Race:
    """The models side by side: each photograph is decoded once and coloured by all of them."""

    def __init__(self, models: Sequence[Subject], settings: Settings, stack: ExitStack) -> None:
        self.truth, self.grey = Tally(), Tally()
        self.infos: dict[str, ModelInfo] = {}
        self._names = [model.name for model in models]
        self._backend = settings.backends[0]
        self._running: dict[str, Colorizer] = {}
        self._tallies = {name: Tally() for name in self._names}
        self._failures: dict[str, Failure] = {}
        for model in models:
            try:
                colorizer = stack.enter_context(_open(model, settings))
            except ColorizeError as error:
                self._fail(model.name, error)
            else:
                self._running[model.name] = colorizer
                self.infos[model.name] = colorizer.info

    def run(self, truth: U8) -> list[U8]:
        """Colour TRUTH (H, W, 3) with every model that still runs; return grey, theirs, truth."""
        grey = without_colours(truth)
        self.truth.add(truth, truth)
        self.grey.add(grey, truth)
        pictures = [grey]
        for name, colorizer in list(self._running.items()):
            try:
                picture = colorizer.image(truth)
            except ColorizeError as error:
                del self._running[name]
                self._fail(name, error)
            else:
                self._tallies[name].add(picture, truth)
                pictures.append(picture)
        return [*pictures, truth]

    def rows(self) -> tuple[QualityRow | Failure, ...]:
        """Return a row for each model and the two references; none if no photograph was run."""
        if self.truth.count == 0:
            return ()
        return (
            *(self._failures.get(name) or self._row(name) for name in self._names),
            QualityRow(GREY, None, None, self.grey.psnr, self.grey.colourfulness),
            QualityRow(TRUTH, None, None, None, self.truth.colourfulness),
        )

    def _row(self, name: str) -> QualityRow:
        engine, tally = self._running[name].engine, self._tallies[name]
        return QualityRow(name, engine.name, engine.precision, tally.psnr, tally.colourfulness)

    def _fail(self, name: str, error: ColorizeError) -> None:
        self._failures[name] = Failure(name, self._backend, str(error))


def _open(model: Subject, settings: Settings) -> Colorizer:
    return Colorizer(
        model.path,
        backend=settings.backends[0],
        precision=settings.precision,
        size=settings.size,
    )


def without_colours(rgb: U8) -> U8:
    """Return the grey picture (H, W, 3) that has the lightness of RGB (H, W, 3)."""
    return join(rgb, np.zeros((1, 1, 2), np.float32))
