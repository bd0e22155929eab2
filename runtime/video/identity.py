"""All that the frames of a colored film depend on: segments of another film are never mixed in."""

import hashlib
import secrets
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path

import av
import cv2
import numpy as np

from ..errors import InputError
from .options import VideoSettings
from .source import Source

_HASHED = 1 << 20  # bytes at either end of the source; sound and index lie there, and size counts


def source_identity(source: Path) -> str:
    """Return what tells one file from another without reading it all; InputError if it is gone."""
    try:
        facts = source.stat()
        with source.open("rb") as file:
            digest = hashlib.sha256(file.read(_HASHED))
            file.seek(max(facts.st_size - _HASHED, 0))
            digest.update(file.read(_HASHED))
    except OSError as error:
        raise InputError(f"{source}: cannot be read ({error.strerror or error})") from error
    return f"{facts.st_size} bytes, {facts.st_mtime_ns}, {digest.hexdigest()}"


def video_identity(source: Source, settings: VideoSettings) -> dict[str, str]:
    """Return the identity of one coloring, by names that the user knows.

    Where the settings do not say what the network is, or the source is a pipe, no two are the same.
    """
    libraries = (av.__version__, av.library_versions, cv2.__version__, np.__version__)
    facts: dict[str, object] = {
        **(settings.made_by or {"network": secrets.token_hex(8)}),
        "source": secrets.token_hex(8) if source.pipe else source_identity(source.path),
        **asdict(settings.options),
        "saturation": settings.saturation,
        "batch": settings.batch,
        "toolkit": version("colorize-toolkit"),
        "libraries": libraries,
    }
    return {name: str(fact) for name, fact in facts.items()}
