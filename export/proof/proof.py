"""The proof: a file gives the answers of the network that it was made from, on real photographs."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import onnxruntime
import torch
from onnx.reference import ReferenceEvaluator
from torch import nn

from ...runtime.color import F32
from .batches import Batch, named
from .distance import MEASURES, Unit

Answer = Callable[..., F32]
"""Computes ab (N, 2, H, W) from the arrays of a Batch."""


@dataclass(frozen=True)
class Bound:
    """How far answers may lie apart, over the pixels of all pictures."""

    unit: Unit
    mean: float
    tail: float  # of the pixel at `quantile`
    quantile: float = 0.999


# Two float32 implementations differ by rounding alone: here no pixel may break the bound.
FLOAT32 = Bound("|Δab|", mean=0.002, tail=0.01, quantile=1.0)
# The eye sees a difference of about 1 side by side.
FLOAT16 = Bound("CIEDE2000", mean=0.3, tail=2.0)
# The same roundings in two implementations, so closer than either is to float32.
SAME_FLOAT16 = Bound("CIEDE2000", mean=0.2, tail=2.0)
BFLOAT16 = Bound("CIEDE2000", mean=0.5, tail=3.0)
INT8 = Bound("CIEDE2000", mean=0.6, tail=np.inf)  # half of what is seen side by side
# A wrapper is arithmetic alone: levels of the 8-bit picture.
WRAPPED = Bound("levels", mean=0.5, tail=1.0, quantile=1.0)


@dataclass(frozen=True)
class Proof:
    """What was compared with the network, and the figures."""

    engine: str
    precision: str  # of the arithmetic
    mean: float
    tail: float
    bound: Bound

    @property
    def passed(self) -> bool:
        """Whether both figures keep the bound (NaN does not)."""
        return self.mean <= self.bound.mean and self.tail <= self.bound.tail

    @property
    def required(self) -> bool:
        """Whether a file must pass; bf16, which engines choose, only decides how it is run."""
        return self.precision != "bf16"

    def to_json(self) -> dict[str, Any]:
        """Return what the JSON beside the file holds."""
        return {**asdict(self), "passed": self.passed}

    def __str__(self) -> str:
        quantile = "max" if self.bound.quantile == 1 else f"{self.bound.quantile:.1%}"
        return (
            f"{self.engine}, {self.precision}: {self.bound.unit} mean {self.mean:.4f} "
            f"(bound {self.bound.mean:g}), {quantile} {self.tail:.4f} (bound {self.bound.tail:g})"
        )


@dataclass(frozen=True)
class Trial:
    """What a network answers to batches of photographs, and how near others must come to it."""

    batches: Sequence[Batch]
    truths: Sequence[F32]  # ab (N, 2, H, W)
    bound: Bound

    @classmethod
    def of(cls, network: Answer, batches: Sequence[Batch], bound: Bound) -> Self:
        """Let NETWORK answer to BATCHES."""
        return cls(batches, [network(*batch) for batch in batches], bound)

    def prove(self, engine: str, precision: str, answer: Answer) -> Proof:
        """Compare the ANSWER of ENGINE, in arithmetic of PRECISION, with the network's."""
        measure, pairs = MEASURES[self.bound.unit], zip(self.batches, self.truths, strict=True)
        distances = np.concatenate(
            [measure(batch[0], truth, answer(*batch)).ravel() for batch, truth in pairs]
        )
        tail = np.quantile(distances, self.bound.quantile)
        return Proof(
            engine=engine,
            precision=precision,
            mean=float(distances.mean()),
            tail=float(tail),
            bound=self.bound,
        )


def onnxruntime_answer(model: Path | bytes) -> Answer:
    """Return an ONNX file or its content as a function, computed by ONNX Runtime on the CPU."""
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    return lambda *batch: session.run(None, named(batch))[0]


def reference_answer(path: Path) -> Answer:
    """Return the file at PATH as a function, computed by onnx's reference: slow, but it rounds.

    CPU engines compute FP16 models in float32; the reference rounds after every operation.
    """
    evaluator = ReferenceEvaluator(str(path))

    def answer(*batch: F32) -> F32:
        [result] = evaluator.run(None, named(batch))
        return np.asarray(result)

    return answer


def torch_answer(network: nn.Module) -> Answer:
    """Return a torch network as a function of arrays."""

    def answer(*batch: F32) -> F32:
        with torch.inference_mode():
            result: F32 = network(*map(torch.from_numpy, batch)).numpy()
        return result

    return answer
