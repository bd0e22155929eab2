"""Camera raw data (DNG, NEF, CR2 and their like), developed by LibRaw."""

import io
from pathlib import Path

import numpy as np

from ..errors import MissingExtraError
from .decoding import Decoded, decoding
from .tiff import describe


def read_raw(path: Path, content: bytes | None, camera: str) -> Decoded:
    """Develop the raw data of CAMERA with its own white balance, to sRGB of 16 bits.

    MissingExtraError if rawpy is not installed.
    """
    try:
        import rawpy
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            f"{path}: is {camera}, whose only finished picture is a thumbnail; to develop it: "
            "pip install 'colorize-toolkit[raw]' (in a clone: pip install '.[raw]')"
        ) from error
    with decoding(), rawpy.imread(str(path) if content is None else io.BytesIO(content)) as raw:
        samples = raw.postprocess(
            output_bps=16,
            use_camera_wb=True,
            no_auto_bright=True,
            adjust_maximum_thr=0.0,  # white is where the file says, not at the brightest pixel
            gamma=(2.4, 12.92),  # sRGB's
            output_color=rawpy.ColorSpace.sRGB,
        )
    decoded = describe(path if content is None else content)
    decoded.codes = np.asarray(samples, np.uint16).reshape(*samples.shape[:2], -1)
    decoded.gray = decoded.codes.shape[2] == 1
    decoded.orientation, decoded.icc = 1, b""  # LibRaw has applied both
    decoded.pictures = 1
    decoded.remarks = (f"developed from {camera}",)
    return decoded
