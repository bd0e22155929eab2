"""OpenVINO: the default on CPUs."""

from pathlib import Path

import openvino

from ..color import F32
from ..contract import ModelInfo, TensorSpec, check_signature
from ..errors import ModelError
from .base import Engine, Precision


class OpenVINOEngine(Engine):
    """A model compiled by OpenVINO for the CPU; bf16 where the CPU computes that natively."""

    name = "openvino"
    device = "CPU"

    def __init__(self, model: Path, precision: Precision = "auto") -> None:
        core = openvino.Core()
        try:
            network = core.read_model(model)
        except RuntimeError as error:
            raise ModelError(f"{model}: OpenVINO cannot read it ({_first_line(error)})") from error
        self.info = ModelInfo.from_metadata(_metadata(network), str(model))
        check_signature(_specs(network.inputs), _specs(network.outputs), str(model))
        config = {
            "PERFORMANCE_HINT": "LATENCY"
        }  # one request over all cores; frames come in batches
        if precision == "fp32":
            config["INFERENCE_PRECISION_HINT"] = "f32"
        self._compiled = core.compile_model(network, "CPU", config)
        self._request = self._compiled.create_infer_request()
        used = self._compiled.get_property("INFERENCE_PRECISION_HINT").to_string()
        self.precision = {"f32": "fp32", "f16": "fp16"}.get(used, used)

    def infer(self, lightness: F32) -> F32:
        """See Engine."""
        result: F32 = self._request.infer([lightness], share_inputs=True)[0]
        return result


def _metadata(network: openvino.Model) -> dict[str, str]:
    if not network.has_rt_info("framework"):
        return {}
    return dict(network.get_rt_info("framework").value)


def _specs(ports: list[openvino.Output]) -> list[TensorSpec]:
    return [
        TensorSpec(
            port.get_any_name(),
            port.get_element_type().to_dtype().name,
            tuple(
                -1 if side.is_dynamic else side.get_length() for side in port.get_partial_shape()
            ),
        )
        for port in ports
    ]


def _first_line(error: Exception) -> str:
    return next((line.strip() for line in str(error).splitlines()[::-1] if line.strip()), "")
