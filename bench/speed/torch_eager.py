"""The network in torch as it was trained, not exported: what every speed-up is measured against."""

from functools import cache
from pathlib import Path

from ...export.graphs.onnx import read_info
from ...export.proof.proof import torch_answer
from ...runtime.color import F32
from ...runtime.engines.base import Engine, Precision
from ...runtime.errors import ModelError
from ...runtime.models import catalog
from ...train.checkpoints.checkpoint import load_checkpoint
from ..settings import EAGER


class EagerEngine(Engine):
    """A checkpoint, computed layer by layer in float32 by torch on the CPU."""

    name = EAGER
    device = "CPU"
    precision = "fp32"

    def __init__(self, model: Path, precision: Precision = "auto", device: str = "auto") -> None:  # noqa: ARG002  # float32 on the CPU alone
        checkpoint = checkpoint_of(model)
        if checkpoint is None:
            raise ModelError(f"{model}: the checkpoint that it was exported from is not beside it")
        self.model = model
        self.info = read_info(model)
        self._answer = torch_answer(load_checkpoint(checkpoint).network)

    def _compute(self, lightness: F32, *hints: F32) -> F32:
        return self._answer(lightness, *hints)


@cache
def checkpoint_of(model: Path) -> Path | None:
    """Return the checkpoint beside MODEL that it was exported from, if it is there."""
    return catalog.checkpoint_of(model, sorted(model.parent.glob("*.safetensors")))
