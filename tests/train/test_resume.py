"""colorize-train stopped and gone on with: the weights of an unbroken run, or one line why not."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from helpers.train import QUICK, rows_of, train

from colorize.runtime.models.catalog import SAMPLES
from colorize.train.checkpoints.checkpoint import load_checkpoint
from colorize.train.config import resolve
from colorize.train.data.photos import collect
from colorize.train.devices import Machine
from colorize.train.run import Run, read_config


def started(*arguments: str) -> subprocess.Popen[str]:
    """Start a training in a process group of its own."""
    command = [sys.executable, "-m", "colorize.train.cli", *arguments]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True)


def wait_for_validation(process: subprocess.Popen[str]) -> None:
    """Read what PROCESS says until it has validated, and so saved, for the first time."""
    assert process.stderr is not None
    said = []
    for line in process.stderr:
        said.append(line)
        if "validation_loss" in line:
            return
    raise AssertionError("".join(said))


def finish(process: subprocess.Popen[str]) -> None:
    _, stderr = process.communicate()
    assert process.returncode == 0, stderr


def weights_of(folder: Path) -> torch.Tensor:
    network = load_checkpoint(folder / "checkpoint.safetensors").network
    return torch.cat([value.flatten().float() for value in network.state_dict().values()])


@pytest.mark.slow
@pytest.mark.parametrize("what", [("unet", "--hints"), ("gan",)])
def test_a_resumed_training_equals_an_unbroken_one(what: tuple[str, ...], tmp_path: Path) -> None:
    settings = ("--arch", *what, "--size", "32", "--batch-size", "8", "--steps", "6")
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    # Each in a process of its own, as users do it: other libraries change how this one rounds.
    finish(started(*settings, "-o", str(whole)))
    with started(*settings, "-o", str(broken)) as process:
        wait_for_validation(process)
        process.kill()
    finish(started("--resume", str(broken)))
    assert torch.equal(weights_of(whole), weights_of(broken))
    assert [row["step"] for row in rows_of(broken)] == [row["step"] for row in rows_of(whole)]


def test_a_resumed_run_decides_nothing_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Threads and precision change the rounding, so they stay what they were at the start."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    whole, broken = tmp_path / "whole", tmp_path / "broken"
    data = str(SAMPLES / "train")
    given = {"data": (data,), "size": 32, "batch_size": 8, "steps": 3}
    config = resolve(given, Machine(gpu=False, bf16=False, threads=2), 24, {})
    photos, threads = collect(config.data), torch.get_num_threads()
    try:
        Run(config, photos, whole).start(lambda _: None)
        with pytest.raises(KeyboardInterrupt):
            Run(config, photos, broken).start(lambda _: None, interrupt)
        torch.set_num_threads(1)
        other = Machine(gpu=False, bf16=True, threads=1)
        monkeypatch.setattr(Machine, "here", lambda: other)
        assert train("--resume", str(broken)).exit_code == 0
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(weights_of(whole), weights_of(broken))


@pytest.mark.parametrize(
    ("send", "signum"),
    [
        (os.kill, signal.SIGTERM),
        pytest.param(os.killpg, signal.SIGINT, marks=pytest.mark.slow),
    ],
)
def test_a_signal_saves_and_says_how_to_go_on(
    send: Callable[[int, int], None], signum: int, tmp_path: Path
) -> None:
    """Sent to the trainer, or as torchrun does to all of its group, which read photographs too."""
    run = tmp_path / "run"
    with started("--size", "32", "--batch-size", "8", "--steps", "120", "-o", str(run)) as process:
        wait_for_validation(process)
        send(process.pid, signum)
        _, stderr = process.communicate()
    assert process.returncode == 130
    assert f"to go on: colorize-train --resume {run}" in stderr
    saved = {path.name for path in run.iterdir()}
    assert {"state.safetensors", "checkpoint.safetensors", "validation.png"} <= saved
    assert 10 <= int(rows_of(run)[-1]["step"]) < 120


def test_resume_refuses_other_settings_and_other_folders(tmp_path: Path) -> None:
    run = tmp_path / "run"
    assert train(*QUICK, "-o", str(run)).exit_code == 0
    for arguments, message in (
        ((*QUICK, "-o", str(run)), "holds a run"),
        (("--resume", str(run), "--arch", "gan"), "leave --arch out"),
        (("--resume", str(tmp_path)), "not a run folder"),
        (("--resume", str(run)), "used up its budget"),
    ):
        result = train(*arguments)
        assert result.exit_code in (1, 2)
        assert message in result.stderr.splitlines()[-1]
    assert train("--resume", str(run), "--steps", "5").exit_code == 0
    assert [row["step"] for row in rows_of(run)] == ["1", "2", "3", "4", "5"]
    assert read_config(run).steps == 5  # the next time knows it too
    (run / "state.safetensors").write_bytes(b"damaged")
    result = train("--resume", str(run), "--steps", "7")
    assert result.exit_code == 2
    assert "cannot be resumed from" in result.stderr


def test_a_run_killed_before_it_saved_begins_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Under a name that rich would take for markup, too."""
    whole, broken = tmp_path / "whole", tmp_path / "[bold] run"
    assert train(*QUICK, "-o", str(whole)).exit_code == 0

    def kill(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Run, "_validate", kill)
        result = train(*QUICK, "-o", str(broken))
    assert f"to go on: colorize-train --resume {broken}" in result.stderr
    assert {path.name for path in broken.iterdir()} == {"run.json", "left_out.csv"}
    result = train("--resume", str(broken))
    assert result.exit_code == 0, result.output
    assert f"next: colorize-export --checkpoint {broken}/checkpoint" in result.stderr
    assert torch.equal(weights_of(whole), weights_of(broken))


@pytest.mark.slow
def test_a_full_disk_keeps_the_last_good_checkpoint(tmp_path: Path) -> None:
    run = tmp_path / "run"
    assert train(*QUICK, "-o", str(run)).exit_code == 0
    before = {path.name: path.read_bytes() for path in run.glob("*.safetensors")}
    limit = "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20)); "
    code = limit + "from colorize.train.cli import main; main(sys.argv[1:])"
    command = [sys.executable, "-c", code, "--resume", str(run), "--steps", "6"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 1
    assert "checkpoint.safetensors: cannot write it" in result.stderr.splitlines()[-1]
    assert before == {path.name: path.read_bytes() for path in run.glob("*.safetensors")}
    assert not list(run.glob(".*"))
    assert train("--resume", str(run), "--steps", "4").exit_code == 0
