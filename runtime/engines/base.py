"""The interface that every engine keeps."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol, Self, runtime_checkable

import numpy as np

from ..color import F32
from ..errors import EngineError, ModelError, OutOfMemoryError
from ..models.contract import CHANNELS, HINTS, ModelInfo

Precision = Literal["auto", "fp32", "bf16", "fp16"]
"""How an engine computes: as fast as its hardware natively does, or as named, else EngineError."""


@dataclass(frozen=True)
class EngineDevice:
    """A device that an engine could compute on; `problem` says why it cannot."""

    device: str  # as --device takes it: cpu, cuda:0, gpu
    name: str  # of the hardware; "" if unknown
    problem: str = ""  # why it cannot be used, and the fix; "" if it can


class Engine(ABC):
    """A loaded model, ready to compute; use it as a context manager. One caller at a time."""

    model: Path
    name: str
    device: str  # that computes: CPU, cuda:0, GPU; --device takes it in lower case
    precision: str  # of the arithmetic that runs: fp32, bf16, fp16
    remark: str = ""  # what the user should know about the precision
    why: str = ""  # why `auto` chose this engine; "" if the user named it
    info: ModelInfo
    best_batch: int = 8
    omits_hints: bool = False  # whether no hints cost it less than hints that are all zero
    memory_signs: tuple[str, ...] = ("bad_alloc",)  # parts of the library's out-of-memory messages

    @abstractmethod
    def __init__(
        self,
        model: Path,
        precision: Precision = "auto",
        device: str = "auto",
        threads: int | None = None,
        *,
        expects_hints: bool = False,
    ) -> None:
        """Load MODEL on DEVICE: auto, cpu, cuda, cuda:N, gpu or npu.

        THREADS is how many of the CPU's cores it may use (default: all); a GPU needs none.
        EXPECTS_HINTS says that pictures will come with hints, if it helps to know that at once.
        ModelError if it breaks the contract; EngineError if it cannot run there, in that precision.
        """

    @classmethod
    def devices(cls) -> list[EngineDevice]:
        """Return where this engine may compute, without loading a model; the CPU alone at least."""
        return [EngineDevice("cpu", "")]

    @abstractmethod
    def _compute(self, lightness: F32, *hints: F32) -> F32:
        """Run the model; may raise the library's own errors, and OutOfMemoryError.

        HINTS is one tensor for a model that takes hints, else none.
        """

    def infer(self, lightness: F32, hints: F32 | None = None) -> F32:
        """Return ab (N, 2, H, W) for L* (N, 1, H, W) in 0..100; H, W multiples of the model's.

        HINTS (N, 3, H, W) are a*, b*, confidence in 0..1, for a model that takes them; None: none.
        ModelError if the model's output breaks the contract, which its signature cannot rule out;
        EngineError if the engine fails, OutOfMemoryError if a smaller batch or size may fit.
        """
        inputs = self._inputs(lightness, hints)
        try:
            ab = self._compute(*inputs)
        except OutOfMemoryError:
            raise
        except Exception as error:  # the engines' own exceptions have no common base
            kind = OutOfMemoryError if self._lacks_memory(error) else EngineError
            place = f"{self.name} on {self.device}, {self.precision}"
            raise kind(f"{self.model}: {place} failed ({last_line(error)})") from error
        count, _, height, width = lightness.shape
        if ab.shape != (count, 2, height, width):
            raise ModelError(
                f"{self.model}: returns {list(ab.shape)} for {list(lightness.shape)}; "
                f"the contract has {[count, 2, height, width]}"
            )
        if not np.isfinite(ab).all():
            raise ModelError(f"{self.model}: returns values that are not finite")
        return ab

    def _inputs(self, lightness: F32, hints: F32 | None) -> tuple[F32, ...]:
        """Return what the model is given; EngineError if it takes no such hints."""
        if not self.info.takes_hints:
            if hints is not None:
                raise EngineError(f"{self.model}: takes no hints; give it none")
            return (lightness,)
        count, _, height, width = lightness.shape
        shape = (count, CHANNELS[HINTS], height, width)
        if hints is None and self.omits_hints:
            return (lightness,)
        if hints is None:
            hints = np.zeros(shape, np.float32)
        if hints.shape != shape or hints.dtype != np.float32:
            raise EngineError(
                f"{self.model}: hints are {hints.dtype} {list(hints.shape)}, not float32 "
                f"{list(shape)}"
            )
        return lightness, hints

    def _lacks_memory(self, error: Exception) -> bool:
        text = str(error)
        return isinstance(error, MemoryError) or any(sign in text for sign in self.memory_signs)

    def capture_graphs(self) -> None:
        """Run each shape's work as one CUDA graph from now on; EngineError if it cannot."""
        raise EngineError(f"{self.name} has no CUDA graphs; give --backend tensorrt with them")

    def close(self) -> None:  # noqa: B027  # most engines have nothing to free
        """Free what the engine holds; it cannot be used after that."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __str__(self) -> str:
        remarks = "; ".join(filter(None, (self.why, self.remark)))
        remark = f" ({remarks})" if remarks else ""
        return f"{self.name} on {self.device}, {self.precision}{remark}"


def last_line(error: Exception) -> str:
    """Return the last line with text: libraries put the reason below their stack trace."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__


@dataclass(frozen=True)
class Timeline:
    """Milliseconds of one inference, by the device's own clock."""

    to_device_ms: float
    compute_ms: float
    to_host_ms: float


@runtime_checkable
class Timed(Protocol):
    """An engine that can measure its own steps."""

    def timeline(self, lightness: F32, hints: F32 | None = None) -> Timeline:
        """Infer as `infer` does, and return where the time went."""
