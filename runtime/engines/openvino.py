"""OpenVINO: the default on CPUs."""

from pathlib import Path

import openvino
from openvino.frontend import FrontEndManager

from ..color import F32
from ..contract import ModelInfo, TensorSpec, check_signature
from ..errors import EngineError, ModelError
from ..sidecar import refused_precisions
from .base import Engine, Precision, last_line

_PRECISIONS = {"f32": "fp32", "f16": "fp16", "bf16": "bf16"}
_HINTS = {name: hint for hint, name in _PRECISIONS.items()}


class OpenVINOEngine(Engine):
    """A model compiled by OpenVINO for the CPU; bf16 where the CPU computes that natively."""

    name = "openvino"
    device = "CPU"

    def __init__(self, model: Path, precision: Precision = "auto", device: str = "auto") -> None:
        self.model = model
        if device not in ("auto", "cpu"):
            raise EngineError(
                f"device {device}: openvino computes on the CPU alone; give --device cpu"
            )
        network = _read(model)
        self.info = ModelInfo.from_metadata(_metadata(network), str(model))
        check_signature(
            _specs(network.inputs), _specs(network.outputs), str(model), self.info.fixed_size
        )
        if precision == "auto" and "bf16" in refused_precisions(model):
            precision, self.remark = "fp32", "in bf16 this model failed its proof"
        config = {
            "PERFORMANCE_HINT": "LATENCY"
        }  # one request over all cores; frames come in batches
        if precision != "auto":
            config["INFERENCE_PRECISION_HINT"] = _HINTS[precision]
        try:
            compiled = openvino.Core().compile_model(network, "CPU", config)
        except RuntimeError as error:
            raise EngineError(f"{model}: OpenVINO cannot run it ({last_line(error)})") from error
        self._request = compiled.create_infer_request()
        used = compiled.get_property("INFERENCE_PRECISION_HINT").to_string()
        self.precision = _PRECISIONS.get(used, used)
        if precision not in ("auto", self.precision):
            raise EngineError(f"OpenVINO cannot compute {precision} on this CPU")

    def close(self) -> None:
        """See Engine: OpenVINO keeps the model's file mapped as long as it holds the model."""
        del self._request

    def _compute(self, lightness: F32) -> F32:
        result: F32 = self._request.infer([lightness], share_inputs=True)[0]
        return result


def _read(model: Path) -> openvino.Model:
    # Core.read_model would try its other frontends too, which write to stderr by themselves.
    frontend = FrontEndManager().load_by_framework("onnx")
    try:
        return frontend.convert(frontend.load(str(model)))
    except Exception as error:  # its frontend errors have no public base
        raise ModelError(f"{model}: not an ONNX file ({last_line(error)})") from error


def _metadata(network: openvino.Model) -> dict[str, str]:
    if not network.has_rt_info("framework"):
        return {}
    return dict(network.get_rt_info("framework").value)


def _specs(ports: list[openvino.Output]) -> list[TensorSpec]:
    return [
        TensorSpec(
            port.get_any_name(),
            port.get_element_type().to_dtype().name,
            tuple(-1 if side.is_dynamic else side.get_length() for side in port.partial_shape),
        )
        for port in ports
    ]
