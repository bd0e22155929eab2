"""Frames of film: the luma plane goes through as it is, the chroma planes are written anew."""

from dataclasses import dataclass

import av
import cv2
import numpy as np
from av.video.reformatter import ColorRange, Colorspace
from numpy.typing import NDArray

from .color import F32, U8, Matrix, lab_to_rgb, luma_to_grey, rgb_to_chroma
from .planes import enlarge

Plane = NDArray[np.uint8] | NDArray[np.uint16]

# ITU-T H.273 code points.
_MATRICES: dict[int, Matrix] = {1: "bt709", 5: "bt601", 6: "bt601", 9: "bt2020"}
_UNSPECIFIED = 2
_HD_HEIGHT = 720  # players take untagged film for BT.709 from here on, for BT.601 below

_FULL_RANGE_NAMES = ("yuvj", "gray")
_CHROMA_STEPS = {"420": (2, 2), "422": (2, 1), "444": (1, 1)}  # columns, rows a chroma sample


@dataclass(frozen=True)
class FrameLayout:
    """How the frames of one film are stored, and how they are written."""

    width: int
    height: int
    depth: int
    subsampling: str  # of the written frames: 420, 422 or 444
    matrix: Matrix
    full_range: bool
    tags: tuple[int, int, int]  # matrix, primaries and transfer as the film says (H.273)
    rotation: int  # in degrees, which players apply
    interlaced: bool
    source_format: str
    converted_from: str | None  # what must be converted frame by frame: RGB, palettes, rare depths

    @property
    def format(self) -> str:
        """FFmpeg's name of the written pixel format."""
        deep = "" if self.depth == 8 else f"{self.depth}le"
        return f"yuv{self.subsampling}p{deep}"

    @property
    def chroma_shape(self) -> tuple[int, int]:
        """(height, width) of the chroma planes."""
        columns, rows = _CHROMA_STEPS[self.subsampling]
        return -(-self.height // rows), -(-self.width // columns)

    @property
    def dtype(self) -> type[np.uint8] | type[np.uint16]:
        """Of a sample."""
        return np.uint8 if self.depth == 8 else np.uint16


def layout_of(frame: av.VideoFrame) -> FrameLayout:
    """Return the layout for a film that begins with FRAME."""
    name = frame.format.name
    planar = name.startswith(("yuv4", "yuvj4", "gray")) and "be" not in name and "a4" not in name
    depth = frame.format.components[0].bits
    subsampling = next((s for s in _CHROMA_STEPS if f"uv{s}p" in name or f"uvj{s}p" in name), "420")
    known = (
        planar and (name.startswith("gray") or f"{subsampling}p" in name) and depth in (8, 10, 12)
    )
    rgb = frame.format.is_rgb or name.startswith(("pal", "mono"))
    if not known:
        depth, subsampling = 8, "444" if rgb else "420"
    if frame.width % 2 or frame.height % 2:
        subsampling = "444"  # H.264 stores no odd sides in 4:2:0; luma stays as it is either way
    matrix = _MATRICES.get(frame.colorspace)
    if matrix is None:
        matrix = "bt709" if rgb or frame.height >= _HD_HEIGHT else "bt601"
    tagged = frame.color_range in (ColorRange.MPEG, ColorRange.JPEG)
    full = frame.color_range == ColorRange.JPEG if tagged else name.startswith(_FULL_RANGE_NAMES)
    return FrameLayout(
        frame.width,
        frame.height,
        depth,
        subsampling,
        matrix,
        full_range=full and not rgb,
        tags=(_matrix_tag(frame, matrix), frame.color_primaries, frame.color_trc),
        rotation=frame.rotation,
        interlaced=frame.interlaced_frame,
        source_format=name,
        converted_from=None if known else name,
    )


def _matrix_tag(frame: av.VideoFrame, matrix: Matrix) -> int:
    """Return the film's own tag, or that of the matrix used where the film's is another kind."""
    if frame.colorspace in _MATRICES:
        return frame.colorspace
    if frame.colorspace == _UNSPECIFIED and not frame.format.is_rgb:
        return _UNSPECIFIED
    return {code: tag for tag, code in _MATRICES.items()}[matrix]


def luma_of(frame: av.VideoFrame, layout: FrameLayout) -> Plane:
    """Return a copy of the luma plane (H, W), in code values."""
    if layout.converted_from is not None:
        frame = _converted(frame, layout)
    return _samples(frame, 0, layout)[:, : layout.width].copy()


def _converted(frame: av.VideoFrame, layout: FrameLayout) -> av.VideoFrame:
    if not frame.format.is_rgb:
        kept = ColorRange.JPEG if layout.full_range else ColorRange.MPEG
        return frame.reformat(format=layout.format, src_color_range=kept, dst_color_range=kept)
    return frame.reformat(
        format=layout.format, dst_colorspace=Colorspace.ITU709, dst_color_range=ColorRange.MPEG
    )


def grey_of(luma: Plane, layout: FrameLayout) -> U8:
    """Return the decoded luma as an 8-bit grey (H, W)."""
    return luma_to_grey(luma, full_range=layout.full_range, depth=layout.depth)


def chroma_planes(lightness: F32, ab: F32, layout: FrameLayout) -> Plane:
    """Return Cb, Cr (rows, columns, 2) in code values from L* (h, w) and ab (h, w, 2).

    The small picture is gamut-mapped and its own luma taken, so that out-of-gamut chroma never
    reaches the film.
    """
    rgb = lab_to_rgb(np.dstack([lightness, ab]))
    small = rgb_to_chroma(rgb, layout.matrix, full_range=layout.full_range, depth=layout.depth)
    # Plane by plane, as frames are stored, and rounded by OpenCV: a third of the time.
    planes = [
        enlarge(np.ascontiguousarray(small[..., index]), layout.chroma_shape) for index in (0, 1)
    ]
    if layout.depth == 8:
        rounded: U8 = np.stack([cv2.convertScaleAbs(plane) for plane in planes]).astype(
            np.uint8, copy=False
        )
        return np.moveaxis(rounded, 0, -1)
    codes = (np.stack(planes) + 0.5).clip(0, 2**layout.depth - 1)
    return np.moveaxis(codes.astype(np.uint16), 0, -1)


def build_frame(luma: Plane, chroma: Plane, layout: FrameLayout) -> av.VideoFrame:
    """Return a frame of luma (H, W) and Cb, Cr (rows, columns, 2)."""
    frame = av.VideoFrame(layout.width, layout.height, layout.format)
    rows, columns = layout.chroma_shape
    _samples(frame, 0, layout)[:, : layout.width] = luma
    for index in (1, 2):
        _samples(frame, index, layout)[:rows, :columns] = chroma[..., index - 1]
    return frame


def _samples(frame: av.VideoFrame, index: int, layout: FrameLayout) -> Plane:
    plane = frame.planes[index]
    samples: Plane = np.frombuffer(plane, layout.dtype)  # type: ignore[call-overload]  # a buffer
    line = plane.line_size // np.dtype(layout.dtype).itemsize
    return samples[: line * plane.height].reshape(plane.height, line)
