"""Everything that decides how a training goes, in one frozen object that the run folder keeps."""

import math
from dataclasses import dataclass

from ..runtime.errors import ArgumentError


@dataclass(frozen=True)
class TrainConfig:
    """One training: what is trained, on what, for how long, and how."""

    arch: str
    data: tuple[str, ...]
    preset: str = "small"
    encoder: str | None = None  # replaces the preset's
    encoder_weights: str | None = None  # a torchvision weights name or a state dict file
    # The budget: whichever ends first; the learning rate follows the share that is used up.
    steps: int | None = None
    epochs: float | None = None
    max_seconds: float | None = None
    licence: str = "unstated; the rights of the training photographs apply"
    seed: int = 0
    batch_size: int = 16  # small enough for 24 photos, large enough for batch norm
    size: int = 128  # crop side: a 2-core CPU sees four times the photos that 256 would allow
    validation_share: float = 0.05
    validation_limit: int = 256  # more cost time and tell nothing more
    lr: float = 1e-3  # AdamW's usual 1e-3 is stable with warm-up and clipping at this size
    encoder_lr_scale: float = 0.3  # for pre-trained encoders: keep what they know
    weight_decay: float = 0.01
    warmup_steps: int = 100  # or 5% of the budget: batch norm and AdamW's moments settle first
    clip_norm: float = 1.0
    ema_decay: float = 0.998  # averages about 500 steps: smoother colours than any single step's
    huber_delta: float = 12.0  # in ab units: below it errors are noise, above it outliers
    vividness: float = 1 / 30  # a chroma of 30, a blue sky, weighs twice as much as grey
    adversarial_weight: float = 0.5  # against a Huber loss of 3 to 5: sharpens, does not lead
    discriminator_lr: float = 4e-4  # constant, below the generator's full rate: it learns faster
    discriminator_width: int = 32

    def __post_init__(self) -> None:
        """Refuse values that cannot work."""
        for name in ("batch_size", "steps", "epochs", "max_seconds", "lr"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise ArgumentError(f"{name.replace('_', '-')} is {value}; it must be above 0")
        if self.batch_size < 2:
            raise ArgumentError("batch-size is 1; batch norm needs at least 2")
        if not math.isfinite(self.lr):
            raise ArgumentError(f"lr is {self.lr}; it must be a number such as 1e-3")
        if not 0 <= self.seed < 2**32:
            raise ArgumentError(f"seed is {self.seed}; it must lie in 0..2^32-1")
        if self.size < 32 or self.size % 32:
            raise ArgumentError(f"size is {self.size}; it must be a multiple of 32, at least 32")
