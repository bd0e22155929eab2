"""Write photographs whole or not at all, in the depth and with the metadata the format holds."""

import io
import struct
import zlib
from pathlib import Path
from typing import IO, Any

import cv2
import numpy as np
from PIL import Image, TiffImagePlugin
from PIL.TiffImagePlugin import ImageFileDirectory_v2
from PIL.TiffTags import TAGS_V2_GROUPS

from ..color import Codes
from ..errors import OutputError
from ..files import HEIF_SUFFIXES, whole_file
from .decoding import register_heif
from .photo import Photo

_JPEG_QUALITY = 95
_SAVE_OPTIONS: dict[str, dict[str, Any]] = {
    "JPEG": {"subsampling": "4:4:4"},
    "WEBP": {"quality": 95},
    "AVIF": {"quality": 90, "subsampling": "4:4:4"},
    "HEIF": {"quality": 90, "chroma": 444},
    "TIFF": {"compression": "tiff_deflate"},
}
_WITHOUT_ALPHA = {"JPEG", "BMP", "PPM"}
_WITH_PROFILE = {"JPEG", "PNG", "TIFF", "WEBP", "AVIF", "HEIF"}
_DEEP = {"PNG", "TIFF"}
# What encoders raise if the picture or its EXIF is too large for the format.
_UNHELD = (ValueError, OverflowError, RuntimeError, struct.error, cv2.error)
_PNG_START = 33  # signature and header chunk
_DEFLATE, _HORIZONTAL = 8, 2  # TIFF 6.0: compression, predictor
_UNASSOCIATED_ALPHA = 2


def format_of(suffix: str) -> str | None:
    """Return Pillow's name of the format in which names that end in SUFFIX are written."""
    if suffix.lower() in HEIF_SUFFIXES:
        register_heif()
    Image.preinit()  # knows the common ones; all of Pillow's formats take longer to load
    name = Image.EXTENSION.get(suffix.lower()) or Image.registered_extensions().get(suffix.lower())
    return name if name in Image.SAVE else None


def pipe_format(photo: Photo) -> str:
    """Return the format for an output without a name: the photograph's own, else PNG."""
    if photo.form == "MPO":  # a JPEG file with more than one picture
        return "JPEG"
    return photo.form if photo.form in _WITH_PROFILE else "PNG"


def write_photo(path: Path, photo: Photo) -> None:
    """Write a photograph in the format that PATH's suffix names, whole or not at all."""
    name = format_of(path.suffix)
    if name is None:
        raise OutputError(
            f"{path}: cannot write {path.suffix or 'files without a suffix'}; use .png"
        )
    with whole_file(path) as part, part.open("wb") as file:
        encode_photo(file, name, photo, str(path))


def encode_photo(file: IO[bytes], name: str, photo: Photo, shown: str) -> None:
    """Write a photograph to FILE in the format NAME of Pillow; OutputError speaks of SHOWN."""
    deep = photo.codes.dtype == np.uint16 and name in _DEEP
    try:
        if deep and name == "PNG":
            _write_deep_png(file, photo)
        elif deep:
            _write_deep_tiff(file, photo)
        else:
            _save(file, name, photo)
    except _UNHELD as error:
        raise OutputError(f"{shown}: {name} cannot hold it ({error}); use .png") from error


def _save(file: IO[bytes], name: str, photo: Photo) -> None:
    tags = dict(photo.tags)
    if name in _WITH_PROFILE and photo.codes.dtype == np.uint8:
        codes: Codes = photo.codes
    else:
        codes = photo.rgb
        tags.pop("icc_profile", None)
    image = Image.fromarray(codes)
    if photo.alpha is not None and name not in _WITHOUT_ALPHA:
        alpha = photo.alpha if photo.alpha.dtype == np.uint8 else photo.alpha >> 8
        image.putalpha(Image.fromarray(alpha.astype(np.uint8)))
    options = dict(_SAVE_OPTIONS.get(name, {}))
    if name == "JPEG":
        options["quality"] = max(_JPEG_QUALITY, photo.jpeg_quality)
    image.save(file, name, **options, **tags)


def _samples(photo: Photo) -> Codes:
    return photo.codes if photo.alpha is None else np.dstack([photo.codes, photo.alpha])


def _write_deep_png(file: IO[bytes], photo: Photo) -> None:
    """Write what OpenCV makes of the samples, with the chunks that Pillow makes of the tags."""
    samples = _samples(photo)
    order = cv2.COLOR_RGB2BGR if samples.shape[2] == 3 else cv2.COLOR_RGBA2BGRA
    _, encoded = cv2.imencode(".png", cv2.cvtColor(samples, order))
    small = io.BytesIO()
    Image.new("RGB", (1, 1)).save(small, "PNG", **photo.tags)
    chunks = small.getvalue()
    file.write(encoded[:_PNG_START].tobytes())
    file.write(chunks[_PNG_START : chunks.rindex(b"IDAT") - 4])
    file.write(encoded[_PNG_START:].tobytes())


def _write_deep_tiff(file: IO[bytes], photo: Photo) -> None:
    """Write one deflated strip behind Pillow's directory of tags (TIFF 6.0)."""
    samples = _samples(photo)
    height, width, channels = samples.shape
    differences = samples.copy()
    differences[:, 1:] -= samples[:, :-1]  # modulo 2^16, as the predictor has it
    strip = zlib.compress(differences.astype("<u2").tobytes())
    directory = _directory(photo.tags)
    fields = {
        TiffImagePlugin.IMAGEWIDTH: width,
        TiffImagePlugin.IMAGELENGTH: height,
        TiffImagePlugin.BITSPERSAMPLE: (16,) * channels,
        TiffImagePlugin.COMPRESSION: _DEFLATE,
        TiffImagePlugin.PHOTOMETRIC_INTERPRETATION: 2,  # RGB
        TiffImagePlugin.STRIPOFFSETS: 0,
        TiffImagePlugin.SAMPLESPERPIXEL: channels,
        TiffImagePlugin.ROWSPERSTRIP: height,
        TiffImagePlugin.STRIPBYTECOUNTS: len(strip),
        TiffImagePlugin.PLANAR_CONFIGURATION: 1,
        TiffImagePlugin.PREDICTOR: _HORIZONTAL,
    }
    if photo.alpha is not None:
        fields[TiffImagePlugin.EXTRASAMPLES] = _UNASSOCIATED_ALPHA
    for tag, value in fields.items():
        directory[tag] = value
    directory.save(file)
    file.write(strip)


def _directory(tags: dict[str, Any]) -> ImageFileDirectory_v2:
    directory = ImageFileDirectory_v2(b"II*\0\0\0\0\0")
    exif = Image.Exif()
    exif.load(tags.get("exif", b""))
    for tag in exif:
        directory[tag] = exif.get_ifd(tag) if tag in TAGS_V2_GROUPS else exif[tag]
    if "dpi" in tags:
        directory[TiffImagePlugin.RESOLUTION_UNIT] = 2  # inch
        directory[TiffImagePlugin.X_RESOLUTION], directory[TiffImagePlugin.Y_RESOLUTION] = tags[
            "dpi"
        ]
    if "icc_profile" in tags:
        directory[TiffImagePlugin.ICCPROFILE] = tags["icc_profile"]
    return directory
