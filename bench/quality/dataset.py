"""Photographs to measure on: a folder or a tar, its content checked, cut as a protocol says."""

import random
import tarfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image

from ...runtime.color import U8
from ...runtime.errors import InputError
from ...runtime.files import PHOTO_SUFFIXES, photo_files, sha256
from ...runtime.photo.reader import read_photo

MANIFEST = "SHA256SUMS"
"""Lines of `sha256sum`; where a data set has one, its photographs must be exactly those."""

_NAMED = 5  # how many names a complaint lists


@dataclass(frozen=True)
class PhotoRef:
    """Where one photograph lies: a file, or LENGTH bytes at OFFSET of a tar."""

    name: str  # below the folder or in the tar
    path: Path
    offset: int = 0
    length: int | None = None

    def content(self) -> bytes:
        """Return the encoded photograph."""
        if self.length is None:
            return self.path.read_bytes()
        with self.path.open("rb") as file:
            file.seek(self.offset)
            return file.read(self.length)

    def read(self) -> U8:
        """Return the photograph as 8-bit sRGB (H, W, 3); InputError if it cannot be decoded."""
        shown = self.path if self.length is None else self.path / self.name
        return read_photo(shown, self.content()).rgb


@dataclass(frozen=True)
class DataSet:
    """The photographs of one folder or tar."""

    name: str
    photos: tuple[PhotoRef, ...]
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
    if source.is_dir():
        photos = [
            PhotoRef(path.relative_to(source).as_posix(), path) for path in photo_files(source)
        ]
        listed = source / MANIFEST
        manifest = listed.read_bytes() if listed.is_file() else None
    elif source.is_file():
        photos, manifest = _tar_members(source)
    else:
        raise InputError(f"{source}: no such folder; give --data a folder of color photographs")
    if not photos:
        raise InputError(f"{source}: no photographs in it; --data needs color photographs")
    if manifest is None:
        return DataSet(source.resolve().name, tuple(photos))
    _check(manifest, {photo.name: photo for photo in photos}, source)
    return DataSet(source.resolve().name, tuple(photos), sha256(manifest))


def _tar_members(path: Path) -> tuple[list[PhotoRef], bytes | None]:
    photos, manifest = [], None
    try:
        with tarfile.open(path, "r:") as tar:
            for member in tar:
                ref = PhotoRef(
                    member.name.removeprefix("./"), path, member.offset_data, member.size
                )
                if not member.isfile():
                    continue
                if ref.name == MANIFEST:
                    manifest = ref.content()
                elif Path(ref.name).suffix.lower() in PHOTO_SUFFIXES:
                    photos.append(ref)
    except (tarfile.TarError, OSError) as error:
        raise InputError(
            f"{path}: neither a folder nor an uncompressed tar ({error}); unpack it first"
        ) from error
    return sorted(photos, key=lambda ref: ref.name), manifest


def _check(manifest: bytes, photos: Mapping[str, PhotoRef], source: Path) -> None:
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
        if name in photos and sha256(photos[name].content()) != digest
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
"""What is done to a truth before it is measured on; results are 8-bit, as PNG stores them."""

PROTOCOL_VERSIONS = {"imagenet256": 1, "native": 1}
"""Rises when the same name would give other pixels: figures of two versions do not compare."""
