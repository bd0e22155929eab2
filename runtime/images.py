"""Photographs: read by content, written whole, with their size and what their files say kept."""

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageCms, ImageOps, UnidentifiedImageError

from .color import F32, U8, lab_to_rgb, rgb_to_grey, rgb_to_lightness, to_bytes
from .errors import InputError, OutputError
from .files import whole_file
from .planes import enlarge

MAX_PIXELS = 250_000_000
UNREADABLE = (OSError, ValueError, SyntaxError, EOFError, RuntimeError)
"""What Pillow's decoders raise at damaged files."""

_ORIENTATION = 0x0112
# Titles, makers, dates, resolution, copyright and the EXIF, GPS and IPTC blocks (TIFF 6.0).
_TIFF_DESCRIPTIONS = frozenset(
    (270, 271, 272, 282, 283, 285, 296, 305, 306, 315, 316, 700, 33432, 33723, 34665, 34853)
)
_STRIP_PIXELS = 1 << 20  # full-size colour is computed in strips of about this many pixels
_SAVE_OPTIONS: dict[str, dict[str, Any]] = {
    "JPEG": {"quality": 95, "subsampling": "4:4:4"},
    "WEBP": {"quality": 95},
    "AVIF": {"quality": 90, "subsampling": "4:4:4"},
    "TIFF": {"compression": "tiff_deflate"},
}
_WITHOUT_ALPHA = {"JPEG", "BMP", "PPM"}


@dataclass(frozen=True)
class Photo:
    """A decoded photograph, upright, in sRGB."""

    rgb: U8  # (H, W, 3)
    alpha: U8 | None = None  # (H, W)
    pictures: int = 1  # in the file; the first is read
    tags: dict[str, Any] = field(default_factory=dict)  # EXIF and DPI, as Pillow's save takes them

    def grey(self) -> U8:
        """Return the 8-bit grey (H, W) of equal lightness, which is what networks see."""
        grey = np.empty(self.rgb.shape[:2], np.uint8)
        for strip in strips(self.rgb):
            grey[strip] = rgb_to_grey(self.rgb[strip])
        return grey


def is_photo(path: Path) -> bool:
    """Return whether the content of PATH is a picture format, whatever its name says."""
    try:
        with limited(), Image.open(path) as image:
            return image.format != "MPEG"  # Pillow knows films of this kind, but only their size
    except UnidentifiedImageError:
        return False
    except UNREADABLE:
        return True  # a picture, but one that reading will refuse with the reason


def read_photo(path: Path, content: bytes | None = None) -> Photo:
    """Decode a photograph, from CONTENT if given; InputError says what is wrong with PATH."""
    try:
        with limited(), Image.open(path if content is None else io.BytesIO(content)) as image:
            if image.width * image.height > MAX_PIXELS:
                raise InputError(
                    f"{path}: {image.width}x{image.height} is above {MAX_PIXELS / 1e6:g} megapixels"
                )
            return _decode(image)
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file") from error
    except UnidentifiedImageError as error:
        raise InputError(f"{path}: not a picture in any format known here") from error
    except UNREADABLE as error:
        raise InputError(f"{path}: damaged or truncated picture ({error})") from error


@contextmanager
def limited() -> Iterator[None]:
    """Put MAX_PIXELS, checked before anything is decoded, in the place of Pillow's own limit."""
    before = Image.MAX_IMAGE_PIXELS
    Image.MAX_IMAGE_PIXELS = None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # remarks on damaged metadata, not on the picture
            yield
    finally:
        Image.MAX_IMAGE_PIXELS = before


def _decode(image: Image.Image) -> Photo:
    image.load()
    tags: dict[str, Any] = {}
    exif = image.getexif()
    if image.format == "TIFF":
        for tag in exif.keys() - _TIFF_DESCRIPTIONS:
            del exif[tag]  # how this file stores its pixels, not what they show
    upright = ImageOps.exif_transpose(image)
    if exif:
        exif.pop(_ORIENTATION, None)  # it is applied here
        tags["exif"] = exif.tobytes()
    if "dpi" in image.info:
        tags["dpi"] = image.info["dpi"]
    alpha = None
    if upright.has_transparency_data:
        alpha = np.asarray(upright.convert("RGBA").getchannel("A"))
    pictures = getattr(image, "n_frames", 1)
    return Photo(np.asarray(to_srgb(upright)), alpha, pictures, tags)


def to_srgb(image: Image.Image) -> Image.Image:
    """Return a picture of any mode as 8-bit sRGB, by its ICC profile if it has one that fits."""
    if image.mode.startswith("I;16") or image.mode in ("I", "F"):
        return Image.fromarray(_sixteen_to_eight(image)).convert("RGB")
    profile = image.info.get("icc_profile")
    if profile and image.mode in ("RGB", "RGBA", "CMYK", "L"):
        source = image.convert("RGB") if image.mode == "RGBA" else image
        try:
            converted = ImageCms.profileToProfile(
                source,
                ImageCms.ImageCmsProfile(io.BytesIO(profile)),
                ImageCms.createProfile("sRGB"),
                outputMode="RGB",
            )
        except (ImageCms.PyCMSError, OSError):
            return image.convert(
                "RGB"
            )  # a profile that fits another mode: pictures carry many such
        if converted is not None:
            return converted
    return image.convert("RGB")


def _sixteen_to_eight(image: Image.Image) -> U8:
    values = np.asarray(image).astype(np.float32)
    top = 1.0 if image.mode == "F" else 65535.0
    if values.min() < 0 or values.max() > top:
        raise ValueError(f"values outside 0..{top:g} in mode {image.mode}")
    return to_bytes(values / top)


def strips(rgb: U8) -> Iterator[slice]:
    """Yield rows of (H, W, 3) by the strip: float planes of a whole photograph are too large."""
    height, width = rgb.shape[:2]
    rows = max(1, _STRIP_PIXELS // width)
    for top in range(0, height, rows):
        yield slice(top, top + rows)


def join(rgb: U8, ab: F32, saturation: float = 1.0) -> U8:
    """Give the exact lightness of RGB (H, W, 3) the chroma AB (h, w, 2), enlarged to its size.

    Returns 8-bit sRGB (H, W, 3). Chroma is multiplied by SATURATION first.
    """
    height, width = rgb.shape[:2]
    full = enlarge(ab * np.float32(saturation), (height, width))
    result = np.empty_like(rgb)
    for strip in strips(rgb):
        lab = np.dstack([rgb_to_lightness(rgb[strip]), full[strip]])
        result[strip] = to_bytes(lab_to_rgb(lab))
    return result


def can_write(suffix: str) -> bool:
    """Return whether a photograph can be written under a name that ends in SUFFIX."""
    return Image.registered_extensions().get(suffix.lower()) in Image.SAVE


def write_photo(path: Path, photo: Photo) -> None:
    """Write a photograph in the format that PATH's suffix names, whole or not at all."""
    name = Image.registered_extensions().get(path.suffix.lower(), "")
    if name not in Image.SAVE:
        raise OutputError(
            f"{path}: cannot write {path.suffix or 'files without a suffix'}; use .png"
        )
    image = Image.fromarray(photo.rgb)
    if photo.alpha is not None and name not in _WITHOUT_ALPHA:
        image.putalpha(Image.fromarray(photo.alpha))
    with whole_file(path) as part:
        try:
            image.save(part, name, **_SAVE_OPTIONS.get(name, {}), **photo.tags)
        except ValueError as error:  # too large for the format, or its EXIF is
            raise OutputError(f"{path}: {name} cannot hold it ({error}); use .png") from error
