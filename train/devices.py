"""What the machine can do for a training, and what a launcher such as torchrun has set up."""

import os
from dataclasses import replace
from typing import Any, Literal

import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins.environments.slurm import SLURMEnvironment
from lightning_fabric.plugins.environments.torchelastic import TorchElasticEnvironment

from .config import TrainConfig

Precision = Literal["bf16-mixed", "32-true"]
_MANY = 2000
PRECISIONS: dict[str, Precision] = {"bf16": "bf16-mixed", "fp32": "32-true"}


def resolve_machine(config: TrainConfig) -> TrainConfig:
    """Return CONFIG with all that it leaves to the machine decided.

    A resumed run must not decide anew: precision and the number of threads change the rounding.
    """
    names = {value: name for name, value in PRECISIONS.items()}
    precision = names[fastest_precision()] if config.precision == "auto" else config.precision
    return replace(config, precision=precision, threads=config.threads or torch.get_num_threads())


def crops_here(photographs: int) -> dict[str, Any]:
    """Return the settings of the crops that a GPU makes affordable for so many PHOTOGRAPHS.

    {}, for the defaults, without a GPU and where a few photographs are soon seen often enough.
    """
    many = photographs >= _MANY and torch.cuda.is_available()
    return {"size": 256, "batch_size": 64} if many else {}


def fastest_precision() -> Precision:
    """Return Fabric's name of the fastest safe precision: bf16 where the hardware computes it."""
    if torch.cuda.is_available():
        able = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        flags = torch.cpu.get_capabilities()
        able = bool(flags.get("amx_bf16") or flags.get("avx512_bf16"))
    return "bf16-mixed" if able else "32-true"


def make_fabric(precision: str) -> Fabric:
    """Return a Fabric for one device, or for all processes that torchrun or SLURM started.

    PRECISION is bf16, fp32 or auto.
    """
    local, nodes = _processes()
    return Fabric(
        devices=local,
        num_nodes=nodes,
        strategy="ddp" if local * nodes > 1 else "auto",
        precision=PRECISIONS[precision] if precision in PRECISIONS else fastest_precision(),
    )


def is_main_process() -> bool:
    """Return whether this process is the one that prints and writes."""
    return int(os.environ.get("RANK") or os.environ.get("SLURM_PROCID") or 0) == 0


def _processes() -> tuple[int, int]:
    """Return how many processes each node has, and how many nodes there are."""
    if TorchElasticEnvironment.detect():
        total, local = int(os.environ["WORLD_SIZE"]), int(os.environ["LOCAL_WORLD_SIZE"])
        return local, total // local
    if SLURMEnvironment.detect():
        total, nodes = int(os.environ["SLURM_NTASKS"]), int(os.environ["SLURM_NNODES"])
        return total // nodes, nodes
    return 1, 1


def loader_workers() -> int:
    """Return how many processes decode for this one: all but one of its cores, 16 at most."""
    cores = (
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    )
    local, _ = _processes()
    return max(1, min(16, cores // local - 1))
