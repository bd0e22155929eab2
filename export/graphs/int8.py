"""INT8 by post-training quantization, with the layers that lose too much kept in float32.

ONNX Runtime's static quantization: signed 8 bits, symmetric, weights by channel, in
QuantizeLinear and DequantizeLinear nodes, which ONNX Runtime, OpenVINO and TensorRT all read.
"""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import onnx
from onnxruntime.quantization import CalibrationDataReader, QuantType, create_calibrator
from onnxruntime.quantization.qdq_quantizer import QDQQuantizer

from ...runtime.color import F32
from ...runtime.engines.openvino import shared_core
from ...runtime.models.contract import HINTS, INPUT
from ..proof.batches import Batch, named
from ..proof.distance import ciede2000
from ..proof.proof import onnxruntime_answer
from .onnx import quiet

_QUANTIZED = ["Conv"]  # where the time goes; TensorRT would refuse int8 of some other operations
_OPTIONS = {"ActivationSymmetric": True, "WeightSymmetric": True, "QuantizeBias": False}
_MOST_KEPT = 0.5  # of the layers: beyond that there is little left to win
_RANKED_ON = 4  # photographs
_QUANTIZER = ""  # the root logger, through which it gives advice on preparing models


class _Photographs(CalibrationDataReader):  # type: ignore[misc]  # untyped base
    """Hands pictures to the calibrator, one batch a call, None at the end."""

    def __init__(self, batches: Sequence[Batch]) -> None:
        self._batches = iter(batches)

    def get_next(self) -> dict[str, F32] | None:
        return next((named(batch) for batch in self._batches), None)


@dataclass(frozen=True)
class Calibrated:
    """A float32 network with the range of each of its tensors over photographs."""

    model: onnx.ModelProto
    ranges: Any  # ONNX Runtime's TensorsData

    @property
    def layers(self) -> list[str]:
        """The names of the layers that can be quantized.

        What hints go into is not: one tensor mixes a* and b* up to 110 with a confidence, and
        their sums join the first layer.
        """
        nodes = [node for node in self.model.graph.node if node.op_type in _QUANTIZED]
        if HINTS not in {value.name for value in self.model.graph.input}:
            return [node.name for node in nodes]
        exact = _fed_by(self.model.graph, HINTS, _QUANTIZED)
        exact |= _fed_by(self.model.graph, INPUT, _QUANTIZED)
        return [node.name for node in nodes if node.name not in exact]

    def quantized(self, kept: Sequence[str]) -> onnx.ModelProto:
        """Return the network with all layers in 8 bits but those KEPT in float32."""
        copied = onnx.ModelProto()
        copied.CopyFrom(self.model)
        quantizer = QDQQuantizer(
            copied,
            per_channel=True,
            reduce_range=False,
            weight_qType=QuantType.QInt8,
            activation_qType=QuantType.QInt8,
            tensors_range=self.ranges,
            nodes_to_quantize=[name for name in self.layers if name not in kept],
            nodes_to_exclude=[],
            op_types_to_quantize=_QUANTIZED,
            extra_options=_OPTIONS,
        )
        with quiet(_QUANTIZER):
            quantizer.quantize_model()
        result: onnx.ModelProto = quantizer.model.model
        return result


def _fed_by(graph: onnx.GraphProto, name: str, operators: Sequence[str]) -> set[str]:
    """Return the first nodes of these OPERATORS on every way that leads on from NAME."""
    reached, found = {name}, set()
    for node in graph.node:  # in the order in which they compute
        if reached.isdisjoint(node.input):
            continue
        if node.op_type in operators:
            found.add(node.name)
        else:
            reached.update(node.output)
    return found


def calibrate(network: Path, batches: Sequence[Batch]) -> Calibrated:
    """Return the float32 NETWORK with its ranges over BATCHES."""
    with TemporaryDirectory() as folder, quiet(_QUANTIZER):
        calibrator = create_calibrator(
            network,
            _QUANTIZED,
            augmented_model_path=str(Path(folder) / "augmented.onnx"),
            extra_options={"symmetric": True},
        )
        calibrator.collect_data(_Photographs(batches))
        return Calibrated(onnx.load(network), calibrator.compute_data())


def quantize(
    network: Calibrated, batches: Sequence[Batch], most: float
) -> tuple[onnx.ModelProto, list[str]]:
    """Return the quantized network and the layers kept in float32.

    As few of the worst layers are kept as hold the mean CIEDE2000 to float32 on BATCHES at MOST;
    half of all layers if nothing less does.
    """
    truths = float32_answers(network.model, batches)
    ranked: list[str] = []

    def near_enough(count: int) -> bool:
        return loss(network.quantized(ranked[:count]), batches, truths) <= most

    count = 0
    if not near_enough(0):
        ranked = _rank(network, batches[:_RANKED_ON], truths[:_RANKED_ON])
        beyond = int(_MOST_KEPT * len(ranked))
        count = 1 + bisect_left(range(1, beyond), True, key=near_enough)
    return network.quantized(ranked[:count]), ranked[:count]


def _rank(network: Calibrated, batches: Sequence[Batch], truths: Sequence[F32]) -> list[str]:
    """Return the layers, the one first whose quantization alone changes the picture most."""
    layers = network.layers
    losses = {
        name: loss(network.quantized([other for other in layers if other != name]), batches, truths)
        for name in layers
    }
    return sorted(layers, key=lambda name: losses[name], reverse=True)


def loss(model: onnx.ModelProto, batches: Sequence[Batch], truths: Sequence[F32]) -> float:
    """Return the mean CIEDE2000 between what MODEL answers to BATCHES and TRUTHS."""
    return mean_difference(batches, answers(model, batches), truths)


def mean_difference(batches: Sequence[Batch], found: Sequence[F32], truths: Sequence[F32]) -> float:
    """Return the mean over BATCHES of the mean CIEDE2000 between two answers to each."""
    pairs = zip(batches, found, truths, strict=True)
    return float(np.mean([ciede2000(batch[0], ab, truth).mean() for batch, ab, truth in pairs]))


def answers(model: onnx.ModelProto, batches: Sequence[Batch]) -> list[F32]:
    """Return ab (N, 2, H, W) for each batch by OpenVINO, whose int8 rounds the most coarsely."""
    core = shared_core()
    compiled = core.compile_model(core.read_model(model.SerializeToString()), "CPU")
    return [compiled(named(batch))[0] for batch in batches]


def float32_answers(model: onnx.ModelProto, batches: Sequence[Batch]) -> list[F32]:
    """Return the same, computed by ONNX Runtime, in float32 on every CPU."""
    answer = onnxruntime_answer(model.SerializeToString())
    return [answer(*batch) for batch in batches]
