"""Writes tiny ONNX models that keep the contract or break it."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper

from colorize.runtime.models.contract import HINTS, INPUT, OUTPUT

Sides = tuple[str | int, str | int, str | int]


def write_model(
    path: Path,
    metadata: dict[str, str],
    *,
    input_name: str = INPUT,
    output_name: str = OUTPUT,
    channels: int = 2,
    sides: Sides = ("N", "H", "W"),
    stride: int = 1,
    hints: bool = False,
) -> Path:
    """Write a 1x1 convolution: a* = 20 + 0.2 L*, b* = 40 - 0.6 L*, which is never neutral.

    HINTS adds that input: hinted a*, b* times their confidence come on top.
    """
    batch, height, width = sides
    weight = helper.make_tensor("w", TensorProto.FLOAT, [2, 1, 1, 1], [0.2, -0.6])
    bias = helper.make_tensor("b", TensorProto.FLOAT, [2], [20.0, 40.0])
    nodes = [helper.make_node("Conv", [input_name, "w", "b"], [output_name], strides=[stride] * 2)]
    if channels == 3:
        nodes[0].output[0] = "two"
        nodes.append(helper.make_node("Concat", ["two", input_name], [output_name], axis=1))
    inputs = {input_name: 1}
    if hints:
        inputs[HINTS] = 3
        nodes[0].output[0] = "guess"
        nodes += [
            helper.make_node("Split", [HINTS, "planes"], ["known", "sure"], axis=1),
            helper.make_node("Mul", ["known", "sure"], ["change"]),
            helper.make_node("Add", ["guess", "change"], [output_name]),
        ]
    out_sides = [height, width] if stride == 1 else ["H2", "W2"]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, [batch, wide, height, width])
            for name, wide in inputs.items()
        ],
        [
            helper.make_tensor_value_info(
                output_name, TensorProto.FLOAT, [batch, channels, *out_sides]
            )
        ],
        [weight, bias, helper.make_tensor("planes", TensorProto.INT64, [2], [2, 1])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    helper.set_model_props(model, metadata)
    onnx.checker.check_model(model)
    onnx.save(model, path)
    return path


def save_onnx(
    path: Path, channels: tuple[int, int], sides: tuple[Any, Any, Any], opset: int = 13
) -> Path:
    """A 3x3 convolution, which smears colors as networks do."""
    given, made = channels
    weight = np.random.default_rng(5).normal(0, 0.2, (made, given, 3, 3)).astype(np.float32)
    shape = [sides[0], given, *sides[1:]]
    graph = helper.make_graph(
        [helper.make_node("Conv", ["L", "w"], ["y"], pads=[1, 1, 1, 1])],
        "foreign",
        [helper.make_tensor_value_info("L", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [sides[0], made, *sides[1:]])],
        [onnx.numpy_helper.from_array(weight, "w")],
    )
    opsets = [helper.make_opsetid("", opset)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8), path)
    return path
