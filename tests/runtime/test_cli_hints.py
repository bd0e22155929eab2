"""colorize-run with hints: which overlay belongs to whom, what is refused, what is left out."""

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from helpers.folders import names_below
from PIL import Image

from colorize.runtime.color import rgb_to_lab
from colorize.runtime.jobs import plan

Run = Callable[..., subprocess.CompletedProcess[str]]


def _overlay(path: Path, photo: Path, color: tuple[int, int, int] = (40, 90, 200)) -> Path:
    """Write an overlay of PHOTO's size, its left half painted."""
    with Image.open(photo) as image:
        rgba = np.zeros((image.height, image.width, 4), np.uint8)
    rgba[:, : rgba.shape[1] // 2] = (*color, 255)
    path.parent.mkdir(exist_ok=True)
    Image.fromarray(rgba).save(path)
    return path


def _left(path: Path) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    """Return the mean a*, b* of the left third."""
    lab = rgb_to_lab(np.asarray(Image.open(path).convert("RGB")))
    return np.asarray(lab[:, : lab.shape[1] // 3, 1:].mean((0, 1)))


def _assert_blue(path: Path) -> None:
    assert _left(path)[1] < -25


def _assert_refused(run: subprocess.CompletedProcess[str], words: str) -> None:
    assert run.returncode == 2
    assert words in run.stderr
    assert len([line for line in run.stderr.splitlines() if "colorize-run" in line]) == 1
    assert "Traceback" not in run.stderr


def test_a_command_loads_one_network(
    compiled_parts: list[str], folder: Path, colorize_run: Run
) -> None:
    photo = folder / "photo.png"
    run = colorize_run(photo, "--model", "default", "--hint", "5,5,#c03030,40")
    assert (run.returncode, compiled_parts) == (0, [""])
    run = colorize_run(photo, "--model", "default", "--overwrite")
    assert (run.returncode, compiled_parts) == (0, ["", "without hints"])


def test_an_overlay_and_points(folder: Path, colorize_run: Run) -> None:
    photo = folder / "photo.png"
    hints = _overlay(folder.parent / "paint" / "any.png", photo)
    run = colorize_run(photo, "--hints", hints)
    assert run.returncode == 0
    _assert_blue(folder / "photo_colorized.png")
    again = colorize_run(photo, "--hints", hints)
    _assert_refused(again, "photo_colorized.png: exists; give --overwrite")
    run = colorize_run(photo, "--hint", "5,5,#c03030,400", "--overwrite")
    assert run.returncode == 0
    assert _left(folder / "photo_colorized.png")[0] > 25
    run = colorize_run(
        photo, "--hint", "5,5,#c03030,400", "--hint", "5,5,#285ac8,400", "--overwrite"
    )
    _assert_blue(folder / "photo_colorized.png")


def test_a_folder_of_overlays(folder: Path, colorize_run: Run) -> None:
    photo = folder / "photo.png"
    for name in ("second.png", "third.png"):
        shutil.copy(photo, folder / name)
    paint = folder / "paint"
    _overlay(paint / "photo_hints.png", photo)
    _overlay(paint / "second.png", photo)
    _overlay(paint / "nobody.png", photo)
    run = colorize_run(folder, "--hints", paint, "--recursive")
    assert run.returncode == 0
    assert f"{folder}: left out 2 in {paint}, 1 named *_hints.*" in run.stderr
    assert "of no photograph here: nobody.png" in run.stderr
    _assert_blue(folder / "photo_colorized.png")
    _assert_blue(folder / "second_colorized.png")
    assert _left(folder / "third_colorized.png")[1] > -25


def test_overlays_beside_the_photographs(folder: Path, colorize_run: Run) -> None:
    _overlay(folder / "photo_hints.png", folder / "photo.png")
    run = colorize_run(folder, "--hints", folder)
    assert run.returncode == 0
    assert "left out 1 named *_hints.*" in run.stderr
    assert names_below(folder) == ["photo.png", "photo_colorized.png", "photo_hints.png"]
    _assert_blue(folder / "photo_colorized.png")


def test_two_photographs_do_not_share_an_overlay(folder: Path, colorize_run: Run) -> None:
    with Image.open(folder / "photo.png") as image:
        image.convert("RGB").save(folder / "photo.jpg")
    paint = _overlay(folder.parent / "paint" / "photo_hints.png", folder / "photo.png").parent
    _assert_refused(colorize_run(folder, "--hints", paint), "is the overlay of both")


@pytest.mark.parametrize(
    ("hint", "words"),
    [
        ("9999,5,#c03030", "lies outside the picture"),
        ("5,5,crimson", "'crimson' is no color"),
        ("5,5", "give X,Y,#RRGGBB"),
    ],
)
def test_wrong_points(folder: Path, colorize_run: Run, hint: str, words: str) -> None:
    _assert_refused(colorize_run(folder / "photo.png", "--hint", hint), words)
    assert names_below(folder) == ["photo.png"]


def test_wrong_overlays(folder: Path, colorize_run: Run) -> None:
    photo = folder / "photo.png"
    _assert_refused(colorize_run(photo, "--hints", photo), "has no alpha")
    _assert_refused(colorize_run(photo, "--hints", folder / "none.png"), "no such file or folder")
    tall = folder.parent / "tall.png"
    Image.new("RGBA", (20, 90), (9, 9, 9, 255)).save(tall)
    _assert_refused(colorize_run(photo, "--hints", tall), "of another aspect")
    empty = folder.parent / "empty"
    empty.mkdir()
    _assert_refused(colorize_run(photo, "--hints", empty), "named like a photograph")
    assert names_below(folder) == ["photo.png"]


def test_hints_are_for_one_photograph(folder: Path, colorize_run: Run, tmp_path: Path) -> None:
    photo = folder / "photo.png"
    shutil.copy(photo, folder / "second.png")
    hints = _overlay(tmp_path / "paint" / "any.png", photo)
    _assert_refused(colorize_run(folder, "--hints", hints), "is for one photograph")
    _assert_refused(colorize_run(folder, "--hint", "5,5,#c03030"), "is for one photograph")
    film = tmp_path / "film.mp4"
    film.write_bytes(b"not a picture")
    _assert_refused(colorize_run(film, "--hint", "5,5,#c03030"), "is a film")
    _assert_refused(colorize_run(film, "--hints", hints), "is a film")


def test_what_belongs_to_hints_references_and_films_is_left_out(folder: Path) -> None:
    photo = folder / "photo.png"
    for name in ("photo_hints.png", "film/ref_000012.png", "film/ref_000340_paint.png"):
        (folder / name).parent.mkdir(exist_ok=True)
        shutil.copy(photo, folder / name)
    (folder / "other").mkdir()
    shutil.copy(photo, folder / "other" / "ref_000012.png")  # beside no scenes.json
    (folder / "film" / "scenes.json").write_text("{}")
    work = folder / ".film_colorized.mp4.0123abcd.parts"
    work.mkdir()
    (work / "000000.mkv").write_bytes(b"")
    said: list[str] = []
    jobs = plan([folder], None, overwrite=False, recursive=True, on_note=said.append)
    assert [job.source for job in jobs] == [folder / "other" / "ref_000012.png", photo]
    assert said == [
        f"{folder}: left out 1 in work folders of films, 1 named *_hints.*, "
        "1 named scenes.json, 2 reference frames beside a scenes.json"
    ]
