"""What frames carry beside their picture: captions, light levels, how players turn them."""

import struct
from collections.abc import Iterable, Sequence
from typing import Any

import av
import numpy as np
from av.sidedata.sidedata import SideData, Type
from numpy.typing import NDArray

CAPTIONS = "closed captions"
HDR10 = "the HDR10 metadata"
FIELDS = "the mark that its later frames are interlaced"
ORDERS = "the mark that its field order changes"
UNREAD = "what its frames carry beside their picture, some of a kind unknown here,"
_NAMED = {
    Type.A53_CC: CAPTIONS,
    Type.MASTERING_DISPLAY_METADATA: HDR10,
    Type.CONTENT_LIGHT_LEVEL: HDR10,
    Type.DYNAMIC_HDR_PLUS: "the HDR10+ metadata",
    Type.DYNAMIC_HDR_VIVID: "the HDR Vivid metadata",
    Type.DOVI_RPU_BUFFER: "the Dolby Vision metadata",
    Type.DOVI_METADATA: "the Dolby Vision metadata",
    Type.AFD: "the active format description",
    Type.STEREO3D: "the mark of its stereo pictures",
    Type.SPHERICAL: "the mark of its spherical pictures",
}
ONE = 1 << 16
"""In a display matrix, whose numbers are fractions of 16 bits."""
_UPRIGHT = (1, 0, 0, 1)
_MASTERING = struct.Struct("20i2i")  # AVMasteringDisplayMetadata: ten fractions and two flags
_CHROMATICITY, _LUMINANCE = 50000, 10000  # steps of ITU-T H.265, D.2.28


def kinds_of(frame: av.VideoFrame) -> frozenset[str]:
    """Return what FRAME carries that an encoder must take, in words."""
    fields = {FIELDS} if frame.interlaced_frame else set[str]()
    try:
        kinds = {each.type for each in _side_data(frame)}
    except ValueError:
        return frozenset(fields | {UNREAD})
    return frozenset(fields | {_NAMED[kind] for kind in kinds if kind in _NAMED})


def _side_data(frame: av.VideoFrame) -> Iterable[SideData]:
    """Return the side data of FRAME; ValueError if PyAV does not know the type of some."""
    return frame.side_data  # type: ignore[return-value]  # its stub lags behind


def _data_of(frame: av.VideoFrame) -> dict[Type, bytes]:
    """Return the side data of FRAME by its type.

    PyAV can read none of it where there is a type that it does not know; a turn it tells even so.
    """
    try:
        return {each.type: bytes(each) for each in _side_data(frame)}
    except ValueError:
        if not frame.rotation:
            return {}
        cos, sin = (
            round(ONE * part)
            for part in (np.cos(np.radians(frame.rotation)), np.sin(np.radians(frame.rotation)))
        )
        return {Type.DISPLAYMATRIX: struct.pack("9i", cos, -sin, 0, sin, cos, 0, 0, 0, 1 << 30)}


def display_of(frame: av.VideoFrame) -> tuple[int, ...] | None:
    """Return FRAME's display matrix, nine numbers in FFmpeg's order; None if it turns nothing."""
    data = _data_of(frame).get(Type.DISPLAYMATRIX)
    if data is None:
        return None
    matrix = struct.unpack("9i", data)
    return None if _turn(matrix) == _UPRIGHT else matrix


def _turn(matrix: Sequence[int]) -> tuple[int, ...]:
    """Return the signs of MATRIX where it turns by the nearest quarter."""
    a, b, c, d = matrix[0], matrix[1], matrix[3], matrix[4]
    if abs(a) + abs(d) >= abs(b) + abs(c):
        b = c = 0
    else:
        a = d = 0
    return int(np.sign(a)), int(np.sign(b)), int(np.sign(c)), int(np.sign(d))


def upright(plane: NDArray[Any], matrix: Sequence[int] | None) -> NDArray[Any]:
    """Return PLANE (H, W, ...) as players show it by the display MATRIX."""
    if matrix is None:
        return plane
    a, b, c, d = _turn(matrix)
    if a == 0:
        plane, a, d = np.swapaxes(plane, 0, 1), c, b
    return np.ascontiguousarray(plane[:: -1 if d < 0 else 1, :: -1 if a < 0 else 1])


def as_stored(plane: NDArray[Any], matrix: Sequence[int] | None) -> NDArray[Any]:
    """Undo `upright`."""
    if matrix is None:
        return plane
    a, b, c, d = _turn(matrix)
    if a == 0:
        plane = plane[:: -1 if b < 0 else 1, :: -1 if c < 0 else 1]
        return np.ascontiguousarray(np.swapaxes(plane, 0, 1))
    return np.ascontiguousarray(plane[:: -1 if d < 0 else 1, :: -1 if a < 0 else 1])


def hdr_of(frame: av.VideoFrame) -> tuple[int, ...] | None:
    """Return FRAME's HDR10 metadata; None if there is none.

    They are the x, y of red, green, blue and white in 1/50000, the most and the least luminance in
    1/10000 cd/m2, and MaxCLL and MaxFALL in cd/m2, 0 for what is not known.
    """
    display: tuple[int, ...] = (0,) * 10
    light: tuple[int, ...] = (0, 0)
    data = _data_of(frame)
    mastering = data.get(Type.MASTERING_DISPLAY_METADATA)
    levels = data.get(Type.CONTENT_LIGHT_LEVEL)
    if mastering is not None and len(mastering) >= _MASTERING.size:
        *numbers, primaries, luminance = _MASTERING.unpack_from(mastering)
        parts = [n / d if d else 0.0 for n, d in zip(numbers[::2], numbers[1::2], strict=True)]
        *colors, least, most = parts
        if primaries and luminance:
            display = (
                *(round(part * _CHROMATICITY) for part in colors),
                round(most * _LUMINANCE),
                round(least * _LUMINANCE),
            )
    if levels is not None:
        light = struct.unpack_from("2I", levels)
    found = (*display, *light)
    return found if any(found) else None


TAKES_HDR = ("libx264", "libx265", "libsvtav1")


def hdr_settings(codec: str, hdr: Sequence[int]) -> dict[str, str]:
    """Return the settings by which CODEC stores HDR, as `hdr_of` returns it; none if it cannot."""
    names = {
        "libx264": ("x264-params", "mastering-display", "cll"),
        "libx265": ("x265-params", "master-display", "max-cll"),
        "libsvtav1": ("svtav1-params", "mastering-display", "content-light"),
    }
    if codec not in names or not hdr:
        return {}
    red, green, blue, white = (hdr[start : start + 2] for start in (0, 2, 4, 6))
    most, least, *light = hdr[8:]
    steps: tuple[float, float] = (1, 1)
    if codec == "libsvtav1":
        steps = (_CHROMATICITY, _LUMINANCE)

    def pair(numbers: Sequence[int], step: float) -> str:
        return "({})".format(",".join(f"{number / step:.10g}" for number in numbers))

    named = zip("GBR", (green, blue, red), strict=True)
    shown = "".join(name + pair(point, steps[0]) for name, point in named)
    shown += f"WP{pair(white, steps[0])}L{pair((most, least), steps[1])}"
    option, display, levels = names[codec]
    words = [f"{display}={shown}"] if any(hdr[:10]) else []
    words += [f"{levels}={light[0]},{light[1]}"] if any(light) else []
    return {option: ":".join(words)}
