"""The training loop, one for all architectures."""

import itertools
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.optim import AdamW, Optimizer
from torch.optim.swa_utils import AveragedModel
from torch.utils.data import DataLoader, RandomSampler

from ..runtime.errors import TrainingError
from .architectures import architecture
from .architectures.base import AnyArchitecture
from .architectures.blocks import Generator
from .architectures.discriminator import PatchDiscriminator
from .config import TrainConfig
from .data import CropDataset, Photo
from .devices import choose_precision, loader_workers
from .losses import chroma_huber, discriminator_hinge, generator_hinge
from .schedule import Budget, learning_rate_factor

VALIDATIONS = 12
"""How often a training validates and saves, evenly over its budget."""


@dataclass(frozen=True)
class Step:
    """What one step reports; losses are the last batch's."""

    number: int
    progress: float  # share of the budget, 0..1
    losses: dict[str, float]
    photos_per_second: float
    seconds: float


Report = Callable[[Step], None]
Validate = Callable[[Step, Generator], None]
_Tensors = tuple[Tensor, ...] | list[Tensor]


def train(
    config: TrainConfig,
    network: Generator,
    photos: list[Photo],
    budget: Budget,
    *,
    on_step: Report,
    on_validation: Validate,
) -> None:
    """Train NETWORK; ON_VALIDATION gets its averaged weights now and then, and at the end.

    TrainingError when a loss is no longer finite; what ON_VALIDATION saved stays good.
    """
    entry = architecture(config.arch)
    fabric = Fabric(devices=1, precision=choose_precision())
    fabric.seed_everything(config.seed, verbose=False)
    batches = iter(fabric.setup_dataloaders(_endless_loader(config, photos)))

    network = network.to(memory_format=torch.channels_last)
    generator, generator_optimizer = fabric.setup(network, _generator_optimizer(config, network))
    average = AveragedModel(network, multi_avg_fn=_moving_average(config.ema_decay))
    if entry.adversarial_from is not None:
        critic = PatchDiscriminator(config.discriminator_width)
        critic_optimizer = AdamW(critic.parameters(), config.discriminator_lr, betas=(0.5, 0.99))
        discriminator, discriminator_optimizer = fabric.setup(critic, critic_optimizer)

    start, validations = time.monotonic(), 0
    for number in itertools.count(1):
        progress = budget.progress(number - 1, time.monotonic() - start)
        _set_learning_rate(generator_optimizer, learning_rate_factor(number, progress, config))
        L, ab = next(batches)

        predicted = generator(L)
        loss = chroma_huber(predicted, ab, config.huber_delta, config.vividness)
        losses = {"huber": loss}
        if _adversarial(entry, progress):
            real, fake = discriminator(L, ab), discriminator(L, predicted.detach())
            losses["discriminator"] = discriminator_hinge(real, fake)
            fabric.backward(losses["discriminator"])
            discriminator_optimizer.step()
            losses["adversarial"] = generator_hinge(discriminator(L, predicted))
            loss = loss + config.adversarial_weight * losses["adversarial"]
        fabric.backward(loss)
        fabric.clip_gradients(
            generator, generator_optimizer, max_norm=config.clip_norm, error_if_nonfinite=False
        )
        _check_finite(losses, number)
        generator_optimizer.step()
        generator_optimizer.zero_grad()
        if _adversarial(entry, progress):
            discriminator_optimizer.zero_grad()  # the generator's loss left gradients there too
        average.update_parameters(network)

        seconds = time.monotonic() - start
        done = budget.progress(number, seconds)
        values = {name: float(value.detach()) for name, value in losses.items()}
        step = Step(number, done, values, number * config.batch_size / seconds, seconds)
        on_step(step)
        if int(done * VALIDATIONS) > validations:
            validations = int(done * VALIDATIONS)
            on_validation(step, _averaged(average))
        if done >= 1:
            return


def _endless_loader(config: TrainConfig, photos: list[Photo]) -> DataLoader[tuple[Tensor, Tensor]]:
    dataset = CropDataset(photos, config.size, augment=True)
    return DataLoader(
        dataset,
        config.batch_size,
        sampler=RandomSampler(dataset, num_samples=2**62),  # epoch after epoch, each a permutation
        num_workers=loader_workers(),
        drop_last=True,
    )


def _generator_optimizer(config: TrainConfig, network: Generator) -> Optimizer:
    scale = config.encoder_lr_scale if config.encoder_weights else 1.0
    groups = [
        {"params": list(network.encoder.parameters()), "lr": config.lr * scale},
        {"params": list(network.decoder.parameters()), "lr": config.lr},
        {"params": list(network.head.parameters()), "lr": config.lr},
    ]
    for group in groups:
        group["full_lr"] = group["lr"]
    return AdamW(groups, weight_decay=config.weight_decay)


def _set_learning_rate(optimizer: Optimizer, factor: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = group["full_lr"] * factor


def _averaged(average: AveragedModel) -> Generator:
    module = average.module.eval()
    assert isinstance(module, Generator)
    return module


def _adversarial(entry: AnyArchitecture, progress: float) -> bool:
    return entry.adversarial_from is not None and progress >= entry.adversarial_from


def _check_finite(losses: dict[str, Tensor], number: int) -> None:
    for name, value in losses.items():
        if not torch.isfinite(value):
            raise TrainingError(
                f"the {name} loss is {float(value.detach())} at step {number}; try a lower --lr. "
                "The last checkpoint in the run folder is good"
            )


def _moving_average(decay: float) -> Callable[[_Tensors, _Tensors, Tensor | int], None]:
    """Return an exponential average; its decay grows with the steps, to forget the start."""

    @torch.no_grad()
    def update(averaged: _Tensors, current: _Tensors, count: Tensor | int) -> None:
        now = min(decay, (1 + int(count)) / (10 + int(count)))
        torch._foreach_lerp_(averaged, current, 1 - now)

    return update


def predictions(
    network: nn.Module, dataset: CropDataset, batch_size: int
) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Yield (L, predicted ab, true ab) of single pictures, in order."""
    with torch.inference_mode():
        for L, ab in DataLoader(dataset, batch_size):
            yield from zip(
                L, network(L.to(next(network.parameters()).device)).float().cpu(), ab, strict=True
            )
