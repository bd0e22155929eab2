"""How finely a JPEG file is quantized."""

import io
from functools import cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image


def jpeg_quality(image: Image.Image) -> int:
    """Return the lowest quality at which a JPEG rounds nowhere more than this one; else 0."""
    tables = getattr(image, "quantization", None)
    if not tables:
        return 0
    source = list(tables.values())
    for quality in range(100):
        ours = _tables(quality)
        if all(np.all(ours[min(i, 1)] <= table) for i, table in enumerate(source)):
            return quality
    return 100


@cache
def _tables(quality: int) -> list[NDArray[np.int64]]:
    """Return libjpeg's tables for luma and chroma."""
    file = io.BytesIO()
    Image.new("RGB", (1, 1)).save(file, "JPEG", quality=quality)
    with Image.open(file) as image:
        return [np.asarray(table) for table in image.quantization.values()]  # type: ignore[attr-defined]
