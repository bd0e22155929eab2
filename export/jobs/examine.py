"""All proofs of one ONNX file."""

from collections.abc import Iterable, Iterator, Sequence
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
    Trial,
    onnxruntime_answer,
    reference_answer,
    torch_answer,
)
from .output import Output

# onnx's reference takes seconds for each photograph of 64x64 pixels.
_REFERENCE_PHOTOS, _REFERENCE_SIZE = 4, 64


def examine(
    file: Path, checkpoint: Checkpoint, precision: str, kept: Sequence[str], output: Output
) -> list[Proof]:
    """Prove FILE in every engine at hand; ProofError if an engine cannot run it at all.

    KEPT names the layers that an fp16 file computes in float32. OUTPUT hears of each proof.
    """
    try:
        proofs = [output.tell(proof) for proof in _proofs(file, checkpoint, precision, kept)]
        try:
            return [*proofs, output.tell(_prove_bfloat16(file, checkpoint))]
        except EngineError as error:  # other CPUs do not compute it
            output.say(f"not proved in bf16: {error}")
            return proofs
    except ColorizeError as error:  # an answer that is not finite, for instance
        raise ProofError(f"refused: {error}") from error


def demand(proofs: Iterable[Proof]) -> None:
    """Raise ProofError with the figures of the first of PROOFS that a file must pass and failed."""
    for proof in proofs:
        if proof.required and not proof.passed:
            raise ProofError(f"refused: {proof}")


def refused_precisions(proofs: Iterable[Proof]) -> tuple[str, ...]:
    """Return the arithmetic that engines must not choose by themselves, after PROOFS of a file."""
    return tuple(proof.precision for proof in proofs if not (proof.required or proof.passed))


def native_batches(checkpoint: Checkpoint) -> list[Batch]:
    """Return sample photographs at the size for which the network was made."""
    multiple, size = checkpoint.network.size_multiple, checkpoint.origin.native_size
    return sample_batches(multiple, (size,), hints=checkpoint.takes_hints)


def _proofs(
    file: Path, checkpoint: Checkpoint, precision: str, kept: Sequence[str]
) -> Iterator[Proof]:
    truth, multiple = torch_answer(checkpoint.network), checkpoint.network.size_multiple
    bound = FLOAT16 if precision == "fp16" or is_compact(file) else FLOAT32
    batches = sample_batches(multiple, hints=checkpoint.takes_hints)
    arithmetic = "fp32"  # CPUs compute fp16 files in that too
    if precision == "int8":  # it was calibrated at that size
        bound, batches, arithmetic = INT8, native_batches(checkpoint), "int8"
    trial = Trial.of(truth, batches, bound)
    yield trial.prove("onnxruntime", arithmetic, onnxruntime_answer(file))
    # In float32: the precision that a CPU computes natively is its own, not the file's.
    with OpenVINOEngine(file, "fp32") as engine:
        yield trial.prove("openvino", arithmetic, engine.infer)
    if precision == "fp16":
        halved = torch_answer(deployed_network(checkpoint.network, "fp16", kept))
        size, photos = _REFERENCE_SIZE, _REFERENCE_PHOTOS
        small = [square_batch(multiple, size, photos, hints=checkpoint.takes_hints)]
        reference = Trial.of(halved, small, SAME_FLOAT16)
        yield reference.prove("onnx.reference", "fp16", reference_answer(file))


def _prove_bfloat16(file: Path, checkpoint: Checkpoint) -> Proof:
    """Prove what OpenVINO does by itself on CPUs with AMX; other CPUs with AVX-512 emulate it."""
    with OpenVINOEngine(file, "bf16") as engine:
        trial = Trial.of(torch_answer(checkpoint.network), native_batches(checkpoint), BFLOAT16)
        return trial.prove("openvino", "bf16", engine.infer)


def is_compact(file: Path) -> bool:
    """Whether FILE stores weights in float16 and computes in float32."""
    model = onnx.load(file)
    halves = {w.name for w in model.graph.initializer if w.data_type == onnx.TensorProto.FLOAT16}
    return any(node.op_type == "Cast" and node.input[0] in halves for node in model.graph.node)
