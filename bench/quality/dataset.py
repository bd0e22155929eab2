"""Photographs to measure on: a folder or a tar, its content checked, cut as a protocol says."""

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image

from ...runtime.color import U8
from ...runtime.errors import InputError
from ...runtime.files import sha256
from ...runtime.photo.reader import read_photo
from ...train.data.sources import PhotoFile, photographs, tar_members

MANIFEST = "SHA256SUMS"
"""The output of `sha256sum`: a data set that holds this file must hold exactly its photographs."""

_NAMED = 5  # names that an error message lists


@dataclass(frozen=True)
class DataSet:
    """The photographs of one folder or tar."""

    name: str
    photos: tuple[PhotoFile, ...]
    manifest_sha256: str | None = None

    def sample(self, limit: int | None, seed: int) -> "DataSet":
        """Return LIMIT photographs of the set, drawn by SEED; all of them without a limit."""
        if limit is None or limit >= len(self.photos):
            return self
        drawn = sorted(random.Random(seed).sample(range(len(self.photos)), limit))
        return replace(self, photos=tuple(self.photos[index] for index in drawn))


def open_data(source: Path) -> DataSet:
    """Find the photographs in SOURCE, a folder of any nesting or an uncompressed tar.

    InputError if there are none, or if SOURCE has a manifest that its photographs do not match.
    """
    if not source.exists():
        raise InputError(f"{source}: no such folder; give --data a folder of color photographs")
    photos, manifest = photographs(source), _manifest(source)
    if not source.is_dir():
        photos.sort(key=lambda photo: photo.name)
    if not photos:
        raise InputError(f"{source}: no photographs in it; --data needs color photographs")
    if manifest is None:
        return DataSet(source.resolve().name, tuple(photos))
    _check(manifest, {photo.name: photo for photo in photos}, source)
    return DataSet(source.resolve().name, tuple(photos), sha256(manifest))


def _manifest(source: Path) -> bytes | None:
    if source.is_dir():
        listed = source / MANIFEST
        return listed.read_bytes() if listed.is_file() else None
    return next((file.read() for file in tar_members(source) if file.name == MANIFEST), None)


def read_rgb(photo: PhotoFile) -> U8:
    """Return the photograph as 8-bit sRGB (H, W, 3); InputError if it cannot be decoded."""
    return read_photo(Path(photo.title), photo.read()).rgb


def _check(manifest: bytes, photos: Mapping[str, PhotoFile], source: Path) -> None:
    lines = manifest.decode("utf-8", "replace").splitlines()
    pairs = [line.replace(" *", "  ", 1).split("  ", 1) for line in lines if line.strip()]
    if any(len(pair) != 2 for pair in pairs):
        raise InputError(f"{source}: {MANIFEST} has lines that sha256sum did not write")
    wanted = {name.removeprefix("./"): digest.lower() for digest, name in pairs}
    missing = [name for name in wanted if name not in photos]
    extra = [name for name in photos if name not in wanted]
    changed = [
        name
        for name, digest in wanted.items()
        if name in photos and sha256(photos[name].read()) != digest
    ]
    for names, what in ((missing, "missing"), (changed, "changed"), (extra, "not listed")):
        if names:
            raise InputError(f"{source}: {what} against its {MANIFEST}: {first_few(names)}")


def first_few(names: list[str]) -> str:
    """Return the first names, and how many there are if these are not all."""
    shown = ", ".join(sorted(names)[:_NAMED])
    return f"{shown} ({len(names)} in all)" if len(names) > _NAMED else shown


def _center_256(rgb: U8) -> U8:
    """Short side to 256 pixels by Lanczos' filter, then the 256x256 in the middle."""
    height, width = rgb.shape[:2]
    scale = 256 / min(height, width)
    sides = (round(width * scale), round(height * scale))
    resized = np.asarray(Image.fromarray(rgb).resize(sides, Image.Resampling.LANCZOS))
    top, left = (resized.shape[0] - 256) // 2, (resized.shape[1] - 256) // 2
    return np.ascontiguousarray(resized[top : top + 256, left : left + 256])


PROTOCOLS: dict[str, Callable[[U8], U8]] = {"imagenet256": _center_256, "native": lambda rgb: rgb}
"""What is done to a truth before it is colored and compared; results are 8-bit."""

PROTOCOL_VERSIONS = {"imagenet256": 1, "native": 1}
"""Raised when a protocol gives other pixels: figures of two versions cannot be compared."""
