"""Decoded photographs on disk, for all the workers of one process: a file of a bounded size."""

import struct
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ...runtime.color import U8

_LONGEST = 2  # times the short side; longer photographs are decoded each time
_HEADER = struct.Struct("<II")  # height, width; zeros until the photograph is there


@dataclass(frozen=True)
class DecodedCache:
    """A file of equal slots, one a photograph, for as many as its size allows.

    What the system has room for stays in memory.
    """

    path: Path
    slot: int  # bytes
    capacity: int

    def get(self, photo: int) -> U8 | None:
        """Return photograph number PHOTO as (H, W, 3), or None if it has not been put."""
        if photo >= self.capacity:
            return None
        with self.path.open("rb") as file:
            file.seek(photo * self.slot)
            header = file.read(_HEADER.size)
            height, width = _HEADER.unpack(header) if len(header) == _HEADER.size else (0, 0)
            if height == 0:
                return None
            pixels = file.read(height * width * 3)
        return np.frombuffer(pixels, np.uint8).reshape(height, width, 3)

    def put(self, photo: int, rgb: U8) -> None:
        """Keep RGB (H, W, 3), if there is a slot for it and it fits in."""
        if photo >= self.capacity or _HEADER.size + rgb.size > self.slot:
            return
        # On a full disk the photograph is only decoded again in the next epoch.
        with suppress(OSError), self.path.open("r+b") as file:
            file.seek(photo * self.slot + _HEADER.size)
            file.write(rgb.tobytes())
            file.flush()
            file.seek(photo * self.slot)
            # Last: a header means that the pixels are complete.
            file.write(_HEADER.pack(*rgb.shape[:2]))


@contextmanager
def decoded_cache(photos: int, short_side: int, limit: int) -> Iterator[DecodedCache]:
    """Yield a cache of at most LIMIT bytes for PHOTOS of SHORT_SIDE; it is deleted at the end."""
    slot = _HEADER.size + _LONGEST * short_side**2 * 3
    with tempfile.TemporaryDirectory(prefix="colorize-", ignore_cleanup_errors=True) as folder:
        path = Path(folder) / "decoded"
        path.touch()
        yield DecodedCache(path, slot, min(photos, limit // slot))
