"""The command colorize-bench: rows, refusals, and what it writes."""

import json
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from helpers.bench import FAST, INFO, Quick, bench, quick_bench, small_photos
from helpers.commands import Finished
from helpers.onnx_models import write_model
from PIL import Image

from colorize.bench import machine
from colorize.bench.quality.candidates import Candidate, open_candidate
from colorize.bench.quality.metrics import ciede2000, ssim
from colorize.bench.settings import find_models
from colorize.bench.speed.torch_eager import checkpoint_of
from colorize.runtime.color import F32
from colorize.runtime.colorizer import Colorizer
from colorize.runtime.engines.onnxruntime import OnnxRuntimeEngine
from colorize.runtime.errors import ModelError
from colorize.runtime.files import photo_files, sha256
from colorize.runtime.models.catalog import MODELS, find_model
from colorize.runtime.photo.reader import read_photo
from colorize.train.devices import usable_cores
from colorize.train.metrics import colorfulness, psnr

torch = pytest.importorskip("torch")
pytest.importorskip("onnxruntime")


class Measured(NamedTuple):
    """One run over both backends, at batches of 1 and 3."""

    model: Path
    photos: Path
    result: Finished
    document: dict[str, Any]


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Measured:
    folder = tmp_path_factory.mktemp("measured")
    model = write_model(folder / "tiny.onnx", INFO.to_metadata())
    photos = small_photos(folder / "photos")
    with pytest.MonkeyPatch.context() as patch:
        result, document = quick_bench(folder, photos, patch)("--model", model, "--batch", "1,3")
    assert result.returncode == 0, result.stderr
    return Measured(model, photos, result, document)


def test_colors_are_scored_against_the_photographs(measured: Measured) -> None:
    own, gray, truth = measured.document["quality"]
    assert (gray["model"], truth["model"]) == ("gray", "truth")
    photos = [read_photo(path).rgb for path in photo_files(measured.photos)]
    with Colorizer(measured.model) as colorizer:
        colored = [colorizer.image(photo) for photo in photos]
    for name, metric in (("psnr_db", psnr), ("ssim", ssim), ("ciede2000", ciede2000)):
        each = [metric(*pair) for pair in zip(colored, photos, strict=True)]
        assert own["means"][name] == pytest.approx(np.mean(each))
        assert own["errors"][name] == pytest.approx(np.std(each, ddof=1) / 2**0.5)
        assert own["per_photo"][name] == pytest.approx(each)
        assert truth["means"][name] is None


def test_colorfulness_is_told_of_model_gray_and_truth(measured: Measured) -> None:
    own, gray, truth = (row["means"] for row in measured.document["quality"])
    photos = [read_photo(path).rgb for path in photo_files(measured.photos)]
    with Colorizer(measured.model) as colorizer:
        colors = np.mean([colorfulness(colorizer.image(photo)) for photo in photos])
    original = np.mean([colorfulness(photo) for photo in photos])
    assert own["colorfulness"] == pytest.approx(colors)
    assert own["colorfulness_delta"] == pytest.approx(abs(colors - original))
    assert truth["colorfulness"] == pytest.approx(original)
    assert gray["colorfulness"] == pytest.approx(0, abs=0.1)


def test_speed_is_of_every_batch_and_backend(measured: Measured) -> None:
    rows, backends = measured.document["speed"], measured.document["settings"]["backends"]
    assert [(row["batch"], row["backend"]) for row in rows] == [
        (batch, backend) for batch in (1, 3) for backend in backends
    ]
    assert {(row["height"], row["runs"], len(row["samples_ms"])) for row in rows} == {(32, 2, 2)}


def test_results_say_what_was_measured_and_where(measured: Measured) -> None:
    document = measured.document
    assert set(document["not_measured"]) == {"lpips_squeeze", "fid", "fd_squeeze"}
    assert document["data"]["protocol"] == "native@1"
    assert document["data"]["names"] == [path.name for path in photo_files(measured.photos)]
    [entry] = document["models"]
    assert entry["sha256"] == sha256(measured.model)
    assert entry["metadata"]["architecture"] == "tiny"
    assert document["machine"]["packages"]["numpy"] == np.__version__
    assert document["warnings"] == []


def test_tables_are_printed_with_how_to_read_them(measured: Measured) -> None:
    lines, means = measured.result.stdout.splitlines(), measured.document["quality"][0]["means"]
    [line] = [line for line in lines if f"{means['psnr_db']:.2f}" in line]
    assert f"{means['ciede2000']:.2f}" in line
    [line] = [line for line in lines if line.split()[:1] == ["truth"]]
    assert line.split()[1:3] == ["-", "-"]
    for row in measured.document["speed"]:
        start = [row["backend"], row["precision"], str(row["batch"])]
        [line] = [line for line in lines if line.split()[:3] == start]
        figures = [f"{row[name]:.1f}" for name in ("p50_ms", "p90_ms", "spread_ms")]
        assert line.split()[3:6] == figures
        assert line.split()[-1] == f"{row['speedup']:.2f}x"
    for note in (
        "PSNR alone rewards gray pictures",
        "p99 is told from 100 runs on",
        "FID: not measured (photographs: 2",
        "FD-SqueezeNet1.1 (not FID): not measured (photographs: 2",
    ):
        assert any(note in line for line in lines), note


def test_the_wall_shows_every_photograph(model: Path, quick: Quick, tmp_path: Path) -> None:
    result, _ = quick("--model", model, *FAST, "--wall", tmp_path / "wall.png")
    assert result.returncode == 0, result.stderr
    assert f"pictures: {tmp_path / 'wall.png'}" in result.stderr
    with Image.open(tmp_path / "wall.png") as wall:
        parts = np.asarray(wall.convert("RGB")).astype(int)
    height, width = parts.shape[:2]
    assert width > 3 * height  # two photographs abreast, each gray, by the model and true
    gray = parts[:, : width // 8]
    assert np.ptp(gray, axis=2).max() <= 2
    assert np.ptp(parts, axis=2).max() > 40


def test_sizes_precisions_and_protocols_are_rows(model: Path, quick: Quick) -> None:
    options = ("--size", "32,48", "--precision", "auto,fp32", "--protocol", "imagenet256")
    result, document = quick("--model", model, *FAST, *options, "--against", model)
    assert result.returncode == 0, result.stderr
    titles = [row["title"] for row in document["quality"][:-2]]
    name = str(model)
    assert titles == [f"{name} @32", f"{name} @48", f"{name} @32 fp32", f"{name} @48 fp32"]
    assert [(row["size"], row["height"]) for row in document["speed"]] == [(32, 32)] * 2 + [
        (48, 48)
    ] * 2
    assert document["data"]["protocol"] == "imagenet256@1"


@pytest.mark.parametrize(
    ("count", "part"), [(None, "without hints"), (0, "without hints"), (3, "")]
)
def test_a_candidate_loads_the_network_that_its_hints_need(
    compiled_parts: list[str], count: int | None, part: str
) -> None:
    candidate = Candidate("default", "openvino", model=find_models(["default"])[0], hints=count)
    with ExitStack() as stack:
        colorize, _ = open_candidate(candidate, "whole", stack)
        colorize(np.full((40, 60, 3), 90, np.uint8), 0)
    assert compiled_parts == [part]


@pytest.mark.slow
def test_hints_of_the_truth_bring_colors_nearer_to_it(
    model: Path, quick: Quick, tmp_path: Path
) -> None:
    result, document = quick("--model", model, *FAST, "--hints", "0,1,60")
    assert result.returncode == 0, result.stderr
    none, one, many, gray, truth = document["quality"]
    assert [row["hints"] for row in (none, one, many, gray, truth)] == [0, 1, 60, None, None]
    assert [row["title"].split(", ")[-1] for row in (none, many)] == ["hints: 0", "hints: 60"]
    assert many["means"]["psnr_db"] > one["means"]["psnr_db"] > none["means"]["psnr_db"]
    assert many["means"]["ciede2000"] < none["means"]["ciede2000"]
    page = (tmp_path / "report" / "index.html").read_text(encoding="utf-8")
    assert page.count('<svg class="hints"') >= 2  # PSNR, CIEDE2000, and LPIPS where it is measured
    _, same = quick("--model", model, *FAST, "--hints", "60,0")
    assert same["quality"][0]["means"]["psnr_db"] == many["means"]["psnr_db"]
    _, plain = quick("--model", model, *FAST)
    assert plain["quality"][0]["means"] == none["means"]
    assert plain["quality"][0]["hints"] is None
    assert bench("--hints", "1,-2").returncode == 2


@pytest.mark.slow
def test_processes_that_share_the_photographs_find_the_same(model: Path, quick: Quick) -> None:
    _, alone = quick("--model", model, *FAST)
    result, shared = quick("--model", model, *FAST, "--workers", 2)
    assert result.returncode == 0, result.stderr
    assert shared["quality"] == alone["quality"]
    assert shared["data"] == alone["data"]


def test_colored_pictures_of_others_are_measured(
    model: Path, photos: Path, quick: Quick, tmp_path: Path
) -> None:
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    for path in photo_files(photos):
        Image.fromarray(255 - read_photo(path).rgb).save(theirs / f"{path.stem}.bmp")
    result, document = quick("--model", model, *FAST, "--colored", theirs)
    assert result.returncode == 0, result.stderr
    row = document["quality"][1]
    truths = [read_photo(path).rgb for path in photo_files(photos)]
    assert row["title"] == "theirs"
    assert row["means"]["psnr_db"] == pytest.approx(np.mean([psnr(255 - t, t) for t in truths]))


def test_results_of_colorize_run_are_told_from_the_photographs_beside_them(
    model: Path, photos: Path, quick: Quick, tmp_path: Path
) -> None:
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    truths = [read_photo(path).rgb for path in photo_files(photos)]
    for path, truth in zip(photo_files(photos), truths, strict=True):
        Image.fromarray(truth).save(theirs / path.name)
        Image.fromarray(255 - truth).save(theirs / f"{path.stem}_colorized{path.suffix}")
    result, document = quick("--model", model, *FAST, "--colored", theirs)
    assert result.returncode == 0, result.stderr
    means = document["quality"][1]["means"]
    assert means["psnr_db"] == pytest.approx(np.mean([psnr(255 - t, t) for t in truths]))


def test_colored_pictures_that_do_not_match_are_named(
    model: Path, photos: Path, quick: Quick, tmp_path: Path
) -> None:
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    result, _ = quick("--model", model, "--colored", theirs)
    first, second = (path.name for path in photo_files(photos))
    assert result.returncode == 2
    assert f"has no picture for {first}, {second}" in " ".join(result.stderr.split())
    for path in photo_files(photos):
        Image.new("RGB", (9, 7)).save(theirs / path.name)
    result, _ = quick("--model", model, "--colored", theirs)
    assert result.returncode == 2
    [line] = result.stderr.splitlines()
    assert f"sizes differ from the photographs': {first} 9x7, not 60x45" in line


def test_lpips_is_measured_with_given_weights(model: Path, quick: Quick, tmp_path: Path) -> None:
    from torchvision.models import get_model

    weights = tmp_path / "any.pth"
    torch.save(get_model("squeezenet1_1", weights=None).state_dict(), weights)
    result, document = quick("--model", model, *FAST, "--lpips-weights", weights)
    assert result.returncode == 0, result.stderr
    own, gray, truth = (row["means"]["lpips_squeeze"] for row in document["quality"])
    assert own > 0
    assert gray > 0
    assert truth is None
    assert document["metric_weights"] == {"lpips_squeeze": sha256(weights)}
    assert "lpips_squeeze" not in document["not_measured"]


@pytest.mark.parametrize(
    ("breach", "reason"),
    [({"output_name": "color"}, "outputs are color"), ({"stride": 2}, "the contract has [1, 2,")],
)
def test_a_broken_model_gets_an_error_row_and_the_others_go_on(
    model: Path,
    tmp_path: Path,
    quick: Quick,
    breach: dict[str, Any],
    reason: str,
) -> None:
    broken = write_model(tmp_path / "broken.onnx", INFO.to_metadata(), **breach)
    few = ("--batch", "1", "--backend", "openvino")
    result, document = quick("--model", broken, "--model", model, *few)
    assert result.returncode == 3, result.stderr
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
    assert result.returncode == 1
    assert [row["model"] for row in document["quality"]] == [str(broken), "gray", "truth"]


def test_an_engine_that_raises_is_blamed_on_its_model(
    model: Path, quick: Quick, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(self: OnnxRuntimeEngine, lightness: F32) -> F32:
        raise RuntimeError("a trace\nno such kernel")

    monkeypatch.setattr(OnnxRuntimeEngine, "_compute", fail)
    result, document = quick("--model", model, *FAST)
    assert result.returncode == 1
    assert document["quality"][0] == {
        "model": str(model),
        "backend": "onnxruntime",
        "error": f"{model}: onnxruntime on CPU, fp32 failed (no such kernel)",
    }


def test_what_does_not_fit_into_memory_is_not_measured_smaller(
    model: Path, quick: Quick, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(self: OnnxRuntimeEngine, lightness: F32) -> F32:
        if lightness.shape[2] > 16:
            raise RuntimeError("Failed to allocate memory for requested buffer of size 134217728")
        return np.concatenate([lightness, lightness], 1)

    monkeypatch.setattr(OnnxRuntimeEngine, "_compute", fail)
    result, document = quick("--model", model, *FAST)
    assert result.returncode == 1
    assert "cannot be measured as asked: " in document["quality"][0]["error"]


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--data", "nowhere"], "no such folder"),
        (["--model", "nothing"], "neither a file nor a bundled model"),
        (["--backend", "abacus"], "backend abacus is unknown or not installed"),
        (["--batch", "1,x"], "not a list of batch sizes"),
        (["--lpips", "resnet"], "not a list of alex, vgg, squeeze"),
        (["--precision", "int8"], "not a list of auto, fp32, bf16"),
        (["--colored", "nowhere"], "no such folder"),
        (["--video", "nowhere.mp4"], "no such file"),
        (["--references", "1"], "--references goes with --video"),
        (["--fid-weights", "nowhere.pth"], "no such file"),
        (["--lpips-weights", "nowhere.pth"], "no such file"),
        (["--against", "nothing"], "neither a file nor a bundled model"),
        (["--batch", "0"], "not a list of batch sizes"),
        (["--runs", "0"], "--runs"),
        (["--size", "-1"], "not a list of sizes"),
    ],
)
def test_bad_input_is_one_line(
    quick: Quick,
    model: Path,
    arguments: list[str],
    reason: str,
) -> None:
    result, document = quick("--model", model, *arguments)
    assert result.returncode == 2
    [line] = result.stderr.splitlines()
    assert line.startswith("colorize-bench: ")
    assert reason in line
    assert document == {}


def test_no_model_at_all_is_said_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("colorize.bench.settings.bundled_models", dict)
    with pytest.raises(ModelError, match="no bundled model"):
        find_models([])


def test_without_a_name_all_bundled_models_are_measured_the_default_first() -> None:
    first, *others = [model.name for model in find_models([])]
    assert first == "default"
    assert others == sorted(path.stem for path in MODELS.glob("*.onnx") if path.stem != first)
    assert others


def test_an_output_that_cannot_be_written_is_refused_before_measuring(
    model: Path, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*arguments: object, **options: object) -> None:
        raise AssertionError("measured before the output was tried")

    monkeypatch.setattr("colorize.bench.measure.measure_quality", never)
    (tmp_path / "file").write_text("")
    result = bench("--model", model, "--data", photos, "-o", tmp_path / "file" / "report")
    assert result.returncode == 1
    assert len(result.stderr.splitlines()) == 1


def test_the_machine_is_named_as_the_system_names_it() -> None:
    told = machine.describe_machine()
    assert told["cores"] == usable_cores() >= 1
    assert told["cpu"]
    listed = Path("/proc/cpuinfo")
    if listed.exists() and "model name" in listed.read_text():
        assert told["cpu"] in listed.read_text()


def test_help_needs_no_torch() -> None:
    code = "import sys; sys.modules['torch'] = None\nimport colorize.bench.cli"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.slow
def test_the_bare_command_measures_the_default_model_everywhere(tmp_path: Path) -> None:
    result = bench("-o", tmp_path)
    assert result.returncode == 0, result.stderr
    document = json.loads((tmp_path / "results.json").read_text())
    default = [row for row in document["speed"] if row["model"] == "default"]
    checkpoint = {"torch"} if checkpoint_of(find_model("default")) else set()
    assert {row["backend"] for row in default} == {"openvino", "onnxruntime"} | checkpoint
    assert all(row["runs"] >= 30 and row["peak_rss_mb"] > 20 for row in document["speed"])
    own, gray = (row["means"] for row in document["quality"] if row["title"] in ("default", "gray"))
    assert own["ciede2000"] < gray["ciede2000"]
