"""The `sh` blocks of all pages are run, if a command of this package is in them.

A page's blocks run one after another in a copy of one folder, which holds what they name. What is
run in another way than it is written, and what is not run at all, is listed here with the reason.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.marks import needs_rtx
from helpers.pages import PAGES, blocks, make_desk

FEW_STEPS = " --size 64 --steps 2"
QUICK_BENCH = "colorize-bench --runs 1 --warmup 0 --batch 1"
OTHERWISE = {
    # As it is written: as it is run.
    # .ci/run installs the package.
    "python3 -m venv .venv && .venv/bin/pip install . && .venv/bin/": "",
    # Training and measuring take as long as they are given.
    " --max-time 10m": FEW_STEPS,
    " --max-time 1h": FEW_STEPS,
    " --max-time 2h": FEW_STEPS,
    "training_speed --data 'photos-*.tar'": "training_speed --arch gan --data photos.tar",
    "training_speed ": "training_speed --rounds 1 --size 32 --batch-size 8 --steps 6 ",
    " --steps 40": "",
    " --limit 128": " --limit 2",
    "colorize-bench --model": f"{QUICK_BENCH} --model",
    "colorize-bench --colored": f"{QUICK_BENCH} --model my.onnx --colored",
    "colorize-bench --video": f"{QUICK_BENCH} --model my.onnx --video",
    " --video film.mp4": " --video-frames 6 --video film.mp4",
    # Runs of other names, on the same photographs.
    "compare_runs runs/unet runs/mine": "compare_runs runs/unet --limit 2",
    "compare_runs runs/a runs/b": "compare_runs runs/mine runs/hints --limit 2",
    # They would have to be downloaded.
    " --lpips-weights DIR": "",
    # A player needs a screen.
    "| mpv -": "| ffmpeg -v error -i - -f null -",
}
OF_THE_BUNDLED_MODELS = "hours, on photographs that are not here"
NOT_RUN = {
    # The beginning of a block: the reason.
    "python -m colorize.bench.bounds": "minutes; tests/bench/test_bounds.py runs it",
    "docker ": "needs a container engine",
    "colorize-export --engine fp16 -o film-fp16.onnx": "needs an NVIDIA GPU",
    "colorize-run film.mp4 --device gpu": "needs an Intel GPU",
    "colorize-export --import ddcolor.pth": "220 MB of weights; tests/export/test_foreign.py",
    "colorize-train --data ~/imagenet/train": "needs ImageNet",
    "torchrun --nproc-per-node 8": "needs eight GPUs; tests/train/test_processes.py has two",
    "# on the first machine": "needs two machines; tests/train/test_machines.py has two processes",
    "pip install '.[cluster]'": "needs a cluster; tests/runtime/cluster has one",
    "colorize-run --list-devices --cluster": "needs a cluster; tests/runtime/cluster has one",
    "colorize-train --init-from default --hints --data 'photos-*.tar'": OF_THE_BUNDLED_MODELS,
    "python -m colorize.bench.compare_runs third ": OF_THE_BUNDLED_MODELS,
    "torchrun --nproc-per-node 2": OF_THE_BUNDLED_MODELS,
    "colorize-train --arch unet --init-from unet.safetensors": OF_THE_BUNDLED_MODELS,
    "colorize-train --encoder efficientnet_lite2": "needs a package that no extra has",
    "python -m colorize.bench.compare_runs runs/resnet": OF_THE_BUNDLED_MODELS,
}
NEEDED = {"running.md": ("ffmpeg",), "scripting.md": ("jq",)}


def _ours(page: Path) -> list[str]:
    """Return the blocks of PAGE that contain a command of this package."""
    commands = (
        "colorize-run",
        "colorize-train",
        "colorize-export",
        "colorize-bench",
        "-m colorize.",
    )
    return [block for block in blocks(page, "sh") if any(name in block for name in commands)]


def _run_ones(page: Path) -> list[str]:
    return [block for block in _ours(page) if not block.startswith(tuple(NOT_RUN))]


def _as_run(block: str) -> str:
    for written, run in OTHERWISE.items():
        block = block.replace(written, run)
    return block


def _cases() -> list[object]:
    marks = {"export.md": (needs_rtx,)}
    return [
        pytest.param(page, id=page.name, marks=marks.get(page.name, ()))
        for page in PAGES
        if _run_ones(page)
    ]


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("desk")
    make_desk(folder)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("page", _cases())
def test_the_commands_of_a_page_run(page: Path, desk: Path, tmp_path: Path) -> None:
    for program in ("bash", *NEEDED.get(page.name, ())):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed")
    place = shutil.copytree(desk, tmp_path / "desk")
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    own = {**os.environ, "HOME": str(place / "home"), "PATH": path}
    for block in _run_ones(page):
        run = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", _as_run(block)],
            cwd=place,
            env=own,
            capture_output=True,
            text=True,
            check=False,
        )
        assert run.returncode == 0, f"{block}\n{run.stderr}"


def test_what_is_not_run_as_it_is_written_is_written_somewhere() -> None:
    ours = [block for page in PAGES for block in _ours(page)]
    assert len(ours) > 25
    assert [part for part in OTHERWISE if not any(part in block for block in ours)] == []
    assert [start for start in NOT_RUN if not any(block.startswith(start) for block in ours)] == []
