"""One export: a checkpoint becomes a proven ONNX file with its proof beside it."""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from torch import nn

from ..runtime.engines.openvino import OpenVINOEngine
from ..runtime.errors import ArgumentError, ModelError
from ..runtime.files import sha256, whole_file
from ..train.checkpoint import Checkpoint, load_checkpoint
from .onnx import deployed_network, export_onnx
from .verify import FLOAT16, FLOAT32, Proof, onnxruntime_answer, prove, torch_answer

PRECISIONS = ("fp32", "fp16")


@dataclass(frozen=True)
class ExportJob:
    """What to export and where to."""

    checkpoint: Path
    precision: str
    target: Path
    compact: bool = False
    sides: tuple[int, ...] = ()  # of the engine's profile, in pixels
    overwrite: bool = False

    def run(self, report: Callable[[str], None]) -> None:
        """Export, prove and only then name the file; ProofError leaves nothing under its name."""
        if self.precision not in PRECISIONS:
            raise ArgumentError(
                f"unknown precision {self.precision!r}; choose one of {', '.join(PRECISIONS)}"
            )
        if self.target.suffix != ".onnx":
            raise ArgumentError(f"{self.target}: give -o a name that ends in .onnx")
        for path in (self.target, self.target.with_suffix(".json")):
            if path.exists() and not self.overwrite:
                raise ArgumentError(f"{path}: exists; give --overwrite or another -o")
        checkpoint = load_checkpoint(self.checkpoint)
        multiple = checkpoint.network.size_multiple
        odd = [side for side in self.sides if side % multiple]
        if odd:
            raise ArgumentError(f"size {odd[0]}: this network takes multiples of {multiple}")
        model = export_onnx(
            checkpoint, sha256(self.checkpoint), self.precision, compact=self.compact
        )
        with whole_file(self.target) as part:
            part.write_bytes(model.SerializeToString())
            proofs = self._prove(part, checkpoint)
            for proof in proofs:
                report(f"proved: {proof}")
        self._write_card(checkpoint, proofs)

    def _prove(self, file: Path, checkpoint: Checkpoint) -> list[Proof]:
        network, multiple = checkpoint.network, checkpoint.network.size_multiple
        bound = FLOAT32 if self.precision == "fp32" and not self.compact else FLOAT16
        # In float32: the precision that a CPU computes natively is its own, not the file's.
        with OpenVINOEngine(file, "fp32") as engine:
            proofs = [
                prove("ONNX Runtime", onnxruntime_answer(file), network, multiple, bound),
                prove("OpenVINO, float32", engine.infer, network, multiple, bound),
            ]
        if self.precision == "fp16":
            # CPU engines compute FP16 models in float32; torch rounds to float16 as a GPU does.
            halved: nn.Module = deployed_network(network, "fp16")
            proofs.append(
                prove(
                    "torch, float16",
                    torch_answer(halved),
                    network,
                    multiple,
                    FLOAT16,
                    sizes=(checkpoint.origin.native_size,),
                )
            )
        return proofs

    def _write_card(self, checkpoint: Checkpoint, proofs: list[Proof]) -> None:
        card = {
            "onnx_sha256": sha256(self.target),
            "architecture": checkpoint.arch,
            "precision": self.precision,
            "config": asdict(checkpoint.config),
            "origin": asdict(checkpoint.origin),
            "proofs": [asdict(proof) for proof in proofs],
        }
        with whole_file(self.target.with_suffix(".json")) as part:
            part.write_text(json.dumps(card, indent=2) + "\n")


def newest_or_bundled(bundled: Path, newest: Path | None) -> Path:
    """Return the checkpoint to export when none is named."""
    if newest is not None:
        return newest
    if not bundled.is_file():
        raise ModelError(
            "no checkpoint below runs/ and none bundled; train one with colorize-train"
        )
    return bundled
