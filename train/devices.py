"""What the machine can do for a training, and what a launcher such as torchrun has set up."""

import os
from dataclasses import dataclass
from typing import Literal, Self

import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins.environments.slurm import SLURMEnvironment
from lightning_fabric.plugins.environments.torchelastic import TorchElasticEnvironment

PRECISIONS: dict[str, Literal["bf16-mixed", "32-true"]] = {"bf16": "bf16-mixed", "fp32": "32-true"}
"""Fabric's names of ours."""


@dataclass(frozen=True)
class Machine:
    """What of a machine decides how it trains."""

    gpu: bool
    bf16: bool  # whether the hardware computes it
    threads: int

    @classmethod
    def here(cls) -> Self:
        """Look at the machine that this runs on."""
        gpu = torch.cuda.is_available()
        if gpu:
            bf16 = torch.cuda.is_bf16_supported(including_emulation=False)
        else:
            flags = torch.cpu.get_capabilities()
            bf16 = bool(flags.get("amx_bf16") or flags.get("avx512_bf16"))
        return cls(gpu=gpu, bf16=bf16, threads=torch.get_num_threads())


def make_fabric(precision: str) -> Fabric:
    """Return a Fabric for one device, or for all processes that torchrun or SLURM started."""
    local, nodes = _processes()
    return Fabric(
        devices=local,
        num_nodes=nodes,
        strategy="ddp" if local * nodes > 1 else "auto",
        precision=PRECISIONS[precision],
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
    local, _ = _processes()
    return max(1, min(16, usable_cores() // local - 1))


def usable_cores() -> int:
    """Return the number of logical cores that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
