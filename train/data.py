"""Photographs from folders and tars, as pairs of lightness and chroma."""

import io
import random
import tarfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor
from torch.utils.data import Dataset, Sampler

from ..runtime.color import U8, grey_to_lightness, rgb_to_grey, rgb_to_lab
from ..runtime.errors import ArgumentError, InputError
from ..runtime.files import PHOTO_SUFFIXES, fingerprint, photo_files, sha256
from ..runtime.images import UNREADABLE, limited, to_srgb

GREY_CHROMA = 4.0
"""Mean ab chroma below which a photograph counts as grey: it would teach to leave things grey."""

_THUMBNAIL = (64, 64)


@dataclass(frozen=True)
class Photo:
    """Where one photograph lies: a file, or LENGTH bytes at OFFSET in a tar."""

    path: Path
    name: str
    sha256: str = ""
    offset: int = 0
    length: int | None = None

    def read(self) -> bytes:
        """Return the encoded photograph."""
        if self.length is None:
            return self.path.read_bytes()
        with self.path.open("rb") as file:
            file.seek(self.offset)
            return file.read(self.length)


@dataclass(frozen=True)
class PhotoSet:
    """The usable photographs of some sources, and what was left out."""

    name: str
    fingerprint: str  # of all readable ones, grey ones too: see files.fingerprint
    photos: tuple[Photo, ...]
    grey: int
    unreadable: tuple[str, ...]

    def split(self, share: float, limit: int) -> tuple[list[Photo], list[Photo]]:
        """Return training and validation photos, told apart by content: alike on every machine."""
        distinct = {photo.sha256: photo for photo in self.photos}
        wanted = max(1, min(limit, max(round(len(distinct) * share), min(4, len(distinct) // 4))))
        held = dict.fromkeys(sorted(distinct)[:wanted])
        training = [photo for photo in self.photos if photo.sha256 not in held]
        return training, [distinct[digest] for digest in held]


def collect(
    sources: Sequence[str], on_photo: Callable[[int, int], None] = lambda _done, _total: None
) -> PhotoSet:
    """Find the photographs in SOURCES: folders of any nesting, tars, globs of both.

    ON_PHOTO gets the number looked at and the total. ArgumentError if a source is missing,
    InputError if no photograph in colour is left.
    """
    found = [photo for source in sources for path in _expand(source) for photo in _photos_in(path)]
    usable, hashes, unreadable, grey = [], [], [], 0
    for index, photo in enumerate(found):
        try:
            data = photo.read()
            with limited(), Image.open(io.BytesIO(data)) as image:
                chroma = _mean_chroma(image)
        except UNREADABLE:
            unreadable.append(photo.name)
        else:
            digest = sha256(data)
            hashes.append(digest)
            if chroma < GREY_CHROMA:
                grey += 1
            else:
                usable.append(Photo(photo.path, photo.name, digest, photo.offset, photo.length))
        on_photo(index + 1, len(found))
    where = ", ".join(sources)
    if not usable:
        raise InputError(
            f"{where}: no photograph in colour among {len(found)} files "
            f"({grey} grey, {len(unreadable)} unreadable); --data needs colour photographs"
        )
    name = "+".join("/".join(Path(source).resolve().parts[-2:]) for source in sources)
    return PhotoSet(name, fingerprint(hashes), tuple(usable), grey, tuple(unreadable))


def _expand(source: str) -> list[Path]:
    path = Path(source)
    paths = [path] if path.exists() else sorted(path.parent.glob(path.name))
    if not paths:
        raise ArgumentError(f"{source}: no such folder or tar; give --data a folder of photographs")
    return paths


def _photos_in(path: Path) -> Iterable[Photo]:
    if path.is_dir():
        return [Photo(file, str(file)) for file in photo_files(path)]
    try:
        with tarfile.open(path, "r:") as tar:
            return [
                Photo(path, f"{path}:{member.name}", "", member.offset_data, member.size)
                for member in tar
                if member.isfile() and Path(member.name).suffix.lower() in PHOTO_SUFFIXES
            ]
    except (tarfile.TarError, OSError) as error:
        raise ArgumentError(
            f"{path}: neither a folder nor an uncompressed tar ({error})"
        ) from error


def _mean_chroma(image: Image.Image) -> float:
    image.draft("RGB", _THUMBNAIL)  # lets the JPEG decoder skip what a thumbnail does not need
    lab = rgb_to_lab(np.asarray(_as_rgb(image).resize(_THUMBNAIL, Image.Resampling.BOX)))
    return float(np.hypot(lab[..., 1], lab[..., 2]).mean())


def _as_rgb(image: Image.Image) -> Image.Image:
    return to_srgb(ImageOps.exif_transpose(image))


def to_tensors(rgb: U8) -> tuple[Tensor, Tensor]:
    """Turn 8-bit (H, W, 3) into L* (1, H, W) and ab (2, H, W), float32, as the runtime would."""
    lightness = grey_to_lightness(rgb_to_grey(rgb))
    ab = rgb_to_lab(rgb)[..., 1:]
    return torch.from_numpy(lightness[None]), torch.from_numpy(
        np.ascontiguousarray(ab.transpose(2, 0, 1))
    )


class Draw(NamedTuple):
    """One photograph of an endless training: which, and the how manyeth of all."""

    photo: int
    number: int


class EndlessDraws(Sampler[Draw]):
    """Epoch after epoch, each a permutation of its own; the START-th draw is always the same."""

    def __init__(self, photos: int, seed: int, start: int = 0) -> None:
        self._photos, self._seed, self._start = photos, seed, start

    def __iter__(self) -> Iterator[Draw]:
        number = self._start
        while True:
            epoch, first = divmod(number, self._photos)
            order = list(range(self._photos))
            random.Random(f"{self._seed} {epoch}").shuffle(order)
            for photo in order[first:]:
                yield Draw(photo, number)
                number += 1


class CropDataset(Dataset[tuple[Tensor, Tensor]]):
    """Square crops: random and mirrored where a SEED is given, central where not."""

    def __init__(self, photos: Sequence[Photo], size: int, *, seed: int | None = None) -> None:
        self.photos = photos
        self.size = size
        self._seed = seed

    def __len__(self) -> int:
        return len(self.photos)

    def __getitem__(self, draw: Draw | int) -> tuple[Tensor, Tensor]:
        """Return L* (1, size, size) and ab (2, size, size); the same draw, the same crop."""
        photo, number = draw if isinstance(draw, Draw) else (draw, draw)
        with limited(), Image.open(io.BytesIO(self.photos[photo].read())) as image:
            image.draft("RGB", (2 * self.size, 2 * self.size))
            rgb = _as_rgb(image)
        share, x, y, mirrored = 1.0, 0.5, 0.5, False
        if self._seed is not None:
            chance = random.Random(f"{self._seed} {number}")
            share, x, y = chance.uniform(0.6, 1.0), chance.random(), chance.random()
            mirrored = chance.random() < 0.5
        side = min(rgb.size) * share
        left, top = (rgb.width - side) * x, (rgb.height - side) * y
        box = (left, top, left + side, top + side)
        crop = np.asarray(rgb.resize((self.size, self.size), Image.Resampling.BILINEAR, box))
        return to_tensors(crop[:, ::-1] if mirrored else crop)
