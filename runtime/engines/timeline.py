"""Where the time of one inference goes, for engines that can tell."""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from ..color import F32


@dataclass(frozen=True)
class Timeline:
    """Milliseconds of one inference by the device's own clock."""

    to_device_ms: float
    compute_ms: float
    to_host_ms: float


@runtime_checkable
class Timed(Protocol):
    """An engine that can tell."""

    def timeline(self, lightness: F32) -> Timeline:
        """Infer LIGHTNESS as `infer` does, and return where the time went."""
