"""Color of the results: photographs colored from their own lightness, against the truth."""

import math
import multiprocessing
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial

from ...runtime.errors import InputError
from ...runtime.files import fingerprint, sha256
from ...runtime.photo.reader import is_photo
from ..settings import Failure
from .candidates import GRAY, TRUTH, Entrant
from .dataset import PROTOCOL_VERSIONS, DataSet
from .metrics import METRICS, Tally
from .perceptual import FID_PHOTOS, Fid
from .scoring import Job, Judge, Verdict, judge_elsewhere

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
    means: dict[str, float | None]  # over the photographs; None: infinite, or not measured
    errors: dict[str, float | None]  # standard errors of the means
    per_photo: dict[str, list[float | None]]  # in the order of Quality.photos


@dataclass(frozen=True)
class Quality:
    """What was measured on one set of photographs."""

    data_name: str
    data_fingerprint: str  # of all readable photographs of the set, as training makes it
    manifest_sha256: str | None
    protocol: str  # name@version
    count: int  # of photographs measured
    photos: tuple[str, ...]  # their names, the first of them
    left_out: tuple[tuple[str, str], ...]  # name and reason, the first of them
    left_out_count: int
    rows: tuple[QualityRow | Failure, ...]
    not_measured: dict[str, str]  # metric and reason
    weights: dict[str, str]  # SHA-256 of the weights of metrics that are networks


@dataclass
class _Sums:
    """Everything that is known so far, in memory that does not grow with the photographs."""

    tallies: dict[str, Tally] = field(default_factory=dict)
    fids: dict[str, Fid] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)
    kept: dict[str, dict[str, list[float | None]]] = field(default_factory=dict)
    photos: list[str] = field(default_factory=list)
    left_out: list[tuple[str, str]] = field(default_factory=list)
    hashes: list[str] = field(default_factory=list)
    count: int = 0
    left_out_count: int = 0

    def add(self, verdict: Verdict) -> None:
        if verdict.sha256:
            self.hashes.append(verdict.sha256)
        if verdict.left_out is not None:
            self.left_out_count += 1
            self.left_out += [(verdict.name, verdict.left_out)][: KEPT - len(self.left_out)]
            return
        self.count += 1
        self.failures |= verdict.failures
        for title, figures in verdict.figures.items():
            self.tallies.setdefault(title, Tally()).add(figures)
        if self.count <= KEPT:
            self.photos.append(verdict.name)
            for title, figures in verdict.figures.items():
                own = self.kept.setdefault(title, {})
                for name, value in figures.items():
                    own.setdefault(name, []).append(_finite(value))
        for title, features in verdict.features.items():
            self.fids.setdefault(title, Fid()).add(features, verdict.features[TRUTH])


def measure_quality(
    job: Job,
    whole: DataSet,
    not_measured: dict[str, str],
    on_verdict: Callable[[Verdict], None] = lambda _: None,
) -> Quality:
    """Color the photographs of JOB with each of its entrants and measure them.

    WHOLE is the data set that JOB's is a part of. ON_VERDICT is called after each photograph.
    InputError if none can be used; an entrant that fails gets a Failure and the others go on.
    """
    sums = _Sums()
    with _verdicts(job) as (verdicts, precisions, failures):
        sums.failures |= failures
        for verdict in verdicts:
            sums.add(verdict)
            on_verdict(verdict)
    if sums.count == 0:
        reasons = "; ".join(f"{name}: {why}" for name, why in sums.left_out[:3])
        raise InputError(
            f"{job.data.name}: no usable photograph among {len(job.data.photos)} ({reasons}); "
            "--data needs color photographs"
        )
    if job.inception and sums.count < FID_PHOTOS:
        not_measured = {**not_measured, "fid": fid_refusal(sums.count)}
        sums.fids = {}
    # A part of the training pictures is training pictures too, so the whole set is looked at.
    rest = set(whole.photos) - set(job.data.photos)
    hashes = sums.hashes + [
        sha256(ref.content()) for ref in rest if ref.length is not None or is_photo(ref.path)
    ]
    measured = [_row(entrant, sums, precisions.get(entrant.title)) for entrant in job.entrants]
    references = [_row(Entrant(name), sums, None) for name in (GRAY, TRUTH)]
    return Quality(
        data_name=job.data.name,
        data_fingerprint=fingerprint(hashes),
        manifest_sha256=whole.manifest_sha256,
        protocol=f"{job.protocol}@{PROTOCOL_VERSIONS[job.protocol]}",
        count=sums.count,
        photos=tuple(sums.photos),
        left_out=tuple(sums.left_out),
        left_out_count=sums.left_out_count,
        rows=(*measured, *references),
        not_measured=not_measured,
        weights={f"lpips_{net}": weights.sha256 for net, weights in job.lpips}
        | ({"fid": job.inception.sha256} if job.inception else {}),
    )


def fid_refusal(photos: int) -> str:
    """Return why FID is not measured on so few PHOTOS."""
    return f"photographs: {photos}; it needs {FID_PHOTOS:,} or more"


@contextmanager
def _verdicts(
    job: Job,
) -> Iterator[tuple[Iterator[Verdict], dict[str, str | None], dict[str, str]]]:
    """Yield the verdicts in order, each model's precision, and who could not be loaded."""
    indices = range(len(job.data.photos))
    with Judge(job) as own:
        if job.workers == 1:
            yield map(own.photo, indices), own.precisions, own.failures
            return
    spawn = multiprocessing.get_context("spawn")  # engines and torch do not survive a fork
    pool = ProcessPoolExecutor(job.workers, mp_context=spawn)
    try:
        found = pool.map(partial(judge_elsewhere, job), indices)
        yield iter(found), own.precisions, own.failures
    finally:
        pool.shutdown(cancel_futures=True)


def _row(entrant: Entrant, sums: _Sums, precision: str | None) -> QualityRow | Failure:
    title = entrant.title
    if title in sums.failures:
        return Failure(entrant.name, entrant.backend or "-", sums.failures[title])
    means = sums.tallies[title].means()
    if title in sums.fids and title != TRUTH:
        means["fid"] = sums.fids[title].value()
    if title != TRUTH:
        truth = sums.tallies[TRUTH].means()
        for name in ("colorfulness", "colorfulness_ddcolor"):
            means[f"{name}_delta"] = abs(means[name] - truth[name])
    return QualityRow(
        entrant.name,
        title,
        entrant.backend,
        precision,
        entrant.size,
        {name: _finite(means.get(name)) for name in METRICS},
        sums.tallies[title].errors(),
        sums.kept[title],
    )


def _finite(value: float | None) -> float | None:
    """Return VALUE for JSON, which has no infinity: the PSNR of a perfect answer."""
    return value if value is not None and math.isfinite(value) else None
