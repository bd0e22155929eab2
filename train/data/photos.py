"""Photographs for training: found in folders and tars, looked at once, split by content."""

import csv
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import bracex
import numpy as np
from PIL import AvifImagePlugin, Image, ImageOps

from ...runtime.color import rgb_to_lab
from ...runtime.errors import ArgumentError, InputError
from ...runtime.files import fingerprint, sha256, whole_file
from ...runtime.photo.decoding import UndecodableError, decoding, limited, open_encoded
from ...runtime.photo.reader import to_srgb
from .index import Index, Seen
from .sources import PhotoFile

GRAY_CHROMA = 4.0
"""Mean ab chroma below which a photograph counts as gray: it would teach to leave things gray."""

_THUMBNAIL = (64, 64)


@dataclass(frozen=True)
class LeftOut:
    """A photograph that is not trained on, and why."""

    name: str
    reason: str


@dataclass(frozen=True)
class PhotoSet:
    """The usable photographs of some sources, and what was left out."""

    name: str
    fingerprint: str  # of all readable ones, gray ones too: see files.fingerprint
    photos: tuple[PhotoFile, ...]
    gray: tuple[LeftOut, ...]
    unreadable: tuple[LeftOut, ...]

    def split(self, share: float, limit: int) -> tuple[list[PhotoFile], list[PhotoFile]]:
        """Return training and validation photos, told apart by content: alike on every machine."""
        distinct = {photo.sha256: photo for photo in self.photos}
        wanted = max(1, min(limit, max(round(len(distinct) * share), min(4, len(distinct) // 4))))
        held = dict.fromkeys(sorted(distinct)[:wanted])
        training = [photo for photo in self.photos if photo.sha256 not in held]
        return training, [distinct[digest] for digest in held]

    def save_left_out(self, path: Path) -> None:
        """Write the name of every photograph that was left out, and why, as CSV."""
        with whole_file(path) as part, part.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(["photograph", "reason"])
            writer.writerows((left.name, left.reason) for left in (*self.unreadable, *self.gray))


def collect(
    sources: Sequence[str], on_photo: Callable[[int, int], None] = lambda _done, _total: None
) -> PhotoSet:
    """Find the photographs in SOURCES: folders of any nesting, tars; globs and braces of both.

    Each is looked at once: an index in the user's cache folder knows it the next time. ON_PHOTO
    gets the number looked at and the total. ArgumentError if a source is missing, InputError if it
    cannot be read or no photograph in color is left.
    """
    indexes = [Index(path) for source in sources for path in _expand(source)]
    total, done = sum(len(index.photographs) for index in indexes), 0
    usable: list[PhotoFile] = []
    gray: list[LeftOut] = []
    unreadable: list[LeftOut] = []
    hashes: list[str] = []
    for index in indexes:
        for photo, seen in index.look(_look):
            if seen.chroma is None:
                unreadable.append(LeftOut(photo.title, seen.reason))
            else:
                hashes.append(seen.sha256)
                if seen.chroma < GRAY_CHROMA:
                    gray.append(LeftOut(photo.title, f"gray: mean chroma {seen.chroma:.1f}"))
                else:
                    usable.append(photo)
            done += 1
            on_photo(done, total)
    if not usable:
        raise InputError(
            f"{', '.join(sources)}: no photograph in color among {total} files "
            f"({len(gray)} gray, {len(unreadable)} unreadable); --data needs color photographs"
        )
    name = "+".join("/".join(Path(source).resolve().parts[-2:]) for source in sources)
    return PhotoSet(
        name=name,
        fingerprint=fingerprint(hashes),
        photos=tuple(usable),
        gray=tuple(gray),
        unreadable=tuple(unreadable),
    )


def _expand(source: str) -> Iterator[Path]:
    """Yield the paths that SOURCE names: itself, braces such as {000..009}, globs."""
    for pattern in [source] if Path(source).exists() else bracex.iexpand(source):
        path = Path(pattern)
        root = Path(path.anchor)
        paths = [path] if path.exists() else sorted(root.glob(str(path.relative_to(root))))
        if not paths:
            raise ArgumentError(
                f"{pattern}: no such folder or tar; give --data a folder of photographs"
            )
        yield from paths


def _look(data: bytes) -> Seen:
    AvifImagePlugin.DEFAULT_MAX_THREADS = 1  # starting threads takes longer than decoding
    try:
        with limited(), open_encoded(data) as image:
            return Seen(sha256(data), _mean_chroma(image))
    except UndecodableError as error:
        return Seen(sha256(data), None, str(error))


def _mean_chroma(image: Image.Image) -> float:
    with decoding():
        image.draft("RGB", _THUMBNAIL)  # lets the JPEG decoder skip what a thumbnail does not need
    lab = rgb_to_lab(np.asarray(as_rgb(image).resize(_THUMBNAIL, Image.Resampling.BOX)))
    return float(np.hypot(lab[..., 1], lab[..., 2]).mean())


def as_rgb(image: Image.Image) -> Image.Image:
    """Return IMAGE upright and in sRGB."""
    with decoding():
        upright = ImageOps.exif_transpose(image)
    return to_srgb(upright)
