"""How far two answers lie apart as pictures."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from skimage.color import deltaE_ciede2000

from ..runtime.catalog import SAMPLES
from ..runtime.color import F32, U8, grey_to_lightness, lab_to_rgb, to_bytes
from ..runtime.files import photo_files
from ..runtime.images import read_photo


@dataclass(frozen=True)
class Difference:
    """What was compared, the mean difference, and that of the pixel at the quantile."""

    subject: str
    unit: str
    mean: float
    tail: float
    most: tuple[float, float]  # the mean and the tail that may be
    quantile: float = 0.999

    @property
    def passed(self) -> bool:
        """Whether both figures keep their bounds (NaN does not)."""
        return self.mean <= self.most[0] and self.tail <= self.most[1]

    def to_card(self) -> dict[str, Any]:
        """Return what the JSON beside a file holds."""
        return {**asdict(self), "passed": self.passed}

    def __str__(self) -> str:
        tail = "max" if self.quantile == 1 else f"{self.quantile:.1%}"
        return (
            f"{self.subject}: {self.unit} mean {self.mean:.3f} (bound {self.most[0]:g}), "
            f"{tail} {self.tail:.3f} (bound {self.most[1]:g})"
        )


def ciede2000(lightness: F32, ab: F32, other: F32) -> F32:
    """Return the differences (N, H, W) as the eye sees them, of ab (N, 2, H, W) and OTHER."""
    one, two = (_lab(lightness, planes) for planes in (ab, other))
    apart: F32 = deltaE_ciede2000(one, two)  # type: ignore[no-untyped-call]  # skimage's own
    return apart


def levels(lightness: F32, ab: F32, other: F32) -> F32:
    """Return the differences (N, H, W, 3) of the 8-bit pictures."""
    one, two = (to_bytes(lab_to_rgb(_lab(lightness, planes))) for planes in (ab, other))
    apart: F32 = np.abs(one.astype(np.float32) - two)
    return apart


def _lab(lightness: F32, ab: F32) -> F32:
    return np.concatenate([lightness, ab], axis=1).transpose(0, 2, 3, 1)


def sample_greys(count: int) -> Sequence[U8]:
    """Return COUNT sample photographs, on which nothing was trained or calibrated, as greys."""
    return [read_photo(path).grey() for path in photo_files(SAMPLES / "test")[:count]]


def as_lightness(greys: Sequence[U8]) -> F32:
    """Return L* (N, 1, H, W) of greys (H, W) of one size."""
    return np.ascontiguousarray(grey_to_lightness(np.stack(greys))[:, None])
