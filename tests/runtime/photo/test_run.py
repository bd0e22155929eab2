"""colorize-run on photographs: pipes, patterns, limits, the viewer; and models by name."""

import io
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import numpy as np
import pytest
from PIL import Image
from skimage.color import rgb2lab

from colorize.runtime.command import Command
from colorize.runtime.errors import ModelError
from colorize.runtime.files import sha256
from colorize.runtime.models.catalog import find_model, listed_models
from colorize.runtime.photo import reader

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def folder(tmp_path: Path, photo: Path) -> Path:
    """A folder with two small photographs, a.png and sub/b.jpg."""
    small = Image.open(photo).resize((120, 80))
    (tmp_path / "pictures" / "sub").mkdir(parents=True)
    small.save(tmp_path / "pictures" / "a.png")
    small.save(tmp_path / "pictures" / "sub" / "b.jpg", quality=97)
    return tmp_path / "pictures"


def _model_folder(tmp_path: Path, tiny_model: Path, **card: object) -> Path:
    target = tmp_path / "models"
    target.mkdir()
    shutil.copy(tiny_model, target / "tiny.onnx")
    fields = {"onnx_sha256": sha256(tiny_model), "architecture": "unet", "precision": "fp32"}
    (target / "tiny.json").write_text(json.dumps(fields | card))
    return target


@pytest.mark.parametrize(("name", "form"), [("a.png", "PNG"), ("sub/b.jpg", "JPEG")])
def test_a_photo_goes_through_a_pipe(name: str, form: str, folder: Path, tiny_model: Path) -> None:
    source = folder / name
    command = [sys.executable, "-m", "colorize.runtime.cli", "-", "-o", "-"]
    command += ["--model", str(tiny_model)]
    run = subprocess.run(command, input=source.read_bytes(), capture_output=True, check=True)
    with Image.open(io.BytesIO(run.stdout)) as result, Image.open(source) as original:
        assert result.format == form
        lab, source_lab = rgb2lab(result), rgb2lab(original.convert("RGB"))
    assert np.abs(lab[..., 0] - source_lab[..., 0]).mean() < 0.3
    assert np.abs(lab[..., 1:] - source_lab[..., 1:]).mean() > 5


@pytest.mark.parametrize("content", [b"", b"This is a letter.", b"\x89PNG\r\n\x1a\n"])
def test_a_pipe_without_a_photo_is_refused(content: bytes, tiny_model: Path) -> None:
    command = [sys.executable, "-m", "colorize.runtime.cli", "-"]
    command += ["--model", str(tiny_model)]
    run = subprocess.run(command, input=content, capture_output=True, check=False)
    assert run.returncode == 2
    assert run.stdout == b""
    assert b"Traceback" not in run.stderr


def test_pipes_take_one_input(folder: Path, colorize_run: Run) -> None:
    assert colorize_run("-", folder / "a.png").returncode == 2
    assert colorize_run(folder, "-o", "-").returncode == 2


def test_patterns_that_the_shell_left_are_expanded(folder: Path, colorize_run: Run) -> None:
    out = folder.parent / "out"
    assert colorize_run(f"{folder}/**/*.*g", "-o", out).returncode == 0
    assert sorted(path.name for path in out.iterdir()) == ["a_colorized.png", "b_colorized.jpg"]
    assert colorize_run(f"{folder}/*.tif", "-o", out).returncode == 2


def test_a_file_whose_name_looks_like_a_pattern(folder: Path, colorize_run: Run) -> None:
    shutil.move(folder / "a.png", folder / "[a].png")
    assert colorize_run(folder / "[a].png").returncode == 0
    assert (folder / "[a]_colorized.png").is_file()


def test_max_pixels_refuses_and_permits(folder: Path, colorize_run: Run) -> None:
    run = colorize_run(folder / "a.png", "--max-pixels", 120 * 80 - 1)
    assert run.returncode == 2
    assert "120x80 is above" in run.stderr
    assert "--max-pixels" in run.stderr
    assert colorize_run(folder / "a.png", "--max-pixels", 120 * 80).returncode == 0


def test_show_opens_the_result(
    folder: Path, colorize_run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []

    def launch(url: str) -> int:
        opened.append(url)
        return 0

    monkeypatch.setattr(click, "launch", launch)
    assert colorize_run(folder / "a.png", "--show").returncode == 0
    assert opened == [str(folder / "a_colorized.png")]
    assert colorize_run(folder, "--recursive", "--show", "--overwrite").returncode == 2


def test_a_viewer_that_is_missing_is_said(
    folder: Path, colorize_run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(click, "launch", lambda url: 1)
    run = colorize_run(folder / "a.png", "--show")
    assert run.returncode == 0
    assert "no viewer" in run.stderr


def test_bundled_models_are_listed(colorize_run: Run, in_process: Run) -> None:
    from colorize.runtime.cli import main

    run = in_process(main, "--list-models")
    assert run.returncode == 0
    assert run.stdout.startswith("default: unet, fp32, ")
    for name in ("gan", "resnet", "unet", "unetgan"):
        [card] = re.findall(rf"^{name}: {name}, fp32, .*\n.*\n.*", run.stdout, re.M)
        assert "psnr_db" in card
        assert "license: research only" in card


def test_a_folders_models_are_listed_with_their_figures(
    colorize_run: Run, tiny_model: Path, tmp_path: Path
) -> None:
    origin = {"native_size": 64, "licence": "CC0", "figures": {"psnr": 21.53, "ab_error": 11.2}}
    models = _model_folder(tmp_path, tiny_model, origin=origin)
    shutil.copy(tiny_model, models / "other.onnx")
    run = colorize_run("--list-models", "--model", models)
    lines = run.stdout.splitlines()
    assert lines[0].startswith("other: ?")
    assert "not measured" in lines[1]
    assert lines[3].startswith("tiny: unet, fp32, 0.0 MB, colors best at 64 pixels")
    assert lines[4:] == ["  quality: psnr 21.5, ab_error 11.2", "  license: CC0"]


def test_a_folder_is_a_model(folder: Path, colorize_run: Run, tiny_model: Path) -> None:
    models = _model_folder(folder.parent, tiny_model)
    assert find_model(models) == models / "tiny.onnx"
    assert colorize_run(folder / "a.png", "--model", models).returncode == 0
    for name in ("tiny.refused.onnx", ".tiny.1234.part.onnx"):  # failed its proof; half written
        shutil.copy(tiny_model, models / name)
    assert find_model(models) == models / "tiny.onnx"
    assert list(listed_models(models)) == ["tiny"]
    shutil.copy(tiny_model, models / "other.onnx")
    with pytest.raises(ModelError, match="holds other, tiny"):
        find_model(models)


def test_damaged_models_are_refused_by_their_checksum(
    folder: Path, colorize_run: Run, tiny_model: Path
) -> None:
    models = _model_folder(folder.parent, tiny_model)
    data = bytearray((models / "tiny.onnx").read_bytes())
    data[data.index(b"unet")] ^= 1  # ONNX itself does not notice
    (models / "tiny.onnx").write_bytes(data)
    run = colorize_run(folder / "a.png", "--model", models / "tiny.onnx")
    assert run.returncode == 2
    assert "SHA-256 is not the one in tiny.json" in run.stderr


def test_a_damaged_model_does_not_hide_the_others(
    colorize_run: Run, tiny_model: Path, tmp_path: Path
) -> None:
    models = _model_folder(tmp_path, tiny_model, license="CC0")
    for name, card in {"a": "{", "b": '{"onnx_sha256": "0"}', "z": '{"origin": [3]}'}.items():
        shutil.copy(tiny_model, models / f"{name}.onnx")
        (models / f"{name}.json").write_text(card)
    run = colorize_run("--list-models", "--model", models)
    assert run.returncode == 3
    heads = [line for line in run.stdout.splitlines() if not line.startswith("  ")]
    assert [head[:2] for head in heads] == ["a:", "b:", "ti", "z:"]
    assert "a.json: damaged" in heads[0]
    assert "SHA-256 is not the one in b.json" in heads[1]


@pytest.mark.parametrize("origin", ["high", 3, {"figures": "high"}, {"figures": {"psnr": "x"}}])
def test_cards_with_strange_fields_are_listed(
    origin: object, colorize_run: Run, tiny_model: Path, tmp_path: Path
) -> None:
    models = _model_folder(tmp_path, tiny_model, origin=origin)
    run = colorize_run("--list-models", "--model", models)
    assert run.returncode == 0
    assert "quality: not measured" in run.stdout


def test_one_model_is_listed_by_its_path(
    colorize_run: Run, tiny_model: Path, tmp_path: Path
) -> None:
    run = colorize_run("--list-models", "--model", _model_folder(tmp_path, tiny_model))
    one = colorize_run("--list-models", "--model", tmp_path / "models" / "tiny.onnx")
    assert one.stdout == run.stdout
    assert colorize_run("--list-models", "--model", tmp_path / "none.onnx").returncode == 2


@pytest.mark.parametrize("suffix", [".safetensors", ".pth", ".json"])
def test_files_that_are_no_models_are_refused_by_name(suffix: str, tmp_path: Path) -> None:
    (tmp_path / f"net{suffix}").write_bytes(b"weights")
    with pytest.raises(ModelError, match="colorize-export makes one"):
        find_model(tmp_path / f"net{suffix}")


@pytest.mark.parametrize("side", [1, 16])
@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".tif", ".bmp", ".avif", ".gif"])
def test_tiny_photos(side: int, suffix: str, folder: Path, colorize_run: Run) -> None:
    with Image.open(folder / "a.png") as image:
        image.resize((side, side)).save(folder / f"tiny{suffix}")
    assert colorize_run(folder / f"tiny{suffix}").returncode == 0
    with Image.open(folder / f"tiny_colorized{suffix}") as result:
        assert result.size == (side, side)


def test_a_folder_that_cannot_be_written_to(
    folder: Path, colorize_run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(self: Path, mode: int = 0o666, exist_ok: bool = True) -> None:
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, "touch", refused)  # root may write everywhere
    run = colorize_run(folder / "a.png")
    assert run.returncode == 1
    last = run.stderr.splitlines()[-1]
    assert last == f"colorize-run: {folder}/a_colorized.png: cannot write there (Permission denied)"


def test_a_full_disk_leaves_nothing_under_the_final_name(
    folder: Path, colorize_run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", full)
    run = colorize_run(folder, "--recursive")
    assert run.returncode == 1
    assert run.stderr.count("No space left on device") == 2
    assert sorted(path.name for path in folder.rglob("*.*")) == ["a.png", "b.jpg"]


def test_refine_changes_colors_not_lightness(folder: Path, colorize_run: Run) -> None:
    plain, refined = folder / "plain.png", folder / "refined.png"
    source = (folder / "a.png", "--size", 16)
    assert colorize_run(*source, "-o", plain).returncode == 0
    assert colorize_run(*source, "-o", refined, "--refine").returncode == 0
    labs = [rgb2lab(Image.open(path).convert("RGB")) for path in (plain, refined)]
    assert np.abs(labs[0][..., 1:] - labs[1][..., 1:]).mean() > 0.2
    assert np.abs(labs[0][..., 0] - labs[1][..., 0]).max() <= 0.5


@pytest.mark.parametrize("card", ["{", "[]", "{}"])
def test_cards_of_other_kinds(card: str, tiny_model: Path, tmp_path: Path) -> None:
    models = _model_folder(tmp_path, tiny_model)
    (models / "tiny.json").write_text(card)
    if card == "{":
        with pytest.raises(ModelError, match="damaged"):
            find_model(models)
    else:
        assert find_model(models) == models / "tiny.onnx"


def test_what_became_of_a_photo_is_said(folder: Path, colorize_run: Run) -> None:
    with Image.open(folder / "a.png") as image:
        image.convert("CMYK").save(folder / "print.tif")
    run = colorize_run(folder / "print.tif")
    assert run.returncode == 0
    assert f"{folder / 'print.tif'}: its CMYK colors became sRGB" in run.stderr


def test_a_pattern_that_matches_folders_alone_is_refused(folder: Path, colorize_run: Run) -> None:
    for more in ((), ("--show",)):
        run = colorize_run(f"{folder.parent}/pict*", *more)
        assert run.returncode == 2
        assert "matches folders alone" in run.stderr.splitlines()[-1]


def test_one_strange_file_does_not_end_the_others(
    folder: Path, colorize_run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever a library raises that nobody foresaw."""
    shutil.copy(folder / "a.png", folder / "strange.png")
    read = reader.read_photo

    def strange(path: Path, *arguments: Any) -> Any:
        if path.stem == "strange":
            raise ZeroDivisionError("of all things")
        return read(path, *arguments)

    monkeypatch.setattr(reader, "read_photo", strange)
    run = colorize_run(folder / "a.png", folder / "strange.png", "-o", folder.parent / "out")
    assert run.returncode == 3
    assert "strange.png: ZeroDivisionError: of all things" in run.stderr
    assert [path.name for path in (folder.parent / "out").iterdir()] == ["a_colorized.png"]


def test_what_the_system_refuses_is_one_line(in_process: Run) -> None:
    @click.command(cls=Command, name="colorize-something")
    def main() -> None:
        raise OSError(28, "No space left on device", "film.mkv")

    run = in_process(main)
    assert run.returncode == 1
    assert run.stderr == "colorize-something: film.mkv: No space left on device\n"
