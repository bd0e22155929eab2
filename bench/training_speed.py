"""How fast the architectures train, and how much of that the reading of photographs costs.

Example: python -m colorize.bench.training_speed --data 'photos-*.tar'
"""

import multiprocessing
import statistics
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from typing import Any

import click
from rich.table import Table

from ..runtime.command import Command, console
from ..runtime.models.catalog import SAMPLES
from ..train.architectures import ARCHITECTURES
from ..train.architectures.blocks import count_flops
from ..train.checkpoints.build import build
from ..train.checkpoints.state import TrainState
from ..train.config import TrainConfig, resolve
from ..train.data.color_statistics import ColorShares
from ..train.data.crops import Crop, CropDataset, Draw
from ..train.data.photos import collect
from ..train.data.sources import PhotoFile
from ..train.devices import Machine
from ..train.loop import train
from ..train.losses.objective import Objective
from ..train.run import training_crops
from .options import DEFAULTS_SHOWN, POSITIVE

_WARMUP = 2  # steps that a rate leaves out


class SyntheticCrops(CropDataset):
    """The same crop for every draw, so that training reads nothing."""

    def __init__(self, photos: list[PhotoFile], size: int) -> None:
        super().__init__(photos, size)
        self._crop = super().__getitem__(0)

    def __getitem__(self, _draw: Draw | int) -> Crop:
        """Return the one crop."""
        return self._crop


@dataclass(frozen=True)
class Speed:
    """One architecture and precision: medians over interleaved rounds, photographs a second."""

    reading: float
    synthetic: float
    peak_gib: float  # resident memory of the training process
    parameters: int
    flops: int  # of one 256x256 picture


def measure(config: TrainConfig, rounds: int) -> Speed:
    """Train for ROUNDS x 2 x CONFIG.steps steps, photographs and one crop in turn."""
    photos = list(collect(config.data).photos)
    shares = ColorShares.of(photos)
    rates: dict[str, list[float]] = {"reading": [], "synthetic": []}
    with training_crops(config, photos) as crops:
        for _ in range(rounds):
            rates["reading"].append(_rate(config, crops, shares))
            rates["synthetic"].append(_rate(config, SyntheticCrops(photos, config.size), shares))
    network = build(config).network
    return Speed(
        reading=statistics.median(rates["reading"]),
        synthetic=statistics.median(rates["synthetic"]),
        peak_gib=_peak_gib(),
        parameters=sum(parameter.numel() for parameter in network.parameters()),
        flops=count_flops(network),
    )


def _rate(config: TrainConfig, crops: CropDataset, shares: ColorShares) -> float:
    times: list[float] = []
    state = TrainState(config, build(config).network)
    train(
        config,
        state,
        Objective(config, shares),
        crops,
        resume=None,
        on_step=lambda _step: times.append(time.perf_counter()),
        on_validation=lambda _step: None,
    )
    steps = len(times) - 1 - _WARMUP
    return steps * config.batch_size / (times[-1] - times[_WARMUP])


def _peak_gib() -> float:
    """Return the most memory that this process has used; nan where the system does not tell."""
    if sys.platform == "win32":
        return float("nan")
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**30 if sys.platform == "darwin" else 2**20)  # bytes on macOS, else KiB


def _process() -> ProcessPoolExecutor:
    # Forking is quick, and safe on Linux, as this process computes nothing.
    method = "fork" if sys.platform == "linux" else "spawn"
    return ProcessPoolExecutor(1, multiprocessing.get_context(method))


@click.command(
    cls=Command, name="python -m colorize.bench.training_speed", context_settings=DEFAULTS_SHOWN
)
@click.option(
    "--data",
    multiple=True,
    default=[str(SAMPLES / "train")],
    show_default=False,
    help="Photographs, as in colorize-train.",
)
@click.option(
    "--arch",
    multiple=True,
    default=list(ARCHITECTURES),
    show_default=False,
    help="Architecture; may be repeated. Default: all.",
)
@click.option("--preset", default="small", help="small, base or large.")
@click.option("--encoder", help="Replace the preset's encoder, as colorize-train does.")
@click.option("--steps", type=click.IntRange(min=6), default=16, help="Training steps in a round.")
@click.option("--rounds", type=POSITIVE, default=3, help="Repetitions; the median counts.")
@click.option("--size", type=int, default=128, help="Side of the crops.")
@click.option("--batch-size", type=int, default=16, help="Crops in a batch.")
def main(arch: tuple[str, ...], encoder: str | None, rounds: int, **given: Any) -> None:
    """Measure training speed on photographs, and on a single crop in memory, alternately.

    Example: python -m colorize.bench.training_speed --data ~/photos --arch unet
    """
    table = Table(
        *("arch", "precision", "M weights", "GFLOP", "photos/s", "of one crop", "GiB"),
        caption="GFLOP: one 256x256 picture forward. Of one crop: the rate against that of "
        "training on one crop in memory. GiB: peak memory of the process.",
    )
    with _process() as pool:  # a parent that has asked a GPU could not fork any more
        machine = pool.submit(Machine.here).result()
    if encoder is not None:
        given["encoder"] = encoder
    for name in arch:
        for precision in ["fp32", "bf16"] if machine.bf16 else ["fp32"]:
            given |= {"arch": name, "precision": precision}
            config = resolve(given, machine, 0, {})
            with _process() as pool:  # for each its own: memory is the process' peak
                speed = pool.submit(measure, config, rounds).result()
            table.add_row(
                name,
                precision,
                f"{speed.parameters / 1e6:.1f}",
                f"{speed.flops / 1e9:.1f}",
                f"{speed.reading:.1f}",
                f"{speed.reading / speed.synthetic:.0%}",
                f"{speed.peak_gib:.2f}",
            )
    console().print(table)


if __name__ == "__main__":
    main()
