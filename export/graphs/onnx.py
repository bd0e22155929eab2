"""From a checkpoint to an ONNX file that keeps the runtime's contract."""

import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from importlib.metadata import version
from pathlib import Path

import numpy as np
import onnx
import onnxslim
import torch
from google.protobuf.message import DecodeError
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn
from torch.export import Dim

from ...runtime.errors import ModelError
from ...runtime.models.contract import CHANNELS, HINTS, INPUT, OUTPUT, ModelInfo
from ...train.checkpoints.checkpoint import Checkpoint
from .fp16 import Precision, deployed_network

OPSET = 21  # the newest that TensorRT 10.13, OpenVINO 2025.4 and ONNX Runtime 1.22 all read
FLOAT32_LAYERS = "colorize.float32_layers"  # metadata of an fp16 file: what it keeps in float32
_COMPACT_FROM = 256  # elements: below it a half-size tensor does not pay for the Cast behind it


def export_onnx(
    checkpoint: Checkpoint,
    checkpoint_sha256: str,
    precision: Precision,
    *,
    kept: Sequence[str] = (),
    compact: bool = False,
) -> onnx.ModelProto:
    """Return the contract file of a checkpoint.

    KEPT names the layers that an fp16 file computes in float32; COMPACT stores float32 weights in
    half the bytes.
    """
    network = deployed_network(checkpoint.network, precision, kept)
    multiple = checkpoint.network.size_multiple
    inputs = (INPUT, HINTS) if checkpoint.takes_hints else (INPUT,)
    sides = 2 * multiple, 3 * multiple
    examples = tuple(100 * torch.rand(2, CHANNELS[name], *sides) for name in inputs)
    model = to_onnx(network, examples, multiple, (*inputs, OUTPUT))
    strip_source_notes(model)
    _name_sides(model)
    if compact:
        _store_weights_in_half(model)
    info = ModelInfo(
        architecture=checkpoint.arch,
        precision=precision,
        native_size=checkpoint.origin.native_size,
        size_multiple=multiple,
        checkpoint_sha256=checkpoint_sha256,
        data_name=checkpoint.origin.data_name,
        data_fingerprint=checkpoint.origin.data_fingerprint,
        license=checkpoint.origin.license,
        toolkit_version=version("colorize-toolkit"),
        takes_hints=checkpoint.takes_hints,
        extended_hints=checkpoint.origin.extended_hints,
    )
    # In the file and not only beside it: without these names nobody can prove it again.
    layers = {FLOAT32_LAYERS: " ".join(kept)} if kept else {}
    helper.set_model_props(model, {**info.to_metadata(), **layers})
    onnx.checker.check_model(model, full_check=True)
    return model


def to_onnx(
    network: nn.Module,
    examples: tuple[Tensor, ...],
    multiple: int | None,
    names: tuple[str, ...] | None = None,
) -> onnx.ModelProto:
    """Return the ONNX graph of NETWORK, for any batch; for any H and W, if MULTIPLE of them.

    EXAMPLES are the inputs that it is traced with; NAMES are those of them and of its output.
    """
    sides: dict[int, Dim] = {0: Dim("N", min=1, max=1024)}
    if multiple is not None:
        sides[2] = multiple * Dim("h", min=1, max=4096 // multiple)
        sides[3] = multiple * Dim("w", min=1, max=4096 // multiple)
    with quiet("torch.onnx", "onnxscript"), warnings.catch_warnings(action="ignore"):
        program = torch.onnx.export(
            network,
            examples,
            dynamo=True,
            opset_version=OPSET,
            dynamic_shapes=(sides,) * len(examples),
            input_names=names[:-1] if names else None,
            output_names=names[-1:] if names else None,
            verbose=False,
        )
    assert program is not None  # None is for the old exporter, which writes files itself
    model: onnx.ModelProto = onnxslim.slim(program.model_proto)
    return model


def read_metadata(path: Path) -> dict[str, str]:
    """Return the metadata of the ONNX file at PATH; ModelError if it is none."""
    try:
        entries = onnx.load(path, load_external_data=False).metadata_props
    except DecodeError as error:
        raise ModelError(f"{path}: not an ONNX file, or a damaged one ({error})") from error
    return {entry.key: entry.value for entry in entries}


def read_info(path: Path) -> ModelInfo:
    """Return what the ONNX file at PATH says of its network; ModelError if that is no contract."""
    return ModelInfo.from_metadata(read_metadata(path), str(path))


@contextmanager
def quiet(*names: str) -> Iterator[None]:
    """Keep from the user what the loggers NAMES say, errors excepted."""
    with ExitStack() as stack:
        for logger in map(logging.getLogger, names):
            stack.callback(logger.setLevel, logger.level)
            logger.setLevel(logging.ERROR)
        yield


def strip_source_notes(model: onnx.ModelProto) -> None:
    """Remove the exporter's notes: they hold paths of the machine that exported."""
    graph = model.graph
    for holder in (model, graph, *graph.node, *graph.value_info, *graph.input, *graph.output):
        del holder.metadata_props[:]
    for part in (model, graph, *graph.node, *graph.initializer, *graph.input, *graph.output):
        part.doc_string = ""


def _name_sides(model: onnx.ModelProto) -> None:
    """Name the dynamic sides as the contract does; the exporter writes expressions such as 32*h."""
    for value in (*model.graph.input, *model.graph.output):
        for side, name in zip(value.type.tensor_type.shape.dim, ("N", "", "H", "W"), strict=True):
            if name:
                side.dim_param = name
    del model.graph.value_info[:]  # they speak of the old names, and every engine infers its own


def _store_weights_in_half(model: onnx.ModelProto) -> None:
    """Store large float32 weights as float16 behind a Cast: engines fold it when they load."""
    graph = model.graph
    large = [
        weight
        for weight in graph.initializer
        if weight.data_type == TensorProto.FLOAT and np.prod(weight.dims) >= _COMPACT_FROM
    ]
    casts = []
    for weight in large:
        stored = f"{weight.name}.half"
        half = numpy_helper.to_array(weight).astype(np.float16)
        casts.append(helper.make_node("Cast", [stored], [weight.name], to=TensorProto.FLOAT))
        graph.initializer.remove(weight)
        graph.initializer.append(numpy_helper.from_array(half, stored))
    nodes = [*casts, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)
