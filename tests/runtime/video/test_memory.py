"""Film: memory does not grow with length."""

import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import pytest
from helpers.video import MakeFilm

MEASURE = """
import resource, sys
from pathlib import Path
from colorize.runtime.colorizer import Colorizer
from colorize.runtime.video.options import VideoOptions
source, target, model = map(Path, sys.argv[1:])
with Colorizer(model, backend="openvino", precision="fp32") as colorizer:
    options = VideoOptions(preset="ultrafast", segment_frames=16)
    print(colorizer.video(source, target, options).frames)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def _peak(source: Path, target: Path, model: Path) -> tuple[int, int]:
    """Frames of a film, and the peak resident size of the process that colors it."""
    command = [sys.executable, "-c", MEASURE, str(source), str(target), str(model)]
    run = subprocess.run(command, capture_output=True, text=True, check=True, timeout=300)
    frames, peak = run.stdout.split()
    return int(frames), int(peak)


@pytest.mark.slow
def test_ten_times_the_frames_take_no_more_memory(
    tiny_model: Path, make_video: MakeFilm, tmp_path: Path
) -> None:
    peaks = []
    for frames in (60, 600):
        source = make_video(
            tmp_path / f"{frames}.mp4",
            codec="libx264",
            size=(320, 240),
            times=range(frames),
            time_base=Fraction(1, 25),
            options={"preset": "ultrafast"},
        )
        counted, peak = _peak(source, tmp_path / f"out{frames}.mkv", tiny_model)
        assert counted == frames
        peaks.append(peak)
    assert peaks[1] <= 1.1 * peaks[0]
