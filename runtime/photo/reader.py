"""Read photographs by their content, with all that their files say about them."""

import io
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageCms, UnidentifiedImageError

from ..color import U16, Codes, to_codes
from ..errors import InputError, MissingExtraError
from ..files import is_pattern
from .cut import without_end
from .decoding import (
    DAMAGED,
    DEEP,
    Decoded,
    UndecodableError,
    UnsupportedError,
    decoding,
    limited,
    open_picture,
)
from .icc import cmyk_to_srgb, gray_to_srgb, is_srgb
from .jpeg import has_long_xmp
from .metadata import (
    drop_unwritable,
    iptc_in_profile,
    is_lossless_webp,
    jpeg_quality,
    upright_xmp,
)
from .photo import Photo, strips
from .png import implied_profile

MAX_PIXELS = 250_000_000

_ORIENTATION = 0x0112
_UPRIGHT: dict[int, Callable[[Codes], Codes]] = {  # by EXIF orientation
    2: np.fliplr,
    3: lambda codes: codes[::-1, ::-1],
    4: np.flipud,
    5: lambda codes: codes.swapaxes(0, 1),
    6: lambda codes: np.rot90(codes, -1),
    7: lambda codes: codes[::-1, ::-1].swapaxes(0, 1),
    8: np.rot90,
}
_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_JXL = (b"\xff\x0a", b"\0\0\0\x0cJXL ")
_UNFIT = "its color profile is damaged or of another kind of picture; it was left out"


def is_photo(path: Path, content: bytes | None = None) -> bool:
    """Return whether the content of PATH is a picture format, whatever its name says."""
    if content is None and is_pattern(path):  # numbered frames are a film
        return False
    try:
        if _start(path, content).startswith((*_TIFF, *_JXL)):
            return True
        with limited(), open_picture(path, content) as image:
            return image.format != "MPEG"  # Pillow knows films of this kind, but only their size
    except UnidentifiedImageError:
        return False
    except (OSError, UndecodableError, MissingExtraError):
        return True  # a picture, but one that reading will refuse with the reason


def pixels_of(path: Path) -> int:
    """Return the number of pixels that a photograph says it has; 0 where it cannot be read."""
    try:
        with limited():
            width, height = _size(path, None)
            return width * height
    except (OSError, UndecodableError, MissingExtraError):
        return 0


def read_photo(
    path: str | Path, content: bytes | None = None, max_pixels: int = MAX_PIXELS
) -> Photo:
    """Decode a photograph, from CONTENT if given; InputError says what is wrong with PATH."""
    path = Path(path)
    try:
        with limited():
            width, height = _size(path, content)
            if width * height > max_pixels:
                raise InputError(
                    f"{path}: {width}x{height} is above {max_pixels / 1e6:g} megapixels"
                    "; --max-pixels raises the limit"
                )
            return _finished(_decoded(path, content))
    except UnidentifiedImageError as error:
        raise InputError(
            f"{path}: not a picture in any format known here; save it as TIFF or PNG"
        ) from error
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file") from error
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error})") from error
    except UnsupportedError as error:
        raise InputError(f"{path}: {error}") from error
    except UndecodableError as error:
        raise InputError(f"{path}: damaged or truncated picture ({error})") from error
    except MemoryError as error:
        raise InputError(f"{path}: needs more memory than there is") from error


def _start(path: Path, content: bytes | None) -> bytes:
    if content is not None:
        return content[:32]
    with path.open("rb") as file:
        return file.read(32)


def _size(path: Path, content: bytes | None) -> tuple[int, int]:
    """Return (width, height) as stored, without decoding."""
    start = _start(path, content)
    if start.startswith(_TIFF):
        from . import tiff

        return tiff.size_of(path if content is None else content)
    if start.startswith(_JXL):
        from . import jxl

        return jxl.size_of(path.read_bytes() if content is None else content)
    with open_picture(path, content) as image:
        return image.size


def _decoded(path: Path, content: bytes | None) -> Decoded:
    start = _start(path, content)
    if start.startswith(_TIFF):
        from . import tiff

        try:
            return tiff.read_tiff(path if content is None else content)
        except tiff.CameraRawError as error:
            from .raw import read_raw

            return read_raw(path, content, str(error))
    if start.startswith(_JXL):
        from .jxl import read_jxl

        return read_jxl(path.read_bytes() if content is None else content)
    with open_picture(path, content) as image:
        return _by_pillow(image, path if content is None else content)


def _by_pillow(image: Image.Image, source: bytes | Path) -> Decoded:
    quality = jpeg_quality(image)
    remarks: tuple[str, ...] = ()
    try:
        with decoding():
            if DEEP not in image.info:
                image.load()
    except UndecodableError:
        if image.format not in ("JPEG", "MPO"):
            raise
        image, said = without_end(_content(source))
        remarks = (said,)
    if damaged := image.info.get(DAMAGED):
        remarks += (f"damaged metadata were left out: {', '.join(damaged)}",)
    with decoding():
        exif = image.getexif()
        orientation = exif.get(_ORIENTATION, 1)
        pictures = getattr(image, "n_frames", 1)
    decoded = Decoded(
        orientation=orientation,
        exif=exif,
        icc=image.info.get("icc_profile") or implied_profile(image.info),
        tags=_tags(image),
        pictures=pictures,
        form=image.format or "",
        jpeg_quality=quality,
        lossless=image.format == "WEBP" and is_lossless_webp(_content(source)),
        remarks=remarks,
        gray=image.mode in ("L", "LA") or image.mode.startswith("I;16"),
    )
    deep = _deep_samples(image, source)
    if decoded.form in ("JPEG", "MPO") and has_long_xmp(_content(source)):
        decoded.remarks += ("its XMP is longer than 64 KB: the rest was left out",)
    if deep is None:
        decoded.codes, decoded.alpha = _samples(image), _alpha(image)
        decoded.inks = image.mode == "CMYK"
        if decoded.inks:
            decoded.remarks += ("its CMYK colors became sRGB",)
    else:
        decoded.gray = deep.shape[2] < 3
        decoded.codes = deep[..., : 1 if decoded.gray else 3]
        decoded.alpha = deep[..., -1] if deep.shape[2] in (2, 4) else None
    if decoded.form == "AVIF":
        from .deep import cropped

        return cropped(decoded, _content(source))
    return decoded


def _content(source: bytes | Path) -> bytes:
    return source if isinstance(source, bytes) else source.read_bytes()


def _finished(decoded: Decoded) -> Photo:
    """Return the photograph upright, in RGB, with what can be written of its tags."""
    if decoded.associated and decoded.alpha is not None:
        decoded.codes = _unassociated(decoded.codes, decoded.alpha)
    codes, profile, icc, remarks = _profiled(decoded)
    tags, dropped = _writable_tags(decoded, icc)
    turn = _UPRIGHT.get(decoded.orientation, np.asarray)
    alpha = decoded.alpha
    if alpha is not None and alpha.dtype != codes.dtype:
        unit = alpha.astype(np.float32) / np.float32(np.iinfo(alpha.dtype).max)
        alpha = to_codes(unit, codes.dtype)
    return Photo(
        codes=np.ascontiguousarray(turn(codes)),
        alpha=None if alpha is None else np.ascontiguousarray(turn(alpha)),
        profile=profile,
        pictures=decoded.pictures,
        tags=tags,
        form=decoded.form,
        jpeg_quality=decoded.jpeg_quality,
        lossless=decoded.lossless,
        remarks=(*decoded.remarks, *remarks, *dropped),
    )


def _unassociated(codes: Codes, alpha: Codes) -> Codes:
    """Undo that the colors were multiplied by alpha; Pillow does so for its own."""
    top = np.float32(np.iinfo(codes.dtype).max)
    colors = np.empty_like(codes)
    for strip in strips(codes):
        share = np.maximum(alpha[strip], 1)[..., None].astype(np.float32)
        colors[strip] = np.minimum(codes[strip] * (top / share) + 0.5, top)
    return colors


def _tags(image: Image.Image) -> dict[str, Any]:
    """Return what Pillow found besides EXIF and ICC, by Photo's names."""
    tags: dict[str, Any] = {}
    if "dpi" in image.info:
        tags["dpi"] = image.info["dpi"]
    if xmp := image.info.get("xmp"):
        tags["xmp"] = xmp.encode() if isinstance(xmp, str) else bytes(xmp)
    resources = image.info.get("photoshop")
    if isinstance(resources, dict) and isinstance(resources.get(0x0404), bytes):
        tags["iptc"] = resources[0x0404]
    comment = image.info.get("comment")
    if comment and image.format in ("JPEG", "MPO", "GIF"):
        tags["comment"] = comment.encode() if isinstance(comment, str) else bytes(comment)
    if image.format == "PNG":
        profile = getattr(image, "text", {}).get("Raw profile type iptc", "")
        if iptc := iptc_in_profile(profile):
            tags["iptc"] = iptc
        text = {
            str(name): str(value)
            for name, value in getattr(image, "text", {}).items()
            if not str(name).startswith(("XML:com.adobe.xmp", "Raw profile type"))
        }
        if "Comment" in text:
            tags["comment"] = text.pop("Comment").encode()
        if text:
            tags["text"] = text
    return tags


def _writable_tags(decoded: Decoded, icc: bytes | None) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Return what to write of them, and a remark on what cannot be."""
    exif, tags = decoded.exif, dict(decoded.tags)
    exif.pop(_ORIENTATION, None)  # it is applied here
    dropped = drop_unwritable(exif)
    if exif:
        tags["exif"] = exif.tobytes()
    if "xmp" in tags:
        tags["xmp"] = upright_xmp(tags["xmp"])
    if icc:
        tags["icc_profile"] = icc
    if not dropped:
        return tags, ()
    return tags, (f"EXIF tags that cannot be written were left out: {', '.join(dropped)}",)


def _deep_samples(image: Image.Image, source: bytes | Path) -> Codes | None:
    """Return (H, W, C) where Pillow would reduce them to 8 bits or miss transparency; else None."""
    from . import deep

    if image.format == "PNG" and deep.needs_png(image, _content(source)):
        return deep.png(_content(source))
    if DEEP in image.info:
        return deep.jpeg(_content(source))
    if image.format == "JPEG2000":
        return deep.jp2(_content(source))
    if image.format == "AVIF":
        return deep.avif(_content(source))
    if image.format == "HEIF" and image.info.get("bit_depth", 8) > 8:
        return deep.heif(_content(source))
    if image.format == "PPM":
        return deep.netpbm(_content(source))
    return None


def _samples(image: Image.Image) -> Codes:
    if image.mode.startswith("I;16") or image.mode in ("I", "F"):
        return np.dstack([_sixteen_bits(image)] * 3)
    rgb = to_srgb(image) if image.mode == "CMYK" else _converted(image, "RGB")
    codes = np.empty((image.height, image.width, 3), np.uint8)
    for strip in strips(codes):  # Pillow copies twice what NumPy asks for
        rows = strip.indices(image.height)
        codes[strip] = np.asarray(rgb.crop((0, rows[0], image.width, rows[1])))
    return codes


def _alpha(image: Image.Image) -> Codes | None:
    if image.mode == "P" and image.palette is None:  # damaged; Pillow 12 fails to say so
        return None
    if not image.has_transparency_data:
        return None
    return np.asarray(_converted(image, "RGBA").getchannel("A"))


def _converted(image: Image.Image, mode: str) -> Image.Image:
    with decoding():
        return image.convert(mode)


def _sixteen_bits(image: Image.Image) -> U16:
    with decoding():
        samples = np.asarray(image)
    values = samples.astype(np.float32)
    top = 1.0 if image.mode == "F" else 65535.0
    if values.min() < 0 or values.max() > top:
        raise UndecodableError(f"values outside 0..{top:g} in mode {image.mode}")
    return to_codes(values / top, np.dtype(np.uint16)).astype(np.uint16, copy=False)


def _profiled(decoded: Decoded) -> tuple[Codes, bytes | None, bytes | None, tuple[str, ...]]:
    """Return RGB codes, the profile they are in, the one to write, and remarks."""
    icc, codes = decoded.icc, decoded.codes
    if codes.ndim == 2:
        codes = codes[..., None]
    if codes.shape[2] == 4:
        return _from_cmyk(codes, icc), None, None, ("its CMYK colors became sRGB",)
    if decoded.inks:
        return codes, None, None, ()
    space = icc[16:20]
    gray = codes[..., 0]
    if codes.shape[2] == 1:
        codes = np.dstack([gray] * 3)
    if space == b"GRAY" and decoded.gray:
        try:
            return gray_to_srgb(gray, icc), None, None, ("its gray profile became sRGB",)
        except ValueError:
            return codes, None, None, (_UNFIT,)
    if space == b"RGB ":  # of a gray picture too: equal parts of each are gray there
        try:
            return codes, None if is_srgb(icc) else icc, icc, ()
        except ValueError:
            return codes, None, None, (_UNFIT,)
    return codes, None, None, (_UNFIT,) if icc else ()


def _from_cmyk(inks: Codes, icc: bytes) -> Codes:
    """Return sRGB (H, W, 3) for inks (H, W, 4), as deep, by ICC if it is a profile of CMYK."""
    if icc[16:20] == b"CMYK":
        with suppress(ValueError):
            return cmyk_to_srgb(inks, icc)
    codes = np.empty((*inks.shape[:2], 3), inks.dtype)
    top = np.float32(np.iinfo(inks.dtype).max)
    for strip in strips(codes):
        paper = 1 - inks[strip] / top
        codes[strip] = to_codes((paper[..., :3] * paper[..., 3:]).astype(np.float32), codes.dtype)
    return codes


def to_srgb(image: Image.Image) -> Image.Image:
    """Return a picture of any mode as 8-bit sRGB, by its ICC profile if it has one that fits."""
    if image.mode.startswith("I;16") or image.mode in ("I", "F"):
        return Image.fromarray((_sixteen_bits(image) / 257 + 0.5).astype(np.uint8)).convert("RGB")
    with decoding():
        image.load()
    profile = image.info.get("icc_profile")
    if profile and image.mode in ("RGB", "RGBA", "CMYK", "L"):
        source = _converted(image, "RGB") if image.mode == "RGBA" else image
        try:
            converted = ImageCms.profileToProfile(
                source,
                ImageCms.ImageCmsProfile(io.BytesIO(profile)),
                ImageCms.createProfile("sRGB"),
                outputMode="RGB",
            )
        except (ImageCms.PyCMSError, OSError):
            # A profile that fits another mode: many pictures carry such a one.
            return _converted(image, "RGB")
        if converted is not None:
            return converted
    return _converted(image, "RGB")
