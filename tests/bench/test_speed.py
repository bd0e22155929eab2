"""The bench's clocks and counters: statistics against fake clocks, operations against torch's."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.bench import settings_of

from colorize.bench.settings import EAGER, find_models, noise
from colorize.bench.speed import energy, latency
from colorize.bench.speed import memory as footprint
from colorize.bench.speed.roofline import count_flop, measured_peak, roofline
from colorize.bench.speed.torch_eager import EagerEngine, checkpoint_of
from colorize.runtime.engines.onnxruntime import OnnxRuntimeEngine
from colorize.runtime.engines.select import open_engine
from colorize.runtime.errors import ModelError
from colorize.train.checkpoints.checkpoint import load_checkpoint

torch = pytest.importorskip("torch")

SETTINGS = settings_of(backends=("onnxruntime",), batches=(1, 2), runs=3, warmup=1)


@pytest.fixture(autouse=True)
def no_processes(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Measure no memory in processes of their own; one test does."""
    if "memory" not in request.node.name:
        monkeypatch.setattr(latency, "peak_memory", lambda *_: None)


class FakeClock:
    """Seconds that pass only when told to."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> FakeClock:
    fake = FakeClock()
    monkeypatch.setattr("time.perf_counter", fake)
    return fake


def test_statistics_are_numpys_percentiles() -> None:
    seconds = np.random.default_rng(1).gamma(2.0, 0.01, 100)
    found = latency.statistics(seconds.tolist(), batch=8)
    for name, share in (("p50_ms", 50), ("p90_ms", 90), ("p99_ms", 99)):
        assert found[name] == pytest.approx(np.percentile(seconds, share) * 1000)
    assert found["mean_ms"] == pytest.approx(seconds.mean() * 1000)
    quartiles = np.percentile(seconds, (25, 75)) * 1000
    assert found["spread_ms"] == pytest.approx(quartiles[1] - quartiles[0])
    assert found["pictures_per_second"] == pytest.approx(8 * 100 / seconds.sum())


def test_p99_is_told_from_a_hundred_runs_on() -> None:
    assert latency.statistics([1.0] * 99, 1)["p99_ms"] is None
    assert latency.statistics([1.0] * 100, 1)["p99_ms"] == 1000


def test_calls_take_turns_and_only_the_second_of_each_turn_is_timed(clock: FakeClock) -> None:
    order = list[str]()

    def caller(name: str, durations: Iterator[float]) -> Callable[[], None]:
        def call() -> None:
            order.append(name)
            clock.now += next(durations)

        return call

    calls = [caller("a", iter([9, 1, 9, 2])), caller("b", iter([7, 3, 7, 4]))]
    timings = latency.time_in_turns(calls, runs=2, warmup=0)
    assert [timing.seconds for timing in timings] == [[1, 2], [3, 4]]
    assert "".join(order) == "aabb" * 2


def test_warming_up_goes_on_until_the_pace_is_steady(clock: FakeClock) -> None:
    def run(pace: Iterator[float], least: int) -> tuple[int, bool]:
        def call() -> None:
            clock.now += next(pace)

        return latency.warm_up(call, least)

    steady = iter(lambda: 0.01, None)
    assert run(steady, 0) == (0, False)
    assert run(steady, 3) == (10, True)
    assert run(steady, 30) == (30, True)
    slow_start = (0.01 * max(1, 0.8 ** (count - 12)) for count in range(1000))
    runs, stable = run(slow_start, 1)
    assert stable
    assert runs > 12
    ever_slower = (0.01 * 1.1**count for count in range(1000))
    assert run(ever_slower, 1)[1] is False


def test_speed_rows_of_a_model_by_a_fake_clock(
    tiny_model: Path, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    costs = {"onnxruntime": 0.020, "openvino": 0.005}
    real_open = open_engine

    def slowed(path: Path, backend: str, precision: Any, device: str) -> Any:
        engine = real_open(path, backend, precision, device)
        clock.now += 0.5
        infer = engine.infer

        def timed(lightness: Any) -> Any:
            clock.now += costs[backend] * len(lightness)
            return infer(lightness)

        monkeypatch.setattr(engine, "infer", timed)
        return engine

    monkeypatch.setattr(footprint, "open_engine", slowed)
    settings = replace(
        SETTINGS, backends=("openvino", "onnxruntime"), precisions=("fp32",), sizes=(44,)
    )
    [model] = find_models([str(tiny_model)])
    rows = latency.measure_speed(model, settings)
    first, second, *_, last = (row for row in rows if isinstance(row, latency.SpeedRow))
    assert len(rows) == 4
    assert (first.backend, first.batch, first.height, first.width) == ("openvino", 1, 48, 48)
    assert (first.runs, first.samples_ms, first.stable) == (3, (5.0, 5.0, 5.0), True)
    assert first.p50_ms == pytest.approx(5)
    assert first.p99_ms is None
    assert first.load_ms == pytest.approx(500)
    assert first.first_ms == pytest.approx(5)
    assert first.pictures_per_second == pytest.approx(200)
    assert first.speedup == pytest.approx(4)
    assert first.baseline == "onnxruntime fp32"
    assert second.backend == "onnxruntime"
    assert second.speedup == pytest.approx(1)
    assert (last.batch, last.load_ms, last.first_ms) == (2, None, None)
    assert last.p50_ms == pytest.approx(40)


def test_no_speedup_without_its_baseline(tiny_model: Path) -> None:
    [model] = find_models([str(tiny_model)])
    rows = latency.measure_speed(model, replace(SETTINGS, backends=("openvino",)))
    assert [row.speedup for row in rows if isinstance(row, latency.SpeedRow)] == [None, None]


def test_an_engine_that_fails_at_a_batch_leaves_the_others_timed(
    tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = OnnxRuntimeEngine._compute

    def fail(self: OnnxRuntimeEngine, lightness: Any) -> Any:
        if len(lightness) > 1:
            raise RuntimeError("out of memory")
        return real(self, lightness)

    monkeypatch.setattr(OnnxRuntimeEngine, "_compute", fail)
    [model] = find_models([str(tiny_model)])
    both = replace(SETTINGS, backends=("openvino", "onnxruntime"))
    rows = latency.measure_speed(model, both)
    done = [(row.backend, row.batch) for row in rows if isinstance(row, latency.SpeedRow)]
    assert done == [("openvino", 1), ("onnxruntime", 1), ("openvino", 2)]
    [failure] = [row for row in rows if not isinstance(row, latency.SpeedRow)]
    assert "out of memory" in failure.error


@pytest.fixture
def with_checkpoint(exported: dict[str, Path], checkpoint_file: Path, tmp_path: Path) -> Path:
    """An exported model that lies beside its checkpoint."""
    model = tmp_path / "net.onnx"
    model.write_bytes(exported["fp32"].read_bytes())
    model.with_suffix(".safetensors").write_bytes(checkpoint_file.read_bytes())
    return model


def test_torch_eager_is_the_checkpoint_that_a_model_was_exported_from(
    tiny_model: Path, with_checkpoint: Path
) -> None:
    model = with_checkpoint
    assert checkpoint_of(model) == model.with_suffix(".safetensors")
    assert checkpoint_of(tiny_model) is None
    with pytest.raises(ModelError, match="is not beside it"):
        EagerEngine(tiny_model)
    lightness = noise(1, (64, 64))
    with EagerEngine(model) as eager, open_engine(model, "onnxruntime") as exported:
        assert np.abs(eager.infer(lightness) - exported.infer(lightness)).max() < 1


def test_every_speedup_is_over_torch_eager_where_there_is_a_checkpoint(
    with_checkpoint: Path,
) -> None:
    settings = replace(SETTINGS, batches=(1,), runs=1, warmup=0, sizes=(32,))
    [model] = find_models([str(with_checkpoint)])
    measured = latency.measure_speed(model, settings)
    rows = [row for row in measured if isinstance(row, latency.SpeedRow)]
    assert [row.backend for row in rows] == ["onnxruntime", EAGER]
    assert {row.baseline for row in rows} == {"torch fp32"}
    assert rows[0].speedup == pytest.approx(rows[1].p50_ms / rows[0].p50_ms)
    others = replace(settings, every_backend=("another",), backends=("openvino", "onnxruntime"))
    assert [row.backend for row in latency.measure_speed(model, others)] == ["openvino"]


@pytest.mark.slow
def test_peak_memory_is_of_a_process_of_its_own(
    tiny_model: Path, in_subprocess: Callable[..., Any]
) -> None:
    with open_engine(tiny_model, "onnxruntime") as engine:
        small = footprint.peak_memory(tiny_model, engine, 1, (64, 64))
        large = footprint.peak_memory(tiny_model, engine, 64, (512, 512))
    assert small is not None
    assert small.rss is not None
    assert large is not None
    assert large.rss is not None
    assert small.device is large.device is None
    # Input and output of the large one hold 64 x 3 x 512 x 512 floats.
    assert large.rss > small.rss + 64 * 3 * 512 * 512 * 4 / 2**20 * 0.9
    bare = in_subprocess(
        "-c",
        "from colorize.bench.speed.memory import peak_mb; import colorize.bench.speed.memory;"
        "print(peak_mb())",
    )
    assert 10 < float(bare.stdout) < small.rss


def write_zone(folder: Path, name: str, microjoules: int, limit: int = 1000_000_000) -> Path:
    zone = folder / name
    zone.mkdir(exist_ok=True)
    (zone / "energy_uj").write_text(f"{microjoules}\n")
    (zone / "max_energy_range_uj").write_text(f"{limit}\n")
    return zone


def test_energy_is_of_all_packages_and_counters_run_over(tmp_path: Path) -> None:
    write_zone(tmp_path, "intel-rapl:0", 5_000_000)
    write_zone(tmp_path, "intel-rapl:1", 999_000_000)
    write_zone(tmp_path, "intel-rapl:0:0", 1)  # a part of package 0
    meter = energy.EnergyMeter(tmp_path)
    before = meter.joules()
    assert before == [5.0, 999.0]
    write_zone(tmp_path, "intel-rapl:0", 7_000_000)
    write_zone(tmp_path, "intel-rapl:1", 3_000_000)
    assert meter.since(before) == pytest.approx(2 + 4)


def test_a_machine_that_does_not_tell_its_energy_has_none(tmp_path: Path) -> None:
    meter = energy.EnergyMeter(tmp_path)
    assert (meter.joules(), meter.since(None)) == (None, None)


def test_operations_are_those_that_torch_counts(with_checkpoint: Path) -> None:
    from torch.utils.flop_counter import FlopCounterMode

    model = with_checkpoint
    checkpoint = checkpoint_of(model)
    assert checkpoint is not None
    counter = FlopCounterMode(display=False)
    with counter, torch.inference_mode():
        load_checkpoint(checkpoint).network(torch.zeros(1, 1, 128, 192))
    assert count_flop(model, 1, 128, 192) == counter.get_total_flops()
    assert count_flop(model, 4, 128, 192) == 4 * counter.get_total_flops()


def test_the_roofline_is_reached_as_far_as_the_latency_says(
    tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    [model] = find_models([str(tiny_model)])
    rows = latency.measure_speed(model, replace(SETTINGS, batches=(2,)))
    timed = [row for row in rows if isinstance(row, latency.SpeedRow)]
    monkeypatch.setattr("colorize.bench.speed.roofline.measured_peak", lambda _: 1e9)
    [found] = roofline(model, timed)
    assert found.gflop == pytest.approx(2 * 2 * 64 * 64 / 1e9)  # two outputs, one product each
    expected = 2 * found.gflop / (timed[0].p50_ms / 1000)
    assert found.share == pytest.approx(expected)
    assert measured_peak("fp32") > 1e8


def test_noise_is_lightness() -> None:
    lightness = noise(2, (8, 16))
    assert lightness.shape == (2, 1, 8, 16)
    assert lightness.dtype == np.float32
    assert lightness.min() >= 0
    assert lightness.max() <= 100
