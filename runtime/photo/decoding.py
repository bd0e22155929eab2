"""Calls of the decoding libraries: opened by content, and whatever they raise made one error.

Only the libraries' calls stand inside `decoding`: an error in our own code must stay a traceback,
and never read "damaged picture".
"""

import io
import struct
import threading
import warnings
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import cv2.utils.logging as opencv_log
import numpy as np
from numpy.typing import NDArray
from PIL import Image, PngImagePlugin, UnidentifiedImageError

from ..color import Codes
from ..errors import InputError, MissingExtraError
from . import jpeg, png

# What Pillow's and OpenCV's decoders raise at damaged files; a fuzz test adds to it.
_LIBRARY_ERRORS = (
    *(OSError, ValueError, SyntaxError, EOFError, RuntimeError, TypeError, AttributeError),
    *(LookupError, ArithmeticError, AssertionError, struct.error, zlib.error, cv2.error),
)
_HEIF_BRANDS = (b"ftypheic", b"ftypheix", b"ftypmif1")


DAMAGED = "damaged chunks"
"""The key of those that `open_picture` left out, in a picture's info."""

DEEP = "bits of a sample"
"""The key of those that Pillow cannot decode."""


@dataclass
class Decoded:
    """The samples of a file as they are stored, and what it says of them."""

    codes: Codes = field(default_factory=lambda: np.empty((0, 0, 3), np.uint8))  # (H, W, 1, 3 or 4)
    alpha: Codes | None = None  # (H, W)
    associated: bool = False  # the colors are multiplied by alpha
    gray: bool = False  # of one channel, though CODES may have three
    inks: bool = False  # four channels of CMYK
    orientation: int = 1  # EXIF's
    exif: Image.Exif = field(default_factory=Image.Exif)
    icc: bytes = b""
    tags: dict[str, Any] = field(default_factory=dict)  # dpi, xmp, iptc, comment, text: see Photo
    pictures: int = 1
    form: str = ""
    jpeg_quality: int = 0
    lossless: bool = False  # of a format that can be either
    remarks: tuple[str, ...] = ()


class UndecodableError(InputError):
    """A picture that a decoding library cannot decode; the message is the library's reason."""


class UnsupportedError(UndecodableError):
    """A whole picture of a kind that is not read; the message says which, and what to do."""


@contextmanager
def decoding() -> Iterator[None]:
    """Make whatever a library's calls raise at a damaged file an UndecodableError.

    Errors of the file system stay what they are, as does that of an unknown format.
    """
    try:
        yield
    except UnidentifiedImageError:
        raise
    except _LIBRARY_ERRORS as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise UndecodableError(str(error) or type(error).__name__) from error


_MOST_OUTSIDE = 0.05  # share of the values; more are another scale, not a few highlights


def in_unit(values: NDArray[Any]) -> tuple[NDArray[Any], tuple[str, ...]]:
    """Return floating-point VALUES clipped to 0..1, and a remark if that changed some.

    UnsupportedError if most are meant for another range.
    """
    finite = values[np.isfinite(values)]
    outside = 1 - np.count_nonzero((finite >= 0) & (finite <= 1)) / max(values.size, 1)
    if outside > _MOST_OUTSIDE:
        low, high = (finite.min(), finite.max()) if finite.size else (np.nan, np.nan)
        raise UnsupportedError(
            f"has floating-point values of {low:g}..{high:g}, not of 0..1; scale them, or save it "
            "with 16 bits"
        )
    if not outside:
        return values, ()
    clipped = np.clip(np.nan_to_num(values, nan=0.0, posinf=1.0, neginf=0.0), 0, 1)
    share = f"{100 * outside:.1f}%" if outside >= 0.001 else "less than 0.1%"
    return clipped, (f"{share} of its floating-point values were outside 0..1 and were clipped",)


class _Relaxed:
    """Pillow's limit and both libraries' warnings off while anybody reads: they are globals."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._readers = 0
        self._undo = ExitStack()

    def enter(self) -> None:
        with self._lock:
            self._readers += 1
            if self._readers == 1:
                self._undo.callback(setattr, Image, "MAX_IMAGE_PIXELS", Image.MAX_IMAGE_PIXELS)
                self._undo.enter_context(warnings.catch_warnings())
                warnings.simplefilter("ignore")  # remarks on damaged metadata, not on the picture
                Image.MAX_IMAGE_PIXELS = None
                text = PngImagePlugin.MAX_TEXT_CHUNK
                self._undo.callback(setattr, PngImagePlugin, "MAX_TEXT_CHUNK", text)
                PngImagePlugin.MAX_TEXT_CHUNK = png.MOST_TEXT
                self._undo.callback(opencv_log.setLogLevel, opencv_log.getLogLevel())
                opencv_log.setLogLevel(opencv_log.LOG_LEVEL_SILENT)

    def leave(self) -> None:
        with self._lock:
            self._readers -= 1
            if self._readers == 0:
                self._undo.close()


_RELAXED = _Relaxed()


@contextmanager
def limited() -> Iterator[None]:
    """Put our own limit, checked before anything is decoded, in the place of Pillow's.

    Threads may overlap: the first one in sets Pillow's globals, the last one out restores them.
    """
    _RELAXED.enter()
    try:
        yield
    finally:
        _RELAXED.leave()


def open_encoded(content: bytes) -> Image.Image:
    """Open a picture in memory without decoding it; UndecodableError if no decoder takes it."""
    try:
        with decoding():
            return Image.open(io.BytesIO(content))
    except UnidentifiedImageError as error:
        raise UndecodableError("not a picture in any format known here") from error


def open_picture(path: Path, content: bytes | None = None) -> Image.Image:
    """Open PATH, or CONTENT if given, without decoding it; any error of Pillow's may be raised.

    UnidentifiedImageError for an unknown format, MissingExtraError if it needs a package.
    """

    def opened() -> Image.Image:
        with decoding():
            return Image.open(path if content is None else io.BytesIO(content))

    try:
        return opened()
    except UnidentifiedImageError:
        start = _first_bytes(path) if content is None else content[:12]
        if start.startswith(png.SIGNATURE):
            whole = path.read_bytes() if content is None else content
            content, damaged = png.without_damaged_chunks(whole)
            image = opened()
            image.info[DAMAGED] = damaged
            return image
        if start.startswith(jpeg.START):
            whole = path.read_bytes() if content is None else content
            if bits := jpeg.bits_of(whole):
                content = jpeg.as_eight_bits(whole)
                image = opened()
                image.info[DEEP] = bits
                return image
        if start[4:] not in _HEIF_BRANDS:
            raise
        if not register_heif():
            raise MissingExtraError(
                f"{path}: HEIF needs pillow-heif: pip install 'colorize-toolkit[heif]' "
                "(in a clone: pip install '.[heif]')"
            ) from None
        return opened()


def _first_bytes(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(12)


@cache
def register_heif() -> bool:
    """Let Pillow read and write HEIF if pillow-heif is installed; return whether it is."""
    try:
        import pillow_heif
    except ModuleNotFoundError:
        return False
    pillow_heif.register_heif_opener()
    return True
