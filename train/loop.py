"""The training loop, one for all architectures."""

import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.utils.data import DataLoader

from ..runtime.errors import TrainingError
from .architectures import architecture
from .config import TrainConfig
from .data import CropDataset, EndlessDraws, Photo
from .devices import choose_precision, loader_workers
from .interrupt import Interrupt
from .losses import chroma_huber, discriminator_hinge, generator_hinge
from .schedule import Budget, learning_rate_factor
from .state import TrainState

VALIDATIONS = 12
"""How often a training validates and saves, evenly over its budget."""

_MEND = "try a lower --lr. What the run folder holds is good"


@dataclass(frozen=True)
class Step:
    """What one step reports; losses are the last batch's."""

    number: int
    progress: float  # share of the budget, 0..1
    losses: dict[str, float]
    photos_per_second: float
    seconds: float  # of training, those before a resume included


Report = Callable[[Step], None]


def train(
    config: TrainConfig,
    state: TrainState,
    photos: list[Photo],
    budget: Budget,
    *,
    resume: Path | None,
    on_step: Report,
    on_validation: Report,
) -> None:
    """Train STATE's network; ON_VALIDATION is called now and then, when stopped, and at the end.

    TrainingError when a loss is no longer finite, KeyboardInterrupt when the user or the system
    asked to stop; what ON_VALIDATION saved stays good.
    """
    fabric = Fabric(devices=1, precision=choose_precision())
    fabric.seed_everything(config.seed, verbose=False)
    generator, optimizer = fabric.setup(state.network, state.optimizer)
    if state.critic is not None and state.critic_optimizer is not None:
        discriminator, discriminator_optimizer = fabric.setup(state.critic, state.critic_optimizer)
    state.average.to(fabric.device)
    if resume is not None:
        state.load(resume)
    batches = iter(fabric.setup_dataloaders(_endless_loader(config, photos, state.step)))
    adversarial_from = architecture(config.arch).adversarial_from

    start, resumed_at, training = time.monotonic() - state.seconds, state.step, 0.0
    progress = budget.progress(state.step, state.seconds)
    validations = int(progress * VALIDATIONS)
    with Interrupt() as interrupt:
        while progress < 1:
            began = time.monotonic()
            rate = learning_rate_factor(state.step + 1, progress, config)
            _set_learning_rate(optimizer, rate)
            L, ab = next(batches)

            predicted = generator(L)
            loss = chroma_huber(predicted, ab, config.huber_delta, config.vividness)
            losses = {"huber": loss}
            if adversarial_from is not None and progress >= adversarial_from:
                real, fake = discriminator(L, ab), discriminator(L, predicted.detach())
                losses["discriminator"] = discriminator_hinge(real, fake)
                discriminator_optimizer.zero_grad()  # the generator's loss left gradients there too
                fabric.backward(losses["discriminator"])
                discriminator_optimizer.step()
                losses["adversarial"] = generator_hinge(discriminator(L, predicted))
                loss = loss + config.adversarial_weight * losses["adversarial"]
            _check_finite(losses, state.step + 1)
            optimizer.zero_grad()
            fabric.backward(loss)
            _clip(fabric, generator, optimizer, config.clip_norm)
            optimizer.step()
            state.average.update_parameters(state.network)

            state.step, state.seconds = state.step + 1, time.monotonic() - start
            progress = budget.progress(state.step, state.seconds)
            values = {name: float(value.detach()) for name, value in losses.items()}
            training += time.monotonic() - began  # validations are not training
            speed = (state.step - resumed_at) * config.batch_size / training
            step = Step(state.step, progress, values, speed, state.seconds)
            on_step(step)
            if int(progress * VALIDATIONS) > validations or interrupt.requested:
                validations = int(progress * VALIDATIONS)
                on_validation(step)
            if interrupt.requested:
                raise KeyboardInterrupt
    if state.step == resumed_at:
        raise TrainingError("this training has used up its budget; give it more to go on")


def _endless_loader(
    config: TrainConfig, photos: list[Photo], steps_done: int
) -> DataLoader[tuple[Tensor, Tensor]]:
    return DataLoader(
        CropDataset(photos, config.size, seed=config.seed),
        config.batch_size,
        sampler=EndlessDraws(len(photos), config.seed, start=steps_done * config.batch_size),
        num_workers=loader_workers(),
        worker_init_fn=_leave_interrupts_to_the_trainer,
    )


def _leave_interrupts_to_the_trainer(_worker: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches every process of a terminal


def _set_learning_rate(optimizer: Optimizer, factor: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = group["full_lr"] * factor


def _clip(fabric: Fabric, generator: nn.Module, optimizer: Optimizer, norm: float) -> None:
    try:
        fabric.clip_gradients(generator, optimizer, max_norm=norm, error_if_nonfinite=True)
    except RuntimeError as error:
        raise TrainingError(f"the gradients are no longer finite; {_MEND}") from error


def _check_finite(losses: dict[str, Tensor], number: int) -> None:
    for name, value in losses.items():
        if not torch.isfinite(value):
            raise TrainingError(
                f"the {name} loss is {float(value.detach())} at step {number}; {_MEND}"
            )


def predictions(
    network: nn.Module, dataset: CropDataset, batch_size: int
) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Yield (L, predicted ab, true ab) of single pictures, in order."""
    device = next(network.parameters()).device
    with torch.inference_mode():
        for L, ab in DataLoader(dataset, batch_size):
            yield from zip(L, network(L.to(device)).float().cpu(), ab, strict=True)
