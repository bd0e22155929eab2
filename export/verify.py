"""The proof: a file gives the answers of the network that it was made from, on real photographs."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from torch import nn

from ..runtime.catalog import SAMPLES
from ..runtime.color import F32, U8, grey_to_lightness
from ..runtime.contract import INPUT
from ..runtime.errors import ProofError
from ..runtime.files import photo_files
from ..runtime.images import read_photo
from ..runtime.planes import shrink, working_shape

_PHOTOS = 6
SIZES = (64, 128, 192)  # short sides in pixels, the smallest also in a batch


@dataclass(frozen=True)
class Bound:
    """How far ab may lie from the float32 network's, as a distance in the ab plane."""

    mean: float
    worst: float  # of 999 in 1,000 pixels; of all of them for `exact`
    exact: bool = False


# Two float32 implementations differ by rounding alone.
FLOAT32 = Bound(mean=0.002, worst=0.01, exact=True)
# The eye sees a difference of about 1 side by side.
FLOAT16 = Bound(mean=0.3, worst=2.0)


@dataclass(frozen=True)
class Proof:
    """What was compared, and the largest figures over all shapes."""

    subject: str
    mean: float
    worst: float
    bound: Bound

    @property
    def passed(self) -> bool:
        """Whether both figures keep the bound (NaN does not)."""
        return self.mean <= self.bound.mean and self.worst <= self.bound.worst

    def __str__(self) -> str:
        quantile = "max" if self.bound.exact else "99.9 %"
        return (
            f"{self.subject}: |Δab| mean {self.mean:.4f} (bound {self.bound.mean:g}), "
            f"{quantile} {self.worst:.4f} (bound {self.bound.worst:g})"
        )


def prove(
    subject: str,
    candidate: Callable[[F32], F32],
    reference: nn.Module,
    multiple: int,
    bound: Bound,
    sizes: Sequence[int] = SIZES,
) -> Proof:
    """Compare CANDIDATE with REFERENCE on sample photographs; ProofError if BOUND is broken."""
    means, worsts = [], []
    for lightness in sample_batches(multiple, sizes):
        with torch.inference_mode():
            truth = reference(torch.from_numpy(lightness)).numpy()
        distance = np.linalg.norm(candidate(lightness) - truth, axis=1)
        means.append(float(distance.mean()))
        worsts.append(float(distance.max() if bound.exact else np.quantile(distance, 0.999)))
    # max() would let a NaN behind a number slip through.
    proof = Proof(subject, float(np.max(means)), float(np.max(worsts)), bound)
    if not proof.passed:
        raise ProofError(f"refused: {proof}")
    return proof


def sample_batches(multiple: int, sizes: Sequence[int] = SIZES) -> list[F32]:
    """Return L* (N, 1, H, W) of the sample photographs: several shapes, alone and in batches."""
    batches = []
    greys = [read_photo(path).grey() for path in photo_files(SAMPLES / "test")[:_PHOTOS]]
    for grey in greys:
        height, width = grey.shape
        for size in sizes:
            batches.append(_lightness(grey, working_shape(height, width, size, multiple)))
    squares = [_lightness(grey, working_shape(1, 1, sizes[0], multiple)) for grey in greys]
    return [*batches, np.concatenate(squares)]


def _lightness(grey: U8, shape: tuple[int, int]) -> F32:
    return grey_to_lightness(shrink(grey, shape))[None, None]


def onnxruntime_answer(path: Path) -> Callable[[F32], F32]:
    """Return the file at PATH as a function, computed by ONNX Runtime on the CPU."""
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return lambda lightness: session.run(None, {INPUT: lightness})[0]


def torch_answer(network: nn.Module) -> Callable[[F32], F32]:
    """Return a torch network as a function of arrays."""

    def answer(lightness: F32) -> F32:
        with torch.inference_mode():
            result: F32 = network(torch.from_numpy(lightness)).numpy()
        return result

    return answer
