"""What the machine can do for a training."""

import os
from typing import Literal

import torch


def choose_precision() -> Literal["bf16-mixed", "32-true"]:
    """Return Fabric's name of the fastest safe precision: bf16 where the hardware computes it."""
    if torch.cuda.is_available():
        return (
            "bf16-mixed" if torch.cuda.is_bf16_supported(including_emulation=False) else "32-true"
        )
    able = torch.cpu.get_capabilities()
    return "bf16-mixed" if able.get("amx_bf16") or able.get("avx512_bf16") else "32-true"


def loader_workers() -> int:
    """Return how many processes decode photographs: all cores but one, eight at most."""
    cores = (
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    )
    return max(1, min(8, cores - 1))
