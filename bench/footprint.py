"""Peak memory of one engine: measured in a process that does nothing else."""

import json
import subprocess
import sys
from pathlib import Path

from ..runtime.engines.base import Engine
from ..runtime.engines.select import open_engine
from .subjects import noise

_STATUS = Path("/proc/self/status")
_TIMEOUT = 120  # seconds; such a process takes one to five


def peak_memory(model: Path, engine: Engine, batch: int, shape: tuple[int, int]) -> float | None:
    """Return the peak resident MB of loading MODEL and inferring as ENGINE does; None: unknown."""
    job = [str(model), engine.name, _asked(engine), batch, *shape]
    command = [sys.executable, "-m", __name__, json.dumps(job)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=_TIMEOUT)
    except (OSError, subprocess.SubprocessError):
        return None
    return float(done.stdout) if done.stdout.strip() else None


def _asked(engine: Engine) -> str:
    return "fp32" if engine.precision == "fp32" else "auto"


def _main(model: str, backend: str, precision: str, batch: int, height: int, width: int) -> None:
    if backend == "torch":
        from .eager import open_eager  # only here: torch is large

        engine: Engine = open_eager(Path(model))
    else:
        engine = open_engine(Path(model), backend, precision)  # type: ignore[arg-type]  # from a SpeedRow
    lightness = noise(batch, (height, width))
    engine.infer(lightness)
    engine.infer(lightness)
    peak = peak_mb()
    print("" if peak is None else peak)


def peak_mb() -> float | None:
    """Return the peak resident MB of this process; None where the system does not say."""
    try:  # VmHWM starts anew with the program; getrusage's figure counts the parent's too
        lines = _STATUS.read_text().splitlines()
    except OSError:
        return None
    [kilobytes] = [line.split()[1] for line in lines if line.startswith("VmHWM:")]
    return int(kilobytes) / 1024


if __name__ == "__main__":
    _main(*json.loads(sys.argv[1]))
