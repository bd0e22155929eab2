"""colorize-train on two machines, as torchrun and SLURM start it: here, two processes of each."""

import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

pytestmark = pytest.mark.slow
SETTINGS = (
    *("--arch", "unet", "--size", "32", "--batch-size", "8", "--steps", "3", "--freeze-norm"),
    *("--precision", "fp32"),
)


Launcher = Callable[[int, int], tuple[list[str], dict[str, str]]]


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def _torchrun(machine: int, port: int) -> tuple[list[str], dict[str, str]]:
    place = ["--nnodes", "2", "--nproc-per-node", "1", "--node-rank", str(machine)]
    meet = ["--master-addr", "127.0.0.1", "--master-port", str(port)]
    return ["-m", "torch.distributed.run", *place, *meet], {}


def _slurm(machine: int, port: int) -> tuple[list[str], dict[str, str]]:
    facts = {
        "SLURM_NTASKS": "2",
        "SLURM_NNODES": "2",
        "SLURM_NTASKS_PER_NODE": "1",
        "SLURM_PROCID": str(machine),
        "SLURM_NODEID": str(machine),
        "SLURM_LOCALID": "0",
        "SLURM_JOB_NAME": "colorize",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
    }
    return [], facts


@pytest.mark.parametrize("launcher", [_torchrun, _slurm])
def test_two_machines_train_as_one(launcher: Launcher, tmp_path: Path) -> None:
    alone = [sys.executable, "-m", "colorize.train.cli", *SETTINGS, "-o", str(tmp_path / "one")]
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    subprocess.run(alone, check=True, capture_output=True, env=env)
    port, machines = _free_port(), list[subprocess.Popen[str]]()
    for machine in (0, 1):
        words, facts = launcher(machine, port)
        command = [sys.executable, *words, "-m", "colorize.train.cli", *SETTINGS]
        command += ["-o", str(tmp_path / "two")]
        machines.append(
            subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env={**env, **facts})
        )
    said = [machine.communicate(timeout=300)[1] for machine in machines]
    assert [machine.returncode for machine in machines] == [0, 0], said
    assert ["100% step 3" in each for each in said] == [True, False]
    one, two = (load_file(tmp_path / name / "state.safetensors") for name in ("one", "two"))
    for key, value in one.items():
        if "optimizer" not in key:
            difference = torch.linalg.vector_norm(value.double() - two[key].double())
            assert difference <= 0.01 * torch.linalg.vector_norm(value.double()), key
