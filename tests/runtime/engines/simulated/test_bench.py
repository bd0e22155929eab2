"""SIMULATED driver, TensorRT and NVML: the bench's figures of GPUs, by the simulated clock."""

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import jsonschema
import pytest

from colorize.bench.report.tables import speed_table
from colorize.bench.settings import Settings, find_subjects
from colorize.bench.speed.gpu import GpuMeter
from colorize.bench.speed.latency import SpeedRow, measure_speed
from colorize.runtime.engines.tensorrt.plan import Profile

from .conftest import Driver

SCHEMA = Path(__file__).parents[4] / "bench" / "report" / "results.schema.json"


@pytest.fixture
def rows(store: Callable[..., Path], driver: Driver) -> list[SpeedRow]:
    """tiny_model on the second GPU, 8 pictures of 64x64, beside ONNX Runtime on the CPU."""
    model = store(Profile((1, 1, 64, 64), (8, 1, 64, 64), (8, 1, 64, 128)))
    [subject] = find_subjects([str(model)])
    found = []
    for backend, device in (("tensorrt", "cuda:1"), ("onnxruntime", "cpu")):
        settings = Settings((backend,), device, batches=(8,), runs=3, warmup=1)
        found += measure_speed(subject, settings)
    assert all(isinstance(row, SpeedRow) for row in found), found
    return [row for row in found if isinstance(row, SpeedRow)]


def test_a_gpus_figures_are_those_of_its_clock_and_counters(rows: list[SpeedRow]) -> None:
    gpu, cpu = rows
    pixels = 8 * 64 * 64
    sent = pixels * 4 / 1e6  # ms: the simulated bus moves a GB in a second
    assert (gpu.backend, gpu.device, gpu.precision) == ("tensorrt", "cuda:1", "fp16")
    assert gpu.to_device_ms == pytest.approx(sent, rel=1e-3)
    assert gpu.compute_ms == pytest.approx(1, rel=1e-3)
    assert gpu.to_host_ms == pytest.approx(2 * sent, rel=1e-3)
    # In, out and the stand-in's workspace, of this process alone, on that GPU alone.
    assert gpu.device_peak_mb == pytest.approx(pixels * (4 + 8 + 16) / 2**20, rel=1e-3)
    assert gpu.device_joules_per_picture == pytest.approx(100 * (1 + 3 * sent) / 1000 / 8, rel=0.01)
    told = ("to_device_ms", "compute_ms", "to_host_ms", "device_peak_mb")
    assert {getattr(cpu, name) for name in (*told, "device_joules_per_picture")} == {None}

    # And in the results and tables.
    written = [asdict(row) for row in rows]
    schema = json.loads(SCHEMA.read_text())
    of_row = {"$defs": schema["$defs"], "$ref": "#/$defs/speed"}
    for row in written:
        jsonschema.validate(json.loads(json.dumps(row)), of_row)
    table = speed_table({"speed": written, "settings": {"runs": 3}})
    assert {"to GPU ms", "on GPU ms", "back ms", "GPU MB", "GPU J /img"} <= set(table.figures)
    cells = [dict(zip(table.figures, row[2:], strict=True)) for row in table.rows]
    assert [line["on GPU ms"].text for line in cells] == ["1.00", "-"]
    alone = speed_table({"speed": written[1:], "settings": {"runs": 3}})
    assert not {"on GPU ms", "GPU MB"} & set(alone.figures)


def test_meters_are_of_the_gpu_asked_for() -> None:
    assert GpuMeter.open("CPU") is None
    assert GpuMeter.open("GPU.1") is None
    first, second = GpuMeter.open("cuda:0"), GpuMeter.open("cuda:1")
    assert first is not None
    assert second is not None
    assert (first._handle, second._handle) == (0, 1)
    assert second.used_mb() == 512
