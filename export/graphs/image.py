"""One self-contained ONNX file: an 8-bit gray picture in, the colored picture out.

    gray uint8 [N, H, W]     of any size
    rgb  uint8 [N, H, W, 3]  sRGB

It holds what the runtime does around a network, so that its user needs no color science.
"""

import numpy as np
import onnx
import onnx_ir as ir

from ...runtime.color import gray_to_lightness
from ...runtime.models.contract import ModelInfo
from .color import FLOAT, INT32, UINT8, enlarge, lab_to_rgb, shrink, working_side
from .expressions import Formulas, Term

GRAY, RGB = "gray", "rgb"


def image_graph(network: onnx.ModelProto) -> onnx.ModelProto:
    """Return the self-contained model around NETWORK, a file that keeps the contract."""
    model = ir.from_proto(network)
    info = ModelInfo.from_metadata(model.metadata_props, "network")
    graph = model.graph
    gray = ir.val(GRAY, UINT8, ["N", "H", "W"])
    formulas = Formulas("image")
    # TensorRT takes 8-bit inputs only straight into a Cast.
    levels = formulas.term(gray).to(FLOAT).op("Unsqueeze", np.array([1]))
    [L], [ab] = graph.inputs, graph.outputs
    L.replace_all_uses_with(_shrunk_lightness(levels, info).value)
    rgb = _picture(levels, formulas.term(ab)).value
    rgb.name, rgb.type, rgb.shape = RGB, ir.TensorType(UINT8), ir.Shape(["N", "H", "W", 3])
    graph.inputs[:], graph.outputs[:] = [gray], [rgb]
    formulas.add_to(graph)
    model.metadata_props["colorize.graph"] = "image"
    result = ir.to_proto(model)
    onnx.checker.check_model(result, full_check=True)
    return result


def _lightness(levels: Term) -> Term:
    table = gray_to_lightness(np.arange(256, dtype=np.uint8))
    return levels.formulas.op("Gather", table, levels.to(INT32))


def _shrunk_lightness(levels: Term, info: ModelInfo) -> Term:
    return _lightness(shrink(levels, *_working_shape(levels, info)))


def _working_shape(levels: Term, info: ModelInfo) -> tuple[Term, Term]:
    if info.fixed_size is not None:
        height, width = (levels.formulas.constant(np.array([side])) for side in info.fixed_size)
    else:
        sides = levels.side(2), levels.side(3)
        height, width = (
            working_side(side, other, info.native_size, info.size_multiple)
            for side, other in (sides, sides[::-1])
        )
    return height, width


def _picture(levels: Term, ab: Term) -> Term:
    full = enlarge(ab, levels.side(2), levels.side(3))
    rgb = lab_to_rgb(_lightness(levels), full)
    rounded = (rgb * 255.0 + 0.5).op("Floor").op("Clip", 0.0, 255.0)
    return rounded.op("Transpose", perm=[0, 2, 3, 1]).to(UINT8)
