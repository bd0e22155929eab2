"""The interface that every engine keeps."""

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Literal, Self

import numpy as np

from ..color import F32
from ..contract import ModelInfo
from ..errors import EngineError, ModelError

Precision = Literal["auto", "fp32", "bf16"]
"""How an engine computes: as fast as its hardware does natively, in float32, or in bfloat16."""


class Engine(ABC):
    """A loaded model, ready to compute; use it as a context manager. One caller at a time."""

    model: Path
    name: str
    device: str
    precision: str  # of the arithmetic that really runs
    remark: str = ""  # what the user should know of the choice of precision
    info: ModelInfo
    best_batch: int = 8

    @abstractmethod
    def __init__(self, model: Path, precision: Precision = "auto") -> None:
        """Load MODEL; ModelError if it breaks the contract, EngineError if it cannot run here."""

    @abstractmethod
    def _compute(self, lightness: F32) -> F32:
        """Run the model, whatever it answers and raises."""

    def infer(self, lightness: F32) -> F32:
        """Return ab (N, 2, H, W) for L* (N, 1, H, W) in 0..100; H, W multiples of the model's.

        ModelError if the model's answer breaks the contract, which no signature can promise;
        EngineError if the engine fails.
        """
        try:
            ab = self._compute(lightness)
        except Exception as error:  # the engines' own exceptions have no common base
            raise EngineError(f"{self.model}: {self} failed ({last_line(error)})") from error
        count, _, height, width = lightness.shape
        if ab.shape != (count, 2, height, width):
            raise ModelError(
                f"{self.model}: answers {list(lightness.shape)} with {list(ab.shape)}; "
                f"the contract has {[count, 2, height, width]}"
            )
        if not np.isfinite(ab).all():
            raise ModelError(f"{self.model}: answers with values that are not finite")
        return ab

    def close(self) -> None:  # noqa: B027  # most engines have nothing to give back
        """Give back what the engine holds; it cannot be used after that."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __str__(self) -> str:
        remark = f" ({self.remark})" if self.remark else ""
        return f"{self.name} on {self.device}, {self.precision}{remark}"


def last_line(error: Exception) -> str:
    """Return the last line that says something: libraries put the reason below their trace."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__
