"""How long a training lasts, and the learning rate on the way."""

import math
from dataclasses import dataclass

from ..runtime.errors import ArgumentError
from .config import BUDGET, TrainConfig

_WARMUP_SHARE = 0.05


@dataclass(frozen=True)
class Budget:
    """Steps, seconds, or both: whichever is used up first ends the training."""

    steps: float
    seconds: float

    @classmethod
    def of(cls, config: TrainConfig, photos: int) -> "Budget":
        """Return the budget that CONFIG asks for with this many photos an epoch."""
        if not any(getattr(config, name) for name in BUDGET):
            raise ArgumentError("a training needs steps, epochs or max_seconds")
        by_epochs = max(1, (config.epochs or math.inf) * photos / config.batch_size)
        return cls(min(config.steps or math.inf, by_epochs), config.max_seconds or math.inf)

    def progress(self, steps: int, seconds: float) -> float:
        """Return the share used up, 0..1."""
        return min(1.0, max(steps / self.steps, seconds / self.seconds))


def learning_rate_factor(step: int, progress: float, config: TrainConfig) -> float:
    """Return what the full rate is multiplied by: linear warm-up, then half a cosine to zero.

    Loshchilov & Hutter 2017, arXiv:1608.03983, without restarts.
    """
    warmed = step / config.warmup_steps if config.warmup_steps else 1.0
    warm = min(1.0, max(warmed, progress / _WARMUP_SHARE))
    return warm * 0.5 * (1 + math.cos(math.pi * progress))
