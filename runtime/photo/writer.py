"""Write photographs whole or not at all, in the depth and with the metadata the format holds."""

import io
import struct
from pathlib import Path
from typing import IO, Any

import cv2
import numpy as np
from PIL import ExifTags, Image
from PIL.PngImagePlugin import PngInfo

from ..color import Codes, linear_to_srgb, to_codes
from ..errors import OutputError
from ..files import HEIF_SUFFIXES, whole_file
from .decoding import register_heif
from .icc import to_linear
from .metadata import photoshop_segment
from .photo import Photo, strips

_JPEG_QUALITY = 95
_SAVE_OPTIONS: dict[str, dict[str, Any]] = {
    "JPEG": {"subsampling": "4:4:4"},
    "WEBP": {"quality": 95},
    "AVIF": {"quality": 90, "subsampling": "4:4:4"},
    "HEIF": {"quality": 90, "chroma": 444},
}
_WITHOUT_ALPHA = {"JPEG", "BMP", "DIB", "PPM", "PCX", "EPS", "PDF"}
_UNFIT = {  # Pillow writes them, but not photographs of any size in RGB
    *("BLP", "BUFR", "GRIB", "HDF5", "ICNS", "ICO", "MSP", "PALM", "SPIDER", "WMF", "XBM")
}
_WITH_PROFILE = {"JPEG", "PNG", "TIFF", "WEBP", "AVIF", "HEIF"}
_DEEP = {"PNG", "TIFF", "JXL", "JPEG2000"}
_NAMES = {"exif": "EXIF", "xmp": "XMP", "iptc": "IPTC", "comment": "comment", "text": "text"}
_HELD = {  # of these and of dpi, by the name of the format
    "JPEG": {"exif", "dpi", "xmp", "iptc", "comment"},
    "PNG": {"exif", "dpi", "xmp", "comment", "text"},
    "TIFF": {"exif", "dpi", "xmp", "iptc", "comment"},
    "WEBP": {"exif", "xmp"},
    "AVIF": {"exif", "xmp"},
    "HEIF": {"exif", "xmp", "dpi"},
    "JXL": {"exif", "xmp"},
    "GIF": {"comment"},
    "BMP": {"dpi"},
}
_JPEG_MOST = 65_000  # bytes of one marker segment, less what its own header takes
# What encoders raise if the picture or its EXIF is too large for the format.
_UNHELD = (ValueError, OverflowError, RuntimeError, struct.error, cv2.error)
_PNG_START = 33  # signature and header chunk


def format_of(suffix: str) -> str | None:
    """Return Pillow's name of the format in which names that end in SUFFIX are written."""
    if suffix.lower() == ".jxl":
        return "JXL"
    if suffix.lower() in HEIF_SUFFIXES:
        register_heif()
    Image.preinit()  # knows the common ones; all of Pillow's formats take longer to load
    name = Image.EXTENSION.get(suffix.lower()) or Image.registered_extensions().get(suffix.lower())
    name = "JPEG" if name == "MPO" else name  # a JPEG file with more than one picture
    if suffix.lower() == ".pfm" or name in _UNFIT:  # of the former, only the name is known
        return None
    return name if name in Image.SAVE else None


def pipe_format(photo: Photo) -> str:
    """Return the format for an output without a name: the photograph's own, else PNG."""
    if photo.form == "MPO":  # a JPEG file with more than one picture
        return "JPEG"
    return photo.form if photo.form in _WITH_PROFILE | _DEEP else "PNG"


def write_photo(path: str | Path, photo: Photo) -> tuple[str, ...]:
    """Write a photograph in the format that PATH's suffix names, whole or not at all.

    Returns remarks on what the format does not hold.
    """
    path = Path(path)
    name = format_of(path.suffix)
    if name is None:
        raise OutputError(
            f"{path}: cannot write {path.suffix or 'files without a suffix'}; use .png"
        )
    with whole_file(path) as part, part.open("wb") as file:
        return encode_photo(file, name, photo, str(path))


def encode_photo(file: IO[bytes], name: str, photo: Photo, shown: str) -> tuple[str, ...]:
    """Write a photograph to FILE in the format NAME; OutputError speaks of SHOWN.

    Returns remarks on what the format does not hold.
    """
    given = photo.tags
    shortened = _without_maker_note(given) if name == "JPEG" else None
    tags, lost = _held(name, shortened or given)
    if shortened:
        lost.append("maker note of this length")
    if photo.alpha is not None and name in _WITHOUT_ALPHA:
        lost.append("transparency")
    try:
        if name == "TIFF":
            from .tiff import write_tiff  # tifffile loads for TIFF alone

            write_tiff(file, _samples(photo, photo.codes), tags)
        elif name == "JXL":
            from .jxl import write_jxl

            write_jxl(file, _samples(photo, _in_srgb(photo)), tags)
        elif photo.codes.dtype == np.uint16 and name in _DEEP:
            _write_deep(file, name, photo, tags)
        else:
            _save(file, name, photo, tags)
    except _UNHELD as error:
        raise OutputError(f"{shown}: {name} cannot hold it ({error}); use .png") from error
    remarks = [f"{name} holds no {' and no '.join(lost)}: left out"] if lost else []
    if name == "GIF":
        remarks.append("GIF holds 256 colors, so that lightness changed a little; .png keeps it")
    if photo.codes.dtype == np.uint16 and name not in _DEEP:
        remarks.append(f"{name} holds 8 bits here, so that its 16 were rounded")
    return tuple(remarks)


def _held(name: str, tags: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Return those of TAGS that the format NAME holds, and names of the others."""
    held = {*_HELD.get(name, ()), *(("icc_profile",) if name in _WITH_PROFILE else ())}
    kept = {tag: value for tag, value in tags.items() if tag in held}
    if name == "JPEG":
        kept = {
            tag: value
            for tag, value in kept.items()
            if tag not in ("exif", "xmp", "iptc", "comment") or len(value) <= _JPEG_MOST
        }
    return kept, [shown for tag, shown in _NAMES.items() if tag in tags and tag not in kept]


def _without_maker_note(tags: dict[str, Any]) -> dict[str, Any] | None:
    """Return TAGS without the camera's own block if their EXIF is too long for JPEG with it."""
    if len(tags.get("exif", b"")) <= _JPEG_MOST:
        return None
    exif = Image.Exif()
    exif.load(tags["exif"])
    if exif.get_ifd(ExifTags.IFD.Exif).pop(ExifTags.Base.MakerNote, None) is None:
        return None
    return {**tags, "exif": exif.tobytes()}


def _pillow_options(name: str, tags: dict[str, Any]) -> dict[str, Any]:
    """Return TAGS as Pillow's save takes them for the format NAME."""
    options = dict(tags)
    if name == "JPEG" and (iptc := options.pop("iptc", None)):
        options["extra"] = photoshop_segment(iptc)
    if name == "PNG":
        texts = dict(options.pop("text", {}))
        if comment := options.pop("comment", None):
            texts["Comment"] = comment.decode("utf-8", "replace")
        if xmp := options.pop("xmp", None):
            texts["XML:com.adobe.xmp"] = xmp.decode("utf-8", "replace")
        chunks = PngInfo()
        for key, text in texts.items():
            chunks.add_itxt(key, text)
        options["pnginfo"] = chunks
    return options


def _in_srgb(photo: Photo) -> Codes:
    """Return the codes in sRGB, as deep."""
    if photo.profile is None:
        return photo.codes
    codes = np.empty_like(photo.codes)
    for strip in strips(codes):
        linear = to_linear(photo.codes[strip], photo.profile)
        codes[strip] = to_codes(linear_to_srgb(linear), codes.dtype)
    return codes


def _save(file: IO[bytes], name: str, photo: Photo, tags: dict[str, Any]) -> None:
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
    if name == "WEBP" and photo.lossless:
        options |= {"lossless": True, "exact": True}
    image.save(file, name, **options, **_pillow_options(name, tags))


def _samples(photo: Photo, codes: Codes) -> Codes:
    return codes if photo.alpha is None else np.dstack([codes, photo.alpha])


def _write_deep(file: IO[bytes], name: str, photo: Photo, tags: dict[str, Any]) -> None:
    if name == "PNG":
        _write_deep_png(file, _samples(photo, photo.codes), tags)
        return
    import imagecodecs

    samples = np.ascontiguousarray(_samples(photo, _in_srgb(photo)))
    file.write(imagecodecs.jpeg2k_encode(samples, codecformat="jp2", reversible=True))


def _write_deep_png(file: IO[bytes], samples: Codes, tags: dict[str, Any]) -> None:
    """Write what OpenCV makes of the samples, with the chunks that Pillow makes of the tags."""
    order = cv2.COLOR_RGB2BGR if samples.shape[2] == 3 else cv2.COLOR_RGBA2BGRA
    _, encoded = cv2.imencode(".png", cv2.cvtColor(samples, order))
    small = io.BytesIO()
    Image.new("RGB", (1, 1)).save(small, "PNG", **_pillow_options("PNG", tags))
    chunks = small.getvalue()
    file.write(encoded[:_PNG_START].tobytes())
    file.write(chunks[_PNG_START : chunks.rindex(b"IDAT") - 4])
    file.write(encoded[_PNG_START:].tobytes())
