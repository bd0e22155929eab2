"""Films with references that are stopped, killed, colored again or in part: nothing is stale."""

import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from helpers.references import FFV1, give, psnr, rgb_of
from helpers.video import (
    assert_same_luma,
    content_of,
    messages_of,
    parts_in,
    read_frames,
    stop_at,
    times_of,
)
from PIL import Image

from colorize.runtime.color import U8
from colorize.runtime.colorizer import Colorizer
from colorize.runtime.errors import ArgumentError
from colorize.runtime.video.options import VideoOptions


@pytest.fixture(scope="module")
def unbroken_with_references(
    film: Path, given: Path, colorizer: Colorizer, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    target = tmp_path_factory.mktemp("whole") / "out.mkv"
    colorizer.video(film, target, FFV1, references=given)
    return target


@pytest.mark.parametrize("frames", [11, 30, 41])
def test_a_stopped_run_resumes_to_the_same_frames(
    frames: int,
    film: Path,
    given: Path,
    unbroken_with_references: Path,
    colorizer: Colorizer,
    tmp_path: Path,
) -> None:
    target = tmp_path / "out.mkv"
    with pytest.raises(KeyboardInterrupt):
        colorizer.video(film, target, FFV1, stop_at(frames), references=given)
    report = colorizer.video(film, target, FFV1, references=given)
    assert 0 < report.resumed < frames
    assert content_of(target) == content_of(unbroken_with_references)


KILLED = """
import os, signal, sys
from colorize.runtime.colorizer import Colorizer
from colorize.runtime.video.options import VideoOptions

def kill(progress):
    if progress.frames == 37:
        os.kill(os.getpid(), signal.SIGKILL)

source, target, model, references = sys.argv[1:]
with Colorizer(model, backend="openvino", precision="fp32") as colorizer:
    options = VideoOptions(codec="ffv1", segment_frames=8)
    colorizer.video(source, target, options, kill, references=references)
"""


def test_a_killed_run_resumes_to_the_same_frames(
    film: Path,
    given: Path,
    unbroken_with_references: Path,
    tiny_model: Path,
    colorizer: Colorizer,
    tmp_path: Path,
) -> None:
    target = tmp_path / "out.mkv"
    words = [str(word) for word in (film, target, tiny_model, given)]
    process = subprocess.run([sys.executable, "-c", KILLED, *words], check=False, timeout=120)
    assert process.returncode == -signal.SIGKILL
    report = colorizer.video(film, target, FFV1, references=given)
    assert report.resumed in (16, 24, 32)
    assert content_of(target) == content_of(unbroken_with_references)


def test_a_pipe_gets_the_frames_of_the_file(
    film: Path, given: Path, unbroken_with_references: Path, colorizer: Colorizer, tmp_path: Path
) -> None:
    target = tmp_path / "out.y4m"
    with target.open("wb") as stream:
        colorizer.video(film, stream, VideoOptions(segment_frames=8), references=given)
    piped = [planes for _, planes in content_of(target)]
    assert piped == [planes for _, planes in content_of(unbroken_with_references)]


@pytest.mark.slow
def test_a_repainted_reference_recolors_only_what_depends_on_it(
    film: Path, truth: list[U8], colorizer: Colorizer, tmp_path: Path
) -> None:
    references = give(tmp_path / "refs", truth, 3, 17, 24, 45)
    target = tmp_path / "out.mkv"
    report = colorizer.video(film, target, FFV1, references=references)
    assert "0 of 6 segments were reused" in messages_of(report)[-1]
    report = colorizer.video(film, target, FFV1, references=references)
    assert (report.frames, report.resumed) == (48, 48)
    before = content_of(target)
    painted = truth[24][..., ::-1].copy()
    Image.fromarray(painted).save(references / "ref_000024.png")
    report = colorizer.video(film, target, FFV1, references=references)
    assert "3 of 6 segments were reused" in messages_of(report)[-1]
    after = content_of(target)
    changed = {index for index in range(48) if before[index] != after[index]}
    assert changed == set(range(20, 32))
    colorizer.video(film, tmp_path / "fresh.mkv", FFV1, references=references)
    assert after == content_of(tmp_path / "fresh.mkv")
    (references / "ref_000024.png").unlink()
    report = colorizer.video(film, target, FFV1, references=references, keep_segments=False)
    assert report.resumed == 24
    assert parts_in(tmp_path) == [path for path in parts_in(tmp_path) if "fresh" in path.name]


def test_a_stretch_has_the_colors_of_the_whole(
    film: Path, given: Path, unbroken_with_references: Path, colorizer: Colorizer, tmp_path: Path
) -> None:
    options = replace(FFV1, start=28 / 25, duration=4 / 25)
    report = colorizer.video(film, tmp_path / "out.mkv", options, references=given)
    assert report.frames == 4
    assert not parts_in(tmp_path)
    shown = read_frames(tmp_path / "out.mkv")
    assert [float(time) for time in times_of(shown)] == [0, 0.04, 0.08, 0.12]
    assert_same_luma(read_frames(film)[28:32], shown)
    whole = rgb_of(unbroken_with_references)[28:32]
    with pytest.raises(ArgumentError, match="none of its frames begins so late"):
        colorizer.video(film, tmp_path / "no.mkv", replace(FFV1, start=2), references=given)
    # Its reference, frame 24, is outside of it.
    assert all(psnr(a, b) > 35 for a, b in zip(rgb_of(tmp_path / "out.mkv"), whole, strict=True))
