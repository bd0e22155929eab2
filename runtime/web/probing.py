"""What strangers send: known by its content, and refused before anything in it is decoded.

FFmpeg and Pillow know formats that name other files or addresses, or run programs: lists of
segments, scripts, PostScript. None of them is in the lists here.
"""

from pathlib import Path

import av
import av.error
from PIL import UnidentifiedImageError

from ..errors import InputError, MissingExtraError
from ..files import ffmpeg_url, is_pattern
from ..photo.decoding import UndecodableError, limited, open_picture
from ..photo.reader import MAX_PIXELS, pixels_of
from ..video.numbered import open_sequence

MAX_FILM_PIXELS = 100_000_000
"""Of a frame: 8K has 33 million, scans of 65 mm film fewer than 100."""

_DEMUXERS = (
    *("mov", "mp4", "matroska", "webm", "avi", "mpegts", "mpeg", "mpegvideo", "asf", "flv", "ogg"),
    *("mxf", "mxf_opatom", "yuv4mpegpipe", "h264", "hevc", "m4v", "dv", "rm", "ivf", "nut", "wtv"),
    *("obu", "av1", "vc1", "vc1test", "dnxhd", "gxf", "3gp", "swf", "h263", "h261", "cavsvideo"),
)
_FORMATS = frozenset(
    (
        *("JPEG", "MPO", "PNG", "WEBP", "BMP", "GIF", "AVIF", "HEIF", "JPEG2000", "PPM", "TIFF"),
        *("TGA", "DDS", "ICO", "PCX", "SGI"),
    )
)


def check_photo(path: Path, name: str) -> None:
    """Raise InputError, which speaks of NAME, unless PATH may be decoded as a photograph."""
    pixels = pixels_of(path)
    if pixels > MAX_PIXELS:
        raise InputError(
            f"{name}: has {pixels / 1e6:.0f} megapixels, above the {MAX_PIXELS / 1e6:.0f} that are "
            "taken here; make it smaller"
        )
    try:
        with limited(), open_picture(path) as image:
            known = image.format in _FORMATS
    except UnidentifiedImageError:
        return  # TIFF or JPEG XL, which the runtime reads without Pillow
    except (OSError, UndecodableError) as error:
        raise InputError(f"{name}: damaged or truncated picture") from error
    except MissingExtraError as error:
        raise InputError(f"{name}: HEIF is not installed on this server; use JPEG") from error
    if not known:
        raise InputError(f"{name}: {image.format} files are not taken here; use PNG, JPEG or TIFF")


def check_film(path: Path, name: str) -> None:
    """Raise InputError, which speaks of NAME, unless PATH may be decoded as a film.

    PATH may be the pattern of numbered frames in a folder of the server.
    """
    options = {"format_whitelist": ",".join(_DEMUXERS), "protocol_whitelist": "file"}
    neither = f"{name}: neither a picture nor a film that can be read"
    try:
        if is_pattern(path):
            container = open_sequence(path, None)
        else:
            container = av.open(ffmpeg_url(path), options=options, metadata_errors="replace")
    except InputError as error:
        said = str(error).replace(str(path), name).replace(str(path.parent), name)
        raise InputError(said) from error
    except (av.error.FFmpegError, OSError, ValueError) as error:
        raise InputError(neither) from error
    with container:
        if not container.streams.video:
            raise InputError(f"{name}: has no picture; choose a film")
        for stream in container.streams.video:
            context = getattr(stream, "codec_context", None)
            if context is not None and context.width * context.height > MAX_FILM_PIXELS:
                raise InputError(
                    f"{name}: its frames are {context.width}x{context.height}, too large for a film"
                )
