"""Photographs for training: found in folders and tars, looked at once, split by content."""

import csv
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import bracex
import numpy as np
from PIL import AvifImagePlugin, Image, ImageOps

from ...runtime.color import F32, rgb_to_lab
from ...runtime.errors import ArgumentError, InputError
from ...runtime.files import fingerprint, sha256, whole_file
from ...runtime.photo.decoding import UndecodableError, decoding, limited, open_encoded
from ...runtime.photo.reader import to_srgb
from .index import Index, Seen
from .sources import PhotoFile

GRAY_CHROMA = 4.0
"""Mean ab chroma below which a photograph counts as gray: it would teach to leave things gray."""

_THUMBNAIL = (64, 64)
# A picture is tinted if its colors follow from its lightness and have one hue. Of 1,500 color
# photographs 0.9 % are, most of them of fog or sky; of the same ones toned in three ways 94 %.
_TINT_SPREAD = 2.0  # mean distance in ab from the mean of what is as light
_TINT_HUE = 0.95  # length of the mean of ab, of the mean chroma
_TINT_SHARE = 0.2  # of the chroma that the spread may be
_TINT_CONTRAST = 8.0  # standard deviation of L*: a flat color is no photograph in sepia


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
    tinted: tuple[LeftOut, ...]  # in one hue, as sepia is
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
            left_out = (*self.unreadable, *self.gray, *self.tinted)
            writer.writerows((left.name, left.reason) for left in left_out)


def collect(
    sources: Sequence[str],
    on_photo: Callable[[int, int], None] = lambda _done, _total: None,
    *,
    keep_tinted: bool = False,
) -> PhotoSet:
    """Find the photographs in SOURCES: folders of any nesting, tars; globs and braces of both.

    Each is looked at once: an index in the user's cache folder knows it the next time. Gray ones
    are left out, and tinted ones unless KEEP_TINTED. ON_PHOTO gets the number looked at and the
    total. ArgumentError if a source is missing, InputError if it cannot be read or none is usable.
    """
    indexes = [Index(path) for source in sources for path in _expand(source)]
    total = sum(len(index.photographs) for index in indexes)
    usable: list[PhotoFile] = []
    gray: list[LeftOut] = []
    tinted: list[LeftOut] = []
    unreadable: list[LeftOut] = []
    hashes: list[str] = []
    looks = chain.from_iterable(index.look(_look) for index in indexes)
    for number, (photo, seen) in enumerate(looks, start=1):
        if seen.chroma is None:
            unreadable.append(LeftOut(photo.title, seen.reason))
        else:
            hashes.append(seen.sha256)
            if seen.chroma < GRAY_CHROMA:
                gray.append(LeftOut(photo.title, f"gray: mean chroma {seen.chroma:.1f}"))
            elif seen.tinted and not keep_tinted:
                tinted.append(LeftOut(photo.title, "of a single hue, as sepia is"))
            else:
                usable.append(photo)
        on_photo(number, total)
    if not usable:
        raise InputError(
            f"{', '.join(sources)}: no photograph in color among {total} files "
            f"({len(gray)} gray, {len(tinted)} of a single hue, {len(unreadable)} unreadable); "
            "--data needs color photographs"
        )
    name = "+".join("/".join(Path(source).resolve().parts[-2:]) for source in sources)
    return PhotoSet(
        name=name,
        fingerprint=fingerprint(hashes),
        photos=tuple(usable),
        gray=tuple(gray),
        tinted=tuple(tinted),
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
            lab = _thumbnail(image)
            chroma = float(np.hypot(lab[..., 1], lab[..., 2]).mean())
            return Seen(sha256(data), chroma, tinted=_is_tinted(lab, chroma))
    except UndecodableError as error:
        return Seen(sha256(data), None, str(error))


def _thumbnail(image: Image.Image) -> F32:
    """Return CIELAB (64, 64, 3) of a picture."""
    with decoding():
        image.draft("RGB", _THUMBNAIL)  # lets the JPEG decoder skip what a thumbnail does not need
    return rgb_to_lab(np.asarray(as_rgb(image).resize(_THUMBNAIL, Image.Resampling.BOX)))


def _is_tinted(lab: F32, chroma: float) -> bool:
    """Whether CIELAB (h, w, 3) of this mean CHROMA is that of a gray picture toned in one hue."""
    pixels = lab.reshape(-1, 3)
    ab = pixels[np.argsort(pixels[:, 0], kind="stable"), 1:]
    alike = ab.reshape(-1, _THUMBNAIL[0], 2)  # groups of about one lightness
    spread = np.hypot(*(alike - alike.mean(axis=1, keepdims=True)).T).mean()
    return bool(
        pixels[:, 0].std() > _TINT_CONTRAST
        and spread < min(_TINT_SPREAD, _TINT_SHARE * chroma)
        and np.hypot(*ab.mean(axis=0)) > _TINT_HUE * chroma
    )


def as_rgb(image: Image.Image) -> Image.Image:
    """Return IMAGE upright and in sRGB."""
    with decoding():
        upright = ImageOps.exif_transpose(image)
    return to_srgb(upright)
