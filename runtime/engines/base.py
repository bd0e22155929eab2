"""The interface that every engine keeps."""

from abc import ABC, abstractmethod
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

from ..color import F32
from ..contract import ModelInfo

Precision = Literal["auto", "fp32"]
"""How an engine may compute: as fast as its hardware does natively, or in float32."""


class Engine(ABC):
    """A loaded model, ready to compute; use it as a context manager. One caller at a time."""

    name: str
    device: str
    precision: str  # of the arithmetic that really runs
    info: ModelInfo
    best_batch: int = 8

    @abstractmethod
    def __init__(self, model: Path, precision: Precision = "auto") -> None:
        """Load MODEL; ModelError if it breaks the contract, EngineError if it cannot run here."""

    @abstractmethod
    def infer(self, lightness: F32) -> F32:
        """Return ab (N, 2, H, W) for L* (N, 1, H, W) in 0..100; H, W multiples of the model's."""

    def close(self) -> None:  # noqa: B027  # most engines have nothing to give back
        """Give back what the engine holds; it cannot be used after that."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __str__(self) -> str:
        return f"{self.name} on {self.device}, {self.precision}"
