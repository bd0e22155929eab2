"""The command colorize-bench: rows, refusals, and what it writes."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.bench import FAST, Quick, bench, write_model
from PIL import Image

from colorize.bench import machine
from colorize.bench.quality.metrics import ciede2000, ssim
from colorize.bench.settings import find_subjects
from colorize.runtime.color import F32
from colorize.runtime.colorizer import Colorizer
from colorize.runtime.engines.onnxruntime import OnnxRuntimeEngine
from colorize.runtime.errors import ModelError
from colorize.runtime.files import photo_files, sha256
from colorize.runtime.models.catalog import MODELS
from colorize.runtime.photo.reader import read_photo
from colorize.train.metrics import colorfulness, psnr

torch = pytest.importorskip("torch")
pytest.importorskip("onnxruntime")


def test_the_command_measures_a_model(model: Path, photos: Path, quick: Quick) -> None:
    result, document = quick("--model", model, "--batch", "1,3")
    assert result.exit_code == 0, result.output
    own, gray, truth = document["quality"]
    with Colorizer(model) as colorizer:
        pairs = [
            (colorizer.image(photo), photo)
            for photo in (read_photo(path).rgb for path in photo_files(photos))
        ]
    for name, metric in (("psnr_db", psnr), ("ssim", ssim), ("ciede2000", ciede2000)):
        each = [metric(colored, photo) for colored, photo in pairs]
        assert own["means"][name] == pytest.approx(np.mean(each))
        assert own["errors"][name] == pytest.approx(np.std(each, ddof=1) / 2**0.5)
        assert own["per_photo"][name] == pytest.approx(each)
        assert truth["means"][name] is None
    colors = np.mean([colorfulness(colored) for colored, _ in pairs])
    original = np.mean([colorfulness(photo) for _, photo in pairs])
    assert own["means"]["colorfulness"] == pytest.approx(colors)
    assert own["means"]["colorfulness_delta"] == pytest.approx(abs(colors - original))
    assert truth["means"]["colorfulness"] == pytest.approx(original)
    assert (gray["model"], truth["model"]) == ("gray", "truth")
    assert gray["means"]["colorfulness"] == pytest.approx(0, abs=0.1)
    assert set(document["not_measured"]) == {"lpips_squeeze", "fid"}
    assert document["data"]["protocol"] == "native@1"
    assert document["data"]["names"] == [path.name for path in photo_files(photos)]

    backends = document["settings"]["backends"]
    assert [(row["batch"], row["backend"]) for row in document["speed"]] == [
        (batch, backend) for batch in (1, 3) for backend in backends
    ]
    assert all((row["height"], row["runs"]) == (32, 2) for row in document["speed"])
    assert all(len(row["samples_ms"]) == 2 for row in document["speed"])
    [entry] = document["models"]
    assert entry["sha256"] == sha256(model)
    assert entry["metadata"]["architecture"] == "tiny"
    assert document["machine"]["packages"]["numpy"] == np.__version__
    assert document["warnings"] == []

    lines = result.stdout.splitlines()
    [line] = [line for line in lines if f"{own['means']['psnr_db']:.2f}" in line]
    assert f"{own['means']['ciede2000']:.2f}" in line
    [line] = [line for line in lines if line.split()[:1] == ["truth"]]
    assert line.split()[1:3] == ["-", "-"]
    for row in document["speed"]:
        start = [row["backend"], row["precision"], str(row["batch"])]
        [line] = [line for line in lines if line.split()[:3] == start]
        figures = [f"{row[name]:.1f}" for name in ("p50_ms", "p90_ms", "spread_ms")]
        assert line.split()[3:6] == figures
        assert line.split()[-1] == f"{row['speedup']:.2f}x"
    assert any("PSNR alone rewards gray pictures" in line for line in lines)
    assert any("p99 is told from 100 runs on" in line for line in lines)
    assert any("FID: not measured (photographs: 2" in line for line in lines)


def test_the_wall_shows_every_photograph(model: Path, quick: Quick, tmp_path: Path) -> None:
    result, _ = quick("--model", model, *FAST, "--wall", tmp_path / "wall.png")
    assert result.exit_code == 0, result.stderr
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
    assert result.exit_code == 0, result.output
    titles = [row["title"] for row in document["quality"][:-2]]
    name = str(model)
    assert titles == [f"{name} @32", f"{name} @48", f"{name} @32 fp32", f"{name} @48 fp32"]
    assert [(row["size"], row["height"]) for row in document["speed"]] == [(32, 32)] * 2 + [
        (48, 48)
    ] * 2
    assert document["data"]["protocol"] == "imagenet256@1"


@pytest.mark.slow
def test_processes_that_share_the_photographs_find_the_same(model: Path, quick: Quick) -> None:
    _, alone = quick("--model", model, *FAST)
    result, shared = quick("--model", model, *FAST, "--workers", 2)
    assert result.exit_code == 0, result.output
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
    assert result.exit_code == 0, result.output
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
    assert result.exit_code == 0, result.output
    means = document["quality"][1]["means"]
    assert means["psnr_db"] == pytest.approx(np.mean([psnr(255 - t, t) for t in truths]))


def test_colored_pictures_that_do_not_match_are_named(
    model: Path, photos: Path, quick: Quick, tmp_path: Path
) -> None:
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    result, _ = quick("--model", model, "--colored", theirs)
    first, second = (path.name for path in photo_files(photos))
    assert result.exit_code == 2
    assert f"has no picture for {first}, {second}" in " ".join(result.stderr.split())
    for path in photo_files(photos):
        Image.new("RGB", (9, 7)).save(theirs / path.name)
    result, _ = quick("--model", model, "--colored", theirs)
    assert result.exit_code == 2
    [line] = result.stderr.splitlines()
    assert f"sizes differ from the photographs': {first} 9x7, not 60x45" in line


def test_lpips_is_measured_with_given_weights(model: Path, quick: Quick, tmp_path: Path) -> None:
    from torchvision.models import get_model

    weights = tmp_path / "any.pth"
    torch.save(get_model("squeezenet1_1", weights=None).state_dict(), weights)
    result, document = quick("--model", model, *FAST, "--lpips-weights", weights)
    assert result.exit_code == 0, result.output
    own, gray, truth = (row["means"]["lpips_squeeze"] for row in document["quality"])
    assert own > 0
    assert gray > 0
    assert truth is None
    assert document["metric_weights"] == {"lpips_squeeze": sha256(weights)}
    assert "lpips_squeeze" not in document["not_measured"]


@pytest.mark.parametrize(
    ("breach", "reason"),
    [({"output": "color"}, "outputs are color"), ({"stride": 2}, "the contract has [1, 2,")],
)
def test_a_broken_model_gets_an_error_row_and_the_others_go_on(
    model: Path,
    tmp_path: Path,
    quick: Quick,
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
    assert [row["model"] for row in document["quality"]] == [str(broken), "gray", "truth"]


def test_an_engine_that_raises_is_blamed_on_its_model(
    model: Path, quick: Quick, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(self: OnnxRuntimeEngine, lightness: F32) -> F32:
        raise RuntimeError("a trace\nno such kernel")

    monkeypatch.setattr(OnnxRuntimeEngine, "_compute", fail)
    result, document = quick("--model", model, *FAST)
    assert result.exit_code == 1
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
    assert result.exit_code == 1
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
    assert result.exit_code == 2
    [line] = result.stderr.splitlines()
    assert line.startswith("colorize-bench: ")
    assert reason in line
    assert document == {}


def test_no_model_at_all_is_said_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("colorize.bench.settings.bundled_models", dict)
    with pytest.raises(ModelError, match="no bundled model"):
        find_subjects([])


def test_without_a_name_all_bundled_models_are_measured_the_default_first() -> None:
    first, *others = [subject.name for subject in find_subjects([])]
    assert first == "default"
    assert others == sorted(path.stem for path in MODELS.glob("*.onnx") if path.stem != first)
    assert others


def test_an_output_that_cannot_be_written_is_refused_before_measuring(
    model: Path, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*arguments: object, **options: object) -> None:
        raise AssertionError("measured before the output was tried")

    monkeypatch.setattr("colorize.bench.run.measure_quality", never)
    (tmp_path / "file").write_text("")
    result = bench("--model", model, "--data", photos, "-o", tmp_path / "file" / "report")
    assert result.exit_code == 1
    assert len(result.stderr.splitlines()) == 1


def test_the_machine_is_named_off_linux_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert machine.usable_cores() >= 1
    monkeypatch.setattr(machine, "_CPUINFO", tmp_path / "none")
    assert machine.cpu_name()


def test_help_needs_no_torch() -> None:
    code = "import sys; sys.modules['torch'] = None\nimport colorize.bench.cli"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.slow
def test_the_bare_command_measures_the_default_model_everywhere(tmp_path: Path) -> None:
    result = bench("-o", tmp_path)
    assert result.exit_code == 0, result.output
    document = json.loads((tmp_path / "results.json").read_text())
    default = [row for row in document["speed"] if row["model"] == "default"]
    assert {row["backend"] for row in default} == {"openvino", "onnxruntime", "torch"}
    assert all(row["runs"] >= 30 and row["peak_rss_mb"] > 20 for row in document["speed"])
    own, gray = (row["means"] for row in document["quality"] if row["title"] in ("default", "gray"))
    assert own["ciede2000"] < gray["ciede2000"]
