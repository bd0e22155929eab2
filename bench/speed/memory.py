"""Peak memory of one engine: measured in a process that does nothing else."""

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from ...runtime.engines.base import Engine, Precision
from ...runtime.engines.select import open_engine
from ..settings import EAGER, noise
from .gpu import GpuMeter

_STATUS = Path("/proc/self/status")
_TIMEOUT = 120  # seconds; such a process takes one to five


@dataclass(frozen=True)
class Footprint:
    """Peak MB of a process that loads one engine and infers; None: unknown."""

    rss: float | None = None
    device: float | None = None  # what the GPU's use grew by, the process's own context included


def peak_memory(
    model: Path, engine: Engine, batch: int, shape: tuple[int, int]
) -> Footprint | None:
    """Measure loading MODEL and inferring as ENGINE does; None where that failed."""
    precision = engine.precision if engine.precision in ("fp32", "bf16") else "auto"
    job = [str(model), engine.name, precision, engine.device.lower(), batch, *shape]
    command = [sys.executable, "-m", __name__, json.dumps(job)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=_TIMEOUT)
    except (OSError, subprocess.SubprocessError):
        return None
    return Footprint(*json.loads(done.stdout))


def open_any(model: Path, backend: str, precision: Precision, device: str) -> Engine:
    """Open MODEL with a backend of the runtime, or its checkpoint in torch."""
    if backend == EAGER:
        from .torch_eager import EagerEngine  # only here: torch is large

        return EagerEngine(model)
    return open_engine(model, backend, precision, device)


def _main(
    model: str, backend: str, precision: Precision, device: str, batch: int, *shape: int
) -> None:
    meter = GpuMeter.open(device)
    before = meter.used_mb() if meter else None
    engine = open_any(Path(model), backend, precision, device)
    lightness = noise(batch, (shape[0], shape[1]))
    used = []
    for _ in range(2):
        engine.infer(lightness)
        # Engines do not give memory back between calls.
        used.append(meter.used_mb() if meter else None)
    grown = None if before is None else max((now for now in used if now), default=before) - before
    print(json.dumps([peak_mb(), grown]))


def peak_mb() -> float | None:
    """Return the peak resident MB of this process; None where the system does not say."""
    try:  # VmHWM is this program's own; getrusage's peak may be the parent's, from before the exec
        lines = _STATUS.read_text().splitlines()
    except OSError:
        return None
    [kilobytes] = [line.split()[1] for line in lines if line.startswith("VmHWM:")]
    return int(kilobytes) / 1024


if __name__ == "__main__":
    _main(*json.loads(sys.argv[1]))
