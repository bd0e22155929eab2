"""Frames of video: the luma plane is passed on unchanged, the chroma planes are new."""

from dataclasses import dataclass

import av
import numpy as np
from av.video.frame import PictureType
from av.video.plane import VideoPlane
from av.video.reformatter import ColorRange, Colorspace
from numpy.typing import NDArray

from ..color import U8, Matrix, luma_to_gray
from ..notices import Notice
from .interlacing import top_field_first
from .side_data import display_of, hdr_of

Plane = NDArray[np.uint8] | NDArray[np.uint16]

# ITU-T H.273 code points.
_MATRICES: dict[int, Matrix] = {1: "bt709", 5: "bt601", 6: "bt601", 9: "bt2020"}
_UNSPECIFIED = 2
_HD_HEIGHT = 720  # players take untagged film for BT.709 from here on, for BT.601 below

_BT2020 = 9  # of primaries

_FULL_RANGE_NAMES = ("yuvj", "gray")
_LUMA_PLANE_FIRST = ("yuv4", "yuvj4", "yuva4", "gray", "nv1", "nv2")
# What hardware decodes to: chroma planes interleaved, or samples in the high bits.
_SEMI = {"nv1": "420", "nv2": "420", "p01": "420", "p21": "422", "p41": "444"}
_DEPTHS = (8, 9, 10, 12, 14, 16)
CHROMA_STEPS = {"420": (2, 2), "422": (2, 1), "444": (1, 1)}  # columns, rows a chroma sample


@dataclass(frozen=True, kw_only=True)
class FrameLayout:
    """How the frames of one video are stored, and how they are written."""

    width: int
    height: int
    depth: int  # bits of a written sample
    subsampling: str  # of the written frames: 420, 422 or 444
    matrix: Matrix
    full_range: bool
    tags: tuple[int, int, int]  # matrix, primaries and transfer in the file (H.273)
    display: tuple[int, ...] | None  # FFmpeg's matrix by which players turn and mirror it
    interlaced: bool
    top_first: bool  # of the two fields of an interlaced frame
    source_format: str
    converted_from: str | None  # the format, if frames must be converted: RGB, palettes, big-endian
    shift: int = 0  # bits by which samples are shifted up, or down, to the encoder's depth
    siting: str | None = None  # of chroma, in FFmpeg's words, if the file says
    hdr: tuple[int, ...] | None = None  # see side_data.hdr_of

    @property
    def format(self) -> str:
        """FFmpeg's name of the written pixel format."""
        deep = "" if self.depth == 8 else f"{self.depth}le"
        return f"yuv{self.subsampling}p{deep}"

    @property
    def chroma_shape(self) -> tuple[int, int]:
        """(height, width) of the chroma planes."""
        columns, rows = CHROMA_STEPS[self.subsampling]
        return -(-self.height // rows), -(-self.width // columns)

    @property
    def dtype(self) -> type[np.uint8] | type[np.uint16]:
        """Of a written sample."""
        return np.uint8 if self.depth == 8 else np.uint16

    @property
    def notices(self) -> list[Notice]:
        """What of the source's frames is not written as it was."""
        source, said = av.VideoFormat(self.source_format), list[Notice]()
        planar = self.source_format.replace("yuvj", "yuv").replace("yuva", "yuv")
        same = self.format.removesuffix("le") in (planar, planar.removesuffix("le"))
        if source.is_rgb or source.has_palette:
            message = f"{source.name} was converted to {self.format} by the {self.matrix} matrix"
            said.append(Notice(message, topic="output"))
        elif not same and not (source.name.startswith(("gray", *_SEMI)) and self.shift == 0):
            said.append(Notice(f"{source.name} was written as {self.format}", topic="output"))
        if any(component.is_alpha for component in source.components):
            message = "the alpha plane was left out"
            said.append(Notice(message, topic="output", severity="warning"))
        return said


def layout_of(
    frame: av.VideoFrame, siting: str | None = None, *, rgb_full_range: bool = False
) -> FrameLayout:
    """Return the layout of a video that begins with FRAME; SITING is where its chroma lies.

    RGB becomes YUV of limited range, or RGB_FULL_RANGE.
    """
    name = frame.format.name
    rgb = frame.format.is_rgb or name.startswith(("pal", "mono"))
    direct = name.startswith(_LUMA_PLANE_FIRST) and not name.endswith("be") and "float" not in name
    depth = min(max(frame.format.components[0].bits, 8), 16)
    if depth not in _DEPTHS:
        depth, direct = 16, False
    subsampling = "444" if rgb else _family(name)
    if frame.width % 2 or frame.height % 2:
        subsampling = "444"  # H.264 stores no odd sides in 4:2:0; luma stays as it is either way
    matrix = _MATRICES.get(frame.colorspace)
    if matrix is None and rgb:
        matrix = "bt2020" if frame.color_primaries == _BT2020 else "bt709"
    elif matrix is None:
        matrix = "bt709" if frame.height >= _HD_HEIGHT else "bt601"
    tagged = frame.color_range in (ColorRange.MPEG, ColorRange.JPEG)
    full = frame.color_range == ColorRange.JPEG if tagged else name.startswith(_FULL_RANGE_NAMES)
    return FrameLayout(
        width=frame.width,
        height=frame.height,
        depth=depth,
        subsampling=subsampling,
        matrix=matrix,
        full_range=rgb_full_range if rgb else full,
        tags=(_matrix_tag(frame, matrix), frame.color_primaries, frame.color_trc),
        display=display_of(frame),
        hdr=hdr_of(frame),
        interlaced=frame.interlaced_frame,
        top_first=not frame.interlaced_frame or top_field_first(frame),
        source_format=name,
        converted_from=None if direct and not rgb else name,
        siting=siting,
    )


def _family(name: str) -> str:
    """Return the subsampling that is written for the pixel format NAME if the encoder has it."""
    if known := next((s for s in CHROMA_STEPS if s in name), _SEMI.get(name[:3])):
        return known
    stored = av.VideoFormat(name)
    if sum(not each.is_alpha for each in stored.components) < len("YUV"):
        return "420"
    sides = stored.chroma_width(16), stored.chroma_height(16)
    return {(16, 16): "444", (8, 16): "422"}.get(sides, "420")


def _matrix_tag(frame: av.VideoFrame, matrix: Matrix) -> int:
    """Return the file's own tag, or that of the matrix used where the file has another kind."""
    if frame.colorspace in _MATRICES:
        return frame.colorspace
    if frame.colorspace == _UNSPECIFIED and not frame.format.is_rgb:
        return _UNSPECIFIED
    return {code: tag for tag, code in _MATRICES.items()}[matrix]


def luma_of(frame: av.VideoFrame, layout: FrameLayout) -> Plane:
    """Return a copy of the luma plane (H, W), in code values."""
    if layout.converted_from is not None:
        frame = _converted(frame, layout)
    plane = frame.planes[0]
    deep = frame.format.components[0].bits > 8
    luma = samples(plane, np.uint16 if deep else np.uint8)[:, : layout.width]
    return luma.copy()


def _converted(frame: av.VideoFrame, layout: FrameLayout) -> av.VideoFrame:
    if not frame.format.is_rgb:
        kept = ColorRange.JPEG if layout.full_range else ColorRange.MPEG
        return frame.reformat(format=layout.format, src_color_range=kept, dst_color_range=kept)
    matrix = {"bt2020": Colorspace.BT2020, "bt601": Colorspace.ITU601, "bt709": Colorspace.ITU709}
    return frame.reformat(
        format=layout.format,
        dst_colorspace=matrix[layout.matrix],
        dst_color_range=ColorRange.JPEG if layout.full_range else ColorRange.MPEG,
    )


def gray_of(luma: Plane, layout: FrameLayout) -> U8:
    """Return the decoded luma as an 8-bit gray (H, W)."""
    return luma_to_gray(luma, full_range=layout.full_range, depth=layout.depth)


def build_frame(
    luma: Plane, chroma: Plane, layout: FrameLayout, carrier: av.VideoFrame | None = None
) -> av.VideoFrame:
    """Return a frame of luma (H, W) as it was read and Cb, Cr (rows, columns, 2).

    It has the marks and the side data of CARRIER, the decoded frame.
    """
    if carrier is None:
        frame = av.VideoFrame(layout.width, layout.height, layout.format)
    else:
        frame = carrier.reformat(format=layout.format)
        frame.make_writable()
        frame.pict_type = PictureType.NONE  # encoders take it for an order
    rows, columns = layout.chroma_shape
    stored = shifted(luma, layout)
    samples(frame.planes[0], layout.dtype)[:, : layout.width] = stored
    for index in (1, 2):
        plane = samples(frame.planes[index], layout.dtype)
        plane[:rows, :columns] = chroma[..., index - 1]
    return frame


def shifted(luma: Plane, layout: FrameLayout) -> Plane:
    """Return LUMA (H, W), as it was read, in the depth in which LAYOUT is written."""
    if layout.shift == 0:
        return luma
    if layout.shift > 0:
        deeper: Plane = luma.astype(np.uint16) << np.uint16(layout.shift)
        return deeper
    rounded = luma.astype(np.uint32) + (1 << -layout.shift - 1) >> -layout.shift
    less: Plane = np.minimum(rounded, (1 << layout.depth) - 1).astype(np.uint16)
    return less


def samples(plane: VideoPlane, dtype: type[np.uint8] | type[np.uint16]) -> Plane:
    """Return the samples (h, w and padding) of PLANE, which are not copied."""
    flat: Plane = np.frombuffer(plane, dtype)  # type: ignore[call-overload]  # a buffer
    line = plane.line_size // np.dtype(dtype).itemsize
    return flat[: line * plane.height].reshape(plane.height, line)
