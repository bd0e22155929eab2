"""Read photographs by their content, with all that their files say about them."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image, ImageCms, UnidentifiedImageError

from ..color import U16, Codes, to_codes
from ..errors import InputError, MissingExtraError
from .decoding import UndecodableError, decoding, limited, open_picture
from .icc import gray_to_srgb, is_srgb
from .metadata import drop_unwritable, jpeg_quality
from .photo import Photo, strips

MAX_PIXELS = 250_000_000

_ORIENTATION = 0x0112
_EXTRA_SAMPLES, _ASSOCIATED = 338, 1  # TIFF 6.0, section 18: colors multiplied by alpha
# Titles, makers, dates, resolution, copyright and the EXIF, GPS and IPTC blocks (TIFF 6.0).
_TIFF_DESCRIPTIONS = frozenset(
    (270, 271, 272, 282, 283, 285, 296, 305, 306, 315, 316, 700, 33432, 33723, 34665, 34853)
)
_UPRIGHT: dict[int, Callable[[Codes], Codes]] = {  # by EXIF orientation
    2: np.fliplr,
    3: lambda codes: codes[::-1, ::-1],
    4: np.flipud,
    5: lambda codes: codes.swapaxes(0, 1),
    6: lambda codes: np.rot90(codes, -1),
    7: lambda codes: codes[::-1, ::-1].swapaxes(0, 1),
    8: np.rot90,
}
_UNFIT = "its color profile is damaged or of another kind of picture; it was left out"


def is_photo(path: Path, content: bytes | None = None) -> bool:
    """Return whether the content of PATH is a picture format, whatever its name says."""
    try:
        with limited(), open_picture(path, content) as image:
            return image.format != "MPEG"  # Pillow knows films of this kind, but only their size
    except UnidentifiedImageError:
        return False
    except (OSError, UndecodableError, MissingExtraError):
        return True  # a picture, but one that reading will refuse with the reason


def pixels_of(path: Path) -> int:
    """Return the number of pixels that a photograph says it has; 0 where it cannot be read."""
    try:
        with limited(), open_picture(path) as image:
            return image.width * image.height
    except (OSError, UndecodableError, MissingExtraError):
        return 0


def read_photo(path: Path, content: bytes | None = None, max_pixels: int = MAX_PIXELS) -> Photo:
    """Decode a photograph, from CONTENT if given; InputError says what is wrong with PATH."""
    try:
        with limited(), open_picture(path, content) as image:
            if image.width * image.height > max_pixels:
                raise InputError(
                    f"{path}: {image.width}x{image.height} is above {max_pixels / 1e6:g} megapixels"
                    "; --max-pixels raises the limit"
                )
            return _decode(image, content or path)
    except UnidentifiedImageError as error:
        raise InputError(f"{path}: not a picture in any format known here") from error
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file") from error
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error})") from error
    except UndecodableError as error:
        raise InputError(f"{path}: damaged or truncated picture ({error})") from error
    except MemoryError as error:
        raise InputError(f"{path}: needs more memory than there is") from error


def _decode(image: Image.Image, source: bytes | Path) -> Photo:
    # Pillow reduces 16-bit colors to 8 bits when it decodes them: OpenCV reads those.
    tiles = getattr(image, "tile", [])
    deep = image.mode in ("RGB", "RGBA", "LA") and any(";16" in str(t.args) for t in tiles)
    with decoding():
        image.load()
        exif = image.getexif()
        orientation = exif.get(_ORIENTATION, 1)
        pictures = getattr(image, "n_frames", 1)
    turn = _UPRIGHT.get(orientation, np.asarray)
    codes: Codes
    alpha: Codes | None = None
    if deep:
        codes, alpha = _deep_samples(source)
        if alpha is not None and _ASSOCIATED in _extra_samples(image):
            codes = _unassociated(codes, alpha)
    else:
        codes, alpha = _samples(image), _alpha(image)
    codes, profile, icc, remarks = _profiled(image, codes)
    tags, dropped = _tags(image, exif, icc)
    return Photo(
        codes=np.ascontiguousarray(turn(codes)),
        alpha=None if alpha is None else np.ascontiguousarray(turn(alpha)),
        profile=profile,
        pictures=pictures,
        tags=tags,
        form=image.format or "",
        jpeg_quality=jpeg_quality(image),
        remarks=(*remarks, *dropped),
    )


def _extra_samples(image: Image.Image) -> tuple[int, ...]:
    tags = getattr(image, "tag_v2", {})
    return tuple(tags.get(_EXTRA_SAMPLES, ()))


def _unassociated(codes: Codes, alpha: Codes) -> Codes:
    """Undo that the colors were multiplied by alpha; Pillow does so for 8 bits."""
    top = np.float32(np.iinfo(codes.dtype).max)
    colors = np.empty_like(codes)
    for strip in strips(codes):
        share = np.maximum(alpha[strip], 1)[..., None].astype(np.float32)
        colors[strip] = np.minimum(codes[strip] * (top / share) + 0.5, top)
    return colors


def _tags(
    image: Image.Image, exif: Image.Exif, icc: bytes | None
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Return what to write of them, and a remark on what cannot be."""
    if image.format == "TIFF":
        for tag in exif.keys() - _TIFF_DESCRIPTIONS:
            del exif[tag]  # how this file stores its pixels, not what they show
    exif.pop(_ORIENTATION, None)  # it is applied here
    dropped = drop_unwritable(exif)
    tags: dict[str, Any] = {"exif": exif.tobytes()} if exif else {}
    if "dpi" in image.info:
        tags["dpi"] = image.info["dpi"]
    if icc:
        tags["icc_profile"] = icc
    if not dropped:
        return tags, ()
    return tags, (f"EXIF tags that cannot be written were left out: {', '.join(dropped)}",)


def _deep_samples(source: bytes | Path) -> tuple[U16, U16 | None]:
    data = np.frombuffer(source if isinstance(source, bytes) else source.read_bytes(), np.uint8)
    with decoding():
        samples = cv2.imdecode(data, cv2.IMREAD_UNCHANGED)
    if samples is None or samples.dtype != np.uint16 or samples.ndim != 3:
        raise UndecodableError("16-bit samples stored in a way that OpenCV does not read")
    bgr = samples.astype(np.uint16, copy=False)
    return bgr[..., 2::-1], (bgr[..., 3] if bgr.shape[2] == 4 else None)


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


def _profiled(
    image: Image.Image, codes: Codes
) -> tuple[Codes, bytes | None, bytes | None, tuple[str, ...]]:
    """Return the codes, the profile they are in, the one to write, and remarks."""
    icc: bytes = image.info.get("icc_profile") or b""
    space = icc[16:20]
    if image.mode == "CMYK":
        return codes, None, None, ("its CMYK colors became sRGB",)
    if space == b"GRAY" and (image.mode in ("L", "LA") or image.mode.startswith("I;16")):
        try:
            return gray_to_srgb(codes[..., 0], icc), None, None, ("its gray profile became sRGB",)
        except ValueError:
            return codes, None, None, (_UNFIT,)
    if space == b"RGB ":  # of a gray picture too: equal parts of each are gray there
        try:
            return codes, None if is_srgb(icc) else icc, icc, ()
        except ValueError:
            return codes, None, None, (_UNFIT,)
    return codes, None, None, (_UNFIT,) if icc else ()


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
