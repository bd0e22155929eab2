"""Peak memory of coloring a film, in a process that does nothing else."""

import subprocess
import sys
from pathlib import Path

from ...runtime.colorizer import Colorizer
from ...runtime.errors import ColorizeError
from ...runtime.video.options import VideoOptions
from ..speed.memory import peak_mb


def video_memory(model: Path, video: Path, target: Path) -> float | None:
    """Return the peak resident MB of coloring FILM; None where the system does not say.

    ColorizeError if that fails.
    """
    command = [sys.executable, "-m", __name__, str(model), str(video), str(target)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise ColorizeError(f"{video}: could not be colored ({done.stderr.strip()[-200:]})")
    return float(done.stdout) if done.stdout.strip() else None


def _main(model: str, video: str, target: str) -> None:
    with Colorizer(model) as colorizer:
        # The encoder's speed does not change how many frames wait for it.
        colorizer.video(video, target, VideoOptions(preset="ultrafast"))
    print(peak_mb() or "")


if __name__ == "__main__":
    _main(*sys.argv[1:])
