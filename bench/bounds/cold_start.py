"""The cold start of colorize-run against its unavoidable part: libraries and the model."""

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from ...runtime.errors import ColorizeError
from ..speed.cost import Cost, cost_of

# Imports what coloring a photograph needs of other libraries, and loads the model.
_FLOOR = """
import sys
from pathlib import Path
import click, cv2, numpy, openvino, PIL.Image, PIL.ImageCms, rich.console, rich.progress
from colorize.runtime.engines.select import open_engine
open_engine(Path(sys.argv[1]))
"""


@dataclass(frozen=True)
class ColdStart:
    """What each repeat cost, in new processes, in turns."""

    whole: tuple[Cost, ...]  # colorize-run photo.jpg
    floor: tuple[Cost, ...]  # importing its libraries and compiling the model


def measure_cold_start(model: Path, photo: Path, target: Path, repeats: int) -> ColdStart:
    """Start colorize-run on PHOTO, and the floor, REPEATS times each after one untimed start."""
    run = ["-m", "colorize.runtime.cli", str(photo), "-o", str(target), "--overwrite"]
    whole, floor = [], []
    for repeat in range(repeats + 1):
        both = (
            cost_of(lambda: run_python([*run, "--model", str(model)])),
            cost_of(lambda: run_python(["-c", _FLOOR, str(model)])),
        )
        if repeat > 0:  # the first reads the libraries from the disk
            whole.append(both[0])
            floor.append(both[1])
    return ColdStart(tuple(whole), tuple(floor))


def run_python(arguments: list[str]) -> None:
    """Run Python with ARGUMENTS in a new process; ColorizeError if it fails."""
    done = subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise ColorizeError(f"{arguments[1]}: failed ({done.stderr.strip()[-200:]})")
