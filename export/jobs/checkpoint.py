"""One export: a checkpoint becomes a proven ONNX file with its proof beside it."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from ...runtime.errors import ArgumentError, ModelError
from ...runtime.files import sha256
from ...train.checkpoints.checkpoint import Checkpoint, load_checkpoint
from ..graphs.fp16 import halve
from ..graphs.onnx import export_onnx
from ..proof.proof import Proof
from ..tensorrt.profiles import check_sizes
from .examine import Examination, Report, examine, native_batches, tell
from .output import check_target, proven_file, write_card

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
    refused: Path | None = None  # where a file that fails is kept; None: beside the target

    def run(self, report: Report) -> None:
        """Export, prove and only then name the file; REPORT gets the lines about it.

        A file whose proof fails is kept, and ProofError says where.
        """
        if self.precision not in PRECISIONS:
            raise ArgumentError(
                f"unknown precision {self.precision!r}; choose one of {', '.join(PRECISIONS)}"
            )
        check_target(self.target, self.overwrite)
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
        with proven_file(self.target, self.refused) as part:
            part.write_bytes(model.SerializeToString())
            found = examine(part, checkpoint, self.precision, kept, report)
            found = Examination((*proofs, *found.proofs), found.bfloat16)
            found.demand()
        self._write_sidecar(checkpoint, found, kept)
        if found.refused_precisions:
            report("OpenVINO will run this file in float32")

    def _write_sidecar(
        self, checkpoint: Checkpoint, found: Examination, kept: Sequence[str]
    ) -> None:
        card = {
            "architecture": checkpoint.arch,
            "precision": self.precision,
            "float32_layers": kept,
            "refused_precisions": found.refused_precisions,
            "config": asdict(checkpoint.config),
            "origin": checkpoint.origin.to_json(),
            "proofs": [proof.to_card() for proof in found.shown],
        }
        write_card(self.target, card)


def newest_or_bundled(bundled: Path, newest: Path | None) -> Path:
    """Return the checkpoint to export when none is named."""
    if newest is not None:
        return newest
    if not bundled.is_file():
        raise ModelError(
            "no checkpoint below runs/ and none bundled; train one with colorize-train"
        )
    return bundled
