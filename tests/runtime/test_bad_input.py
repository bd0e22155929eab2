"""What colorize-run cannot use: one line, the documented exit code, and the other files done."""

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from helpers.folders import names_below
from PIL import Image

Run = Callable[..., subprocess.CompletedProcess[str]]


def _assert_one_line(error: str, *words: str) -> None:
    assert error.startswith("colorize-run: ")
    assert error.endswith("\n")
    assert error.count("\n") == 1
    assert "Traceback" not in error
    for word in words:
        assert word in error


@pytest.mark.parametrize("overwrite", [[], ["--overwrite"]])
def test_the_input_is_never_the_output(
    overwrite: list[str], folder: Path, colorize_run: Run
) -> None:
    before = (folder / "photo.png").read_bytes()
    for output in (folder / "photo.png", folder / ".." / "pictures" / "photo.png"):
        run = colorize_run(folder / "photo.png", "-o", output, *overwrite)
        assert run.returncode == 2
        _assert_one_line(run.stderr, "is the input itself")
    assert (folder / "photo.png").read_bytes() == before


def test_two_inputs_for_one_output_are_refused(folder: Path, colorize_run: Run) -> None:
    other = folder.parent / "other"
    other.mkdir()
    shutil.copy(folder / "photo.png", other)
    run = colorize_run(folder / "photo.png", other / "photo.png", "-o", folder.parent / "out")
    assert run.returncode == 2
    _assert_one_line(run.stderr, "two inputs would be written there")
    assert not (folder.parent / "out").exists()


def test_good_files_are_done_beside_bad_ones(folder: Path, colorize_run: Run) -> None:
    (folder / "broken.jpg").write_text("This is a letter.")
    (folder / "broken.mp4").write_bytes(b"")
    photo = (folder / "photo.png").read_bytes()
    (folder / "cut.png").write_bytes(photo[: len(photo) // 2])
    run = colorize_run(folder)
    assert run.returncode == 3
    assert run.stdout == f"{folder / 'photo_colorized.png'}\n"
    errors = [line for line in run.stderr.splitlines() if line.startswith("colorize-run: ")]
    assert len(errors) == 3
    for name, line in zip(["broken.jpg", "broken.mp4", "cut.png"], sorted(errors), strict=True):
        assert str(folder / name) in line
    assert "3 of 4 files failed" in run.stderr
    assert "Traceback" not in run.stderr
    assert names_below(folder) == sorted(
        ["broken.jpg", "broken.mp4", "cut.png", "photo.png", "photo_colorized.png"]
    )


def test_all_files_bad(folder: Path, colorize_run: Run) -> None:
    for name in ("a.jpg", "b.mp4"):
        (folder / name).write_text("This is a letter.")
    run = colorize_run(folder / "a.jpg", folder / "b.mp4")
    assert run.returncode == 1
    assert run.stdout == ""
    assert names_below(folder) == ["a.jpg", "b.mp4", "photo.png"]


def test_one_bad_file(folder: Path, colorize_run: Run) -> None:
    (folder / "a.jpg").write_text("This is a letter.")
    run = colorize_run(folder / "a.jpg")
    assert run.returncode == 2
    assert "neither a picture nor a film" in run.stderr.splitlines()[-1]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["none.png"], "none.png: no such file or folder"),
        (["empty"], "no photographs or films in this folder"),
        (["pictures/photo.png", "--model", "huge"], "neither a file nor a bundled model"),
        (["pictures/photo.png", "--backend", "abacus"], "unknown backend 'abacus'"),
        (["pictures/photo.png", "--saturation", "9"], "saturation is 9.0"),
        (["pictures/photo.png", "--size", "0"], "size is 0"),
        (["pictures/photo.png", "--size", "big"], "--size"),
        (["pictures/photo.png", "--precision", "fp8"], "--precision"),
        (["pictures/photo.png", "--nonsense"], "--nonsense"),
        ([], "INPUT"),
    ],
)
def test_bad_arguments_are_refused_in_one_line(
    words: list[str],
    said: str,
    folder: Path,
    colorize_run: Run,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(folder.parent)
    (folder.parent / "empty").mkdir()
    run = colorize_run(*words)
    assert run.returncode == 2
    assert run.stdout == ""
    _assert_one_line(run.stderr, said)
    assert names_below(folder) == ["photo.png"]


@pytest.mark.parametrize(
    ("changes", "metadata", "breach"),
    [
        ({}, False, "lacks colorize.contract_version"),
        ({"input_name": "X"}, True, "inputs are X"),
        ({"channels": 3}, True, "output ab has shape [-1, 3, -1, -1]"),
        ({"sides": ("N", 64, "W")}, True, "fixes axis 2"),
    ],
)
def test_a_model_that_breaks_the_contract_is_refused(
    changes: dict[str, object],
    metadata: bool,
    breach: str,
    folder: Path,
    colorize_run: Run,
    save_model: Callable[..., Path],
    tiny_info: object,
    tiny_model: Path,
) -> None:
    from colorize.runtime.models.contract import ModelInfo

    assert isinstance(tiny_info, ModelInfo)
    model = folder.parent / "model.onnx"
    save_model(model, tiny_info.to_metadata() if metadata else {}, **changes)
    run = colorize_run(folder / "photo.png", "--model", model)
    assert run.returncode == 2
    _assert_one_line(run.stderr, str(model), breach)


def test_a_file_in_place_of_the_output_folder(folder: Path, colorize_run: Run) -> None:
    (folder.parent / "taken").write_text("a file")
    run = colorize_run(folder / "photo.png", "-o", folder.parent / "taken" / "out.png")
    assert run.returncode == 1
    assert "cannot write there" in run.stderr.splitlines()[-1]
    assert "Traceback" not in run.stderr


def test_a_photo_cannot_become_a_film(folder: Path, colorize_run: Run) -> None:
    run = colorize_run(folder / "photo.png", "-o", folder / "out.mp4")
    assert run.returncode == 2
    assert "cannot write .mp4" in run.stderr
    assert names_below(folder) == ["photo.png"]


@pytest.mark.parametrize("codec", ["nonsense", "h263"])
def test_unusable_codecs_are_refused(
    codec: str, folder: Path, colorize_run: Run, small_video: Path
) -> None:
    run = colorize_run(small_video, "-o", folder / "out.mp4", "--codec", codec)
    assert run.returncode in (1, 2)
    assert "Traceback" not in run.stderr
    assert names_below(folder) == ["photo.png"]


COMMAND = "import sys; from colorize.runtime.cli import main; main(sys.argv[1:])"


def test_the_real_process_says_errors_in_one_line(
    folder: Path, in_subprocess: Run, tiny_model: Path
) -> None:
    cut = folder / "cut.mp4"
    cut.write_bytes(bytes(5000))
    run = in_subprocess("-c", COMMAND, cut, "--model", tiny_model, "--backend", "openvino")
    assert run.returncode == 2
    said = [line for line in run.stderr.splitlines() if not line.startswith(str(tiny_model))]
    assert said == [f"colorize-run: {cut}: neither a picture nor a film that can be read"]


def test_the_real_process_refuses_a_broken_model_in_one_line(
    folder: Path, in_subprocess: Run
) -> None:
    model = folder / "model.onnx"
    model.write_text("This is a letter.\n" * 20)
    words = ("--model", model, "--backend", "openvino")
    run = in_subprocess("-c", COMMAND, folder / "photo.png", *words)
    assert run.returncode == 2
    _assert_one_line(run.stderr, str(model))


def test_the_real_process_colors_a_damaged_film_without_noise(
    folder: Path, in_subprocess: Run, tiny_model: Path, clip: Path
) -> None:
    data = bytearray(clip.read_bytes())
    data[100_000:102_000] = bytes(2000)
    (folder / "scratched.mp4").write_bytes(data)
    words = ("--model", tiny_model, "--backend", "openvino", "--preset", "ultrafast")
    run = in_subprocess("-c", COMMAND, folder / "scratched.mp4", *words)
    assert run.returncode == 0
    said = [line for line in run.stderr.splitlines() if "tiny.onnx" not in line]
    assert all(line.startswith(str(folder / "scratched.mp4")) for line in said)


def test_one_file_named_twice_is_refused_before_work_begins(
    folder: Path, colorize_run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    run = colorize_run("photo.png", folder / "photo.png", "--overwrite")
    assert run.returncode == 2
    _assert_one_line(run.stderr, "two inputs would be written there")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--codec", "nonsense"], "unknown codec 'nonsense'"),
        (["--codec", "mjpeg"], "unknown codec 'mjpeg'"),
        (["--codec", "ffv1", "--crf", "9"], "codec ffv1 has no crf"),
        (["--preset", "bogus"], "does not take these settings"),
    ],
)
def test_settings_that_an_encoder_does_not_take_are_bad_arguments(
    words: list[str], said: str, small_video: Path, colorize_run: Run, tmp_path: Path
) -> None:
    run = colorize_run(small_video, "-o", tmp_path / "out.mkv", *words)
    assert run.returncode == 2
    assert said in run.stderr.splitlines()[-1]
    assert names_below(tmp_path) == []


def test_a_photo_too_wide_for_its_format_does_not_end_the_others(
    folder: Path, colorize_run: Run
) -> None:
    Image.new("RGB", (17_000, 4), (90, 120, 60)).save(folder / "a_wide.png")
    shutil.move(folder / "a_wide.png", folder / "a_wide.webp")
    run = colorize_run(folder, "-o", folder.parent / "out")
    assert run.returncode == 3
    assert "WEBP cannot hold it" in run.stderr
    assert "photo_colorized.png" in names_below(folder.parent / "out")
