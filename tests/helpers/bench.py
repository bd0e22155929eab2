"""Shared by the tests of colorize-bench: a model of a moment, and the command in this process."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from click.testing import CliRunner, Result

from colorize.bench.cli import main
from colorize.runtime.color import U8
from colorize.runtime.models.contract import INPUT, OUTPUT, ModelInfo

Quick = Callable[..., tuple[Result, dict[str, Any]]]
FAST = ("--backend", "onnxruntime", "--batch", "1")

INFO = ModelInfo(
    architecture="tiny",
    precision="fp32",
    native_size=32,
    size_multiple=8,
    checkpoint_sha256="0" * 64,
    data_name="none",
    data_fingerprint="0" * 32,
    license="CC0",
    toolkit_version="0",
)


def write_model(
    path: Path,
    info: ModelInfo = INFO,
    *,
    ab: tuple[float, float] = (15.0, 25.0),
    output: str = OUTPUT,
    stride: int = 1,
) -> Path:
    """Write a contract file that answers AB nearly everywhere; OUTPUT and STRIDE can break it."""
    helper, tensor = onnx.helper, onnx.TensorProto
    weights = np.random.default_rng(0).normal(0, 0.01, (2, 1, 3, 3)).astype(np.float32)
    node = helper.make_node(
        "Conv", [INPUT, "w", "b"], [output], pads=[1] * 4, strides=[stride, stride]
    )
    graph = helper.make_graph(
        [node],
        "tiny",
        [helper.make_tensor_value_info(INPUT, tensor.FLOAT, ["N", 1, "H", "W"])],
        [helper.make_tensor_value_info(output, tensor.FLOAT, ["N", 2, "H2", "W2"])],
        [
            onnx.numpy_helper.from_array(weights, "w"),
            onnx.numpy_helper.from_array(np.array(ab, np.float32), "b"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    helper.set_model_props(model, info.to_metadata())
    onnx.save(model, path)
    return path


def bench(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def near(truth: U8) -> U8:
    """TRUTH under some noise."""
    rng = np.random.default_rng(3)
    noisy: U8 = np.clip(truth + rng.integers(-30, 31, truth.shape), 0, 255).astype(np.uint8)
    return noisy
