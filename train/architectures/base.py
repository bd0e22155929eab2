"""What the registry knows of an architecture."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from .blocks import EncoderDecoder

Config = TypeVar("Config")


@dataclass(frozen=True)
class Architecture(Generic[Config]):
    """How to build one generator, and how it is trained."""

    name: str
    summary: str
    config: type[Config]
    presets: Mapping[str, Config]
    build: Callable[[Config], EncoderDecoder]
    adversarial_from: float | None = None
    """Share of a training from scratch after which the discriminator joins; None: never."""


AnyArchitecture = Architecture[Any]
