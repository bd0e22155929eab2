"""ONNX graphs of other people's networks, and the contract around them."""

import onnx
import onnx_ir as ir
from onnx import compose, version_converter

from ...runtime.models.contract import CHANNELS, OUTPUT, ModelInfo
from ..graphs.color import FLOAT, enlarge, lightness_to_gray, rgb_to_ab
from ..graphs.expressions import Formulas, Term
from ..graphs.onnx import OPSET, strip_source_notes
from .signature import IOSignature

HALF = ir.DataType.FLOAT16
_PREFIX = "network/"


def with_any_batch(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return MODEL in the toolkit's opset, its first input with a dynamic batch."""
    [opset] = [entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")]
    if opset < OPSET:
        model = version_converter.convert_version(model, OPSET)
    given = {weight.name for weight in model.graph.initializer}
    for value in (*model.graph.input, *model.graph.output):
        if value.name not in given and value.type.tensor_type.shape.dim:
            value.type.tensor_type.shape.dim[0].dim_param = "N"
    del model.graph.value_info[:]  # they may speak of the old batch
    return model


def with_float32_ends(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return MODEL with casts where its inputs and outputs are float16; what it computes stays."""
    converted = ir.from_proto(model)
    graph = converted.graph
    for index, given in enumerate(graph.inputs):
        if given.dtype == HALF and given.name not in graph.initializers:
            wide = ir.val(given.name, FLOAT, given.shape)
            cast = ir.node("Cast", [wide], {"to": HALF.value})
            given.replace_all_uses_with(cast.outputs[0])
            graph.insert_before(graph[0], cast)
            graph.inputs[index] = wide
    for index, answer in enumerate(graph.outputs):
        if answer.dtype == HALF:
            cast = ir.node("Cast", [answer], {"to": FLOAT.value})
            [wide] = cast.outputs
            wide.name, answer.name = answer.name, f"{answer.name}/float16"
            wide.type, wide.shape = ir.TensorType(FLOAT), answer.shape
            graph.append(cast)
            graph.outputs[index] = wide
    return ir.to_proto(converted)


def wrap(
    model: onnx.ModelProto, signature: IOSignature, info: ModelInfo, *, resized: bool
) -> onnx.ModelProto:
    """Put the contract around MODEL, a network of SIGNATURE; RESIZED: its answer is smaller."""
    strip_source_notes(model)
    wrapped = ir.from_proto(compose.add_prefix(model, _PREFIX))
    graph = wrapped.graph
    given, [answer] = graph.inputs, graph.outputs
    height, width = info.fixed_size or ("H", "W")
    inputs = [ir.val(name, FLOAT, ["N", CHANNELS[name], height, width]) for name in info.inputs]
    formulas = Formulas("wrapper")
    lightness, *hints = (formulas.term(value) for value in inputs)
    terms = [_given(lightness, signature), *(hint / signature.hint_scale for hint in hints)]
    for old, term in zip(given, terms, strict=True):
        old.replace_all_uses_with(term.value)
    ab = _ab(formulas.term(answer), signature)
    if resized:
        ab = enlarge(ab, lightness.side(2), lightness.side(3))
    if ab.value is answer:
        ab = ab.op("Identity")
    ab.value.name = OUTPUT
    ab.value.type, ab.value.shape = ir.TensorType(FLOAT), ir.Shape(["N", 2, height, width])
    graph.inputs[:], graph.outputs[:] = inputs, [ab.value]
    formulas.add_to(graph)
    wrapped.metadata_props.clear()
    wrapped.metadata_props.update(info.to_metadata())
    result = ir.to_proto(wrapped)
    onnx.checker.check_model(result, full_check=True)
    return result


def _given(lightness: Term, signature: IOSignature) -> Term:
    if signature.takes == "L":
        unit = lightness / 100.0
    else:
        gray = lightness_to_gray(lightness)
        unit = gray.op("Concat", gray, gray, axis=1)
    low, span = signature.takes_range.columns(signature.channels)
    return unit * span + low


def _ab(answer: Term, signature: IOSignature) -> Term:
    if signature.gives == "ab":
        return answer if signature.ab_scale == 1 else answer * signature.ab_scale
    low, span = signature.gives_range.columns(3)
    return rgb_to_ab(((answer - low) / span).op("Clip", 0.0, 1.0))
