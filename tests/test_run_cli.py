"""The command colorize-run: what it leaves behind, what it says, and its exit code."""

import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image
from skimage.color import rgb2lab

from colorize.runtime.colorizer import Colorizer
from colorize.runtime.jobs import plan

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def folder(tmp_path: Path, photo: Path) -> Path:
    """A folder with one small photograph, photo.png."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    Image.open(photo).resize((120, 80)).save(folder / "photo.png")
    return folder


def _names(folder: Path) -> list[str]:
    found = (path for path in folder.rglob("*") if path.is_file())
    return sorted(path.relative_to(folder).as_posix() for path in found)


def _lightness(path: Path) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    return np.asarray(rgb2lab(Image.open(path).convert("RGB")))[..., 0]


def _assert_colored(result: Path, source: Path) -> None:
    """The model's colours: never neutral, warm where it is dark; the source's lightness."""
    assert np.abs(_lightness(result) - _lightness(source)).max() <= 0.3
    lab = rgb2lab(Image.open(result).convert("RGB"))
    inner = lab[(lab[..., 0] > 40) & (lab[..., 0] < 60)]
    np.testing.assert_allclose(inner[:, 1].mean(), 20 + 0.2 * inner[:, 0].mean(), atol=2)


def _assert_one_line(error: str, *words: str) -> None:
    assert error.startswith("colorize-run: ")
    assert error.endswith("\n")
    assert error.count("\n") == 1
    assert "Traceback" not in error
    for word in words:
        assert word in error


def test_a_photo_gets_its_result_beside_it(folder: Path, colorize_run: Run) -> None:
    run = colorize_run(folder / "photo.png")
    assert run.returncode == 0
    assert _names(folder) == ["photo.png", "photo_colorized.png"]
    assert run.stdout == f"{folder / 'photo_colorized.png'}\n"
    _assert_colored(folder / "photo_colorized.png", folder / "photo.png")


def test_engine_and_size_are_told(folder: Path, colorize_run: Run, tiny_model: Path) -> None:
    run = colorize_run(folder / "photo.png")
    assert str(tiny_model) in run.stderr
    assert "openvino" in run.stderr
    assert "working size 64" in run.stderr
    sized = colorize_run(folder / "photo.png", "--overwrite", "--size", 32, "--precision", "fp32")
    assert "working size 32" in sized.stderr
    assert "fp32" in sized.stderr


def test_several_photos(folder: Path, colorize_run: Run) -> None:
    shutil.copy(folder / "photo.png", folder / "second.png")
    run = colorize_run(folder / "photo.png", folder / "second.png")
    assert run.returncode == 0
    assert run.stdout.split() == [
        str(folder / "photo_colorized.png"),
        str(folder / "second_colorized.png"),
    ]
    assert (folder / "second_colorized.png").is_file()


def test_a_folder_and_results_of_an_earlier_run(
    folder: Path, colorize_run: Run, small_film: Path
) -> None:
    shutil.copy(small_film, folder / "film.mp4")
    (folder / "notes.txt").write_text("not to be touched")
    (folder / ".hidden.png").write_bytes((folder / "photo.png").read_bytes())
    assert colorize_run(folder).returncode == 0
    expected = [
        ".hidden.png",
        "film.mp4",
        "film_colorized.mp4",
        "notes.txt",
        "photo.png",
        "photo_colorized.png",
    ]
    assert _names(folder) == expected
    assert colorize_run(folder, "--overwrite").returncode == 0
    assert _names(folder) == expected


def test_only_recursive_looks_into_sub_folders(folder: Path, colorize_run: Run) -> None:
    (folder / "sub" / "deep").mkdir(parents=True)
    shutil.copy(folder / "photo.png", folder / "sub" / "deep" / "inner.png")
    out = folder.parent / "out"
    assert colorize_run(folder, "-o", out).returncode == 0
    assert _names(out) == ["photo_colorized.png"]
    assert colorize_run(folder, "-o", out, "--recursive", "--overwrite").returncode == 0
    assert _names(out) == ["photo_colorized.png", "sub/deep/inner_colorized.png"]


def test_output_can_be_a_file_of_another_format(folder: Path, colorize_run: Run) -> None:
    target = folder.parent / "new" / "red.jpg"
    run = colorize_run(folder / "photo.png", "-o", target)
    assert run.returncode == 0
    assert run.stdout == f"{target}\n"
    with Image.open(target) as result:
        assert (result.format, result.size) == ("JPEG", (120, 80))


@pytest.mark.parametrize("exists", [False, True])
def test_output_can_be_a_folder(exists: bool, folder: Path, colorize_run: Run) -> None:
    out = folder.parent / "out"
    if exists:
        out.mkdir()
    assert colorize_run(folder / "photo.png", "-o", out).returncode == 0
    assert _names(out) == ["photo_colorized.png"]


def test_existing_results_are_refused_without_overwrite(folder: Path, colorize_run: Run) -> None:
    (folder / "photo_colorized.png").write_text("precious")
    run = colorize_run(folder / "photo.png")
    assert run.returncode == 2
    assert run.stderr.splitlines()[-1].startswith("colorize-run: ")
    assert "--overwrite" in run.stderr
    assert (folder / "photo_colorized.png").read_text() == "precious"
    assert colorize_run(folder / "photo.png", "--overwrite").returncode == 0
    _assert_colored(folder / "photo_colorized.png", folder / "photo.png")


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
    assert _names(folder) == sorted(
        ["broken.jpg", "broken.mp4", "cut.png", "photo.png", "photo_colorized.png"]
    )


def test_all_files_bad(folder: Path, colorize_run: Run) -> None:
    for name in ("a.jpg", "b.mp4"):
        (folder / name).write_text("This is a letter.")
    run = colorize_run(folder / "a.jpg", folder / "b.mp4")
    assert run.returncode == 1
    assert run.stdout == ""
    assert _names(folder) == ["a.jpg", "b.mp4", "photo.png"]


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
    assert _names(folder) == ["photo.png"]


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
    from colorize.runtime.contract import ModelInfo

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
    assert _names(folder) == ["photo.png"]


def test_pictures_are_known_by_content(folder: Path, colorize_run: Run) -> None:
    (folder / "photo.png").rename(folder / "photo.dat")
    run = colorize_run(folder / "photo.dat")
    assert run.returncode == 0
    _assert_colored(folder / "photo_colorized.png", folder / "photo.dat")


def test_films_are_known_by_content(folder: Path, colorize_run: Run, small_film: Path) -> None:
    shutil.copy(small_film, folder / "film")
    assert colorize_run(folder / "film").returncode == 0
    with av.open(str(folder / "film_colorized.mkv")) as film:
        assert len(list(film.decode(video=0))) == 10


@pytest.mark.parametrize(
    "name", ["Grüße aus Köln.png", "日本 の写真.JPG", "a  b.c.d.PNG", "-x.png"]
)
def test_any_name_will_do(name: str, folder: Path, colorize_run: Run) -> None:
    source = folder / name
    Image.open(folder / "photo.png").save(source)
    run = colorize_run(source)
    assert run.returncode == 0
    target = source.with_name(f"{source.stem}_colorized{source.suffix}")
    assert run.stdout == f"{target}\n"
    with Image.open(target) as result:
        assert result.size == (120, 80)


@pytest.mark.parametrize("name", ["night [restored].mp4", "[bold]night.mp4"])
def test_names_are_said_as_they_are(
    name: str, folder: Path, colorize_run: Run, small_film: Path
) -> None:
    shutil.copy(small_film, folder / name)
    run = colorize_run(folder / name)
    assert run.returncode == 0
    assert f"{name}: 10 frames" in run.stderr


def test_a_film_is_coloured_and_its_speed_told(
    folder: Path, colorize_run: Run, small_film: Path
) -> None:
    run = colorize_run(small_film, "-o", folder / "out.mkv", "--codec", "ffv1")
    assert run.returncode == 0
    assert run.stdout == f"{folder / 'out.mkv'}\n"
    assert "10 frames" in run.stderr
    with av.open(str(folder / "out.mkv")) as film:
        frames = list(film.decode(video=0))
    assert len(frames) == 10
    chroma = frames[0].to_ndarray(format="yuv444p")[1:].astype(int) - 128
    assert np.abs(chroma).mean() > 5


@pytest.mark.parametrize("suffix", [".mpg", ".wmv", ".flv"])
def test_old_containers_become_matroska(
    suffix: str, folder: Path, colorize_run: Run, make_film: Callable[..., Path]
) -> None:
    codec = {".mpg": "mpeg2video", ".wmv": "wmv2", ".flv": "flv1"}[suffix]
    base = Fraction(1, 25)
    make_film(folder / f"old{suffix}", codec=codec, times=range(10), time_base=base)
    run = colorize_run(folder / f"old{suffix}")
    assert run.returncode == 0
    assert run.stdout == f"{folder / 'old_colorized.mkv'}\n"


def test_film_options_reach_the_encoder(folder: Path, colorize_run: Run, small_film: Path) -> None:
    sizes = []
    for crf in (0, 40):
        target = folder / f"{crf}.mp4"
        words = ("-o", target, "--codec", "libx264", "--crf", crf, "--preset", "ultrafast")
        assert colorize_run(small_film, *words).returncode == 0
        sizes.append(target.stat().st_size)
    assert sizes[0] > sizes[1]


@pytest.mark.parametrize("codec", ["nonsense", "h263"])
def test_unusable_codecs_are_refused(
    codec: str, folder: Path, colorize_run: Run, small_film: Path
) -> None:
    run = colorize_run(small_film, "-o", folder / "out.mp4", "--codec", codec)
    assert run.returncode in (1, 2)
    assert "Traceback" not in run.stderr
    assert _names(folder) == ["photo.png"]


def test_ctrl_c_is_said_in_one_line(
    folder: Path, colorize_run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Colorizer, "chroma", interrupted)
    run = colorize_run(folder / "photo.png")
    assert run.returncode == 130
    assert run.stderr.splitlines()[-1] == "colorize-run: interrupted"
    assert _names(folder) == ["photo.png"]


def test_ctrl_c_in_a_film_leaves_nothing(
    folder: Path, colorize_run: Run, small_film: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Colorizer, "chroma", interrupted)
    run = colorize_run(small_film, "-o", folder / "film.mp4")
    assert run.returncode == 130
    assert _names(folder) == ["photo.png"]


def test_help_shows_an_example_and_every_exit_code(colorize_run: Run) -> None:
    run = colorize_run("--help")
    assert run.returncode == 0
    assert "Example: colorize-run" in run.stdout
    for code in "0123":
        assert f"{code} " in run.stdout
    assert run.stderr == ""


def test_version_is_told(colorize_run: Run) -> None:
    run = colorize_run("--version")
    assert run.returncode == 0
    assert "colorize-run" in run.stdout


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


def test_the_real_process_colours_a_damaged_film_without_noise(
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


def test_plan_pairs_every_input_with_its_target(folder: Path) -> None:
    (folder / "film.vob").touch()
    jobs = plan([folder], None, overwrite=False, recursive=False)
    assert [(job.source.name, job.target.name) for job in jobs] == [
        ("film.vob", "film_colorized.mkv"),
        ("photo.png", "photo_colorized.png"),
    ]


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
    words: list[str], said: str, small_film: Path, colorize_run: Run, tmp_path: Path
) -> None:
    run = colorize_run(small_film, "-o", tmp_path / "out.mkv", *words)
    assert run.returncode == 2
    assert said in run.stderr.splitlines()[-1]
    assert _names(tmp_path) == []


def test_only_the_first_picture_of_an_animation_is_coloured_and_that_is_said(
    folder: Path, colorize_run: Run
) -> None:
    with Image.open(folder / "photo.png") as image:
        first = image.convert("RGB").resize((40, 30))
    first.save(folder / "moving.webp", save_all=True, append_images=[first.rotate(180)])
    run = colorize_run(folder / "moving.webp")
    assert run.returncode == 0
    assert "only the first of its 2 pictures was coloured" in run.stderr


def test_a_photo_too_wide_for_its_format_does_not_end_the_others(
    folder: Path, colorize_run: Run
) -> None:
    Image.new("RGB", (17_000, 4), (90, 120, 60)).save(folder / "a_wide.png")
    shutil.move(folder / "a_wide.png", folder / "a_wide.webp")
    run = colorize_run(folder, "-o", folder.parent / "out")
    assert run.returncode == 3
    assert "WEBP cannot hold it" in run.stderr
    assert "photo_colorized.png" in _names(folder.parent / "out")


def test_films_that_would_share_a_name_get_their_own(
    folder: Path, colorize_run: Run, small_film: Path
) -> None:
    for suffix in (".flv", ".ogv"):
        shutil.copy(small_film, folder / f"film{suffix}")
    run = colorize_run(folder / "film.flv", folder / "film.ogv")
    assert run.returncode == 0
    assert {"film_flv_colorized.mkv", "film_ogv_colorized.mkv"} <= set(_names(folder))


def test_termination_leaves_no_half_written_film(
    clip: Path, tiny_model: Path, tmp_path: Path
) -> None:
    command = [sys.executable, "-m", "colorize.runtime.cli", "--model", str(tiny_model)]
    command += ["--preset", "placebo", "-o", str(tmp_path / "out.mp4"), str(clip)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        assert "working size" in process.stderr.readline()  # the film begins
        process.send_signal(signal.SIGTERM)
        process.communicate()
    assert process.returncode == 130
    assert _names(tmp_path) == []
