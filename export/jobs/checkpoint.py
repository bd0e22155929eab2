"""From a checkpoint to a proven ONNX file."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from ...runtime.files import sha256
from ...train.checkpoints.checkpoint import load_checkpoint
from ..graphs.fp16 import Precision, halve
from ..graphs.onnx import export_onnx
from ..proof.proof import Proof
from ..tensorrt.profiles import check_sizes
from .examine import demand, examine, native_batches, refused_precisions
from .output import Exported, Output


def export_checkpoint(
    path: Path,
    precision: Precision,
    output: Output,
    *,
    compact: bool = False,
    sizes: Sequence[int] = (),
) -> Exported:
    """Return the checkpoint at PATH as a proven ONNX file; ProofError if it fails.

    SIZES are those that an engine is to take, in pixels; COMPACT stores weights in half the bytes.
    """
    checkpoint = load_checkpoint(path)
    check_sizes(sizes, checkpoint.network.size_multiple)
    kept: tuple[str, ...] = ()
    proofs: list[Proof] = []
    if precision == "fp16":
        kept, proof = halve(checkpoint.network, native_batches(checkpoint), output.say)
        proofs.append(output.tell(proof))
    model = export_onnx(checkpoint, sha256(path), precision, kept=kept, compact=compact)
    content = model.SerializeToString()
    with output.draft(content) as file:
        proofs += examine(file, checkpoint, precision, kept, output)
        demand(proofs)
    refused = refused_precisions(proofs)
    if refused:
        output.say("OpenVINO will run this file in float32")
    sidecar = {
        "architecture": checkpoint.arch,
        "precision": precision,
        "float32_layers": kept,
        "refused_precisions": refused,
        "config": asdict(checkpoint.config),
        "origin": checkpoint.origin.to_json(),
        "proofs": [proof.to_json() for proof in proofs],
    }
    return Exported(content, sidecar)
