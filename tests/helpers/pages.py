"""The documentation's pages: their blocks of code, and a desk with the files that they name."""

import re
import shutil
import tarfile
from pathlib import Path
from textwrap import dedent

import av
from helpers.bench import INFO, small_photos
from helpers.onnx_models import save_onnx, write_model
from PIL import Image

from colorize.runtime.models.catalog import SAMPLES

ROOT = Path(__file__).parents[2]
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "CHANGELOG.md",
    *sorted((ROOT / "docs").glob("*.md")),
    *sorted((ROOT / "runtime" / "models").glob("*.md")),
]
_FRAMES = 20  # of the film


def blocks(page: Path, language: str) -> list[str]:
    """Return the blocks of code on PAGE that are marked LANGUAGE."""
    text = page.read_text(encoding="utf-8")
    found = re.findall(rf"^ *```{language}\n(.*?)^ *```", text, re.S | re.M)
    return [dedent(block) for block in found]


def make_desk(folder: Path) -> None:
    """Write to FOLDER what the pages' commands read, all of it small; home/ is the user's."""
    test = SAMPLES / "test"
    shutil.copytree(SAMPLES, folder / "runtime" / "samples")
    shutil.copytree(SAMPLES / "train", folder / "home" / "photos")
    for name in ("lighthouse", "fig_bowl", "tulips"):
        shutil.copy(test / f"{name}.jpg", folder)
    for place in (folder, folder / "layers"):
        place.mkdir(exist_ok=True)
        shutil.copy(ROOT / "docs" / "lighthouse_hints.png", place)
    for name in ("photo.jpg", "old_photo.jpg", "archive/1950/harbor.jpg", "photos/temple.jpg"):
        _small(test / "temple.jpg", folder / name)
    shutil.copy(test / "lighthouse.jpg", folder / "photos")
    _small(test / "cat.jpg", folder / "gray.jpg", "L")
    for number in range(1, 7):
        _small(test / "snake.jpg", folder / "scans" / f"f_{number:05}.png", "L")
    _small(test / "coffee.jpg", folder / "scans" / "coffee.tif", "L")
    for name in ("photos-000.tar", "photos.tar"):
        with tarfile.open(folder / name, "w") as tar:
            tar.add(SAMPLES / "train", "photos")
    _cut(SAMPLES / "clip.mp4", folder / "film.mp4")
    _cut(SAMPLES / "clip.mp4", folder / "film.mkv")
    _sound(folder / "sound.wav")
    _for_the_bench(folder)
    save_onnx(folder / "other.onnx", (1, 2), ("N", "H", "W"))
    save_onnx(folder / "rgb.onnx", (3, 3), ("N", "H", "W"))


def _for_the_bench(folder: Path) -> None:
    write_model(folder / "my.onnx", INFO.to_metadata())
    small_photos(folder / "kodak24")
    shutil.copytree(folder / "kodak24", folder / "their_results")
    for name in ("old", "new"):
        (folder / name).mkdir()
        results = ROOT / "tests" / "bench" / "data" / "bench-results.json"
        shutil.copy(results, folder / name / "results.json")


def _small(photo: Path, target: Path, mode: str = "RGB") -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    with Image.open(photo) as image:
        image.convert(mode).resize((120, 80)).save(target)


def _cut(film: Path, target: Path) -> None:
    """Copy the first frames of FILM, and the sound beside them."""
    with av.open(str(film)) as source, av.open(str(target), "w") as made:
        streams = {
            stream.index: made.add_stream_from_template(stream)
            for stream in (source.streams.video[0], source.streams.audio[0])
        }
        end = _FRAMES / float(source.streams.video[0].average_rate or 25)
        for packet in source.demux(source.streams.video[0], source.streams.audio[0]):
            if packet.dts is not None and packet.dts * packet.time_base < end:
                packet.stream = streams[packet.stream.index]
                made.mux(packet)


def _sound(target: Path) -> None:
    with av.open(str(target), "w") as made:
        stream = made.add_stream("pcm_s16le", rate=8000, layout="mono")
        frame = av.AudioFrame("s16", "mono", 4000)
        frame.rate = 8000
        made.mux(stream.encode(frame))
        made.mux(stream.encode(None))
