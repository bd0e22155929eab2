"""The network in torch as it was trained, not exported: what every speed-up is measured against."""

from functools import cache
from pathlib import Path

import onnx
import torch

from ...runtime.color import F32
from ...runtime.engines.base import Engine, Precision
from ...runtime.errors import ModelError
from ...runtime.models import catalog
from ...runtime.models.contract import ModelInfo
from ...train.checkpoints.checkpoint import load_checkpoint

EAGER = "torch"


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
        self.info = ModelInfo.from_metadata(metadata_of(model), str(model))
        self._network = load_checkpoint(checkpoint).network

    @torch.inference_mode()
    def _compute(self, lightness: F32, *hints: F32) -> F32:
        ab: F32 = self._network(*map(torch.from_numpy, (lightness, *hints))).numpy()
        return ab


def open_eager(model: Path) -> EagerEngine:
    """Load the checkpoint that MODEL, an ONNX file, was exported from."""
    return EagerEngine(model)


@cache
def checkpoint_of(model: Path) -> Path | None:
    """Return the checkpoint beside MODEL that it was exported from, if it is there."""
    return catalog.checkpoint_of(model, sorted(model.parent.glob("*.safetensors")))


def metadata_of(model: Path) -> dict[str, str]:
    """Return the metadata of an ONNX file; none if it is no ONNX file."""
    try:
        entries = onnx.load(model, load_external_data=False).metadata_props
    except Exception:  # protobuf's errors; the engines say what is wrong with the file
        return {}
    return {entry.key: entry.value for entry in entries}
