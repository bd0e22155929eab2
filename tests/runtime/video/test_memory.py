"""Film: memory does not grow with length."""

import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import pytest
from helpers.video import MakeFilm
from PIL import Image

MEASURE = """
import resource, sys
from pathlib import Path
from colorize.runtime.colorizer import Colorizer
from colorize.runtime.video.options import VideoOptions
source, target, model, *references = map(Path, sys.argv[1:])
with Colorizer(model, backend="openvino", precision="fp32") as colorizer:
    options = VideoOptions(preset="ultrafast", segment_frames=16)
    given = references[0] if references else None
    print(colorizer.video(source, target, options, references=given).frames)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def _peak(*paths: Path) -> tuple[int, int]:
    """Frames of a film, and the peak resident size of the process that colors it.

    PATHS are source, target, model and, if it has one, the folder of its references.
    """
    command = [sys.executable, "-c", MEASURE, *map(str, paths)]
    run = subprocess.run(command, capture_output=True, text=True, check=True, timeout=900)
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


@pytest.mark.slow
def test_a_scene_between_two_references_takes_no_more_memory_if_it_is_longer(
    tiny_model: Path, make_video: MakeFilm, tmp_path: Path
) -> None:
    peaks = []
    for frames in (300, 3000):
        source = make_video(
            tmp_path / f"{frames}.mp4",
            codec="libx264",
            size=(160, 90),
            times=range(frames),
            time_base=Fraction(1, 25),
            options={"preset": "ultrafast"},
        )
        references = tmp_path / f"refs{frames}"
        references.mkdir()
        for frame in (0, frames - 1):
            Image.new("RGB", (160, 90), (200, 90, 90)).save(references / f"ref_{frame}.png")
        counted, peak = _peak(source, tmp_path / f"out{frames}.mkv", tiny_model, references)
        assert counted == frames
        peaks.append(peak)
    assert peaks[1] <= 1.15 * peaks[0]
