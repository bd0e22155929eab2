"""The registry: every architecture by name. A new one is one file and one line here."""

from ...runtime.errors import ArgumentError
from . import gan, resnet, unet, unetgan
from .base import AnyArchitecture

_ALL: tuple[AnyArchitecture, ...] = (
    resnet.ARCHITECTURE,
    unet.ARCHITECTURE,
    gan.ARCHITECTURE,
    unetgan.ARCHITECTURE,
)
ARCHITECTURES = {entry.name: entry for entry in _ALL}


def architecture(name: str) -> AnyArchitecture:
    """Return the architecture called NAME; ArgumentError lists the names."""
    if name not in ARCHITECTURES:
        names = ", ".join(ARCHITECTURES)
        raise ArgumentError(f"unknown architecture {name!r}; choose one of {names}")
    return ARCHITECTURES[name]
