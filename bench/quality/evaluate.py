"""Color of the results: photographs colored from their own lightness, against the truth."""

import multiprocessing
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial

from ...runtime.errors import InputError
from ...runtime.files import fingerprint, sha256
from ...runtime.photo.reader import is_photo
from ...train.data.photos import LeftOut
from ..settings import Failure
from .candidates import GRAY, TRUTH, Candidate
from .dataset import PROTOCOL_VERSIONS, DataSet
from .frechet import LEAST_PHOTOS, Frechet, too_few
from .metrics import METRICS, RunningMeans, finite
from .scoring import PhotoScores, Scorer, ScoringConfig, score_in_worker

KEPT = 1000
"""Photographs whose own figures are kept, for comparisons in pairs; the rest count in the means."""


@dataclass(frozen=True)
class QualityRow:
    """One model's colors, those of a folder, or those of a reference: no colors, the truth."""

    model: str
    title: str  # the model with what was asked for: default @256
    backend: str | None  # None where no model ran
    precision: str | None
    size: int | None  # short side at which the network worked; None: the model's own
    hints: int | None  # simulated ones that it was given; None: not asked for
    means: dict[str, float | None]  # over the photographs; None: infinite, or not measured
    errors: dict[str, float | None]  # standard errors of the means
    per_photo: dict[str, list[float | None]]  # in the order of Measured.names


@dataclass(kw_only=True)
class Measured:
    """The set of photographs that is measured, and how far that is."""

    name: str
    fingerprint: str = ""  # of all readable photographs of the set, as training makes it
    manifest_sha256: str | None
    protocol: str  # name@version
    photos: int = 0  # that were measured
    names: list[str] = field(default_factory=list)  # theirs, the first of them
    left_out: list[LeftOut] = field(default_factory=list)  # the first of them
    left_out_count: int = 0


@dataclass(frozen=True)
class Quality:
    """What was measured on one set of photographs."""

    data: Measured
    rows: tuple[QualityRow | Failure, ...]
    not_measured: dict[str, str]  # metric and reason
    weights: dict[str, str]  # SHA-256 of the weights of metrics that are networks


@dataclass
class _Sums:
    """The scores added up, in memory that does not grow with the photographs."""

    data: Measured
    means: dict[str, RunningMeans] = field(default_factory=dict)
    distances: dict[tuple[str, str], Frechet] = field(default_factory=dict)  # metric, title
    failures: dict[str, str] = field(default_factory=dict)
    kept: dict[str, dict[str, list[float | None]]] = field(default_factory=dict)
    hashes: list[str] = field(default_factory=list)

    def add(self, scores: PhotoScores) -> None:
        if scores.sha256:
            self.hashes.append(scores.sha256)
        if scores.left_out is not None:
            self.data.left_out_count += 1
            if self.data.left_out_count <= KEPT:
                self.data.left_out.append(LeftOut(scores.name, scores.left_out))
            return
        self.data.photos += 1
        self.failures |= scores.failures
        for title, figures in scores.figures.items():
            self.means.setdefault(title, RunningMeans()).add(figures)
        if self.data.photos <= KEPT:
            self.data.names.append(scores.name)
            for title, figures in scores.figures.items():
                own = self.kept.setdefault(title, {})
                for name, value in figures.items():
                    own.setdefault(name, []).append(finite(value))
        for metric, features in scores.features.items():
            for title, each in features.items():
                distance = self.distances.setdefault((metric, title), Frechet(each.size))
                distance.add(each, features[TRUTH])


def measure_quality(
    config: ScoringConfig,
    whole: DataSet,
    not_measured: dict[str, str],
    watch: Callable[[Iterator[PhotoScores]], Iterable[PhotoScores]],
) -> Quality:
    """Color the photographs of CONFIG with each of its candidates and measure them.

    WHOLE is the data set that CONFIG's is a part of. WATCH hands on the scores, one by one.
    InputError if none can be used; a candidate that fails gets a Failure and the others go on.
    """
    data = Measured(
        name=config.data.name,
        manifest_sha256=whole.manifest_sha256,
        protocol=f"{config.protocol}@{PROTOCOL_VERSIONS[config.protocol]}",
    )
    sums = _Sums(data)
    with _all_scores(config) as (found, precisions, failures):
        sums.failures |= failures
        for scores in watch(found):
            sums.add(scores)
    if data.photos == 0:
        reasons = "; ".join(f"{each.name}: {each.reason}" for each in data.left_out[:3])
        raise InputError(
            f"{config.data.name}: no usable photograph among {len(config.data.photos)} "
            f"({reasons}); --data needs color photographs"
        )
    if data.photos < LEAST_PHOTOS:
        few = {metric: too_few(data.photos) for metric, _ in config.distances}
        not_measured, sums.distances = {**not_measured, **few}, {}
    # A part of the training pictures is training pictures too, so the whole set is looked at.
    rest = set(whole.photos) - set(config.data.photos)
    hashes = sums.hashes + [
        sha256(ref.read()) for ref in rest if ref.length is not None or is_photo(ref.path)
    ]
    measured = [
        _row(candidate, sums, precisions.get(candidate.title)) for candidate in config.candidates
    ]
    references = [_row(Candidate(name=name), sums, None) for name in (GRAY, TRUTH)]
    data.fingerprint = fingerprint(hashes)
    return Quality(
        data=data,
        rows=(*measured, *references),
        not_measured=not_measured,
        weights={f"lpips_{net}": weights.sha256 for net, weights in config.lpips}
        | {metric: weights.sha256 for metric, weights in config.distances},
    )


@contextmanager
def _all_scores(
    config: ScoringConfig,
) -> Iterator[tuple[Iterator[PhotoScores], dict[str, str | None], dict[str, str]]]:
    """Yield the scores in order, each candidate's precision, and why others were not loaded."""
    indices = range(len(config.data.photos))
    with Scorer(config) as own:
        if config.workers == 1:
            yield map(own.photo, indices), own.precisions, own.failures
            return
    spawn = multiprocessing.get_context("spawn")  # engines and torch do not survive a fork
    pool = ProcessPoolExecutor(config.workers, mp_context=spawn)
    try:
        found = pool.map(partial(score_in_worker, config), indices)
        yield iter(found), own.precisions, own.failures
    finally:
        pool.shutdown(cancel_futures=True)


def _row(candidate: Candidate, sums: _Sums, precision: str | None) -> QualityRow | Failure:
    title = candidate.title
    if title in sums.failures:
        return Failure(candidate.name, candidate.backend or "-", sums.failures[title])
    means = sums.means[title].means()
    if title != TRUTH:
        own = {metric: each for (metric, of), each in sums.distances.items() if of == title}
        means |= {metric: each.value() for metric, each in own.items()}
        truth = sums.means[TRUTH].means()
        for name in ("colorfulness", "colorfulness_ddcolor"):
            means[f"{name}_delta"] = abs(means[name] - truth[name])
    return QualityRow(
        model=candidate.name,
        title=title,
        backend=candidate.backend,
        precision=precision,
        size=candidate.size,
        hints=candidate.hints,
        means={name: finite(means.get(name)) for name in METRICS},
        errors=sums.means[title].errors(),
        per_photo=sums.kept[title],
    )
