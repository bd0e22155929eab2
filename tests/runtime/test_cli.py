"""The command colorize-run: what it leaves behind, what it says, and how it is stopped."""

import os
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
from helpers.folders import names_below
from PIL import Image
from skimage.color import rgb2lab

from colorize.runtime.colorizer import Colorizer
from colorize.runtime.jobs import plan

Run = Callable[..., subprocess.CompletedProcess[str]]


def _lightness(path: Path) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    return np.asarray(rgb2lab(Image.open(path).convert("RGB")))[..., 0]


def _assert_colored(result: Path, source: Path) -> None:
    """The model's colors: never neutral, warm where it is dark; the source's lightness."""
    assert np.abs(_lightness(result) - _lightness(source)).max() <= 0.3
    lab = rgb2lab(Image.open(result).convert("RGB"))
    inner = lab[(lab[..., 0] > 40) & (lab[..., 0] < 60)]
    np.testing.assert_allclose(inner[:, 1].mean(), 20 + 0.2 * inner[:, 0].mean(), atol=2)


def test_a_photo_gets_its_result_beside_it(folder: Path, colorize_run: Run) -> None:
    run = colorize_run(folder / "photo.png")
    assert run.returncode == 0
    assert names_below(folder) == ["photo.png", "photo_colorized.png"]
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
    folder: Path, colorize_run: Run, small_video: Path
) -> None:
    shutil.copy(small_video, folder / "film.mp4")
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
    assert names_below(folder) == expected
    assert colorize_run(folder, "--overwrite").returncode == 0
    assert names_below(folder) == expected


def test_only_recursive_looks_into_sub_folders(folder: Path, colorize_run: Run) -> None:
    (folder / "sub" / "deep").mkdir(parents=True)
    shutil.copy(folder / "photo.png", folder / "sub" / "deep" / "inner.png")
    out = folder.parent / "out"
    assert colorize_run(folder, "-o", out).returncode == 0
    assert names_below(out) == ["photo_colorized.png"]
    assert colorize_run(folder, "-o", out, "--recursive", "--overwrite").returncode == 0
    assert names_below(out) == ["photo_colorized.png", "sub/deep/inner_colorized.png"]


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
    assert names_below(out) == ["photo_colorized.png"]


def test_existing_results_are_refused_without_overwrite(folder: Path, colorize_run: Run) -> None:
    (folder / "photo_colorized.png").write_text("precious")
    run = colorize_run(folder / "photo.png")
    assert run.returncode == 2
    assert run.stderr.splitlines()[-1].startswith("colorize-run: ")
    assert "--overwrite" in run.stderr
    assert (folder / "photo_colorized.png").read_text() == "precious"
    assert colorize_run(folder / "photo.png", "--overwrite").returncode == 0
    _assert_colored(folder / "photo_colorized.png", folder / "photo.png")


def test_pictures_are_known_by_content(folder: Path, colorize_run: Run) -> None:
    (folder / "photo.png").rename(folder / "photo.dat")
    run = colorize_run(folder / "photo.dat")
    assert run.returncode == 0
    _assert_colored(folder / "photo_colorized.png", folder / "photo.dat")


def test_films_are_known_by_content(folder: Path, colorize_run: Run, small_video: Path) -> None:
    shutil.copy(small_video, folder / "film")
    assert colorize_run(folder / "film").returncode == 0
    with av.open(str(folder / "film_colorized.mkv")) as video:
        assert len(list(video.decode(video=0))) == 10


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
    name: str, folder: Path, colorize_run: Run, small_video: Path
) -> None:
    shutil.copy(small_video, folder / name)
    run = colorize_run(folder / name)
    assert run.returncode == 0
    assert f"{name}: 10 frames" in run.stderr


def test_a_film_is_colored_and_its_speed_told(
    folder: Path, colorize_run: Run, small_video: Path
) -> None:
    run = colorize_run(small_video, "-o", folder / "out.mkv", "--codec", "ffv1")
    assert run.returncode == 0
    assert run.stdout == f"{folder / 'out.mkv'}\n"
    assert "10 frames" in run.stderr
    with av.open(str(folder / "out.mkv")) as video:
        frames = list(video.decode(video=0))
    assert len(frames) == 10
    chroma = frames[0].to_ndarray(format="yuv444p")[1:].astype(int) - 128
    assert np.abs(chroma).mean() > 5


@pytest.mark.parametrize("suffix", [".mpg", ".wmv", ".flv"])
def test_old_containers_become_matroska(
    suffix: str, folder: Path, colorize_run: Run, make_video: Callable[..., Path]
) -> None:
    codec = {".mpg": "mpeg2video", ".wmv": "wmv2", ".flv": "flv1"}[suffix]
    base = Fraction(1, 25)
    make_video(folder / f"old{suffix}", codec=codec, times=range(10), time_base=base)
    run = colorize_run(folder / f"old{suffix}")
    assert run.returncode == 0
    assert run.stdout == f"{folder / 'old_colorized.mkv'}\n"


def test_film_options_reach_the_encoder(folder: Path, colorize_run: Run, small_video: Path) -> None:
    sizes = []
    for crf in (0, 40):
        target = folder / f"{crf}.mp4"
        words = ("-o", target, "--codec", "libx264", "--crf", crf, "--preset", "ultrafast")
        assert colorize_run(small_video, *words).returncode == 0
        sizes.append(target.stat().st_size)
    assert sizes[0] > sizes[1]


def test_ctrl_c_is_said_in_one_line(
    folder: Path, colorize_run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Colorizer, "chroma", interrupted)
    run = colorize_run(folder / "photo.png")
    assert run.returncode == 130
    assert run.stderr.splitlines()[-1] == "colorize-run: interrupted"
    assert names_below(folder) == ["photo.png"]


def test_ctrl_c_in_a_film_leaves_nothing(
    folder: Path, colorize_run: Run, small_video: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Colorizer, "shrink", interrupted)
    run = colorize_run(small_video, "-o", folder / "film.mp4")
    assert run.returncode == 130
    assert names_below(folder) == ["photo.png"]


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


def test_plan_pairs_every_input_with_its_target(folder: Path) -> None:
    (folder / "film.vob").touch()
    jobs = plan([folder], None, overwrite=False, recursive=False)
    assert [(job.source.name, job.target.name) for job in jobs] == [
        ("film.vob", "film_colorized.mkv"),
        ("photo.png", "photo_colorized.png"),
    ]


def test_only_the_first_picture_of_an_animation_is_colored_and_that_is_said(
    folder: Path, colorize_run: Run
) -> None:
    with Image.open(folder / "photo.png") as image:
        first = image.convert("RGB").resize((40, 30))
    first.save(folder / "moving.webp", save_all=True, append_images=[first.rotate(180)])
    run = colorize_run(folder / "moving.webp")
    assert run.returncode == 0
    assert "only the first of its 2 pictures was colored" in run.stderr


def test_films_that_would_share_a_name_get_their_own(
    folder: Path, colorize_run: Run, small_video: Path
) -> None:
    for suffix in (".flv", ".ogv"):
        shutil.copy(small_video, folder / f"film{suffix}")
    run = colorize_run(folder / "film.flv", folder / "film.ogv")
    assert run.returncode == 0
    assert {"film_flv_colorized.mkv", "film_ogv_colorized.mkv"} <= set(names_below(folder))


def test_termination_leaves_no_half_written_film(
    clip: Path, tiny_model: Path, tmp_path: Path
) -> None:
    command = [sys.executable, "-m", "colorize.runtime.cli", "--model", str(tiny_model)]
    command += ["--preset", "placebo", "-o", str(tmp_path / "out.mp4"), str(clip)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        assert "working size" in process.stderr.readline()
        while process.poll() is None and not list(tmp_path.rglob("*.packets")):
            os.sched_yield()  # until the first frame is encoded
        assert process.poll() is None
        process.send_signal(signal.SIGTERM)
        process.communicate()
    assert process.returncode == 130
    assert names_below(tmp_path) == []
