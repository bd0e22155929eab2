"""The formulas of runtime/color.py and runtime/resize.py as parts of an ONNX graph.

Pictures are float32 [N, C, H, W] here. Only operations that TensorRT, OpenVINO and ONNX Runtime
all take; above all no antialiased Resize, which TensorRT refuses.
"""

import numpy as np
import onnx_ir as ir

from ...runtime.color import (
    ENCODED_KNEE,
    F32,
    FROM_XYZ,
    GAMUT_SLACK,
    GAMUT_STEPS,
    LAB_KNEE,
    LINEAR_KNEE,
    SRGB_GAMMA,
    SRGB_OFFSET,
    SRGB_SLOPE,
    TO_XYZ,
)
from ...runtime.resize import LONG_SIDE_LIMIT
from .expressions import Operand, Term

FLOAT, UINT8, INT32 = ir.DataType.FLOAT, ir.DataType.UINT8, ir.DataType.INT32


def working_side(side: Term, other: Term, size: int, multiple: int) -> Term:
    """Return one side of planes.working_shape, int64 [1], for a picture of SIDE x OTHER pixels."""
    short = side.op("Min", other)
    pixels = side.op("Min", short * LONG_SIDE_LIMIT) * size
    unit = short * multiple
    halves_up = (pixels * 2 + unit) / (unit * 2)
    # 0 only where a half was rounded up; then an odd result must go down again.
    past_half = ((pixels * 2 + unit) - halves_up * (unit * 2)).op("Min", 1)
    odd = halves_up - (halves_up / 2) * 2
    return (halves_up - (1 - past_half) * odd).op("Max", 1) * multiple


def shrink(gray: Term, height: Term, width: Term) -> Term:
    """Return planes.shrink of whole grays in 0..255 [N, 1, H, W]: matrix products on both sides.

    Pillow rounds to 8 bits after each direction and holds its weights in 22 bits. Halves are
    common, so these bits decide levels; split in two, their products are exact in float32 and TF32.
    """
    high, low = (part.op("Transpose", perm=[1, 0]) for part in _weights(gray.side(3), width))
    rows = _rounded(gray @ high, gray @ low)
    high, low = _weights(gray.side(2), height)
    return _rounded(high @ rows, low @ rows)


def shrink_planes(planes: Term, height: Term, width: Term) -> Term:
    """Shrink [N, C, H, W] in the same way, without rounding."""
    rows = _shares(planes.side(2), height)
    columns = _shares(planes.side(3), width).op("Transpose", perm=[1, 0])
    return rows @ (planes @ columns)


def _shares(old: Term, new: Term) -> Term:
    high, low = _weights(old, new)
    return high * 2.0**-11 + low * 2.0**-22


def _weights(old: Term, new: Term) -> tuple[Term, Term]:
    """Return the matrix [new, old] of a triangle filter that widens with the shrinking.

    It is whole numbers of 2^-22, in two parts: those of 2^-11 and what is left of 2^-22.
    """
    centers = ((_numbers(new) * 2 + 1) * old).op("Unsqueeze", np.array([1]))
    distances = ((_numbers(old) * 2 + 1) * new - centers).op("Abs")
    shares = (old.op("Max", new) * 2 - distances).op("Max", 0)
    total = shares.op("ReduceSum", np.array([1]), keepdims=1)
    weights = (shares * 2**23 + total) / (total * 2)
    high = weights / 2**11
    return high.to(FLOAT), (weights - high * 2**11).to(FLOAT)


def _rounded(high: Term, low: Term) -> Term:
    """Round HIGH 2^-11 + LOW 2^-22 half up; whole parts go first, or float32 would lose bits."""
    high = high * 2.0**-11
    whole = high.op("Floor")
    return whole + (high - whole + low * 2.0**-22 + 0.5).op("Floor")


def _numbers(count: Term) -> Term:
    """Return 0, 1, ... COUNT - 1."""
    return count.formulas.op("Range", 0, count.op("Squeeze", np.array([0])), 1)


def enlarge(planes: Term, height: Term, width: Term) -> Term:
    """Return planes.enlarge of [N, C, h, w]."""
    sizes = planes.formulas.op("Concat", planes.side(0), planes.side(1), height, width, axis=0)
    return planes.op(
        "Resize", None, None, sizes, mode="linear", coordinate_transformation_mode="half_pixel"
    )


def lab_to_rgb(lightness: Term, ab: Term) -> Term:
    """Return color.lab_to_rgb [N, 3, H, W] in 0..1 of L* [N, 1, H, W] and a*, b* [N, 2, H, W]."""
    scale: Operand = 0.0
    for step in range(1, GAMUT_STEPS + 1):  # the bisection, from below
        trial = ab.formulas.op("Add", scale, 0.5**step)
        scale = _in_gamut(lab_to_linear(lightness, ab * trial)).where(trial, scale)
    inside = _in_gamut(lab_to_linear(lightness, ab))
    shown = lab_to_linear(lightness, ab * inside.where(1.0, scale))
    return linear_to_srgb(shown.op("Clip", 0.0, 1.0))


def _in_gamut(linear: Term) -> Term:
    farthest = (linear - 0.5).op("Abs").op("ReduceMax", np.array([1]), keepdims=1)
    return farthest <= 0.5 + GAMUT_SLACK


def lab_to_linear(lightness: Term, ab: Term) -> Term:
    """Return linear RGB [N, 3, H, W], outside 0..1 where sRGB cannot show the color."""
    y = (lightness + 16.0) / 116.0
    offsets = np.array([1 / 500, 0, 0, 0, 0, -1 / 200], np.float32).reshape(2, 3, 1, 1)
    f = y + _channel(ab, 0) * offsets[0] + _channel(ab, 1) * offsets[1]
    return _mix(_lab_curve_inverse(f), FROM_XYZ)


def _lab_curve_inverse(f: Term) -> Term:
    return (f > LAB_KNEE).where(f * f * f, (f - 4 / 29) * (3 * LAB_KNEE**2))


def _channel(planes: Term, index: int) -> Term:
    return planes.op("Slice", np.array([index]), np.array([index + 1]), np.array([1]))


def _mix(planes: Term, matrix: F32) -> Term:
    """Multiply the channels by MATRIX [3, 3]; in sums, as TensorRT rounds convolutions to TF32."""
    x, y, z = (_channel(planes, i) * matrix[:, i].reshape(3, 1, 1) for i in range(3))
    return x + y + z


def linear_to_srgb(linear: Term) -> Term:
    """Return color.linear_to_srgb."""
    power = linear.op("Max", LINEAR_KNEE).op("Pow", 1 / SRGB_GAMMA)
    high = power * (1 + SRGB_OFFSET) - SRGB_OFFSET
    return (linear <= LINEAR_KNEE).where(linear * SRGB_SLOPE, high)


def srgb_to_linear(encoded: Term) -> Term:
    """Return color.srgb_to_linear."""
    high = ((encoded.op("Max", 0.0) + SRGB_OFFSET) / (1 + SRGB_OFFSET)).op("Pow", SRGB_GAMMA)
    return (encoded <= ENCODED_KNEE).where(encoded / SRGB_SLOPE, high)


def lightness_to_gray(lightness: Term) -> Term:
    """Return the sRGB-encoded gray [N, 1, H, W] in 0..1 of L* [N, 1, H, W]."""
    y = _lab_curve_inverse((lightness + 16.0) / 116.0)
    return linear_to_srgb(y.op("Clip", 0.0, 1.0))


def rgb_to_ab(rgb: Term) -> Term:
    """Return a*, b* [N, 2, H, W] of sRGB [N, 3, H, W] in 0..1."""
    t = _mix(srgb_to_linear(rgb), TO_XYZ)
    line = t / (3 * LAB_KNEE**2) + 4 / 29
    root = t.op("Max", LAB_KNEE**3).op("Pow", 1 / 3)
    f = (t > LAB_KNEE**3).where(root, line)
    x, y, z = (_channel(f, i) for i in range(3))
    return rgb.formulas.op("Concat", (x - y) * 500.0, (y - z) * 200.0, axis=1)
