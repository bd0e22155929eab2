"""Photographs on the page without the page: strokes, layers, and what is kept of each."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.commands import run_command
from PIL import Image

from colorize.runtime.cli import main as colorize_run
from colorize.runtime.color import U8, rgb_to_lab
from colorize.runtime.colorizer import Answer, Colorizer
from colorize.runtime.errors import ArgumentError, InputError
from colorize.runtime.models.catalog import MODELS, SAMPLES
from colorize.runtime.photo.photo import Photo
from colorize.runtime.photo.reader import read_photo
from colorize.runtime.steering.hints import Hints
from colorize.runtime.web.desk import Desk
from colorize.runtime.web.media import Library, Medium
from colorize.runtime.web.photos import Models, Photos, Settings
from colorize.runtime.web.strokes import (
    Stroke,
    layer_of_strokes,
    read_painting,
    strokes_as_text,
    strokes_from,
)
from colorize.runtime.web.workspace import open_workspace

RED = "#b3261e"
PLAIN = Settings(model="default")


@pytest.fixture(scope="module")
def photos() -> Photos:
    return Photos(Models({"default": MODELS / "default.onnx"}, "default"))


@pytest.fixture
def desk(tmp_path: Path, photos: Photos) -> Iterator[Desk]:
    with open_workspace(tmp_path / "work") as workspace:
        yield Desk(workspace, Library(workspace), photos)


def dropped(desk: Desk, photo: Path, owner: str = "anna") -> Medium:
    """Return PHOTO as it is once it was uploaded."""
    folder = desk.library.workspace.incoming / "upload"
    folder.mkdir(exist_ok=True, parents=True)
    path = folder / photo.name
    path.write_bytes(photo.read_bytes())
    return desk.take(path, owner)


def test_strokes_make_a_layer() -> None:
    line = Stroke(RED, 4, ((10, 20), (40, 20)))
    layer = layer_of_strokes([line], (60, 60))
    assert tuple(layer[20, 25]) == (0xB3, 0x26, 0x1E, 255)
    assert layer[20, 7, 3] > 0, "its ends are round"
    assert not layer[28:, :, 3].any()
    erased = layer_of_strokes([line, Stroke(None, 6, ((25, 20),))], (60, 60))
    assert erased[20, 25, 3] == 0
    assert erased[20, 12, 3] == 255
    over = layer_of_strokes([line, Stroke("#0000ff", 2, ((25, 20),))], (60, 60))
    assert tuple(over[20, 25, :3]) == (0, 0, 255), "the later wins"
    assert strokes_from(strokes_as_text([line])) == (line,)


def test_a_stroke_makes_the_bowl_red_and_the_file_is_the_commands(
    desk: Desk, tmp_path: Path
) -> None:
    medium = dropped(desk, SAMPLES / "test" / "fig_bowl.jpg")
    height, width = desk.opened(medium).canvas.shape
    assert desk.paint(
        medium, (Stroke(RED, 7, ((width * 0.72, height / 2), (width * 0.78, height / 2))),)
    )
    before = desk.photos.preview(medium, PLAIN).after
    after = desk.photos.preview(medium, PLAIN, Hints.file(desk.save_layer(medium))).after
    bowl = (slice(140, 210), slice(360, 440))
    gained = rgb_to_lab(after[bowl])[..., 1].mean() - rgb_to_lab(before[bowl])[..., 1].mean()
    assert gained > 15
    [file], _ = desk.save([medium], PLAIN)
    target = tmp_path / "by_command.jpg"
    told = (medium.path, "-o", target, "--hints", desk.save_layer(medium))
    assert run_command(colorize_run, *told).returncode == 0
    assert file.name == "fig_bowl_colorized.jpg"
    assert file.read_bytes() == target.read_bytes()


@pytest.mark.slow
def test_layers_fit_the_upright_photograph_at_24_megapixels(desk: Desk, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # shown a quarter turn to the right
    large = Image.open(SAMPLES / "test" / "fig_bowl.jpg").convert("L").resize((6000, 4000))
    large.save(tmp_path / "large.jpg", exif=exif, quality=80)
    medium = dropped(desk, tmp_path / "large.jpg")
    assert desk.opened(medium).gray.shape == (6000, 4000)
    height, width = desk.opened(medium).canvas.shape
    assert (height, width) == (1280, 853)
    spot = (width * 0.25, height * 0.75)  # of what is shown
    assert desk.paint(medium, (Stroke(RED, 12, (spot,)),))
    [file], _ = desk.save([medium], PLAIN)
    colored = read_photo(file).rgb
    assert colored.shape == (6000, 4000, 3)
    lab = rgb_to_lab(np.ascontiguousarray(colored[::10, ::10]))
    painted, far = lab[440:460, 90:110, 1].mean(), lab[50:90, 300:380, 1].mean()
    assert painted > far + 15


def test_what_is_painted_is_its_owners_and_stays_over_a_reload(desk: Desk) -> None:
    medium = dropped(desk, SAMPLES / "test" / "cat.jpg")
    stroke = Stroke(RED, 5, ((20, 20),))
    assert desk.paint(medium, (stroke,))
    assert not desk.paint(medium, (stroke,)), "it is no news"
    assert [each.id for each in desk.open_photos("anna")] == [medium.id]
    assert desk.strokes(desk.find(medium.id, "anna")) == (stroke,)
    assert desk.open_photos("bert") == []
    with pytest.raises(InputError, match="no longer open"):
        desk.find(medium.id, "bert")


def test_many_are_saved_together_and_a_failure_of_one_is_said(desk: Desk) -> None:
    cat = dropped(desk, SAMPLES / "test" / "cat.jpg")
    twin = dropped(desk, SAMPLES / "test" / "cat.jpg")
    bowl = dropped(desk, SAMPLES / "test" / "fig_bowl.jpg")
    bowl.path.write_bytes(b"gone bad")
    files, said = desk.save([cat, twin, bowl], PLAIN)
    assert [file.name for file in files] == ["cat_colorized.jpg"] * 2 + ["colorized.zip"]
    assert len(said) == 1
    assert said[0].startswith("fig_bowl.jpg: ")
    assert str(desk.library.workspace.path) not in said[0]


def test_settings_out_of_range_are_refused(desk: Desk) -> None:
    medium = dropped(desk, SAMPLES / "test" / "cat.jpg")
    for wrong in (
        Settings(model="../../etc/passwd"),
        Settings(model="default", size=7),
        Settings(model="default", saturation=9),
    ):
        with pytest.raises(ArgumentError):
            desk.photos.preview(medium, wrong)
    with pytest.raises(ArgumentError, match="nothing is painted"):
        desk.save_layer(medium)


def test_previews_have_the_threads_of_a_stream_and_look_the_same(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    used, seen, join = list[int](), list[U8](), Colorizer.join

    def counted(self: Colorizer, photo: Photo, answer: Answer, threads: int = 1) -> Photo:
        used.append(threads)
        return join(self, photo, answer, threads)

    medium = dropped(desk, SAMPLES / "test" / "fig_bowl.jpg")
    monkeypatch.setattr(Colorizer, "join", counted)
    for cores in (1, 6):
        monkeypatch.setattr("os.cpu_count", lambda cores=cores: cores)
        seen.append(desk.photos.preview(medium, PLAIN).after)
    assert used == [1, 6]
    assert np.array_equal(seen[0], seen[1])


def test_json_of_strokes_is_checked() -> None:
    stroke = {"color": "#ff0000", "radius": 3, "points": [[1, 2]]}
    assert read_painting({"id": "x", "strokes": [stroke]}).strokes[0].points == ((1.0, 2.0),)
    changes: list[dict[str, Any]] = [
        {"color": "red"},
        {"radius": 0},
        {"radius": 1e9},
        {"radius": float("nan")},
        {"points": []},
        {"points": [[1]]},
        {"points": [[1e99, 0]]},
        {"points": "ab"},
    ]
    for change in changes:
        with pytest.raises(ArgumentError):
            read_painting({"id": "x", "strokes": [stroke | change]})
    wholes: list[Any] = [None, 7, [], {}, {"id": 1, "strokes": {"a": 1}}]
    for whole in wholes:
        with pytest.raises(ArgumentError):
            read_painting(whole)
