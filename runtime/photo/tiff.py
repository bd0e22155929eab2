"""TIFF: read as its tags say (TIFF 6.0, DNG 1.7), and written with all that is known of the photo.

Samples come from tifffile, descriptions from Pillow, which knows EXIF's directories.
"""

import io
import logging
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, cast

import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import ExifTags, Image
from PIL.TiffImagePlugin import ImageFileDirectory_v2

from ..color import Codes, lab_to_rgb, to_codes
from .decoding import Decoded, UndecodableError, decoding, in_unit
from .metadata import iptc_in_photoshop

logging.getLogger("tifffile").addHandler(logging.NullHandler())  # it would print to stderr

SIGNATURES = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_MOST_CHANNELS = 32
_REDUCED, _MASK = 1, 4  # bits of NewSubfileType
_CMYK_INKS = 1
_ASSOCIATED, _UNASSOCIATED = 1, 2  # ExtraSamples
_SIGNED, _FLOAT = 2, 3  # SampleFormat
_WHITE_IS_ZERO, _PALETTE, _SEPARATED, _YCBCR = 0, 3, 5, 6
_LAB = (8, 9)  # CIELab, ICCLab
_CHANNELS = {0: 1, 1: 1, 2: 3, 3: 1, 5: 4, 6: 3, 8: 3, 9: 3}  # by PhotometricInterpretation
_RAW = (32803, 34892)  # PhotometricInterpretation: color filter array, linear raw
_DNG_VERSION = 50706
_UNCOMPRESSED = 1
_JPEG = 7
_INCH, _CENTIMETER = 2, 3
_XMP, _IPTC, _PHOTOSHOP, _ICC, _LAYERS = 700, 33723, 34377, 34675, 37724
_ORIENTATION = 274
_INTEROPERABILITY = int(ExifTags.IFD.Interop)
_EXIF, _GPS = int(ExifTags.IFD.Exif), int(ExifTags.IFD.GPSInfo)
# Titles, makers, dates, copyright, ratings, and what Windows adds: they speak of the picture.
_DESCRIPTIONS = frozenset(
    (270, 271, 272, 285, 305, 306, 315, 316, 18246, 18249, 33432, *range(40091, 40096), _EXIF, _GPS)
)
_ASCII, _BYTE, _SHORT, _LONG, _UNDEFINED = 2, 1, 3, 4, 7


class CameraRawError(UndecodableError):
    """A camera's raw data, which must be developed first; the message says of which camera."""


def read_tiff(source: bytes | Path) -> Decoded:
    """Decode the photograph in a TIFF; CameraRawError if it is a camera's raw data."""
    with decoding(), tifffile.TiffFile(_opened(source)) as tiff:
        page = _photograph(tiff)
        _check_developed(tiff, page)
        if _needs_libtiff(page):
            return _by_libtiff(source, tiff, page)
        samples = page.asarray()
        decoded = _described(tiff, page)
    return _finish(decoded, page, samples)


def size_of(source: bytes | Path) -> tuple[int, int]:
    """Return (width, height) of the photograph in a TIFF, without decoding it."""
    with decoding(), tifffile.TiffFile(_opened(source)) as tiff:
        page = _photograph(tiff)
        return page.imagewidth, page.imagelength


def describe(source: bytes | Path) -> Decoded:
    """Return what the first directory of a TIFF says, without samples."""
    with decoding(), tifffile.TiffFile(_opened(source)) as tiff:
        return _described(tiff, tiff.pages.first)


def _opened(source: bytes | Path) -> Any:
    return io.BytesIO(source) if isinstance(source, bytes) else source


def _all_pages(pages: Any) -> Iterator[Any]:
    for page in pages:
        yield page.aspage()
        if page.pages is not None:
            yield from _all_pages(page.pages)


def _is_reduced(page: Any) -> bool:
    return bool(int(page.subfiletype) & (_REDUCED | _MASK))


def _photograph(tiff: tifffile.TiffFile) -> Any:
    """Return the first page, or where that is a thumbnail the largest one that is none."""
    page = tiff.pages.first
    if _is_reduced(page):
        whole = [page for page in _all_pages(tiff.pages) if not _is_reduced(page)]
        page = max(whole, key=lambda page: page.imagewidth * page.imagelength, default=page)
    counts: tuple[Any, ...] = (
        page.imagewidth,
        page.imagelength,
        page.samplesperpixel,
        page.bitspersample,
    )
    if not all(isinstance(count, int) and count > 0 for count in counts):
        raise UndecodableError("its directory is damaged, or its channels differ in depth")
    if page.samplesperpixel > _MOST_CHANNELS:
        raise UndecodableError(f"{page.samplesperpixel} channels")
    return page


def _check_developed(tiff: tifffile.TiffFile, page: Any) -> None:
    file = tiff.filehandle
    file.seek(8)
    canon = file.read(2) == b"CR"
    if canon or int(page.photometric if page.photometric is not None else -1) in _RAW:
        tags = tiff.pages.first.tags
        camera = " ".join(str(tags[tag].value).strip() for tag in (271, 272) if tag in tags)
        kind = "a DNG" if _DNG_VERSION in tags else "camera raw data"
        raise CameraRawError(f"{kind}{f' of {camera}' if camera else ''}")


def _needs_libtiff(page: Any) -> bool:
    """Whether tifffile does not decode the page: Y'CbCr outside of new-style JPEG."""
    return bool(page.photometric == _YCBCR and page.compression != _JPEG)


def _by_libtiff(source: bytes | Path, tiff: tifffile.TiffFile, page: Any) -> Decoded:
    if page is not tiff.pages.first:
        raise UndecodableError("a Y'CbCr photograph behind a thumbnail")
    decoded = _described(tiff, page)
    with Image.open(_opened(source)) as image:
        if page.compression == _UNCOMPRESSED and page.subsampling == (1, 1):
            # Pillow below 13 reads none of these, though it writes them.
            samples = Image.frombytes("YCbCr", image.size, page.asarray().tobytes())
            decoded.codes = np.asarray(samples.convert("RGB"))
        else:
            decoded.codes = np.asarray(image.convert("RGB"))
    return decoded


def _described(tiff: tifffile.TiffFile, page: Any) -> Decoded:
    """Return what the directories of the first page and PAGE say, without samples.

    A thumbnail in front describes the file; how PAGE lies and is scanned is its own, if it says so.
    """
    first = tiff.pages.first
    exif, remarks = _exif(tiff)
    turned = page if _ORIENTATION in page.tags else first
    orientation = int(turned.tags[_ORIENTATION].value) if _ORIENTATION in turned.tags else 1
    tags: dict[str, Any] = {}
    if xmp := _bytes(first, _XMP) or _bytes(page, _XMP):
        tags["xmp"] = xmp
    for each in (page, first):
        if iptc := _bytes(each, _IPTC) or iptc_in_photoshop(_bytes(each, _PHOTOSHOP)):
            tags["iptc"] = iptc
    if _LAYERS in first.tags:
        remarks += ("its Photoshop layers were left out",)
    if (dpi := _resolution(page) or _resolution(first)) is not None:
        tags["dpi"] = dpi
    return Decoded(
        exif=exif,
        orientation=orientation,
        icc=_bytes(page, _ICC) or _bytes(first, _ICC),
        tags=tags,
        pictures=max(1, sum(not _is_reduced(each.aspage()) for each in tiff.pages)),
        form="TIFF",
        remarks=remarks,
    )


def _exif(tiff: tifffile.TiffFile) -> tuple[Image.Exif, tuple[str, ...]]:
    """Return what the first page's directory says of the picture, and remarks on what is lost."""
    exif, tags = Image.Exif(), tiff.pages.first.tags
    if tiff.is_bigtiff and tiff.byteorder == ">":  # Pillow does not know that it is big
        directories = {_EXIF, _GPS} & {tag.code for tag in tags}
        for tag in tags:
            if tag.code in _DESCRIPTIONS - directories:
                exif[tag.code] = tag.value
        lost = "the EXIF of a big-endian BigTIFF cannot be read: left out"
        return exif, (lost,) if directories else ()
    exif.endian, exif.bigtiff = tiff.byteorder, tiff.is_bigtiff
    exif.load_from_fp(cast(IO[bytes], tiff.filehandle), tiff.pages.first.offset)
    for code in exif.keys() - _DESCRIPTIONS:
        del exif[code]  # how this file stores its pixels, not what they show
    for code in (_EXIF, _GPS):
        exif.get_ifd(code)  # now: the file will be closed
    if _INTEROPERABILITY in exif.get_ifd(_EXIF):  # without it, Pillow below 13 raises a KeyError
        exif.get_ifd(_INTEROPERABILITY)
    exif.bigtiff = False  # whatever is written of it: blocks of EXIF never are
    return exif, ()


def _bytes(page: Any, tag: int) -> bytes:
    """Return a tag's value as the bytes in the file: some writers call bytes long integers."""
    if tag not in page.tags:
        return b""
    value = page.tags[tag].value
    if isinstance(value, str):
        return value.encode()
    if isinstance(value, bytes):
        return value
    words = np.atleast_1d(np.asarray(value))
    kind = {_SHORT: "u2", _LONG: "u4"}.get(int(page.tags[tag].dtype), "u1")
    return words.astype(page.parent.byteorder + kind).tobytes()


def _resolution(page: Any) -> tuple[float, float] | None:
    tags = page.tags
    if not {282, 283} <= {tag.code for tag in tags}:
        return None
    unit = int(tags[296].value) if 296 in tags else _INCH
    scale = {_INCH: 1.0, _CENTIMETER: 2.54}.get(unit)
    ratios = [tags[tag].value for tag in (282, 283)]
    if scale is None or any(not ratio[1] for ratio in ratios):
        return None
    x, y = (ratio[0] / ratio[1] * scale for ratio in ratios)
    return (x, y) if x > 0 and y > 0 else None


def _finish(decoded: Decoded, page: Any, samples: NDArray[Any]) -> Decoded:
    """Fill DECODED with the samples as PhotometricInterpretation, bits and so on say."""
    photometric = int(page.photometric) if page.photometric is not None else 1
    if photometric not in _CHANNELS:
        raise UndecodableError(f"its colors are stored as {getattr(page.photometric, 'name', '?')}")
    if samples.size != page.imagelength * page.imagewidth * page.samplesperpixel:
        raise UndecodableError("its samples are not as many as its directory says")
    if samples.dtype.kind not in "biuf":
        raise UndecodableError(f"{samples.dtype} values")
    if samples.dtype.kind == "f":
        samples, said = in_unit(samples)
        decoded.remarks += said
    if samples.ndim > 2 and page.planarconfig == 2 and page.samplesperpixel > 1:
        samples = np.moveaxis(samples.reshape(page.samplesperpixel, page.imagelength, -1), 0, -1)
    samples = samples.reshape(page.imagelength, page.imagewidth, -1)
    colors = _CHANNELS[photometric]
    if samples.shape[2] < colors:
        raise UndecodableError(f"{samples.shape[2]} channels are too few for its colors")
    extra = [int(kind) for kind in page.extrasamples][: samples.shape[2] - colors]
    extra = [0] * (samples.shape[2] - colors - len(extra)) + extra
    alpha = next((i for i, kind in enumerate(extra) if kind in (_ASSOCIATED, _UNASSOCIATED)), None)
    if dropped := len(extra) - (alpha is not None):
        which = "a channel" if dropped == 1 else f"{dropped} channels"
        decoded.remarks += (f"{which} that its tags do not declare as alpha was left out",)
    if photometric == _PALETTE:
        decoded.codes = _palette(page, samples[..., 0])
    elif photometric in _LAB:
        decoded.codes = _from_lab(page, samples[..., :3], shifted=photometric == _LAB[1])
    else:
        codes = _scaled(page, samples[..., :colors])
        if photometric == _WHITE_IS_ZERO:
            codes = np.iinfo(codes.dtype).max - codes
        decoded.codes = codes
        decoded.inks, decoded.gray = photometric == _SEPARATED, colors == 1
    if decoded.inks and int(page.tags[332].value if 332 in page.tags else 1) != _CMYK_INKS:
        raise UndecodableError("its inks are others than CMYK")
    if alpha is not None:
        decoded.alpha = _scaled(page, samples[..., colors + alpha])
        decoded.associated = extra[alpha] == _ASSOCIATED
    return decoded


def _scaled(page: Any, samples: NDArray[Any]) -> Codes:
    """Return samples of any depth as codes of 8 or 16 bits, by BitsPerSample and SampleFormat."""
    bits, form = int(page.bitspersample), int(page.sampleformat)
    if form == _FLOAT:
        return to_codes(samples.astype(np.float32), np.dtype(np.uint16))
    if form == _SIGNED:
        if samples.min() < 0:
            raise UndecodableError("negative values")
        bits -= 1
    if bits in (31, 32) and samples.max() <= 65535:  # 16-bit values in wider words: usual
        bits = 16
    top = 2**bits - 1
    if samples.dtype == np.bool_ or bits <= 8:
        return _stretched(samples, top, np.dtype(np.uint8))
    return _stretched(samples, top, np.dtype(np.uint16))


def _stretched(samples: NDArray[Any], top: int, dtype: np.dtype[Any]) -> Codes:
    most = int(np.iinfo(dtype).max)
    if top == most:
        return samples.astype(dtype)
    if top < 1 << 16:
        table = (np.arange(top + 1, dtype=np.float64) * most / top + 0.5).astype(dtype)
        codes: Codes = table[np.minimum(samples, top)] if top > 1 else table[samples.astype(int)]
        return codes
    return (samples.astype(np.float64) * (most / top) + 0.5).astype(dtype)


def _palette(page: Any, indices: NDArray[Any]) -> Codes:
    colors = np.asarray(page.colormap)  # (3, entries), 16 bits
    if colors.ndim != 2 or indices.dtype.kind != "u":
        raise UndecodableError("a palette without colors")
    if colors.max(initial=0) > 255:
        colors = colors >> 8  # some writers leave 8 bits there
    rgb: Codes = colors.astype(np.uint8).T[np.minimum(indices, colors.shape[1] - 1)]
    return rgb


def _from_lab(page: Any, samples: NDArray[Any], *, shifted: bool) -> Codes:
    """Return sRGB for CIELab (a*, b* signed) or ICCLab (SHIFTED by half), TIFF 6.0, section 23."""
    bits = int(page.bitspersample)
    if bits not in (8, 16) or samples.dtype.kind not in "iu":
        raise UndecodableError(f"CIELab of {bits} bits")
    values = samples.astype(np.float32)
    half, unit = float(2 ** (bits - 1)), float(2 ** (bits - 8))
    ab = values[..., 1:]
    ab = ab - half if shifted else np.where(ab >= half, ab - 2 * half, ab)
    lab = np.dstack([values[..., :1] * (100 / (2 * half - 1)), ab / unit]).astype(np.float32)
    return to_codes(lab_to_rgb(lab), np.dtype(np.uint8 if bits == 8 else np.uint16))


def write_tiff(file: IO[bytes], samples: Codes, tags: dict[str, Any]) -> None:
    """Write (H, W, 3 or 4) of 8 or 16 bits, deflated, with TAGS; a BigTIFF where that is needed."""
    exif = Image.Exif()
    exif.load(tags.get("exif", b""))
    directories = {tag: exif.get_ifd(tag) for tag in (_EXIF, _GPS) if tag in exif}
    extra: list[tuple[int, int, int, Any, bool]] = []
    for tag in sorted((exif.keys() & (_DESCRIPTIONS | {_ORIENTATION})) - directories.keys()):
        extra += _entry(tag, exif[tag])
    for tag, name in ((_XMP, "xmp"), (_IPTC, "iptc")):
        if value := tags.get(name):
            extra.append((tag, _BYTE if tag == _XMP else _UNDEFINED, len(value), value, True))
    if "comment" in tags and 270 not in exif:
        extra += _entry(270, tags["comment"].decode("utf-8", "replace"))
    # tifffile leaves these two out: their entries get another number until their place is known.
    extra += [(tag - 1, _LONG, 1, 0, True) for tag in directories]
    whole = io.BytesIO()
    tifffile.imwrite(
        whole,
        samples,
        photometric="rgb",
        extrasamples=["unassalpha"] if samples.shape[2] == 4 else None,
        compression="adobe_deflate",
        predictor=True,
        byteorder="<",
        metadata=None,
        software=False,
        resolution=tags.get("dpi"),
        resolutionunit="INCH" if "dpi" in tags else None,
        iccprofile=tags.get("icc_profile"),
        extratags=extra,
    )
    for tag, directory in directories.items():
        _append_directory(whole, tag, directory)
    file.write(whole.getbuffer())


def _entry(tag: int, value: Any) -> list[tuple[int, int, int, Any, bool]]:
    if isinstance(value, str):
        text = value.encode() + b"\0"
        return [(tag, _ASCII, len(text), text, True)]
    if isinstance(value, bytes):
        return [(tag, _BYTE, len(value), value, True)]
    if isinstance(value, int):
        return [(tag, _SHORT if value < 1 << 16 else _LONG, 1, value, True)]
    if isinstance(value, tuple) and value and all(isinstance(part, int) for part in value):
        return [(tag, _BYTE, len(value), bytes(part & 255 for part in value), True)]
    return []


def _append_directory(whole: io.BytesIO, tag: int, directory: dict[int, Any]) -> None:
    """Append an EXIF or GPS directory to a TIFF and let the entry TAG of its first page name it."""
    whole.seek(0)
    tiff = tifffile.TiffFile(whole)
    big, entry = tiff.is_bigtiff, tiff.pages.first.tags[tag - 1]
    head = b"II+\0\x08\0\0\0" + bytes(8) if big else b"II*\0" + bytes(4)
    written = ImageFileDirectory_v2(head, group=tag)
    for key, value in directory.items():
        written[key] = value
    start = whole.seek(0, io.SEEK_END)
    start += whole.write(bytes(start % 2))
    whole.write(written.tobytes(start))
    whole.seek(entry.offset)
    whole.write(struct.pack("<H", tag))
    whole.seek(entry.valueoffset)
    whole.write(struct.pack("<I", start))
