"""The proof: a file gives the answers of the network that it was made from, on real photographs."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch
from onnx.reference import ReferenceEvaluator
from torch import nn

from ...runtime.color import F32, U8, gray_to_lightness
from ...runtime.files import photo_files
from ...runtime.models.catalog import SAMPLES
from ...runtime.models.contract import INPUT
from ...runtime.photo.reader import read_photo
from ...runtime.resize import shrink, working_shape
from .distance import MEASURES, Unit

PHOTOS = 6
SIZES = (64, 128, 192)  # short sides in pixels, the smallest also in a batch

Answer = Callable[[F32], F32]
"""Computes ab (N, 2, H, W) from L* (N, 1, H, W)."""


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
    """What was compared, and the figures."""

    subject: str
    mean: float
    tail: float
    bound: Bound

    @property
    def passed(self) -> bool:
        """Whether both figures keep the bound (NaN does not)."""
        return self.mean <= self.bound.mean and self.tail <= self.bound.tail

    def to_card(self) -> dict[str, Any]:
        """Return what the JSON beside the file holds."""
        return {**asdict(self), "passed": self.passed}

    def __str__(self) -> str:
        quantile = "max" if self.bound.quantile == 1 else f"{self.bound.quantile:.1%}"
        return (
            f"{self.subject}: {self.bound.unit} mean {self.mean:.4f} (bound {self.bound.mean:g}), "
            f"{quantile} {self.tail:.4f} (bound {self.bound.tail:g})"
        )


def prove(
    subject: str, candidate: Answer, reference: Answer, batches: Sequence[F32], bound: Bound
) -> Proof:
    """Compare CANDIDATE with REFERENCE on BATCHES of L* (N, 1, H, W)."""
    answers, truths = ([answer(L) for L in batches] for answer in (candidate, reference))
    return compare(subject, batches, answers, truths, bound)


def compare(
    subject: str,
    batches: Sequence[F32],
    answers: Sequence[F32],
    truths: Sequence[F32],
    bound: Bound,
) -> Proof:
    """Compare ANSWERS, ab (N, 2, H, W) to each of BATCHES, with TRUTHS."""
    measure, pairs = MEASURES[bound.unit], zip(batches, truths, answers, strict=True)
    distances = np.concatenate([measure(L, truth, answer).ravel() for L, truth, answer in pairs])
    tail = np.quantile(distances, bound.quantile)
    return Proof(subject, float(distances.mean()), float(tail), bound)


def sample_batches(multiple: int, sizes: Sequence[int] = SIZES, photos: int = PHOTOS) -> list[F32]:
    """Return L* (N, 1, H, W) of sample photographs: each size alone, the smallest in a batch."""
    alone = [
        lightness_of(gray, working_shape(height, width, size, multiple))
        for gray in sample_grays(photos)
        for height, width in [gray.shape]
        for size in sizes
    ]
    return [*alone, square_batch(multiple, min(sizes), photos)]


def square_batch(multiple: int, size: int, photos: int = PHOTOS) -> F32:
    """Return L* (PHOTOS, 1, SIZE, SIZE) of sample photographs; SIZE is rounded to MULTIPLE."""
    shape = working_shape(1, 1, size, multiple)
    return np.concatenate([lightness_of(gray, shape) for gray in sample_grays(photos)])


def sample_grays(photos: int) -> list[U8]:
    """Return PHOTOS sample photographs, on which nothing was trained or calibrated, as grays."""
    return [read_photo(path).gray() for path in photo_files(SAMPLES / "test")[:photos]]


def lightness_of(gray: U8, shape: tuple[int, int]) -> F32:
    """Return L* (1, 1, *SHAPE) of a gray (H, W), shrunk as the runtime does."""
    return gray_to_lightness(shrink(gray, shape))[None, None]


def onnxruntime_answer(path: Path) -> Answer:
    """Return the file at PATH as a function, computed by ONNX Runtime on the CPU."""
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return lambda lightness: session.run(None, {INPUT: lightness})[0]


def reference_answer(path: Path) -> Answer:
    """Return the file at PATH as a function, computed by onnx's reference: slow, but it rounds.

    CPU engines compute FP16 models in float32; the reference rounds after every operation.
    """
    evaluator = ReferenceEvaluator(str(path))

    def answer(lightness: F32) -> F32:
        [result] = evaluator.run(None, {INPUT: lightness})
        return np.asarray(result)

    return answer


def torch_answer(network: nn.Module) -> Answer:
    """Return a torch network as a function of arrays."""

    def answer(lightness: F32) -> F32:
        with torch.inference_mode():
            result: F32 = network(torch.from_numpy(lightness)).numpy()
        return result

    return answer
