"""The limit: operations of the network against what the machine's matrix product reaches."""

from dataclasses import dataclass
from functools import cache
from math import prod
from pathlib import Path

import onnx
import torch
from onnx import shape_inference

from ...export.proof.timing import seconds_of
from ..settings import Model
from .latency import SpeedRow

_SIDE = 2048  # of the matrices: large enough that all cores and their caches are busy
_REPEATS = 9  # the first prepares
_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True)
class RooflineRow:
    """How near one timed engine comes to the machine's limit."""

    model: str
    backend: str
    precision: str
    batch: int
    gflop: float  # of one picture
    gflop_per_second: float  # at the p50 latency
    peak_gflop_per_second: float  # of a matrix product in the same precision, measured here
    share: float


def roofline(model: Model, rows: list[SpeedRow]) -> list[RooflineRow]:
    """Return how near the timed ROWS of MODEL come to the measured peak; CPU rows alone.

    On a GPU torch would have to measure the peak, and torch here is often built for CPUs.
    """
    found = []
    for row in (row for row in rows if row.device == "CPU"):
        gflop = count_flop(model.path, 1, row.height, row.width) / 1e9
        reached = gflop * row.batch / row.p50_ms * 1000
        peak = measured_peak(row.precision) / 1e9
        found.append(
            RooflineRow(
                model=row.model,
                backend=row.backend,
                precision=row.precision,
                batch=row.batch,
                gflop=gflop,
                gflop_per_second=reached,
                peak_gflop_per_second=peak,
                share=reached / peak,
            )
        )
    return found


@cache
def measured_peak(precision: str) -> float:
    """Return the operations a second of the fastest of some matrix products on this machine."""
    matrix = torch.rand(_SIDE, _SIDE).to(_DTYPES[precision])
    seconds = [seconds_of(lambda: matrix @ matrix) for _ in range(_REPEATS)]
    return float(2 * _SIDE**3 / min(seconds))


@cache
def count_flop(model: Path, batch: int, height: int, width: int) -> int:
    """Return the operations of one inference: two for each product of matrices and convolutions.

    Everything else (activations, resizing) is left out, as profilers of networks do.
    """
    network = onnx.load(model)
    sides = network.graph.input[0].type.tensor_type.shape.dim
    for side, value in zip(sides, (batch, 1, height, width), strict=True):
        side.dim_value = value
    graph = shape_inference.infer_shapes(network, strict_mode=True, data_prop=True).graph
    shapes = {
        value.name: [side.dim_value for side in value.type.tensor_type.shape.dim]
        for value in (*graph.input, *graph.value_info, *graph.output)
    }
    shapes |= {weight.name: list(weight.dims) for weight in graph.initializer}
    return sum(_flop(node, shapes) for node in graph.node)


def _flop(node: onnx.NodeProto, shapes: dict[str, list[int]]) -> int:
    if node.op_type == "Conv":  # weights (out, in / groups, kernel)
        return 2 * prod(shapes[node.output[0]]) * prod(shapes[node.input[1]][1:])
    if node.op_type == "ConvTranspose":  # weights (in, out / groups, kernel)
        return 2 * prod(shapes[node.input[0]]) * prod(shapes[node.input[1]][1:])
    if node.op_type in ("MatMul", "Gemm"):
        transposed = any(entry.name == "transA" and entry.i for entry in node.attribute)
        return 2 * prod(shapes[node.output[0]]) * shapes[node.input[0]][-2 if transposed else -1]
    return 0
