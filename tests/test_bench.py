"""The bench: its statistics against fake clocks, its measures against independent formulas."""

import json
import math
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image
from skimage.metrics import peak_signal_noise_ratio

from colorize.bench import latency, machine, report
from colorize.bench.cli import main
from colorize.bench.quality import QualityRow, Tally, list_photos, measure_quality, without_colours
from colorize.bench.subjects import Failure, Settings, find_subjects, noise
from colorize.runtime.catalog import MODELS, SAMPLES
from colorize.runtime.color import F32, U8
from colorize.runtime.colorizer import Colorizer
from colorize.runtime.contract import INPUT, OUTPUT, ModelInfo
from colorize.runtime.engines.onnxruntime import OnnxRuntimeEngine
from colorize.runtime.engines.select import open_engine
from colorize.runtime.errors import InputError, ModelError
from colorize.runtime.files import fingerprint, photo_files, sha256
from colorize.runtime.images import read_photo
from colorize.train.metrics import colourfulness, psnr

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

INFO = ModelInfo(
    architecture="tiny",
    precision="fp32",
    native_size=32,
    size_multiple=8,
    checkpoint_sha256="0" * 64,
    data_name="none",
    data_fingerprint="0" * 32,
    licence="CC0",
    toolkit_version="0",
)
SETTINGS = Settings(("onnxruntime",), "auto", None, (1, 2), 3, 1, None)


def write_model(
    path: Path,
    info: ModelInfo = INFO,
    *,
    ab: tuple[float, float] = (15.0, 25.0),
    output: str = OUTPUT,
    stride: int = 1,
) -> Path:
    """Write a contract file that answers AB nearly everywhere; OUTPUT and STRIDE can break it."""
    helper, tensor = onnx.helper, onnx.TensorProto
    weights = np.random.default_rng(0).normal(0, 0.01, (2, 1, 3, 3)).astype(np.float32)
    node = helper.make_node(
        "Conv", [INPUT, "w", "b"], [output], pads=[1] * 4, strides=[stride, stride]
    )
    graph = helper.make_graph(
        [node],
        "tiny",
        [helper.make_tensor_value_info(INPUT, tensor.FLOAT, ["N", 1, "H", "W"])],
        [helper.make_tensor_value_info(output, tensor.FLOAT, ["N", 2, "H2", "W2"])],
        [
            onnx.numpy_helper.from_array(weights, "w"),
            onnx.numpy_helper.from_array(np.array(ab, np.float32), "b"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    helper.set_model_props(model, info.to_metadata())
    onnx.save(model, path)
    return path


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_model(tmp_path / "tiny.onnx")


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Two small photographs in colour."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for path in photo_files(SAMPLES / "test")[:2]:
        with Image.open(path) as image:
            image.resize((60, 45)).save(folder / f"{path.stem}.png")
    return folder


def bench(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


@pytest.fixture
def quick(tmp_path: Path, photos: Path) -> Callable[..., tuple[Result, dict[str, Any]]]:
    """Return what runs the command on the two photographs and reads its JSON."""

    def call(*arguments: object) -> tuple[Result, dict[str, Any]]:
        target = tmp_path / "results.json"
        few = ("--runs", 2, "--warmup", 0, "--data", photos, "-o", target)
        result = bench(*few, *arguments)
        return result, json.loads(target.read_text()) if target.exists() else {}

    return call


# Speed


class FakeClock:
    """Seconds that pass only when told to."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_statistics_are_numpys_percentiles() -> None:
    seconds = np.random.default_rng(1).gamma(2.0, 0.01, 57)
    found = latency.statistics(seconds.tolist(), batch=8)
    for name, share in (("p50_ms", 50), ("p90_ms", 90), ("p99_ms", 99)):
        assert found[name] == pytest.approx(np.percentile(seconds, share) * 1000)
    assert found["mean_ms"] == pytest.approx(seconds.mean() * 1000)
    assert found["pictures_per_second"] == pytest.approx(8 * 57 / seconds.sum())


def test_calls_take_turns_and_only_the_second_of_each_turn_is_timed() -> None:
    clock, order = FakeClock(), list[str]()

    def caller(name: str, durations: Iterator[float]) -> Callable[[], None]:
        def call() -> None:
            order.append(name)
            clock.now += next(durations)

        return call

    # Warm-up, then untimed and timed calls in turn.
    calls = [caller("a", iter([9, 9, 1, 9, 2])), caller("b", iter([7, 7, 3, 7, 4]))]
    assert latency.time_in_turns(calls, runs=2, warmup=1, clock=clock) == [[1, 2], [3, 4]]
    assert "".join(order) == "ab" + "aabb" * 2


def test_speed_rows_of_a_model_by_a_fake_clock(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = FakeClock()
    costs = {"onnxruntime": 0.020, "openvino": 0.005}
    real_open = open_engine

    def slowed(path: Path, backend: str, precision: Any) -> Any:
        engine = real_open(path, backend, precision)
        clock.now += 0.5
        infer = engine.infer

        def timed(lightness: Any) -> Any:
            clock.now += costs[backend] * len(lightness)
            return infer(lightness)

        monkeypatch.setattr(engine, "infer", timed)
        return engine

    monkeypatch.setattr(latency, "open_engine", slowed)
    settings = replace(SETTINGS, backends=("openvino", "onnxruntime"), precision="fp32", size=44)
    [subject] = find_subjects([str(model)])
    rows = latency.measure_speed(subject, settings, clock)
    first, second, *_, last = (row for row in rows if isinstance(row, latency.SpeedRow))
    assert len(rows) == 4
    assert (first.backend, first.batch, first.height, first.width) == ("openvino", 1, 48, 48)
    assert first.runs == 3
    assert [first.p50_ms, first.p99_ms] == pytest.approx([5, 5])
    assert first.load_ms == pytest.approx(500)
    assert first.first_ms == pytest.approx(5)
    assert first.pictures_per_second == pytest.approx(200)
    assert first.speedup == pytest.approx(4)
    assert second.backend == "onnxruntime"
    assert second.speedup == pytest.approx(1)
    assert (last.batch, last.load_ms, last.first_ms) == (2, None, None)
    assert last.p50_ms == pytest.approx(40)


def test_no_speedup_without_its_baseline(model: Path) -> None:
    [subject] = find_subjects([str(model)])
    rows = latency.measure_speed(subject, replace(SETTINGS, backends=("openvino",)))
    assert [row.speedup for row in rows if isinstance(row, latency.SpeedRow)] == [None, None]


# Quality


def reference_psnr(truth: U8, other: U8) -> float:
    return float(peak_signal_noise_ratio(truth, other))  # type: ignore[no-untyped-call]


def pictures() -> list[U8]:
    random = np.random.default_rng(2).integers(0, 256, (2, 31, 47, 3), np.uint8)
    real = read_photo(photo_files(SAMPLES / "test")[0]).rgb[::7, ::7]
    return [*random, np.ascontiguousarray(real), np.full((9, 5, 3), (200, 30, 90), np.uint8)]


@pytest.mark.parametrize("truth", pictures())
def test_psnr_is_scikit_images(truth: U8) -> None:
    rng = np.random.default_rng(3)
    other = np.clip(truth + rng.integers(-30, 31, truth.shape), 0, 255).astype(np.uint8)
    assert psnr(other, truth) == pytest.approx(reference_psnr(truth, other))
    assert psnr(truth, truth) == float("inf")


def hasler_suesstrunk(picture: U8) -> float:
    """M^(3) of the paper, pixel by pixel in plain Python."""
    pixels = [[int(value) for value in pixel] for pixel in picture.reshape(-1, 3)]
    opponents = [(r - g, 0.5 * (r + g) - b) for r, g, b in pixels]
    means = [sum(axis) / len(pixels) for axis in zip(*opponents, strict=True)]
    variances = [
        sum((value - mean) ** 2 for value in axis) / len(pixels)
        for axis, mean in zip(zip(*opponents, strict=True), means, strict=True)
    ]
    return math.sqrt(sum(variances)) + 0.3 * math.hypot(*means)


@pytest.mark.parametrize("picture", pictures())
def test_colourfulness_is_the_papers(picture: U8) -> None:
    assert colourfulness(picture) == pytest.approx(hasler_suesstrunk(picture))


def test_grey_has_no_colour() -> None:
    grey = np.dstack([np.arange(256, dtype=np.uint8).reshape(16, 16)] * 3)
    assert colourfulness(grey) == 0
    assert colourfulness(without_colours(pictures()[2])) < 0.1


def test_a_tally_is_the_mean_over_photographs() -> None:
    tally, truth = Tally(), pictures()
    for picture in truth[:2]:
        tally.add(255 - picture, picture)
    ratios = [reference_psnr(picture, 255 - picture) for picture in truth[:2]]
    assert tally.psnr == pytest.approx(np.mean(ratios))
    colours = [hasler_suesstrunk(255 - picture) for picture in truth[:2]]
    assert tally.colourfulness == pytest.approx(np.mean(colours))


def test_unusable_pictures_are_reported_and_counted(model: Path, photos: Path) -> None:
    (photos / "broken.jpg").write_bytes(b"no picture")
    Image.new("L", (40, 30), 90).save(photos / "grey.png")
    remarks: list[str] = []
    quality = measure_quality(
        find_subjects([str(model)]), photos, SETTINGS, on_remark=remarks.append
    )
    assert (quality.photos, quality.grey, quality.unreadable) == (2, ("grey.png",), ("broken.jpg",))
    assert len(remarks) == 2
    usable = [path for path in list_photos(photos) if path.name != "broken.jpg"]
    assert quality.data_fingerprint == fingerprint(map(sha256, usable))


def test_a_set_without_usable_pictures_is_refused(model: Path, tmp_path: Path) -> None:
    folder = tmp_path / "bad"
    folder.mkdir()
    with pytest.raises(InputError, match="no photographs in it"):
        list_photos(folder)
    (folder / "broken.jpg").write_bytes(b"no picture")
    with pytest.raises(InputError, match="0 grey, 1 unreadable"):
        measure_quality(find_subjects([str(model)]), folder, SETTINGS)


def test_the_fingerprint_is_of_the_whole_folder_under_a_limit(model: Path, photos: Path) -> None:
    subjects = find_subjects([str(model)])
    whole = measure_quality(subjects, photos, SETTINGS)
    part = measure_quality(subjects, photos, replace(SETTINGS, limit_images=1))
    assert (whole.photos, part.photos) == (2, 1)
    assert part.data_fingerprint == whole.data_fingerprint


# The command


def test_the_command_measures_a_model(
    model: Path, photos: Path, quick: Callable[..., tuple[Result, dict[str, Any]]]
) -> None:
    result, document = quick("--model", model, "--batch", "1,3")
    assert result.exit_code == 0, result.output
    own, grey, truth = document["quality"]
    with Colorizer(model) as colorizer:
        pairs = [
            (colorizer.image(photo), photo)
            for photo in (read_photo(path).rgb for path in photo_files(photos))
        ]
    expected = np.mean([reference_psnr(photo, coloured) for coloured, photo in pairs])
    assert own["psnr_db"] == pytest.approx(expected)
    colours = [hasler_suesstrunk(coloured) for coloured, _ in pairs]
    assert own["colourfulness"] == pytest.approx(np.mean(colours))
    assert (grey["model"], truth["model"]) == ("grey", "truth")
    assert grey["colourfulness"] == pytest.approx(0, abs=0.1)
    assert truth["psnr_db"] is None
    originals = [hasler_suesstrunk(photo) for _, photo in pairs]
    assert truth["colourfulness"] == pytest.approx(np.mean(originals))

    backends = document["settings"]["backends"]
    assert [(row["batch"], row["backend"]) for row in document["speed"]] == [
        (batch, backend) for batch in (1, 3) for backend in backends
    ]
    assert all((row["height"], row["runs"]) == (32, 2) for row in document["speed"])
    [entry] = document["models"]
    assert entry["sha256"] == sha256(model)
    assert entry["metadata"]["architecture"] == "tiny"
    assert document["schema"] == report.SCHEMA
    assert document["machine"]["packages"]["numpy"] == np.__version__
    assert document["warnings"] == []

    lines = result.stdout.splitlines()
    [line] = [line for line in lines if f"{own['psnr_db']:.2f}" in line]
    assert line.split()[-1] == f"{own['colourfulness']:.1f}"
    [line] = [line for line in lines if line.split()[:1] == ["truth"]]
    assert line.split()[-2:] == ["-", f"{truth['colourfulness']:.1f}"]
    for row in document["speed"]:
        start = [row["backend"], row["precision"], str(row["batch"])]
        [line] = [line for line in lines if line.split()[:3] == start]
        figures = [f"{row[name]:.1f}" for name in ("p50_ms", "p90_ms", "p99_ms")]
        assert line.split()[3:6] == figures
        assert f"{row['speedup']:.2f}x" in line
    assert report.PSNR_NOTE in lines
    assert any("p99 of 2 runs" in line for line in lines)


def test_measuring_on_the_training_pictures_warns(
    tmp_path: Path, photos: Path, quick: Callable[..., tuple[Result, dict[str, Any]]]
) -> None:
    seen = fingerprint(sha256(path) for path in photo_files(photos))
    path = write_model(tmp_path / "seen.onnx", replace(INFO, data_fingerprint=seen))
    result, document = quick("--model", path, "--backend", "onnxruntime", "--batch", "1")
    assert result.exit_code == 0, result.output
    [warning] = document["warnings"]
    assert "trained on these very photographs" in warning
    assert f"warning: {warning}" in result.stderr.splitlines()


@pytest.mark.parametrize(
    ("breach", "reason"),
    [({"output": "colour"}, "outputs are colour"), ({"stride": 2}, "the contract has [1, 2,")],
)
def test_a_broken_model_gets_an_error_row_and_the_others_go_on(
    model: Path,
    tmp_path: Path,
    quick: Callable[..., tuple[Result, dict[str, Any]]],
    breach: dict[str, Any],
    reason: str,
) -> None:
    broken = write_model(tmp_path / "broken.onnx", **breach)
    few = ("--batch", "1", "--backend", "openvino")
    result, document = quick("--model", broken, "--model", model, *few)
    assert result.exit_code == 3, result.output
    for table in ("quality", "speed"):
        bad, good = document[table][:2]
        assert (bad["model"], good["model"]) == (str(broken), str(model))
        assert reason in bad["error"]
        assert "error" not in good
    assert document["models"][0]["sha256"] == sha256(broken)
    assert len([line for line in result.stdout.splitlines() if "failed" in line]) == 2
    lines = [line for line in result.stderr.splitlines() if reason in line]
    assert lines
    assert all(line.startswith("colorize-bench: openvino: ") for line in lines)

    result, document = quick("--model", broken, *few)
    assert result.exit_code == 1
    assert [row["model"] for row in document["quality"]] == [str(broken), "grey", "truth"]


def test_an_engine_that_raises_is_blamed_on_its_model(
    model: Path, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(self: OnnxRuntimeEngine, lightness: F32) -> F32:
        raise RuntimeError("a trace\nout of memory")

    monkeypatch.setattr(OnnxRuntimeEngine, "_compute", fail)
    first, *_ = measure_quality(find_subjects([str(model)]), photos, SETTINGS).rows
    assert first == Failure(
        str(model), "onnxruntime", f"{model}: onnxruntime on CPU, fp32 failed (out of memory)"
    )


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--data", "nowhere"], "no such folder"),
        (["--model", "nothing"], "neither a file nor a bundled model"),
        (["--backend", "abacus"], "backend abacus is unknown or not installed"),
        (["--batch", "1,x"], "not a list of batch sizes"),
        (["--batch", "0"], "not a list of batch sizes"),
        (["--runs", "0"], "--runs"),
        (["--size", "-1"], "--size"),
    ],
)
def test_bad_input_is_one_line(
    quick: Callable[..., tuple[Result, dict[str, Any]]],
    model: Path,
    arguments: list[str],
    reason: str,
) -> None:
    result, document = quick("--model", model, *arguments)
    assert result.exit_code == 2
    [line] = result.stderr.splitlines()
    assert line.startswith("colorize-bench: ")
    assert reason in line
    assert document == {}


def test_no_model_at_all_is_said_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("colorize.bench.subjects.bundled_models", dict)
    with pytest.raises(ModelError, match="no bundled model"):
        find_subjects([])


def test_all_bundled_models_are_the_default() -> None:
    names = [path.stem for path in sorted(MODELS.glob("*.onnx"))]
    if not names:
        pytest.skip("no bundled models yet")
    assert [subject.name for subject in find_subjects([])] == names


def test_an_output_that_cannot_be_written_is_refused_before_measuring(
    model: Path, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*arguments: object, **options: object) -> None:
        raise AssertionError("measured before the output was tried")

    monkeypatch.setattr("colorize.bench.quality.measure_quality", never)
    (tmp_path / "file").write_text("")
    result = bench("--model", model, "--data", photos, "-o", tmp_path / "file" / "results.json")
    assert result.exit_code == 1
    assert len(result.stderr.splitlines()) == 1


def test_json_has_no_infinity() -> None:
    row = report._plain(Failure("m", "b", "e"))
    assert row == {"model": "m", "backend": "b", "error": "e"}
    perfect = QualityRow("m", "b", "fp32", float("inf"), 1.0)
    assert report._plain(perfect)["psnr_db"] is None


def test_noise_is_lightness() -> None:
    lightness = noise(2, (8, 16))
    assert lightness.shape == (2, 1, 8, 16)
    assert lightness.dtype == np.float32
    assert lightness.min() >= 0
    assert lightness.max() <= 100


def test_the_machine_is_named_off_linux_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert machine.usable_cores() >= 1
    monkeypatch.setattr(machine, "_CPUINFO", tmp_path / "none")
    assert machine.cpu_name()


def test_the_bench_needs_no_torch() -> None:
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "import colorize.bench.cli, colorize.bench.report, colorize.bench.latency"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
