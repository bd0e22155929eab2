"""Chroma planes of video: from the small picture to code values at full size."""

import cv2
import numpy as np
from numpy.typing import NDArray

from ..color import F32, lab_planes_to_rgb, rgb_to_chroma
from ..resize import enlarge
from .frames import CHROMA_STEPS, FrameLayout, Plane

_HOLD = 1.0  # code values that a held sample may be off; plain rounding is off by half of one


_Part = tuple[slice, slice]


# Slices: the border, all the rest, and the rest moved by one sample toward the border.
_MOVES: dict[str, tuple[_Part, _Part, _Part]] = {
    "left": (np.s_[:, :1], np.s_[:, 1:], np.s_[:, :-1]),
    "up": (np.s_[:1, :], np.s_[1:, :], np.s_[:-1, :]),
    "down": (np.s_[-1:, :], np.s_[:-1, :], np.s_[1:, :]),
}


class Scratch:
    """Planes that are reused for each frame, because allocating costs more than the work."""

    def __init__(self) -> None:
        self._planes: dict[str, F32] = {}

    def plane(self, name: str, shape: tuple[int, int]) -> F32:
        """Return the plane called NAME, (rows, columns), with whatever was last left in it."""
        plane = self._planes.get(name)
        if plane is None or plane.shape != shape:
            plane = self._planes[name] = np.empty(shape, np.float32)
        return plane


class SteadyRounding:
    """Rounds frames so that a sample whose value hardly changes keeps its code value.

    Plain rounding turns a change of a hundredth into a flicker of a whole code value.
    """

    def __init__(self) -> None:
        self._held: dict[int, F32] = {}
        self._work: dict[int, tuple[F32, NDArray[np.bool_]]] = {}  # reused, as in Scratch

    def of(self, index: int, plane: F32) -> F32:
        """Return plane INDEX of the next frame, (rows, columns), in whole numbers; not a copy."""
        held = self._held.get(index)
        if held is None or held.shape != plane.shape:
            self._work[index] = np.empty_like(plane), np.empty(plane.shape, np.bool_)
            held = self._held[index] = np.rint(plane)
            return held
        work, moved = self._work[index]
        np.abs(np.subtract(plane, held, out=work), out=work)
        np.greater(work, _HOLD, out=moved)
        cv2.copyTo(np.rint(plane, out=work), moved.view(np.uint8), held)
        return held


def chroma_planes(
    lightness: F32,
    ab: F32,
    layout: FrameLayout,
    scratch: Scratch | None = None,
    rounding: SteadyRounding | None = None,
) -> Plane:
    """Return Cb, Cr (rows, columns, 2) in code values from L* (h, w) and ab (h, w, 2).

    The small picture is gamut-mapped and its own luma taken, so that out-of-gamut chroma never
    reaches the film. SCRATCH saves time where one thread makes many, ROUNDING keeps the codes of
    frames in order steady.
    """
    scratch = scratch or Scratch()
    a, b = (np.ascontiguousarray(ab[..., index]) for index in (0, 1))
    rgb = lab_planes_to_rgb(lightness, a, b)
    small = rgb_to_chroma(rgb, layout.matrix, full_range=layout.full_range, depth=layout.depth)
    # Plane by plane, as frames are stored.
    shape = (2, *layout.chroma_shape)
    codes: Plane = np.empty(shape, np.uint8) if layout.depth == 8 else np.empty(shape, np.uint16)
    for index, (plane, rounded) in enumerate(zip(small, codes, strict=True)):
        large = enlarge(plane, layout.chroma_shape, scratch.plane("large", layout.chroma_shape))
        sited = _sited(large, layout, scratch)
        if rounding is not None:
            sited = rounding.of(index, sited)
        if layout.depth == 8:
            cv2.convertScaleAbs(sited, dst=rounded)
        else:
            rounded[...] = (sited + np.float32(0.5)).clip(0, 2**layout.depth - 1)
    return np.moveaxis(codes, 0, -1)


def _sited(chroma: F32, layout: FrameLayout, scratch: Scratch) -> F32:
    """Move a chroma plane (rows, columns) from the middle of its luma samples to where they lie.

    The step is a quarter of a chroma sample. Without a tag it is left, as MPEG-2 and its successors
    define it, and in the middle for full range, as JPEG does.
    """
    siting = layout.siting or ("center" if layout.full_range else "left")
    columns, rows = CHROMA_STEPS[layout.subsampling]
    if columns == 2 and siting in ("left", "topleft", "bottomleft"):
        chroma = _moved(chroma, "left", scratch)
    if rows == 2 and siting in ("topleft", "top"):
        chroma = _moved(chroma, "up", scratch)
    if rows == 2 and siting in ("bottomleft", "bottom"):
        chroma = _moved(chroma, "down", scratch)
    return chroma


def _moved(chroma: F32, to: str, scratch: Scratch) -> F32:
    """Move a chroma plane a quarter of a sample TO left, up or down; its border there stays."""
    border, rest, nearer = _MOVES[to]
    moved = scratch.plane(to, chroma.shape)
    moved[border] = chroma[border]
    if moved[rest].size:
        cv2.addWeighted(chroma[rest], 0.75, chroma[nearer], 0.25, 0, dst=moved[rest])
    return moved
