"""Measures of one colored picture against its truth, and their running means."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from skimage.metrics import structural_similarity

from ...export.proof.distance import color_difference
from ...runtime.color import U8, rgb_to_lab
from ...train.metrics import colorfulness, psnr

SMALLEST = 32
"""Pixels a side: smaller pictures do not fit the windows of SSIM and the networks of LPIPS."""


@dataclass(frozen=True)
class Metric:
    """How a figure is called, written and read."""

    title: str
    digits: int
    better: int  # 1: higher is better, -1: lower, 0: neither
    source: str

    def text(self, value: float) -> str:
        """Return VALUE with its title."""
        return f"{self.title} {value:.{self.digits}f}"


METRICS = {
    "psnr_db": Metric("PSNR dB", 2, 1, "peak signal-to-noise ratio over R, G and B, 8 bits"),
    "ssim": Metric(
        "SSIM", 4, 1, "Wang et al. 2004, Gaussian window inside the picture, over R, G and B"
    ),
    "ciede2000": Metric("ΔE2000", 2, -1, "mean CIEDE2000 over the pixels, CIELAB, D65"),
    "lpips_alex": Metric("LPIPS alex", 4, -1, "Zhang et al. 2018, v0.1, AlexNet"),
    "lpips_vgg": Metric("LPIPS vgg", 4, -1, "Zhang et al. 2018, v0.1, VGG-16"),
    "lpips_squeeze": Metric("LPIPS squeeze", 4, -1, "Zhang et al. 2018, v0.1, SqueezeNet 1.1"),
    "fid": Metric("FID", 2, -1, "Heusel et al. 2017, Inception weights of 2015-12-05, pool 3"),
    "fd_squeeze": Metric(
        "FD-SqueezeNet1.1 (not FID)", 3, -1, "FID's formula on SqueezeNet 1.1's last features"
    ),
    "colorfulness": Metric("CF", 1, 0, "Hasler & Süsstrunk 2003, M^(3), signed opponents"),
    "colorfulness_delta": Metric("ΔCF", 1, -1, "|mean CF - mean CF of the truth|"),
    "colorfulness_ddcolor": Metric("CF abs", 1, 0, "DDColor's code: absolute opponents"),
    "colorfulness_ddcolor_delta": Metric("ΔCF abs", 1, -1, "|mean CF abs - the truth's|"),
}
"""Every figure of a quality row, in the order in which tables show them."""


def colorfulness_ddcolor(rgb: U8) -> float:
    """Return DDColor's colorfulness of 8-bit (H, W, 3): M^(3), but lower by absolute opponents."""
    r, g, b = np.moveaxis(rgb.astype(np.float64), -1, 0)
    rg, yb = abs(r - g), abs((r + g) / 2 - b)
    return float(np.hypot(rg.std(), yb.std()) + 0.3 * np.hypot(rg.mean(), yb.mean()))


def colors(rgb: U8) -> dict[str, float]:
    """Return the figures of an 8-bit (H, W, 3) picture that need no truth."""
    return {
        "colorfulness": colorfulness(rgb),
        "colorfulness_ddcolor": colorfulness_ddcolor(rgb),
    }


def compare(picture: U8, truth: U8) -> dict[str, float]:
    """Return the figures of an 8-bit (H, W, 3) picture against TRUTH (H, W, 3)."""
    return {
        "psnr_db": psnr(picture, truth),
        "ssim": ssim(picture, truth),
        "ciede2000": ciede2000(picture, truth),
        **colors(picture),
    }


def ssim(picture: U8, truth: U8) -> float:
    """Return the structural similarity, at most 1, of 8-bit (H, W, 3); sides of at least 11."""
    value: float = structural_similarity(  # type: ignore[no-untyped-call]  # as Wang et al. have it
        picture,
        truth,
        channel_axis=-1,
        data_range=255,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
    )
    return float(value)


def ciede2000(picture: U8, truth: U8) -> float:
    """Return the mean CIEDE2000 color difference of 8-bit (H, W, 3) pictures; 1 is just seen."""
    return float(color_difference(rgb_to_lab(truth), rgb_to_lab(picture)).mean())


def finite(value: float | None) -> float | None:
    """Return VALUE for JSON, which has no infinity: the PSNR of a perfect answer."""
    return value if value is not None and math.isfinite(value) else None


class RunningMean:
    """Mean and standard error of a figure over photographs, in memory that does not grow."""

    def __init__(self) -> None:
        self.count = 0
        self.mean = 0.0
        self._squares = 0.0

    def add(self, value: float) -> None:
        """Count VALUE (Welford 1962)."""
        self.count += 1
        if math.isinf(value) or math.isinf(self.mean):
            self.mean = math.inf
            return
        before = self.mean
        self.mean += (value - before) / self.count
        self._squares += (value - before) * (value - self.mean)

    @property
    def error(self) -> float | None:
        """Standard error of the mean; None for one photograph or an infinite figure."""
        if self.count < 2 or math.isinf(self.mean):
            return None
        return math.sqrt(self._squares / (self.count - 1) / self.count)


class RunningMeans:
    """A running mean for each figure, by its name."""

    def __init__(self) -> None:
        self._running: dict[str, RunningMean] = {}

    def add(self, figures: Mapping[str, float]) -> None:
        """Count the figures of one photograph."""
        for name, value in figures.items():
            self._running.setdefault(name, RunningMean()).add(value)

    def means(self) -> dict[str, float]:
        """Return the mean of each figure."""
        return {name: running.mean for name, running in self._running.items()}

    def errors(self) -> dict[str, float | None]:
        """Return the standard error of each mean."""
        return {name: running.error for name, running in self._running.items()}
