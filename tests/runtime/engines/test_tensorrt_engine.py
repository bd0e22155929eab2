"""The native TensorRT engine where there is no GPU, and what it says then.

simulated/ runs its code over a simulated driver, test_tensorrt_gpu.py on a real GPU.
"""

import importlib
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from colorize.export.cli import main as export_main
from colorize.runtime.engines import cuda
from colorize.runtime.engines.cuda import Device
from colorize.runtime.engines.tensorrt import engine as tensorrt
from colorize.runtime.engines.tensorrt.engine import TensorRTEngine
from colorize.runtime.engines.tensorrt.plan import export_command
from colorize.runtime.errors import EngineError
from colorize.runtime.files import sha256
from colorize.runtime.models.catalog import DEFAULT_MODEL, MODELS, find_model

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pretend that there is a GPU, pycuda, and a TensorRT 11.4 without any engine."""
    monkeypatch.setattr(cuda, "devices", lambda: [Device("NVIDIA L4", "89")])
    monkeypatch.setattr(tensorrt, "_missing", lambda: "")
    monkeypatch.setattr(tensorrt, "_variants", lambda: ["tensorrt"])
    played = SimpleNamespace(__version__="11.4")
    monkeypatch.setattr(tensorrt, "import_module", lambda name: played)


@pytest.mark.skipif(bool(cuda.devices()), reason="there is a GPU here")
def test_the_driver_is_asked_before_anything_is_loaded(
    in_subprocess: Run, tiny_model: Path
) -> None:
    program = f"""
import sys
from pathlib import Path
from colorize.runtime.engines.tensorrt import TensorRTEngine
from colorize.runtime.errors import EngineError
[device] = TensorRTEngine.devices()
print(device.problem)
try:
    TensorRTEngine(Path({str(tiny_model)!r}))
except EngineError as error:
    print(error)
print([name for name in ("tensorrt", "tensorrt_rtx", "pycuda") if name in sys.modules])
"""
    problem, refusal, loaded = in_subprocess("-c", program).stdout.splitlines()
    assert "NVIDIA driver" in problem
    assert refusal.startswith(f"backend tensorrt cannot be used: {problem}")
    assert loaded == "[]"


def test_what_is_not_installed_is_named_with_the_mend(
    tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cuda, "devices", lambda: [Device("NVIDIA L4", "89")])
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(EngineError, match=r"pycuda and tensorrt not installed: pip install '.*gpu"):
        TensorRTEngine(tiny_model)
    [device] = TensorRTEngine.devices()
    assert (device.device, device.name) == ("cuda:0", "NVIDIA L4")
    assert "pip install" in device.problem


@pytest.mark.usefixtures("gpu")
def test_without_an_engine_the_command_that_builds_it_is_told(tmp_path: Path) -> None:
    with pytest.raises(EngineError) as refusal:
        TensorRTEngine(find_model(DEFAULT_MODEL))
    told = str(refusal.value)
    assert "default.onnx: no TensorRT engine to run here (" in told
    assert "default.engine: no such engine)" in told
    target = "exports/default-fp16.onnx"
    command = f"colorize-export --engine fp16 --checkpoint {MODELS / 'default.safetensors'}"
    assert told.endswith(f"; build one: {command} -o {target} (then give --model {target})")


def test_the_command_is_one_that_the_exporter_takes(tmp_path: Path) -> None:
    """For an FP16 file whose engine is stale: the same file again, with its own checkpoint."""
    checkpoint, model = tmp_path / "my net.safetensors", tmp_path / "my net-fp16.onnx"
    checkpoint.write_bytes(b"weights")
    model.write_bytes(b"...colorize.checkpoint_sha256" + sha256(checkpoint).encode())
    model.with_suffix(".json").write_text(
        f'{{"onnx_sha256": "{sha256(model)}", "precision": "fp16"}}'
    )
    words = shlex.split(export_command(model))
    assert words[0] == "colorize-export"
    given: dict[str, Any] = export_main.make_context(words[0], words[1:]).params
    assert given["precision"] == "fp16"
    assert (given["checkpoint"], given["output"], given["overwrite"]) == (checkpoint, model, True)


def test_what_a_model_was_made_from_is_asked_for_where_it_is_not_there(tmp_path: Path) -> None:
    model = tmp_path / "net-fp32.onnx"
    model.write_bytes(b"a model")
    target = tmp_path / "net-fp16.onnx"
    assert export_command(model) == (
        f"colorize-export --engine fp16 --checkpoint FILE -o {target} "
        f"(then give --model {target}), FILE being what net-fp32.onnx was made from"
    )
    model.with_suffix(".json").write_text(f'{{"onnx_sha256": "{sha256(model)}", "kind": {{}}}}')
    assert "--import FILE" in export_command(model)


@pytest.mark.usefixtures("gpu")
def test_a_tensorrt_that_cannot_be_loaded_is_a_reason(
    tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: str) -> None:
        raise ImportError("libnvinfer.so.11: cannot open shared object file")

    monkeypatch.setattr(tensorrt, "import_module", fail)
    with pytest.raises(EngineError, match=r"tensorrt cannot be loaded: libnvinfer\.so\.11"):
        TensorRTEngine(tiny_model)


def test_the_command_prints_one_line_and_exits_with_2(
    colorize_run: Run, photo: Path, tmp_path: Path
) -> None:
    if cuda.devices():
        pytest.skip("there is a GPU here")
    run = colorize_run(photo, "-o", tmp_path / "out.jpg", "--backend", "tensorrt")
    assert run.returncode == 2
    assert len(run.stderr.splitlines()) == 1
    assert "NVIDIA driver" in run.stderr
    assert "tensorrt" not in sys.modules


def test_cuda_graphs_elsewhere_are_refused(colorize_run: Run, photo: Path, tmp_path: Path) -> None:
    run = colorize_run(photo, "-o", tmp_path / "out.jpg", "--cuda-graph")
    assert run.returncode == 2
    assert run.stderr.splitlines()[-1].endswith(
        "openvino has no CUDA graphs; give --backend tensorrt with them"
    )
