"""colorize-train: what it leaves behind."""

import csv
import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner, Result
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from colorize.runtime.catalog import SAMPLES
from colorize.train.architectures import ARCHITECTURES
from colorize.train.checkpoint import load_checkpoint, newest_checkpoint
from colorize.train.cli import main

QUICK = ("--size", "32", "--batch-size", "8", "--steps", "3")


def train(*arguments: str) -> Result:
    return CliRunner().invoke(main, arguments)


def rows_of(folder: Path) -> list[dict[str, str]]:
    with (folder / "log.csv").open() as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("arch", sorted(ARCHITECTURES))
def test_every_architecture_trains_and_saves(
    arch: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = train("--arch", arch, *QUICK)
    assert result.exit_code == 0, result.output
    [folder] = (tmp_path / "runs" / arch).iterdir()
    assert newest_checkpoint(tmp_path / "runs") == folder / "checkpoint.safetensors"
    checkpoint = load_checkpoint(folder / "checkpoint.safetensors")
    assert checkpoint.arch == arch
    assert (checkpoint.origin.steps, checkpoint.origin.photos_seen) == (3, 24)
    assert checkpoint.origin.data_name == "samples/train"
    for name in ("curves.png", "validation.png"):
        with Image.open(folder / name) as picture:
            assert picture.width > 90
    events = EventAccumulator(str(folder / "tensorboard")).Reload()
    assert [event.step for event in events.Scalars("huber")] == [1, 2, 3]
    settings = json.loads((folder / "run.json").read_text())
    assert settings["config"]["arch"] == arch
    assert settings["data"]["training"] + settings["data"]["validation"] == len(
        list((SAMPLES / "train").glob("*.jpg"))
    )
    assert f"colorize-export --checkpoint {Path('runs', arch)}" in result.stderr
    columns = rows_of(folder)[-1]
    adversarial = ARCHITECTURES[arch].adversarial_from is not None
    assert ("discriminator" in columns) == adversarial


@pytest.mark.slow
@pytest.mark.parametrize("arch", sorted(ARCHITECTURES))
def test_learns_eight_photos_by_heart(arch: str, tmp_path: Path) -> None:
    for path in sorted((SAMPLES / "train").glob("*.jpg"))[:10]:
        with Image.open(path) as image:
            image.resize((64, 64)).save(tmp_path / f"{path.stem}.png")
    run = tmp_path / "run"
    result = train(
        *("--arch", arch, "--data", str(tmp_path), "-o", str(run), "--size", "32"),
        *("--batch-size", "8", "--steps", "150", "--lr", "2e-3"),
    )
    assert result.exit_code == 0, result.output
    rows = rows_of(run)
    first, last = float(rows[0]["huber"]), float(rows[-1]["huber"])
    assert last < 0.6 * first
    if ARCHITECTURES[arch].adversarial_from is not None:
        scores = {row["discriminator"] for row in rows if row["discriminator"]}
        assert len(scores) > 1


def test_the_same_seed_gives_the_same_weights(tmp_path: Path) -> None:
    weights = []
    for run in ("one", "two"):
        assert train(*QUICK, "--seed", "7", "-o", str(tmp_path / run)).exit_code == 0
        network = load_checkpoint(tmp_path / run / "checkpoint.safetensors").network
        weights.append(torch.cat([p.flatten() for p in network.parameters()]))
    assert torch.equal(*weights)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--arch", "vit"), "unknown architecture 'vit'; choose one of resnet"),
        (("--preset", "huge"), "no preset 'huge'; choose one of small"),
        (("--data", "missing"), "missing: no such folder"),
        (("--size", "0"), "size is 0"),
        (("--lr", "fast"), "'fast' is not a valid float"),
        (("--max-time", "soon"), "'soon' is not a duration"),
        (("--batch-size", "1"), "batch norm needs at least 2"),
        (("--seed", "-1"), "seed is -1"),
        (("--lr", "inf"), "lr is inf"),
        (("--batch-size", "500"), "batch-size 500 is larger than the"),
        (("--encoder", "vgg"), "unknown encoder 'vgg'"),
        (("--arch", "gan", "--encoder", "resnet18"), "gan has an encoder of its own"),
        (("--encoder-weights", "x.pth"), "needs a pre-trained kind of --encoder"),
        (("--encoder", "resnet18", "--encoder-weights", "x.pth"), "x.pth: no such file"),
    ],
)
def test_bad_arguments_are_one_line_and_exit_code_2(
    arguments: tuple[str, ...], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = train(*arguments)
    assert result.exit_code == 2
    assert message in result.stderr.splitlines()[-1]
    assert "Traceback" not in result.output
    assert list(tmp_path.iterdir()) == []


def test_diverging_training_stops_with_the_mend(tmp_path: Path) -> None:
    result = train("--size", "32", "--batch-size", "8", "--lr", "1e30", "--steps", "200",
                   "-o", str(tmp_path / "run"))  # fmt: skip
    assert result.exit_code == 1
    assert "try a lower --lr" in result.stderr.splitlines()[-1]


def test_list_names_every_architecture_and_preset() -> None:
    lines = train("--list").stdout.splitlines()
    for name, entry in ARCHITECTURES.items():
        assert f"{name}: {entry.summary}" in lines
    assert sum("M parameters" in line for line in lines) == 3 * len(ARCHITECTURES)


def started(*arguments: str) -> subprocess.Popen[str]:
    """Start a training in a process of its own."""
    command = [sys.executable, "-m", "colorize.train.cli", *arguments]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True)


def wait_for_validation(process: subprocess.Popen[str]) -> None:
    """Read what PROCESS says until it has validated, and so saved, for the first time."""
    assert process.stderr is not None
    said = []
    for line in process.stderr:
        said.append(line)
        if "ab_error" in line:
            return
    raise AssertionError("".join(said))


def weights_of(folder: Path) -> torch.Tensor:
    network = load_checkpoint(folder / "checkpoint.safetensors").network
    return torch.cat([value.flatten().float() for value in network.state_dict().values()])


@pytest.mark.parametrize("arch", ["unet", "gan"])
def test_a_resumed_training_equals_an_unbroken_one(arch: str, tmp_path: Path) -> None:
    settings = ("--arch", arch, "--size", "32", "--batch-size", "8")
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    assert train(*settings, "--steps", "6", "-o", str(whole)).exit_code == 0
    with started(*settings, "--steps", "6", "-o", str(broken)) as process:
        wait_for_validation(process)
        process.kill()
    assert train("--resume", str(broken)).exit_code == 0
    assert torch.equal(weights_of(whole), weights_of(broken))
    assert [row["step"] for row in rows_of(broken)] == [row["step"] for row in rows_of(whole)]


def test_a_signal_saves_and_says_how_to_go_on(tmp_path: Path) -> None:
    run = tmp_path / "run"
    with started("--size", "32", "--batch-size", "8", "--steps", "120", "-o", str(run)) as process:
        wait_for_validation(process)
        process.send_signal(signal.SIGTERM)
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
    (run / "state.safetensors").write_bytes(b"damaged")
    result = train("--resume", str(run), "--steps", "7")
    assert result.exit_code == 2
    assert "cannot be resumed from" in result.stderr
