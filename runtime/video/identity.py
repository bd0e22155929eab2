"""All that colored frames depend on, so that segments of another run are never mixed in."""

import secrets
from dataclasses import asdict, replace
from importlib.metadata import version

import av
import cv2
import numpy as np

from .options import VideoSettings
from .source import Source


def video_identity(source: Source, settings: VideoSettings) -> dict[str, str]:
    """Return the identity of one run, under names that the user knows.

    It is unique where the settings do not name the network, or the source is a pipe.
    """
    libraries = (av.__version__, av.library_versions, cv2.__version__, np.__version__)
    facts: dict[str, object] = {
        **(settings.made_by or {"network": secrets.token_hex(8)}),
        "source": secrets.token_hex(8) if source.pipe else source.identity(),
        **asdict(replace(settings.options, audio=None)),  # frames do not depend on it
        "range": source.full_range,
        "saturation": settings.saturation,
        "batch": settings.batch,
        # Each segment knows which references it depends on.
        "references": settings.references is not None,
        "toolkit": version("colorize-toolkit"),
        "libraries": libraries,
    }
    return {name: str(fact) for name, fact in facts.items()}
