"""The training loop, one for all architectures."""

import signal
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
import torch
import torch.nn.functional as F
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.optim import Optimizer
from torch.utils.data import DataLoader

from ..runtime.errors import ArgumentError, InputError, TrainingError
from .architectures.blocks import EncoderDecoder
from .checkpoints.state import TrainState
from .config import TrainConfig
from .data.crops import Crop, CropDataset, EndlessDraws
from .devices import loader_workers, make_fabric
from .interrupt import Interrupt
from .listening import extended, mostly_extended, unhinted
from .losses.objective import Objective
from .schedule import Budget, learning_rate_factor

VALIDATIONS = 12
"""How often a training validates and saves, evenly over its budget."""

_FIX = "try a lower --lr. What the run folder has saved is good"


@dataclass(frozen=True)
class Step:
    """What one step reports; losses are the last batch's."""

    number: int
    progress: float  # share of the budget, 0..1
    losses: dict[str, float]
    photos_per_second: float
    seconds: float  # of training, those before a resume included


OnStep = Callable[[Step], None]


def train(
    config: TrainConfig,
    state: TrainState,
    objective: Objective,
    crops: CropDataset,
    *,
    resume: Path | None,
    on_step: OnStep,
    on_validation: OnStep,
    parent: EncoderDecoder | None = None,
) -> None:
    """Train STATE's network on CROPS; ON_VALIDATION is called now and then, when stopped, and last.

    PARENT's answers are kept where nothing is hinted, as far as `keep` says.
    Of several processes each trains on its share of every batch, and the main one alone reports.
    TrainingError when a loss is no longer finite, KeyboardInterrupt when the user or the
    system asked to stop; what ON_VALIDATION saved stays good.
    """
    fabric = make_fabric(config.precision)
    fabric.launch()
    # The launcher of several processes divides the cores.
    if config.threads and fabric.world_size == 1:
        torch.set_num_threads(config.threads)
    fabric.seed_everything(config.seed, verbose=False)
    _synchronize_norm(fabric, state.network)
    generator, optimizer = fabric.setup(state.network, state.optimizer)
    if state.discriminator is not None and state.discriminator_optimizer is not None:
        discriminator, discriminator_optimizer = fabric.setup(
            state.discriminator, state.discriminator_optimizer
        )
    state.average.to(fabric.device)
    objective.to(fabric.device)
    if parent is not None:
        parent.to(fabric.device)
    if resume is not None:
        state.load(resume)

    budget = Budget.of(config, len(crops))
    start, resumed_at, training = time.monotonic() - state.seconds, state.step, 0.0
    progress = budget.progress(state.step, state.seconds)
    validations = int(progress * VALIDATIONS)
    # Closed explicitly, because the workers ignore the signals that would end them.
    with closing(_batches(fabric, config, crops, state.step)) as batches, Interrupt() as interrupt:
        while progress < 1:
            began = time.monotonic()
            frozen = state.step < config.freeze_encoder
            _freeze(state.network, encoder=frozen, norm=config.freeze_norm)
            rate = learning_rate_factor(state.step + 1, progress, config)
            _set_learning_rate(optimizer, rate, frozen=frozen)
            L, ab, hints = _grown(next(batches), progress, config)

            answers = None
            if config.hints:
                with fabric.autocast():
                    answers = unhinted(parent or state.averaged, L)
                chance = np.random.default_rng([config.seed, state.step, fabric.global_rank])
                hints = mostly_extended(L, answers, hints, chance)
            predicted = generator(L, hints) if config.hints else generator(L)
            losses = objective.regression(L, predicted, ab)
            if parent is not None and answers is not None:
                losses["kept"] = objective.kept(predicted, answers, hints)
            opponent_loss = {}
            if state.discriminator is not None and progress >= config.adversarial_from:
                opponent_loss["discriminator"] = objective.discriminator_loss(
                    discriminator, L, predicted, ab
                )
                discriminator_optimizer.zero_grad()
                fabric.backward(opponent_loss["discriminator"])
                discriminator_optimizer.step()
                with fabric.autocast(), _fixed(state.discriminator):
                    losses["adversarial"] = objective.adversarial_loss(
                        state.discriminator, L, predicted
                    )
            _check_finite(losses | opponent_loss, state.step + 1)
            optimizer.zero_grad()
            fabric.backward(objective.total(losses))
            _clip(fabric, generator, optimizer, config.clip_norm)
            optimizer.step()
            state.average.update_parameters(state.network)

            state.step = state.step + 1
            state.seconds, stop = _agree(fabric, time.monotonic() - start, interrupt.requested)
            progress = budget.progress(state.step, state.seconds)
            values = {k: float(v.detach()) for k, v in (losses | opponent_loss).items()}
            training += time.monotonic() - began  # validations are not training
            speed = (state.step - resumed_at) * config.batch_size / training
            step = Step(state.step, progress, values, speed, state.seconds)
            if fabric.is_global_zero:
                on_step(step)
            if int(progress * VALIDATIONS) > validations or stop:
                validations = int(progress * VALIDATIONS)
                if fabric.is_global_zero:
                    on_validation(step)
            if stop:
                raise KeyboardInterrupt
    if state.step == resumed_at:
        raise TrainingError("this training has used up its budget; give it more to go on")


def _batches(
    fabric: Fabric, config: TrainConfig, crops: CropDataset, steps_done: int
) -> Generator[Crop]:
    """Yield this process's share of every batch, from the one after STEPS_DONE on, without end."""
    if config.batch_size % fabric.world_size:
        raise ArgumentError(
            f"batch-size {config.batch_size} cannot be shared by {fabric.world_size} processes"
        )
    draws = EndlessDraws(
        len(crops),
        config.seed,
        start=steps_done * config.batch_size,
        batch=config.batch_size,
        rank=fabric.global_rank,
        world=fabric.world_size,
    )
    loader: DataLoader[Crop] = DataLoader(
        crops,
        config.batch_size // fabric.world_size,
        sampler=draws,
        num_workers=loader_workers(),
        worker_init_fn=_leave_interrupts_to_the_trainer,
    )
    try:
        placed = fabric.setup_dataloaders(loader, use_distributed_sampler=False)
        yield from cast(Iterator[Crop], iter(placed))
    except InputError as error:
        # A worker's error holds its whole traceback; the last line is the message.
        raise InputError(str(error).strip().rpartition("InputError: ")[2]) from None


def _grown(batch: Crop, progress: float, config: TrainConfig) -> Crop:
    """Shrink the BATCH for the first part of a training: small crops are quick, and teach much."""
    if not config.start_size or progress >= config.grow_at:
        return batch

    def shrunk(planes: Tensor) -> Tensor:
        return F.interpolate(planes, size=[config.start_size] * 2, mode="area")

    hints = batch.hints
    if config.hints:  # the mean over the hinted pixels alone
        confidence = shrunk(hints[:, 2:])
        known = shrunk(hints[:, :2] * hints[:, 2:]) / confidence.clamp(min=1e-6)
        hints = torch.cat([known, confidence], dim=1)
    return Crop(shrunk(batch.L), shrunk(batch.ab), hints)


def _leave_interrupts_to_the_trainer(_worker: int) -> None:
    # Ctrl-C and torchrun's SIGTERM reach the workers too; the trainer alone handles them.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)


def _synchronize_norm(fabric: Fabric, network: nn.Module) -> None:
    """Let batch norm see the whole batch where several GPUs share it."""
    if fabric.world_size > 1 and fabric.device.type == "cuda":
        # In place: only a network that is itself a batch norm would be replaced.
        nn.SyncBatchNorm.convert_sync_batchnorm(network)  # type: ignore[no-untyped-call]


def _freeze(network: EncoderDecoder, *, encoder: bool, norm: bool) -> None:
    network.train()
    for part in [network] if norm else [network.encoder] if encoder else []:
        for module in part.modules():
            if isinstance(module, _BatchNorm):
                module.eval()


def _set_learning_rate(optimizer: Optimizer, factor: float, *, frozen: bool) -> None:
    for group in optimizer.param_groups:
        # Not by requires_grad: several processes must train the same weights in every step.
        group["lr"] = 0.0 if frozen and group["name"] == "encoder" else group["full_lr"] * factor


@contextmanager
def _fixed(network: nn.Module) -> Iterator[None]:
    """Let gradients pass through NETWORK without leaving any in it."""
    network.requires_grad_(requires_grad=False)
    yield
    network.requires_grad_(requires_grad=True)


def _agree(fabric: Fabric, seconds: float, stop: bool) -> tuple[float, bool]:
    """Let all processes see the same time, and stop where one of them shall."""
    if fabric.world_size == 1:
        return seconds, stop
    values = fabric.all_reduce(torch.tensor([seconds, float(stop)]), reduce_op="max")
    return float(values[0]), bool(values[1])


def _clip(fabric: Fabric, generator: nn.Module, optimizer: Optimizer, norm: float) -> None:
    try:
        fabric.clip_gradients(generator, optimizer, max_norm=norm, error_if_nonfinite=True)
    except RuntimeError as error:
        raise TrainingError(f"the gradients are no longer finite; {_FIX}") from error


def _check_finite(losses: dict[str, Tensor], number: int) -> None:
    for name, value in losses.items():
        if not torch.isfinite(value):
            raise TrainingError(
                f"the {name} loss is {float(value.detach())} at step {number}; {_FIX}"
            )


def predictions(
    network: nn.Module, dataset: CropDataset, batch_size: int
) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Yield (L, predicted ab, true ab) of single pictures, in order; with the DATASET's hints."""
    device = next(network.parameters()).device
    with torch.inference_mode():
        for L, ab, hints in DataLoader(dataset, batch_size):
            given = [L.to(device)]
            if hints.shape[1]:
                given.append(extended(L, network(L.to(device)), hints).to(device))
            yield from zip(L, network(*given).float().cpu(), ab, strict=True)
