"""What the user names: any legal name, folders by content, second runs that skip what is done."""

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
from helpers.folders import names_below
from PIL import Image

from colorize.runtime.errors import ArgumentError, InputError
from colorize.runtime.files import fitting, whole_file
from colorize.runtime.inputs import MARK, find_inputs, targets_of
from colorize.runtime.jobs import plan

Run = Callable[..., subprocess.CompletedProcess[str]]
LONG = "長" * 80  # 240 bytes


@pytest.fixture
def folder(photo: Path, tmp_path: Path) -> Path:
    """A folder with one small photograph."""
    inside = tmp_path / "pictures"
    inside.mkdir()
    with Image.open(photo) as image:
        image.resize((64, 48)).save(inside / "photo.png")
    return inside


@pytest.mark.parametrize(
    "name",
    ["10:22:11", "tape:1", "-dash", "two\nlines", "%d", "[a]*?", "ö 長 'q\"", LONG, "\udcff"],
)
@pytest.mark.parametrize("kind", ["photo", "film"])
def test_any_legal_name_is_read_and_written(
    name: str, kind: str, folder: Path, small_video: Path, colorize_run: Run
) -> None:
    suffix = ".png" if kind == "photo" else ".mp4"
    source = folder / f"{name}{suffix}"
    try:
        shutil.copy(folder / "photo.png" if kind == "photo" else small_video, source)
    except OSError:
        pytest.skip("no legal name in this file system")
    run = colorize_run(source, "-o", folder / "out")
    assert run.returncode == 0, run.stderr
    [made] = (folder / "out").iterdir()
    assert made.suffix == suffix
    assert made.stem == f"{name}{MARK}" if name != LONG else made.stem.startswith("長" * 70)
    assert [path for path in folder.iterdir() if path.name.startswith(".")] == []


def test_a_relative_name_with_a_colon_is_no_protocol(
    folder: Path, small_video: Path, colorize_run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    shutil.copy(small_video, "10:22:11.mp4")
    run = colorize_run("10:22:11.mp4", "-o", "tape:1.mkv")
    assert run.returncode == 0, run.stderr
    assert (folder / "tape:1.mkv").is_file()


def test_names_are_cut_at_characters_and_stay_different() -> None:
    first, second = (fitting(LONG + end, "_colorized.mp4") for end in ("aaaaaa", "bbbbbb"))
    assert first != second
    assert all(len(os.fsencode(stem + "_colorized.mp4")) <= 255 for stem in (first, second))
    assert fitting("short", "_colorized.mp4") == "short"


def test_a_name_of_255_bytes_is_written_whole(tmp_path: Path) -> None:
    target = tmp_path / f"{'n' * 251}.txt"
    with whole_file(target) as part:
        part.write_text("whole")
    assert target.read_text() == "whole"


@pytest.fixture
def tapes(folder: Path, small_video: Path) -> Path:
    """A folder of what names and content do not agree on."""
    shutil.copy(small_video, folder / "tape.dat")
    gray = np.asarray(Image.open(folder / "photo.png").convert("L"))
    (folder / "scan.jxl").write_bytes(imagecodecs.jpegxl_encode(gray, lossless=True))
    Image.fromarray(gray).save(folder / "scan", "JPEG")
    Image.fromarray(gray).save(folder / "scan.tga")
    Image.fromarray(gray).save(folder / "two.mpo", "MPO")
    (folder / "letter.txt").write_text("Dear all,\n")
    (folder / "list.csv").write_text("a,b\n1,2\n")
    (folder / ".hidden.png").write_bytes((folder / "photo.png").read_bytes())
    (folder / f"photo{MARK}.png").write_bytes((folder / "photo.png").read_bytes())
    return folder


def test_a_folder_gives_what_its_files_are(tapes: Path) -> None:
    said: list[str] = []
    found = find_inputs(tapes, recursive=False, on_note=said.append)
    assert {(source.path.name, source.kind) for source in found} == {
        ("photo.png", "photo"),
        ("scan", "photo"),
        ("scan.jxl", "photo"),
        ("scan.tga", "photo"),
        ("two.mpo", "photo"),
        ("tape.dat", "film"),
    }
    assert said == [
        f"{tapes}: left out 1 named *_colorized.*, "
        "2 neither a photograph nor a film (letter.txt, list.csv)"
    ]
    names = {target.name for target in targets_of(found, tapes / "out")}
    assert len(names) == 6
    assert {Path(name).suffix for name in names} == {".png", ".jxl", ".tga", ".mpo", ".mkv"}


def test_all_of_a_folder_is_colored(tapes: Path, colorize_run: Run, tmp_path: Path) -> None:
    run = colorize_run(tapes, "-o", tmp_path / "out")
    assert run.returncode == 0, run.stderr
    assert len(list((tmp_path / "out").iterdir())) == 6
    assert "2 neither a photograph nor a film" in run.stderr
    with Image.open(tmp_path / "out" / "two_colorized.mpo") as image:
        assert image.format == "JPEG"


def test_a_folder_of_other_things_is_refused(tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("Dear all,\n")
    with pytest.raises(InputError, match="no photographs or films"):
        plan([tmp_path], None, overwrite=False, recursive=False)


def test_many_inputs_make_no_folder_called_like_a_file(folder: Path) -> None:
    shutil.copy(folder / "photo.png", folder / "second.png")
    kinds = {
        "film.mkv": r"is the name of a film, here are photographs \(2 inputs\); --as-film",
        "all.png": "is the name of one file, here are 2 inputs; name a folder",
    }
    for name, message in kinds.items():
        with pytest.raises(ArgumentError, match=message):
            plan([folder], folder.parent / name, overwrite=False, recursive=False)
    assert names_below(folder.parent) == ["pictures/photo.png", "pictures/second.png"]


@pytest.fixture
def two(folder: Path) -> Path:
    """A folder with two photographs."""
    with Image.open(folder / "photo.png") as image:
        image.rotate(90, expand=True).save(folder / "second.png")
    return folder


def _written(out: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in out.iterdir()}


def test_a_second_run_skips_what_is_finished(two: Path, colorize_run: Run, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert colorize_run(two, "-o", out).returncode == 0
    before = _written(out)
    again = colorize_run(two, "-o", out)
    assert again.returncode == 0
    assert "2 of 2 finished by an earlier run" in again.stderr
    assert _written(out) == before
    (out / f"second{MARK}.png").unlink()
    third = colorize_run(two, "-o", out)
    assert third.returncode == 0
    assert third.stdout == f"{out / f'second{MARK}.png'}\n"
    assert _written(out)[f"photo{MARK}.png"] == before[f"photo{MARK}.png"]
    assert colorize_run(two, "-o", out, "--overwrite").returncode == 0
    assert _written(out)[f"photo{MARK}.png"] != before[f"photo{MARK}.png"]


@pytest.mark.parametrize("change", ["settings", "source", "result", "no record"])
def test_what_is_not_the_same_is_refused_not_skipped(
    change: str, two: Path, colorize_run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    assert colorize_run(two, "-o", out).returncode == 0
    options = ["--saturation", "2"] if change == "settings" else []
    if change == "source":
        with Image.open(two / "photo.png") as image:
            image.rotate(180).save(two / "photo.png")
    if change == "result":
        (out / f"photo{MARK}.png").write_bytes(b"edited by hand")
    if change == "no record":
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "elsewhere"))
    again = colorize_run(two, "-o", out, *options)
    assert again.returncode == (1 if change in ("settings", "no record") else 3), again.stderr
    assert f"{out / f'photo{MARK}.png'}: exists; give --overwrite" in again.stderr


def test_a_damaged_record_is_no_record(
    two: Path, colorize_run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "cache" / "colorize").mkdir(parents=True)
    (tmp_path / "cache" / "colorize" / "finished.sqlite").write_bytes(b"no data base" * 100)
    run = colorize_run(two, "-o", tmp_path / "out")
    assert run.returncode == 0, run.stderr
