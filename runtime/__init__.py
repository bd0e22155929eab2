"""The ground floor: color, the contract, engines, photographs, video. Never imports torch.

What programs use is here, and imported when it is first asked for: `colorize-run --help` must not
wait for OpenCV or an engine.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .colorizer import Colorizer
    from .errors import (
        ArgumentError,
        ColorizeError,
        EngineError,
        InputError,
        MissingExtraError,
        ModelError,
        OutOfMemoryError,
        OutputError,
        ProofError,
        TrainingError,
    )
    from .photo.photo import Photo
    from .photo.reader import read_photo
    from .photo.writer import write_photo
    from .steering.hints import Hints
    from .video.options import VideoOptions

__all__ = [
    "ArgumentError",
    "ColorizeError",
    "Colorizer",
    "EngineError",
    "Hints",
    "InputError",
    "MissingExtraError",
    "ModelError",
    "OutOfMemoryError",
    "OutputError",
    "Photo",
    "ProofError",
    "TrainingError",
    "VideoOptions",
    "read_photo",
    "write_photo",
]

_MODULES = {
    "Colorizer": ".colorizer",
    "Hints": ".steering.hints",
    "Photo": ".photo.photo",
    "VideoOptions": ".video.options",
    "read_photo": ".photo.reader",
    "write_photo": ".photo.writer",
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first asked for."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_MODULES.get(name, ".errors"), __name__), name)
    globals()[name] = value
    return value
