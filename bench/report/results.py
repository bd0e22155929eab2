"""Everything that one call measured, as one JSON document; tables and page are drawn from it."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ...runtime.errors import InputError
from ...runtime.models.contract import ModelInfo
from ..machine import describe_machine
from ..quality.evaluate import Quality
from ..quality.metrics import METRICS
from ..settings import Failure, Model, Settings
from ..speed.latency import P99_RUNS, SpeedRow
from ..speed.roofline import RooflineRow
from ..video.evaluate import Video

SCHEMA = 2
"""Raised when a field changes its meaning or goes away; see results.schema.json."""

PSNR_NOTE = (
    "PSNR alone rewards gray pictures: read it together with colorfulness and a perceptual figure."
)
VIDEO_NOTE = "Dull colors hold still: read CDC, flicker and temporal PSNR together with CF."
Document = dict[str, Any]


@dataclass(frozen=True)
class Results:
    """Everything that one call measured."""

    settings: Settings
    models: Sequence[Model]
    infos: dict[str, ModelInfo]  # of the models that loaded, by name
    quality: Quality
    speed: Sequence[SpeedRow | Failure]
    roofline: Sequence[RooflineRow] = ()
    videos: Sequence[Video] = ()

    def failures(self) -> list[Failure]:
        """Return what could not be measured, each once: quality and speed often say the same."""
        videos = (row for video in self.videos for row in video.speed)
        rows = (*self.quality.rows, *self.speed, *videos)
        return list(dict.fromkeys(row for row in rows if isinstance(row, Failure)))

    def measured(self) -> bool:
        """Return whether any figure of any model or folder was measured."""
        own = self.quality.rows[:-2]  # without the references
        return any(not isinstance(row, Failure) for row in (*own, *self.speed))

    def warnings(self) -> list[str]:
        """Return one line for each reason to trust a figure less."""
        measured = self.quality.data.fingerprint
        trained = [
            f"{name}: trained on these very photographs (fingerprint {measured}), "
            "so its quality figures flatter it"
            for name, info in self.infos.items()
            if info.data_fingerprint == measured
        ]
        unsteady = [
            f"{row.model}: {row.backend} at batch {row.batch} reached no steady pace in its "
            "warm-up; something else may be running"
            for row in self.speed
            if isinstance(row, SpeedRow) and row.warmup_runs and not row.stable
        ]
        return trained + unsteady

    def notes(self) -> list[str]:
        """Return how the figures must be read."""
        notes = [PSNR_NOTE]
        if self.speed and self.settings.runs < P99_RUNS:
            notes.append(f"p99 is told from {P99_RUNS} runs on: --runs {P99_RUNS}.")
        if self.videos:
            notes.append(VIDEO_NOTE)
        notes += [
            f"{METRICS[name].title}: not measured ({reason})."
            for name, reason in self.quality.not_measured.items()
        ]
        return notes

    def document(self) -> Document:
        """Return what results.json holds: see results.schema.json."""
        quality = self.quality
        return {
            "schema": SCHEMA,
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "machine": describe_machine(),
            "settings": self.settings.document(),
            "data": asdict(quality.data),
            "models": [self._model(model) for model in self.models],
            "metrics": {name: metric.source for name, metric in METRICS.items()},
            "metric_weights": quality.weights,
            "not_measured": quality.not_measured,
            "quality": [asdict(row) for row in quality.rows],
            "speed": [asdict(row) for row in self.speed],
            "roofline": [asdict(row) for row in self.roofline],
            "videos": [asdict(video) for video in self.videos],
            "warnings": self.warnings(),
            "notes": self.notes(),
        }

    def _model(self, model: Model) -> dict[str, Any]:
        info = self.infos.get(model.name)
        return {
            "name": model.name,
            "file": model.path.name,
            "sha256": model.sha256,
            "bytes": model.path.stat().st_size,
            "metadata": asdict(info) if info else None,
        }


def to_json(document: Document) -> str:
    """Return DOCUMENT as text that ends in a newline."""
    return json.dumps(document, indent=1, allow_nan=False, ensure_ascii=False) + "\n"


def read_document(path: Path) -> Document:
    """Read results.json; InputError if it is none, or of another schema."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file") from error
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: not the results.json of colorize-bench ({error})") from error
    schema = document.get("schema") if isinstance(document, dict) else None
    if schema != SCHEMA:
        raise InputError(f"{path}: schema {schema}, this toolkit reads {SCHEMA}; measure again")
    found: Document = document
    return found
