"""ONNX Runtime: runs anywhere; here on its CPU provider."""

from pathlib import Path

import onnxruntime

from ..color import F32
from ..contract import INPUT, ModelInfo, TensorSpec, check_signature
from ..errors import EngineError, ModelError
from .base import Engine, Precision, last_line

_DTYPES = {"tensor(float)": "float32", "tensor(float16)": "float16", "tensor(uint8)": "uint8"}
_PROVIDER = "CPUExecutionProvider"


class OnnxRuntimeEngine(Engine):
    """A model in an ONNX Runtime session."""

    name = "onnxruntime"
    device = "CPU"
    precision = "fp32"  # the CPU provider computes FP16 models in float32 too

    def __init__(self, model: Path, precision: Precision = "auto", device: str = "auto") -> None:
        self.model = model
        if device not in ("auto", "cpu"):
            raise EngineError(
                f"device {device}: onnxruntime computes on the CPU alone; give --device cpu"
            )
        if precision not in ("auto", "fp32"):
            raise EngineError(f"ONNX Runtime computes in float32 on CPUs, not in {precision}")
        try:
            self._session = onnxruntime.InferenceSession(model, providers=[_PROVIDER])
        except Exception as error:  # its own exception classes have no public base
            raise ModelError(f"{model}: not an ONNX file ({last_line(error)})") from error
        # ONNX Runtime falls back to other providers without a word.
        if self._session.get_providers()[0] != _PROVIDER:
            raise EngineError(f"ONNX Runtime did not take {_PROVIDER}")
        metadata = self._session.get_modelmeta().custom_metadata_map
        self.info = ModelInfo.from_metadata(metadata, str(model))
        check_signature(
            _specs(self._session.get_inputs()),
            _specs(self._session.get_outputs()),
            str(model),
            self.info.fixed_size,
        )

    def _compute(self, lightness: F32) -> F32:
        result: F32 = self._session.run(None, {INPUT: lightness})[0]
        return result


def _specs(nodes: list[onnxruntime.NodeArg]) -> list[TensorSpec]:
    return [
        TensorSpec(
            node.name,
            _DTYPES.get(node.type, node.type),
            tuple(side if isinstance(side, int) else -1 for side in node.shape),
        )
        for node in nodes
    ]
