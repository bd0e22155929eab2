"""One self-contained ONNX file: an 8-bit gray picture in, the colored picture out.

    gray  uint8 [N, H, W]     of any size
    hints uint8 [N, H, W, 4]  sRGB and alpha; of a graph with hints alone: alpha 0 hints nothing
    rgb   uint8 [N, H, W, 3]  sRGB

It holds what the runtime does around a network, so that its user needs no color science.
"""

import numpy as np
import onnx
import onnx_ir as ir

from ...runtime.color import gray_to_lightness
from ...runtime.errors import ArgumentError
from ...runtime.models.contract import CHANNELS, HINTS, INPUT, ModelInfo
from .color import (
    FLOAT,
    INT32,
    UINT8,
    enlarge,
    lab_to_rgb,
    rgb_to_ab,
    shrink,
    shrink_planes,
    working_side,
)
from .expressions import Formulas, Term

GRAY, RGB = "gray", "rgb"


def image_graph(network: onnx.ModelProto, *, hints: bool = False) -> onnx.ModelProto:
    """Return the self-contained model around NETWORK, a file that keeps the contract.

    With HINTS it takes them as a picture with alpha; without, the network is given none.
    ArgumentError if it takes none.
    """
    model = ir.from_proto(network)
    info = ModelInfo.from_metadata(model.metadata_props, "network")
    if hints and not info.takes_hints:
        raise ArgumentError("this network takes no hints; leave out --graph image-hints")
    graph = model.graph
    gray = ir.val(GRAY, UINT8, ["N", "H", "W"])
    formulas = Formulas("image")
    # TensorRT takes 8-bit inputs only straight into a Cast.
    levels = formulas.term(gray).to(FLOAT).op("Unsqueeze", np.array([1]))
    inputs, [ab] = {value.name: value for value in graph.inputs}, graph.outputs
    ab.shape = None  # its H and W are not the picture's, which have these names now
    shape = _working_shape(levels, info)
    inputs[INPUT].replace_all_uses_with(_lightness(shrink(levels, *shape)).value)
    given = [gray]
    if hints:
        overlay = ir.val(HINTS, UINT8, ["N", "H", "W", 4])
        given.append(overlay)
        hinted = _hints(formulas.term(overlay).to(FLOAT), *shape)
        inputs[HINTS].replace_all_uses_with(hinted.value)
    elif info.takes_hints:
        inputs[HINTS].replace_all_uses_with(_no_hints(levels, *shape).value)
    rgb = _picture(levels, formulas.term(ab)).value
    rgb.name, rgb.type, rgb.shape = RGB, ir.TensorType(UINT8), ir.Shape(["N", "H", "W", 3])
    graph.inputs[:], graph.outputs[:] = given, [rgb]
    formulas.add_to(graph)
    model.metadata_props["colorize.graph"] = "image-hints" if hints else "image"
    result = ir.to_proto(model)
    onnx.checker.check_model(result, full_check=True)
    return result


def _lightness(levels: Term) -> Term:
    table = gray_to_lightness(np.arange(256, dtype=np.uint8))
    return levels.formulas.op("Gather", table, levels.to(INT32))


def _no_hints(levels: Term, height: Term, width: Term) -> Term:
    sides = levels.formulas.op(
        "Concat", levels.side(0), np.array([CHANNELS[HINTS]]), height, width, axis=0
    )
    return levels.formulas.op("Expand", 0.0, sides)


def _hints(overlay: Term, height: Term, width: Term) -> Term:
    """Return hints [N, 3, HEIGHT, WIDTH] of a picture with alpha [N, H, W, 4] in 0..255.

    As resize.shrink_hints has it: a pixel's color is that of what is hinted in it.
    """
    unit = overlay.op("Transpose", perm=[0, 3, 1, 2]) / 255.0
    rgb, alpha = (
        unit.op("Slice", np.array([start]), np.array([end]), np.array([1]))
        for start, end in ((0, 3), (3, 4))
    )
    weighed = shrink_planes(rgb_to_ab(rgb) * alpha, height, width)
    confidence = shrink_planes(alpha, height, width)
    return (weighed / confidence.op("Max", 1e-6)).op("Concat", confidence, axis=1)


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
