"""One photograph at a time: every entrant colors it and is measured; works in any process."""

import io
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cache
from typing import Self

from PIL import Image

from ...runtime.color import U8
from ...runtime.errors import ColorizeError, InputError
from ...runtime.files import sha256
from ...runtime.photo.contact_sheet import scaled
from ...train.metrics import colorfulness
from .candidates import GRAY, TRUTH, Entrant, Painter, painter, without_colors
from .dataset import PROTOCOLS, DataSet
from .metrics import SMALLEST, colors, compare
from .perceptual import Features, Inception, Lpips, Weights, share_threads

_THUMBNAIL_HEIGHT = 256
_THUMBNAIL_QUALITY = 82


@dataclass(frozen=True)
class Job:
    """What is judged, how; the same for every photograph and every process."""

    data: DataSet
    entrants: tuple[Entrant, ...]
    protocol: str
    lpips: tuple[tuple[str, Weights], ...] = ()
    inception: Weights | None = None
    pictures: int = 0  # of the first so many photographs the pictures are kept
    workers: int = 1


@dataclass(frozen=True)
class Verdict:
    """What one photograph showed; figures and pictures by the entrant's title."""

    name: str
    sha256: str = ""  # empty: it could not be read
    left_out: str | None = None  # why
    figures: dict[str, dict[str, float]] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)
    features: dict[str, Features] = field(default_factory=dict)
    pictures: dict[str, bytes] = field(default_factory=dict)  # JPEG


class Judge:
    """The models and measuring networks of one process."""

    def __init__(self, job: Job) -> None:
        share_threads(job.workers)
        self.precisions: dict[str, str | None] = {}
        self.failures: dict[str, str] = {}
        self._job, self._stack = job, ExitStack()
        self._lpips = {f"lpips_{net}": Lpips(net, weights) for net, weights in job.lpips}
        self._inception = Inception(job.inception) if job.inception else None
        self._painters: dict[str, Painter] = {}
        for entrant in job.entrants:
            try:
                paint, precision = painter(entrant, job.protocol, self._stack)
            except ColorizeError as error:
                self.failures[entrant.title] = str(error)
            else:
                self._painters[entrant.title] = paint
                self.precisions[entrant.title] = precision

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def photo(self, index: int) -> Verdict:
        """Judge the photograph of this number; one that fails its model is the model's last."""
        ref = self._job.data.photos[index]
        try:
            original = ref.read()
        except (InputError, OSError) as error:
            return Verdict(ref.name, left_out=str(error))
        digest = sha256(ref.content())
        truth = PROTOCOLS[self._job.protocol](original)
        if colorfulness(truth) == 0:  # its colors are unknown, and PSNR would reward gray
            return Verdict(ref.name, digest, "a gray picture, it has no colors to compare with")
        if min(truth.shape[:2]) < SMALLEST:
            return Verdict(ref.name, digest, f"smaller than {SMALLEST} pixels a side")
        painted = {GRAY: without_colors(truth), **self._paint(truth, index), TRUTH: truth}
        figures = {title: self._figures(picture, truth) for title, picture in painted.items()}
        figures[TRUTH] = colors(truth)
        return Verdict(
            ref.name,
            digest,
            figures=figures,
            failures=dict(self.failures),
            features={t: self._inception(p) for t, p in painted.items()} if self._inception else {},
            pictures=_thumbnails(painted) if index < self._job.pictures else {},
        )

    def _paint(self, truth: U8, index: int) -> dict[str, U8]:
        painted = {}
        for title, paint in list(self._painters.items()):
            try:
                painted[title] = paint(truth, index)
            except ColorizeError as error:
                self.failures[title] = str(error)
                del self._painters[title]
        return painted

    def _figures(self, picture: U8, truth: U8) -> dict[str, float]:
        perceived = {name: lpips(picture, truth) for name, lpips in self._lpips.items()}
        return {**compare(picture, truth), **perceived}


def _thumbnails(painted: dict[str, U8]) -> dict[str, bytes]:
    encoded = {}
    for title, picture in painted.items():
        buffer = io.BytesIO()
        Image.fromarray(scaled(picture, _THUMBNAIL_HEIGHT)).save(
            buffer, "JPEG", quality=_THUMBNAIL_QUALITY, optimize=True
        )
        encoded[title] = buffer.getvalue()
    return encoded


@cache
def _judge_of(job: Job) -> Judge:
    return Judge(job)


def judge_elsewhere(job: Job, index: int) -> Verdict:
    """Judge one photograph in a worker process, whose models stay loaded for the next."""
    return _judge_of(job).photo(index)
