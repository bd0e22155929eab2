"""All that colored frames depend on, so that segments of another run are never mixed in."""

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

_HASHED = 1 << 20  # bytes at either end of the source, where an edit changes the header or index


def source_identity(source: Path) -> str:
    """Return what identifies a file, without reading all of it; InputError if it is gone."""
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
    """Return the identity of one run, under names that the user knows.

    It is unique where the settings do not name the network, or the source is a pipe.
    """
    libraries = (av.__version__, av.library_versions, cv2.__version__, np.__version__)
    facts: dict[str, object] = {
        **(settings.made_by or {"network": secrets.token_hex(8)}),
        "source": secrets.token_hex(8) if source.pipe else source_identity(source.path),
        **asdict(settings.options),
        "saturation": settings.saturation,
        "batch": settings.batch,
        # Each segment knows which references it depends on.
        "references": settings.references is not None,
        "toolkit": version("colorize-toolkit"),
        "libraries": libraries,
    }
    return {name: str(fact) for name, fact in facts.items()}
