"""Everything that decides how a training goes, in one frozen object that the run folder keeps."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from ..runtime.errors import ArgumentError
from ..runtime.models.catalog import SAMPLES
from .architectures import architecture
from .architectures.encoders import PACKAGED
from .devices import PRECISIONS, Machine

_ABOVE_ZERO = (
    *("batch_size", "steps", "epochs", "max_seconds", "lr", "huber_delta", "smallest_crop"),
    *("rarity_mix", "validation_limit", "discriminator_width"),
)
_SHARES = ("smallest_crop", "degraded", "rarity_mix", "grow_at", "adversarial_from")

BUDGET = frozenset(["steps", "epochs", "max_seconds"])
"""The settings of which each ends a training, and of which it needs one."""

EPOCHS = 20.0
"""Of a training for which no budget is given."""

_FINE_TUNING_LR = 2e-4  # keeps what the colorizer knows
_SAMPLE_SECONDS = 180.0  # on 24 photographs: long enough to see color come
_SAMPLES_LICENSE = (
    "that of the sample photographs, see samples/SOURCES.md, and of the weights that it began with"
)
_MANY_PHOTOS = 2000  # from here on a GPU's larger crops pay


@dataclass(frozen=True)
class TrainConfig:
    """One training: what is trained, on what, for how long, and how."""

    arch: str
    data: tuple[str, ...]
    keep_tinted: bool = False  # photographs of a single hue, such as sepia, are trained on too
    preset: str = "small"
    init_from: str | None = None  # a colorizer to fine-tune; its preset and encoder are kept
    encoder: str | None = None  # replaces the preset's
    encoder_weights: str | None = None  # published name or file; None: random, or init_from's
    # Widths that replace the preset's, deepest level first; one level fewer halves the answer.
    decoder: tuple[int, ...] | None = None
    freeze_encoder: int = 0  # steps at the start during which a pre-trained encoder stays as it is
    hints: bool = False  # train with simulated hints, as colors that a user gives
    keep: float = 0.0  # weight of answering as init_from does where nothing is hinted
    freeze_norm: bool = False  # batch norm keeps its statistics: for few photos, small batches
    # The budget: whichever ends first; the learning rate follows the share that is used up.
    steps: int | None = None
    epochs: float | None = None
    max_seconds: float | None = None
    license: str = "unstated; the rights of the training photographs apply"
    seed: int = 0
    batch_size: int = 16  # of all processes together; fits 24 photos, and is enough for batch norm
    size: int = 128  # crop side: a 2-core CPU sees four times the photos that 256 would allow
    start_size: int = 0  # side of the crops until `grow_at`; 0: they are of full size throughout
    grow_at: float = 0.5  # share of the budget
    smallest_crop: float = 0.8  # of the short side: the runtime shows the network whole pictures
    degraded: float = 0.0  # share of the crops whose lightness is faded, soft or grainy
    precision: str = "fp32"  # or bf16
    threads: int = 0  # of a single process; 0: all cores
    cache_gib: float = 4.0  # of disk for decoded photographs that are larger than crops need
    validation_share: float = 0.05
    validation_limit: int = 256  # more photos take time and change no figure
    lr: float = 1e-3  # AdamW's usual 1e-3 is stable with warm-up and clipping at this size
    encoder_lr_scale: float = 0.3  # for pre-trained encoders: keep what they know
    weight_decay: float = 0.01
    warmup_steps: int = 100  # or 5% of the budget: batch norm and AdamW's moments settle first
    clip_norm: float = 1.0
    ema_decay: float = 0.998  # averages about 500 steps: smoother colors than any single step's
    pixel_loss: str = "huber"  # weight 1: all others are measured against it
    huber_delta: float = 12.0  # in ab units: below it errors are noise, above it outliers
    color_weights: str = "none"  # weights add color and error; a higher saturation adds less error
    vividness: float = 1 / 30  # a chroma of 30, a blue sky, weighs twice as much as gray
    rarity_mix: float = 0.5  # half rarity, half alike: the value of Zhang et al. 2016
    perceptual: str | None = None  # efficientnet_lite0 or vgg16; None: without
    perceptual_weights: str = "DEFAULT"  # a published name or a file
    perceptual_weight: float = 2.0  # the loss is about 0.5 to 1, a Huber loss 3 to 5
    paleness_weight: float = 0.0  # of DDColor's colorfulness loss, which asks for any color
    adversarial_loss: str = "hinge"
    adversarial_from: float = 0.0  # share of the budget after which the discriminator joins
    adversarial_weight: float = 0.5  # small beside a Huber loss of 3 to 5: it only sharpens
    discriminator_penalty: str = "spectral"  # or r1, which costs a second backward pass
    r1_weight: float = 1.0  # replaces spectral norm, which would hold the slope near 1
    discriminator_lr: float = 4e-4  # constant, below the generator's full rate: it learns faster
    discriminator_width: int = 32

    def __post_init__(self) -> None:
        """Refuse values that cannot work."""
        for field in fields(self):
            value = getattr(self, field.name)
            # 0 is allowed: it switches a setting off.
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
            if getattr(self, name) > 1:
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
        if self.precision not in PRECISIONS:
            raise ArgumentError(f"precision is {self.precision!r}; choose bf16 or fp32")
        if self.init_from is not None and (self.encoder or self.encoder_weights or self.decoder):
            raise ArgumentError("--init-from brings its own network; leave encoder and decoder out")
        if self.keep and (self.init_from is None or not self.hints):
            raise ArgumentError("keep needs --init-from, whose answers it keeps, and --hints")
        if self.freeze_encoder and self.init_from is None and self.encoder_weights is None:
            raise ArgumentError(
                "--freeze-encoder would keep random weights; give --encoder-weights or --init-from"
            )

    @property
    def model(self) -> Any:
        """The architecture's own config: its preset, with what replaces parts of it."""
        entry = architecture(self.arch)
        if self.preset not in entry.presets:
            raise ArgumentError(
                f"{self.arch} has no preset {self.preset!r}; "
                f"choose one of {', '.join(entry.presets)}"
            )
        model = replace(entry.presets[self.preset], hints=self.hints)
        if self.decoder is not None:
            most = len(model.decoder_channels)  # a preset has all the levels its encoder leaves
            if len(self.decoder) > most:
                raise ArgumentError(
                    f"--decoder: {len(self.decoder)} levels, but this encoder leaves 1 to {most}"
                )
            model = replace(model, decoder_channels=self.decoder)
        if self.encoder is None:
            return model
        if not hasattr(model, "encoder"):
            raise ArgumentError(f"{self.arch} has an encoder of its own; leave --encoder out")
        return replace(model, encoder=self.encoder)


def resolve(
    given: Mapping[str, Any], machine: Machine, photos: int, inherited: Mapping[str, Any]
) -> TrainConfig:
    """Return the settings GIVEN with a default for every other, for a number of PHOTOS.

    INHERITED are those of the colorizer in `init_from`, {} without one. A run stores the result:
    resumed on another machine, it keeps precision and threads, and so rounds alike.
    """
    settings = {"arch": "unet", **inherited, **given}
    entry = architecture(settings["arch"])
    budget = {"epochs": EPOCHS}
    if "data" not in settings:
        settings = {"data": (str(SAMPLES / "train"),), "license": _SAMPLES_LICENSE, **settings}
        budget = {"max_seconds": _SAMPLE_SECONDS}
    if not settings.keys() & BUDGET:
        settings |= budget
    if "init_from" in settings:
        if "encoder_weights" in settings:
            raise ArgumentError("--init-from brings its encoder's weights; leave those out")
        # A colorizer's regression is done: the discriminator joins at once.
        settings = {"lr": _FINE_TUNING_LR, "adversarial_from": 0.0, **settings}
    else:
        if machine.gpu and photos >= _MANY_PHOTOS:
            settings = {"size": 256, "batch_size": 64, **settings}
        settings = {"adversarial_from": entry.adversarial_from or 0.0, **settings}
    if settings.get("precision", "auto") == "auto":
        settings["precision"] = "bf16" if machine.bf16 else "fp32"
    settings["threads"] = settings.get("threads") or machine.threads
    if "init_from" not in settings and "encoder_weights" not in settings:
        plain = TrainConfig(**{**settings, "freeze_encoder": 0})
        packaged = getattr(plain.model, "encoder", None) in PACKAGED
        settings["encoder_weights"] = "DEFAULT" if packaged else None
    return TrainConfig(**settings)


def parse_settings(texts: Mapping[str, str]) -> dict[str, Any]:
    """Return the values of fields of TrainConfig from TEXTS; ArgumentError lists the names."""
    plain: tuple[Any, ...] = (int, float, str)
    kinds: dict[str, Any] = {f.name: f.type for f in fields(TrainConfig) if f.type in plain}
    values: dict[str, Any] = {}
    for name, text in texts.items():
        if name not in kinds:
            raise ArgumentError(f"no setting {name!r} to change; there are {', '.join(kinds)}")
        try:
            values[name] = kinds[name](text)
        except ValueError as error:
            raise ArgumentError(f"{name} is {text!r}; it must be a number") from error
    return values
