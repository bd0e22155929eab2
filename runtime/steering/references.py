"""Reference frames on the disk: found, checked, and read at the size at which colors are carried.

`ref_000042.png` gives the colors of frame 42, counted from 0; where it is transparent, the model
decides. `ref_000042_hints.png` gives strokes on that frame, over the reference if there is one.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import cv2
import numpy as np

from ..color import F32, U8, rgb_to_lab
from ..errors import ArgumentError, InputError
from ..files import REFERENCE_NAME, known_sha256
from ..photo.photo import Photo
from ..photo.reader import read_photo
from ..video.reader import VideoReader, shown_times
from ..video.side_data import as_stored, upright
from ..video.source import Source, promised_frames

_ASPECT_TOLERANCE = 0.02
_Parts = tuple[Path | None, Path | None]


@dataclass(frozen=True)
class Reference:
    """The colors that a user gives to one frame."""

    frame: int  # counted from 0
    picture: Path | None = None  # of the whole frame; transparent where the model decides
    strokes: Path | None = None  # drawn over it
    display: tuple[int, ...] | None = None  # the film's matrix, by which players turn it
    fits: str | None = None  # the identity of the video that it was found to fit

    @cached_property
    def digest(self) -> str:
        """What changes with the content of its files."""
        files = (self.picture, self.strokes)
        return " ".join("-" if file is None else known_sha256(file) for file in files)

    @property
    def files(self) -> list[Path]:
        """The files that it is made of, the strokes last."""
        return [file for file in (self.picture, self.strokes) if file is not None]

    def check(self, height: int, width: int, frames: int | None) -> None:
        """Raise InputError if it does not fit a video, shown as (HEIGHT, WIDTH), of FRAMES."""
        for file in self.files:
            if frames is not None and self.frame >= frames:
                raise InputError(f"{file}: the video has only {frames} frames, counted from 0")
            photo = self._read(file)
            own = photo.codes.shape[1] / photo.codes.shape[0]
            if abs(own * height / width - 1) > _ASPECT_TOLERANCE:
                raise InputError(
                    f"{file}: its size {photo.codes.shape[1]}x{photo.codes.shape[0]} has another "
                    f"aspect than the frames, {width}x{height}; crop it or delete it"
                )
            if file == self.strokes and photo.alpha is None:
                raise InputError(f"{file}: has no transparency; draw strokes on a layer of its own")

    def colors(self, shape: tuple[int, int]) -> tuple[F32, F32]:
        """Return its ab (h, w, 2) and alpha (h, w), 0..1, as frames are stored, at SHAPE (h, w).

        InputError if it is unreadable.
        """
        shape = _shown(shape, self.display)
        ab, alpha = np.zeros((*shape, 2), np.float32), np.zeros(shape, np.float32)
        for file in self.files:
            over, opaque = _shrunk(self._read(file), shape)
            both: F32 = opaque + alpha * (1 - opaque)
            share = opaque / np.maximum(both, np.float32(1e-6))
            ab += (over - ab) * share[..., None]
            alpha = both
        return as_stored(ab, self.display), as_stored(alpha, self.display)

    @staticmethod
    def _read(file: Path) -> Photo:
        return read_photo(file)


def find_references(folder: Path) -> dict[int, Reference]:
    """Return the references in FOLDER by their frames; InputError or ArgumentError if unusable."""
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder of reference frames")
    found: dict[int, _Parts] = {}
    for path in sorted(folder.iterdir()):
        named = REFERENCE_NAME.fullmatch(path.name)
        if named is None or not path.is_file():
            continue
        frame, is_strokes = int(named[1]), named[2] is not None
        picture, strokes = found.get(frame, (None, None))
        earlier = strokes if is_strokes else picture
        if earlier is not None:
            raise ArgumentError(f"{path}: {earlier.name} is of the same frame; keep one of them")
        found[frame] = (picture, path) if is_strokes else (path, strokes)
    if not found:
        raise InputError(f"{folder}: has no reference frames (ref_000000.png and so on)")
    return {
        frame: Reference(frame=frame, picture=picture, strokes=strokes)
        for frame, (picture, strokes) in sorted(found.items())
    }


def _shown(shape: tuple[int, int], display: tuple[int, ...] | None) -> tuple[int, int]:
    """Return the (height, width) as players show it of what is stored in SHAPE."""
    height, width = upright(np.empty(shape, np.bool_), display).shape
    return height, width


def fitted_references(references: Mapping[int, Reference], video: Source) -> dict[int, Reference]:
    """Return REFERENCES as they are for VIDEO; InputError for the first that does not fit.

    Those that this function returned for the same video are not read again.
    """
    identity = video.identity()
    if all(reference.fits == identity for reference in references.values()):
        return dict(references)
    with video.open() as container:
        stream = video.video(container)
        size = stream.codec_context.height, stream.codec_context.width
        frames = promised_frames(stream) or len(shown_times(container, stream)) or None
    with video.open() as container:
        first = next(VideoReader(video, container).pictures(), None)
        display = None if first is None else first.layout.display
    for reference in references.values():
        reference.check(*_shown(size, display), frames)
    return {
        frame: replace(own, display=display, fits=identity) for frame, own in references.items()
    }


def digests(references: Mapping[int, Reference]) -> dict[int, str]:
    """Return the digest of each reference by its frame."""
    return {frame: reference.digest for frame, reference in references.items()}


def _shrunk(photo: Photo, shape: tuple[int, int]) -> tuple[F32, F32]:
    """Return ab (h, w, 2) and alpha (h, w) of a photograph; transparent pixels color nothing."""
    rgb: U8 = photo.rgb
    if photo.alpha is None:
        alpha: F32 = np.ones(rgb.shape[:2], np.float32)
    else:
        most = np.float32(np.iinfo(photo.alpha.dtype).max)
        alpha = photo.alpha.astype(np.float32) / most
    small = _resized(alpha, shape)
    ab = rgb_to_lab(rgb)[..., 1:]
    weighted = _resized(np.ascontiguousarray(ab * alpha[..., None]), shape)
    return np.asarray(weighted / np.maximum(small, 1e-6)[..., None], np.float32), small


def _resized(planes: F32, shape: tuple[int, int]) -> F32:
    height, width = shape
    shrinks = planes.shape[0] >= height and planes.shape[1] >= width
    method = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(planes, (width, height), interpolation=method), np.float32)


def references_for(
    source: Source, references: str | Path | Mapping[int, Reference]
) -> Mapping[int, Reference]:
    """Return the REFERENCES, a folder or those in it, of a video, checked against it.

    InputError or ArgumentError if they are unusable.
    """
    if source.pipe is not None:
        raise ArgumentError("-: references need a file, which is read twice")
    found = references if isinstance(references, Mapping) else find_references(Path(references))
    return fitted_references(found, source)
