"""One photograph at a time: every candidate colors it and is measured; works in any process."""

import io
import os
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cache
from typing import Self

import torch
from PIL import Image

from ...runtime.color import U8
from ...runtime.errors import ColorizeError, InputError
from ...runtime.files import sha256
from ...runtime.photo.contact_sheet import scaled
from ...train.metrics import colorfulness
from .candidates import GRAY, TRUTH, Candidate, Colorize, open_candidate, without_colors
from .dataset import PROTOCOLS, DataSet, read_rgb
from .frechet import FEATURES, Features
from .metrics import SMALLEST, colors, compare
from .perceptual import Lpips, Weights

_THUMBNAIL_HEIGHT = 256
_THUMBNAIL_QUALITY = 82


@dataclass(frozen=True)
class ScoringConfig:
    """What is scored, and how; the same for every photograph and every process."""

    data: DataSet
    candidates: tuple[Candidate, ...]
    protocol: str
    lpips: tuple[tuple[str, Weights], ...] = ()
    distances: tuple[tuple[str, Weights], ...] = ()  # those of distributions
    pictures: int = 0  # of the first so many photographs the pictures are kept
    workers: int = 1


@dataclass(frozen=True)
class PhotoScores:
    """What one photograph showed; figures and pictures by the candidate's title."""

    name: str
    sha256: str = ""  # empty: it could not be read
    left_out: str | None = None  # why
    figures: dict[str, dict[str, float]] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)
    features: dict[str, dict[str, Features]] = field(default_factory=dict)  # by metric
    pictures: dict[str, bytes] = field(default_factory=dict)  # JPEG


class Scorer:
    """The models and measuring networks of one process."""

    def __init__(self, config: ScoringConfig) -> None:
        if config.workers > 1:
            torch.set_num_threads(max(1, (os.cpu_count() or 1) // config.workers))
        self.precisions: dict[str, str | None] = {}
        self.failures: dict[str, str] = {}
        self._config, self._stack = config, ExitStack()
        self._lpips = {f"lpips_{net}": Lpips(net, weights) for net, weights in config.lpips}
        self._features = {name: FEATURES[name](weights) for name, weights in config.distances}
        self._colorize: dict[str, Colorize] = {}
        for candidate in config.candidates:
            try:
                colorize, precision = open_candidate(candidate, config.protocol, self._stack)
            except ColorizeError as error:
                self.failures[candidate.title] = str(error)
            else:
                self._colorize[candidate.title] = colorize
                self.precisions[candidate.title] = precision

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def photo(self, index: int) -> PhotoScores:
        """Score the photograph at INDEX; a candidate that fails is shown no further one."""
        ref = self._config.data.photos[index]
        try:
            original = read_rgb(ref)
        except (InputError, OSError) as error:
            return PhotoScores(ref.name, left_out=str(error))
        digest = sha256(ref.read())
        truth = PROTOCOLS[self._config.protocol](original)
        if colorfulness(truth) == 0:  # its true colors are unknown, and PSNR would reward gray
            return PhotoScores(ref.name, digest, "a gray picture, it has no colors to compare with")
        if min(truth.shape[:2]) < SMALLEST:
            return PhotoScores(ref.name, digest, f"smaller than {SMALLEST} pixels a side")
        colored = {GRAY: without_colors(truth), **self._colored(truth, index), TRUTH: truth}
        figures = {title: self._figures(picture, truth) for title, picture in colored.items()}
        figures[TRUTH] = colors(truth)
        return PhotoScores(
            ref.name,
            digest,
            figures=figures,
            failures=dict(self.failures),
            features={
                metric: {title: features(picture) for title, picture in colored.items()}
                for metric, features in self._features.items()
            },
            pictures=_thumbnails(colored) if index < self._config.pictures else {},
        )

    def _colored(self, truth: U8, index: int) -> dict[str, U8]:
        colored = {}
        for title, colorize in list(self._colorize.items()):
            try:
                colored[title] = colorize(truth, index)
            except ColorizeError as error:
                self.failures[title] = str(error)
                del self._colorize[title]
        return colored

    def _figures(self, picture: U8, truth: U8) -> dict[str, float]:
        perceived = {name: lpips(picture, truth) for name, lpips in self._lpips.items()}
        return {**compare(picture, truth), **perceived}


def _thumbnails(colored: dict[str, U8]) -> dict[str, bytes]:
    encoded = {}
    for title, picture in colored.items():
        buffer = io.BytesIO()
        Image.fromarray(scaled(picture, _THUMBNAIL_HEIGHT)).save(
            buffer, "JPEG", quality=_THUMBNAIL_QUALITY, optimize=True
        )
        encoded[title] = buffer.getvalue()
    return encoded


_scorer_of = cache(Scorer)


def score_in_worker(config: ScoringConfig, index: int) -> PhotoScores:
    """Score one photograph in a worker process, whose models stay loaded for the next."""
    return _scorer_of(config).photo(index)
