"""The ground floor: color, the contract, engines, photographs, film. Never imports torch."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .colorizer import Colorizer

__all__ = ["Colorizer"]


def __getattr__(name: str) -> Any:
    """Import Colorizer when it is asked for: `colorize-run --help` must not wait for OpenCV."""
    if name == "Colorizer":
        from .colorizer import Colorizer

        return Colorizer
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
