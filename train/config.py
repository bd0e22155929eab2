"""Everything that decides how a training goes, in one frozen object that the run folder keeps."""

import math
from dataclasses import dataclass, fields, replace
from typing import Any

from ..runtime.errors import ArgumentError

_ABOVE_ZERO = (
    *("batch_size", "steps", "epochs", "max_seconds", "lr", "huber_delta", "smallest_crop"),
    *("rarity_mix", "validation_limit", "discriminator_width"),
)
_SHARES = ("smallest_crop", "rarity_mix", "grow_at", "adversarial_from")

FINE_TUNING_LR = 2e-4
"""The default rate of a training that starts from a colorizer: keep what it knows."""


@dataclass(frozen=True)
class TrainConfig:
    """One training: what is trained, on what, for how long, and how."""

    arch: str
    data: tuple[str, ...]
    preset: str = "small"
    init_from: str | None = None  # a colorizer to fine-tune; its preset and encoder are kept
    encoder: str | None = None  # replaces the preset's
    encoder_weights: str | None = "auto"  # published name or file; auto: what needs no download
    # Widths that replace the preset's, deepest level first; one level fewer halves the answer.
    decoder: tuple[int, ...] | None = None
    freeze_encoder: int = 0  # steps at the start during which a pre-trained encoder stays as it is
    hints: bool = False  # train with simulated hints, as colors that a user gives
    freeze_norm: bool = False  # batch norm keeps its statistics: for few photos, small batches
    # The budget: whichever ends first; the learning rate follows the share that is used up.
    steps: int | None = None
    epochs: float | None = None
    max_seconds: float | None = None
    license: str = "unstated; the rights of the training photographs apply"
    seed: int = 0
    batch_size: int = 16  # of all processes together; small enough for 24 photos, large for norm
    size: int = 128  # crop side: a 2-core CPU sees four times the photos that 256 would allow
    start_size: int = 0  # side of the crops until `grow_at`; 0: they are of full size throughout
    grow_at: float = 0.5  # share of the budget
    smallest_crop: float = 0.8  # of the short side: the runtime shows the network whole pictures
    precision: str = "auto"  # bf16 where the hardware computes it, else fp32
    threads: int = 0  # of a single process, 0: all cores; a resumed run keeps their number
    cache_gib: float = 4.0  # of disk for decoded photographs that are larger than crops need
    validation_share: float = 0.05
    validation_limit: int = 256  # more cost time and tell nothing more
    lr: float = 1e-3  # AdamW's usual 1e-3 is stable with warm-up and clipping at this size
    encoder_lr_scale: float = 0.3  # for pre-trained encoders: keep what they know
    weight_decay: float = 0.01
    warmup_steps: int = 100  # or 5% of the budget: batch norm and AdamW's moments settle first
    clip_norm: float = 1.0
    ema_decay: float = 0.998  # averages about 500 steps: smoother colors than any single step's
    pixel_loss: str = "huber"  # weight 1: all others are measured against it
    huber_delta: float = 12.0  # in ab units: below it errors are noise, above it outliers
    color_weights: str = "none"  # weights bring color at the price of truth, saturation for less
    vividness: float = 1 / 30  # a chroma of 30, a blue sky, weighs twice as much as gray
    rarity_mix: float = 0.5  # half rarity, half alike: the value of Zhang et al. 2016
    perceptual: str | None = None  # squeezenet1_1 or vgg16; None: without
    perceptual_weights: str = "DEFAULT"  # a published name or a file
    perceptual_weight: float = 2.0  # the loss is about 0.5 to 1, a Huber loss 3 to 5
    adversarial_loss: str = "hinge"
    # Share of the budget after which the discriminator joins; None: as the architecture has it.
    adversarial_from: float | None = None
    adversarial_weight: float = 0.5  # against a Huber loss of 3 to 5: sharpens, does not lead
    discriminator_penalty: str = "spectral"  # or r1, which costs a second backward pass
    r1_weight: float = 1.0  # of a slope near 1 or below once spectral norm is not there to hold it
    discriminator_lr: float = 4e-4  # constant, below the generator's full rate: it learns faster
    discriminator_width: int = 32

    def __post_init__(self) -> None:
        """Refuse values that cannot work."""
        for field in fields(self):
            value = getattr(self, field.name)
            # 0 is a number too, and what it switches off is the user's affair.
            if isinstance(value, int | float) and not 0 <= value < math.inf:
                raise ArgumentError(f"{field.name} is {value}; it must be a number from 0 on")
        for name in _ABOVE_ZERO:
            if getattr(self, name) == 0:
                raise ArgumentError(f"{name} is {getattr(self, name)}; it must be above 0")
        if self.batch_size < 2:
            raise ArgumentError("batch-size is 1; batch norm needs at least 2")
        for name in ("ema_decay", "validation_share"):
            if getattr(self, name) >= 1:
                raise ArgumentError(f"{name} is {getattr(self, name)}; it must be below 1")
        for name in _SHARES:
            if (getattr(self, name) or 0) > 1:
                raise ArgumentError(f"{name} is {getattr(self, name)}; it must be at most 1")
        if not self.seed < 2**32:
            raise ArgumentError(f"seed is {self.seed}; it must lie in 0..2^32-1")
        if self.size < 32 or self.size % 32:
            raise ArgumentError(f"size is {self.size}; it must be a multiple of 32, at least 32")
        if self.start_size % 32 or not self.start_size <= self.size:
            raise ArgumentError(
                f"start_size is {self.start_size}; it must be a multiple of 32, at most {self.size}"
            )
        if self.decoder is not None and not all(width > 0 for width in self.decoder):
            raise ArgumentError(f"decoder is {self.decoder}; its widths must be above 0")
        weights = self.encoder_weights not in ("auto", None)
        if self.init_from is not None and (self.encoder or weights or self.decoder):
            raise ArgumentError("--init-from brings its own network; leave encoder and decoder out")

    def changed(self, texts: dict[str, str]) -> "TrainConfig":
        """Return this config with fields set from TEXTS; ArgumentError lists the names."""
        kinds = {
            field.name: kind
            for field in fields(self)
            for kind in (int, float, str)
            if field.type is kind
        }
        values: dict[str, Any] = {}
        for name, text in texts.items():
            if name not in kinds:
                raise ArgumentError(f"no setting {name!r} to change; there are {', '.join(kinds)}")
            try:
                values[name] = kinds[name](text)
            except ValueError as error:
                raise ArgumentError(f"{name} is {text!r}; it must be a number") from error
        return replace(self, **values)
