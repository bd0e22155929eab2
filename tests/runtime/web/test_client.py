"""The page as a program: what docs/web.md shows is run, and gives what colorize-run gives."""

import re
import secrets
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from helpers.commands import run_command
from helpers.page import Server, done, running_server, upload
from PIL import Image

from colorize.runtime.cli import main as colorize_run
from colorize.runtime.models.catalog import SAMPLES
from colorize.runtime.photo.photo import Photo
from colorize.runtime.photo.reader import read_photo
from colorize.runtime.photo.writer import write_photo

pytestmark = pytest.mark.slow

GUIDE = Path(__file__).parents[3] / "docs" / "web.md"
BOWL = SAMPLES / "test" / "fig_bowl.jpg"


def shown(language: str, words: str) -> str:
    """Return the guide's block of LANGUAGE that has WORDS in it."""
    blocks = re.findall(rf"^```{language}\n(.*?)^```", GUIDE.read_text("utf-8"), re.S | re.M)
    [block] = [block for block in blocks if words in block]
    return str(block)


@pytest.fixture
def desk(tmp_path: Path) -> Path:
    """A folder with the files that the guide's examples name."""
    shutil.copy(BOWL, tmp_path)
    layer = np.zeros((346, 512, 4), np.uint8)
    layer[160:180, 370:400] = (179, 38, 30, 255)
    Image.fromarray(layer).save(tmp_path / "fig_bowl_hints.png")
    shutil.copy(SAMPLES / "clip.mp4", tmp_path)
    return tmp_path


def by_command(folder: Path, photo: Path, *options: object) -> bytes:
    """Return what colorize-run makes of PHOTO."""
    target = folder / f"by_command{photo.suffix}"
    ran = run_command(colorize_run, photo, "-o", target, "--overwrite", *options)
    assert ran.returncode == 0, ran.stderr
    return target.read_bytes()


def test_the_python_example_colors_a_photograph(page_server: Server, desk: Path) -> None:
    code = shown("py", "fig_bowl_hints").replace("http://127.0.0.1:7860", page_server.url)
    code += "\nprint(painted)\n"
    ran = subprocess.run(
        [sys.executable, "-c", code], cwd=desk, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr
    lines = ran.stdout.splitlines()
    plain, painted = (Path(re.search(r"/[^']+\.jpg", line)[0]) for line in lines[-2:])  # type: ignore[index]
    assert plain.name == "fig_bowl_colorized.jpg"
    assert plain.read_bytes() == by_command(desk, desk / "fig_bowl.jpg")
    told = ("--hints", desk / "fig_bowl_hints.png", "--saturation", 1.2)
    assert painted.read_bytes() == by_command(desk, desk / "fig_bowl.jpg", *told)


def test_the_python_example_colors_several_beside_each_other(
    page_server: Server, desk: Path
) -> None:
    shutil.copy(SAMPLES / "test" / "cat.jpg", desk / "fig_cat.jpg")
    code = shown("py", "submit").replace("http://127.0.0.1:7860", page_server.url)
    ran = subprocess.run(
        [sys.executable, "-c", code], cwd=desk, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr
    bowl, cat = map(Path, ran.stdout.splitlines()[-2:])
    assert bowl.read_bytes() == by_command(desk, desk / "fig_bowl.jpg")
    assert cat.read_bytes() == by_command(desk, desk / "fig_cat.jpg")


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
@pytest.mark.skipif(shutil.which("jq") is None, reason="jq is not installed")
def test_the_curl_example_colors_a_photograph(page_server: Server, desk: Path) -> None:
    code = shown("bash", "curl").replace("http://127.0.0.1:7860", page_server.url)
    ran = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", code],
        cwd=desk,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    made = (desk / "fig_bowl_colorized.jpg").read_bytes()
    assert made == by_command(desk, desk / "fig_bowl.jpg")


def test_the_python_example_colors_a_film(page_server: Server, desk: Path) -> None:
    rows = np.zeros((480, 854, 3), np.uint8)
    rows[:] = (200, 40, 40)
    film_size = _size_of(desk / "clip.mp4")
    Image.fromarray(rows).resize(film_size).save(desk / "painted_frame.png")
    code = shown("py", "add_film").replace("http://127.0.0.1:7860", page_server.url)
    ran = subprocess.run(
        [sys.executable, "-c", code], cwd=desk, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr
    colored = desk / "clip_colorized.mp4"
    assert _size_of(colored) == film_size
    red = _first_frame(colored).astype(float)
    assert red[..., 0].mean() > red[..., 2].mean() + 40, "the reference made the scene red"


@pytest.mark.parametrize("name", ["deep.png", "deep.tif", "gray.jpg", "alpha.webp"])
def test_format_depth_and_metadata_are_the_commands(
    page_server: Server, tmp_path: Path, name: str
) -> None:
    source = tmp_path / name
    photo = read_photo(BOWL)
    small = photo.codes[:120, :180]
    if name.startswith("deep"):
        write_photo(source, Photo(small.astype(np.uint16) * 257, tags={"dpi": (300, 300)}))
    elif name == "gray.jpg":
        image, exif = Image.fromarray(small).convert("L"), Image.Exif()
        exif[0x010E], exif[0x0112] = "a bowl", 6
        image.save(source, exif=exif, dpi=(150, 150))
    else:
        Image.fromarray(np.dstack([small, small[..., 0]])).save(source, lossless=True)
    with page_server.client() as client:
        settings = (None, 0.8, 192, True, "default")
        [file, _] = done(client, "color_photo", upload(client, source), *settings)
        made = client.get(file["url"].removeprefix(page_server.url)).content
    options = ("--saturation", 0.8, "--size", 192, "--refine")
    assert made == by_command(tmp_path, source, *options)


def _size_of(film: Path) -> tuple[int, int]:
    height, width = _first_frame(film).shape[:2]
    return width, height


def _first_frame(film: Path) -> "np.ndarray[tuple[int, ...], np.dtype[np.uint8]]":
    import av

    with av.open(str(film)) as container:
        frame = next(container.decode(video=0))
        return np.asarray(frame.to_ndarray(format="rgb24"), np.uint8)


def test_a_film_goes_on_after_its_server_was_killed(tmp_path: Path) -> None:
    cookie = secrets.token_urlsafe(24)
    with running_server(tmp_path / "work") as server, server.client(cookie) as client:
        film = done(client, "add_film", upload(client, SAMPLES / "clip.mp4"))
        done(client, "run_film", film["id"])
        _once_not(client, film["id"], "queued")
        server.stop(signal.SIGKILL)
    with running_server(tmp_path / "work") as server, server.client(cookie) as client:
        [found] = done(client, "list_films")
        assert found["id"] == film["id"]
        found = _once_not(client, film["id"], "queued", "running")
        assert (found["state"], found["error"]) == ("done", None)
        (tmp_path / "colored.mp4").write_bytes(client.get(found["result"]).content)
        assert _size_of(tmp_path / "colored.mp4") == _size_of(SAMPLES / "clip.mp4")
        ranged = client.get(found["result"], headers={"Range": "bytes=0-99"})
        assert (ranged.status_code, len(ranged.content)) == (206, 100), "players seek"
        assert server.stop(signal.SIGTERM) == 0


def _once_not(client: httpx.Client, film: str, *states: str) -> Any:
    """Return a film once it is in none of STATES; asking leaves time for its work."""
    while (found := done(client, "film", film))["state"] in states:
        time.sleep(0.5)
    return found
