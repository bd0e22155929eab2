"""Peak memory of colouring a film, in a process that does nothing else."""

import subprocess
import sys
from pathlib import Path

from ...runtime.colorizer import Colorizer
from ...runtime.errors import ColorizeError
from ...runtime.video.options import FilmOptions
from ..speed.memory import peak_mb


def film_memory(model: Path, film: Path, target: Path) -> float | None:
    """Return the peak resident MB of colouring FILM; None where the system does not say.

    ColorizeError if that fails.
    """
    command = [sys.executable, "-m", __name__, str(model), str(film), str(target)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise ColorizeError(f"{film}: could not be coloured ({done.stderr.strip()[-200:]})")
    return float(done.stdout) if done.stdout.strip() else None


def _main(model: str, film: str, target: str) -> None:
    with Colorizer(model) as colorizer:
        # The encoder's speed does not change how many frames wait for it.
        colorizer.video(film, target, FilmOptions(preset="ultrafast"))
    peak = peak_mb()
    print("" if peak is None else peak)


if __name__ == "__main__":
    _main(*sys.argv[1:])
