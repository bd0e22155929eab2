"""The commands and the code of docs/steering.md do what the page says."""

import re
import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest
from helpers.commands import run_command
from helpers.scenes import scene, write_film
from helpers.video import read_frames
from PIL import Image

from colorize.runtime.cli import main
from colorize.runtime.color import F32, rgb_to_lab
from colorize.runtime.models.catalog import SAMPLES

DOCS = Path(__file__).parents[3] / "docs"
PAGE = (DOCS / "steering.md").read_text(encoding="utf-8")


def _commands(about: str = "") -> list[list[str]]:
    """Return the arguments of the page's commands that name a film, or no film if not ABOUT it."""
    lines = (line for block in _blocks("sh") for line in block.splitlines())
    commands = [line for line in lines if line.startswith("colorize-run ")]
    film = "film.mp4"
    return [shlex.split(line)[1:] for line in commands if (film in line) == (film == about)]


def _blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


def _ab(path: Path, place: tuple[slice, slice]) -> F32:
    """Return the mean a*, b* of a part of the picture at PATH."""
    with Image.open(path) as image:
        return np.asarray(rgb_to_lab(np.asarray(image.convert("RGB")))[place][..., 1:].mean((0, 1)))


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with what the page's commands name."""
    for name in ("lighthouse", "fig_bowl", "tulips"):
        shutil.copy(SAMPLES / "test" / f"{name}.jpg", tmp_path)
    shutil.copy(DOCS / "lighthouse_hints.png", tmp_path)
    (tmp_path / "photos").mkdir()
    (tmp_path / "layers").mkdir()
    shutil.copy(tmp_path / "lighthouse.jpg", tmp_path / "photos")
    shutil.copy(tmp_path / "lighthouse_hints.png", tmp_path / "layers")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_commands_paint_the_sky_blue_the_bowl_red_and_the_tulips_pink(place: Path) -> None:
    commands = _commands()
    assert len(commands) == 4
    for command in commands:
        result = run_command(main, *command)
        assert result.returncode == 0, result.stderr
    for sky in (place / "lighthouse_colorized.jpg", place / "colored" / "lighthouse_colorized.jpg"):
        assert _ab(sky, np.s_[300:480, 5:50])[1] < -30
        assert _ab(sky, np.s_[330:480, 120:220])[0] > 5  # the bricks stay
    bowl = _ab(place / "fig_bowl_colorized.jpg", np.s_[60:120, 400:470])
    assert min(bowl) > 15
    blossom = _ab(place / "tulips_colorized.jpg", np.s_[200:280, 325:365])
    leaves = _ab(place / "tulips_colorized.jpg", np.s_[420:480, 20:300])
    assert blossom[0] > 12
    assert leaves[0] < -5


def test_the_python_code_runs(place: Path) -> None:
    shutil.copy("tulips.jpg", "photo.jpg")
    code = _blocks("python")[0]
    names: dict[str, object] = {}
    exec(code, names)
    pink = names["pink"]
    assert isinstance(pink, np.ndarray)
    assert rgb_to_lab(pink)[230:250, 340:355, 1].mean() > 15


def test_the_commands_and_the_code_give_a_film_the_colors_that_were_painted(
    place: Path,
) -> None:
    write_film(place / "film.mp4", [*scene(0, 12), *scene(1, 8)], "libx264")
    extract, *others = _commands("film.mp4")
    result = run_command(main, *extract)
    assert result.returncode == 0, result.stderr
    first, second = sorted((place / "refs").glob("ref_*.png"))
    second.unlink()
    Image.new("RGB", (144, 96), (200, 90, 90)).save(first)
    for command in others:
        result = run_command(main, *command)
        assert result.returncode == 0, result.stderr
    code = _blocks("python")[1]
    (place / "film_colorized.mp4").unlink()
    exec(code, {})
    frames = read_frames(place / "film_colorized.mp4")
    colored = [rgb_to_lab(f.to_ndarray(format="rgb24").astype(np.uint8)) for f in frames]
    assert all(lab[..., 1].mean() > 20 for lab in colored[:12])
    assert all(lab[..., 1].mean() < 15 for lab in colored[12:])
