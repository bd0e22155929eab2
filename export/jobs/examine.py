"""All proofs of one ONNX file."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import onnx

from ...runtime.engines.openvino import OpenVINOEngine
from ...runtime.errors import ColorizeError, EngineError, ProofError
from ...train.checkpoints.checkpoint import Checkpoint
from ..graphs.fp16 import deployed_network
from ..proof.batches import Batch, sample_batches, square_batch
from ..proof.proof import (
    BFLOAT16,
    FLOAT16,
    FLOAT32,
    INT8,
    SAME_FLOAT16,
    Proof,
    onnxruntime_answer,
    prove,
    reference_answer,
    torch_answer,
)

# onnx's reference takes seconds for each photograph of 64x64 pixels.
_REFERENCE_PHOTOS, _REFERENCE_SIZE = 4, 64

Report = Callable[[str], None]


@dataclass(frozen=True)
class Examination:
    """The proofs that a file must pass, and the one that only decides how it is run."""

    proofs: tuple[Proof, ...]
    bfloat16: Proof | None  # None where the CPU cannot compute bf16

    @property
    def refused_precisions(self) -> tuple[str, ...]:
        """The arithmetic that engines must not choose by themselves for this file."""
        return ("bf16",) if self.bfloat16 and not self.bfloat16.passed else ()

    @property
    def shown(self) -> tuple[Proof, ...]:
        """All proofs that were made."""
        return (*self.proofs, self.bfloat16) if self.bfloat16 else self.proofs

    def demand(self) -> None:
        """Raise ProofError with the figures of the first proof that failed."""
        for proof in self.proofs:
            if not proof.passed:
                raise ProofError(f"refused: {proof}")


def examine(
    file: Path, checkpoint: Checkpoint, precision: str, kept: Sequence[str], report: Report
) -> Examination:
    """Prove FILE in every engine at hand; ProofError if an engine cannot run it at all.

    KEPT names the layers that an fp16 file computes in float32. REPORT gets a line for each proof.
    """
    try:
        proofs = tuple(_told(_file_proofs(file, checkpoint, precision, kept), report))
        bfloat16 = _prove_bfloat16(file, checkpoint, report)
    except ColorizeError as error:  # an answer that is not finite, for instance
        raise ProofError(f"refused: {error}") from error
    return Examination(proofs, bfloat16)


def native_batches(checkpoint: Checkpoint) -> list[Batch]:
    """Return sample photographs at the size for which the network was made."""
    multiple, size = checkpoint.network.size_multiple, checkpoint.origin.native_size
    return sample_batches(multiple, (size,), hints=checkpoint.takes_hints)


def tell(proof: Proof, report: Report) -> Proof:
    """Return PROOF after a line about it."""
    report(f"{'proved' if proof.passed else 'failed'}: {proof}")
    return proof


def _told(proofs: Iterable[Proof], report: Report) -> Iterator[Proof]:
    return (tell(proof, report) for proof in proofs)


def _file_proofs(
    file: Path, checkpoint: Checkpoint, precision: str, kept: Sequence[str]
) -> Iterator[Proof]:
    truth, multiple = torch_answer(checkpoint.network), checkpoint.network.size_multiple
    bound = FLOAT16 if precision == "fp16" or is_compact(file) else FLOAT32
    batches = sample_batches(multiple, hints=checkpoint.takes_hints)
    if precision == "int8":
        bound, batches = INT8, native_batches(checkpoint)  # it was calibrated at that size
    yield prove("ONNX Runtime", onnxruntime_answer(file), truth, batches, bound)
    # In float32: the precision that a CPU computes natively is its own, not the file's.
    with OpenVINOEngine(file, "fp32") as engine:
        yield prove("OpenVINO, float32", engine.infer, truth, batches, bound)
    if precision == "fp16":
        halved = torch_answer(deployed_network(checkpoint.network, "fp16", kept))
        size, photos = _REFERENCE_SIZE, _REFERENCE_PHOTOS
        small = [square_batch(multiple, size, photos, hints=checkpoint.takes_hints)]
        answer = reference_answer(file)
        yield prove("onnx.reference, float16", answer, halved, small, SAME_FLOAT16)


def _prove_bfloat16(file: Path, checkpoint: Checkpoint, report: Report) -> Proof | None:
    """Prove what OpenVINO does by itself on CPUs with AMX; other CPUs with AVX-512 emulate it."""
    try:
        with OpenVINOEngine(file, "bf16") as engine:
            truth, batches = torch_answer(checkpoint.network), native_batches(checkpoint)
            proof = prove("OpenVINO, bf16", engine.infer, truth, batches, BFLOAT16)
    except EngineError as error:
        report(f"not proved in bf16: {error}")
        return None
    return tell(proof, report)


def is_compact(file: Path) -> bool:
    """Whether FILE stores weights in float16 and computes in float32."""
    model = onnx.load(file)
    halves = {w.name for w in model.graph.initializer if w.data_type == onnx.TensorProto.FLOAT16}
    return any(node.op_type == "Cast" and node.input[0] in halves for node in model.graph.node)
