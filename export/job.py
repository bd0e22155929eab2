"""One export: a checkpoint becomes a proven ONNX file with its proof beside it."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from ..runtime.errors import ArgumentError, ModelError, ProofError
from ..runtime.files import sha256, whole_file
from ..runtime.sidecar import sidecar_path
from ..train.checkpoint import Checkpoint, load_checkpoint
from .examine import Examination, Report, examine, native_batches, tell
from .onnx import export_onnx
from .precision import halve
from .profiles import check_sizes
from .verify import Proof

PRECISIONS = ("fp32", "fp16")


@dataclass(frozen=True)
class ExportJob:
    """What to export and where to."""

    checkpoint: Path
    precision: str
    target: Path
    compact: bool = False
    sizes: tuple[int, ...] = ()  # that the engine is to take, in pixels
    overwrite: bool = False

    def run(self, report: Report) -> None:
        """Export, prove and only then name the file; REPORT gets the lines about it.

        A file whose proof fails is kept under `refused_path`, and ProofError says so.
        """
        self._check_names()
        checkpoint = load_checkpoint(self.checkpoint)
        check_sizes(self.sizes, checkpoint.network.size_multiple)
        kept: tuple[str, ...] = ()
        proofs: list[Proof] = []
        if self.precision == "fp16":
            kept, proof = halve(checkpoint.network, native_batches(checkpoint), report)
            proofs.append(tell(proof, report))
        model = export_onnx(
            checkpoint, sha256(self.checkpoint), self.precision, kept=kept, compact=self.compact
        )
        with whole_file(self.target) as part:
            part.write_bytes(model.SerializeToString())
            try:
                found = examine(part, checkpoint, self.precision, kept, report)
                found = Examination((*proofs, *found.proofs), found.bfloat16)
                found.demand()
            except ProofError as error:
                refused = refused_path(self.target)
                part.replace(refused)
                raise ProofError(f"{error}; kept for inspection as {refused}") from error
        self._write_sidecar(checkpoint, found, kept)
        if found.refused_precisions:
            report("OpenVINO will run this file in float32")

    def _check_names(self) -> None:
        if self.precision not in PRECISIONS:
            raise ArgumentError(
                f"unknown precision {self.precision!r}; choose one of {', '.join(PRECISIONS)}"
            )
        if self.target.suffix != ".onnx":
            raise ArgumentError(f"{self.target}: give -o a name that ends in .onnx")
        for path in (self.target, sidecar_path(self.target)):
            if path.exists() and not self.overwrite:
                raise ArgumentError(f"{path}: exists; give --overwrite or another -o")

    def _write_sidecar(
        self, checkpoint: Checkpoint, found: Examination, kept: Sequence[str]
    ) -> None:
        card = {
            "onnx_sha256": sha256(self.target),
            "architecture": checkpoint.arch,
            "precision": self.precision,
            "float32_layers": kept,
            "refused_precisions": found.refused_precisions,
            "config": asdict(checkpoint.config),
            "origin": asdict(checkpoint.origin),
            "proofs": [proof.to_card() for proof in found.shown],
        }
        with whole_file(sidecar_path(self.target)) as part:
            part.write_text(json.dumps(card, indent=2) + "\n")


def refused_path(target: Path) -> Path:
    """Return the name under which a file that failed its proof is kept."""
    return target.with_suffix(".refused.onnx")


def newest_or_bundled(bundled: Path, newest: Path | None) -> Path:
    """Return the checkpoint to export when none is named."""
    if newest is not None:
        return newest
    if not bundled.is_file():
        raise ModelError(
            "no checkpoint below runs/ and none bundled; train one with colorize-train"
        )
    return bundled
