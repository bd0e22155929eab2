"""Reference frames: read as meant, refused by name, carried through their scenes and no further."""

import io
import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from helpers.references import FFV1, FIRSTS, give, psnr, rgb_of
from helpers.scenes import write_film
from helpers.video import (
    parts_in,
    read_frames,
)
from PIL import Image

from colorize.runtime.color import U8, rgb_to_gray
from colorize.runtime.colorizer import Colorizer
from colorize.runtime.errors import ColorizeError
from colorize.runtime.steering.references import find_references

Finished = subprocess.CompletedProcess[str]


@pytest.fixture(scope="module")
def alone(film: Path, colorizer: Colorizer, tmp_path_factory: pytest.TempPathFactory) -> list[U8]:
    """The film as the model alone colors it."""
    target = tmp_path_factory.mktemp("alone") / "out.mkv"
    colorizer.video(film, target, FFV1)
    return rgb_of(target)


def test_a_scene_follows_its_reference_and_the_others_are_the_models(
    film: Path, truth: list[U8], alone: list[U8], colorizer: Colorizer, tmp_path: Path
) -> None:
    references = give(tmp_path / "refs", truth, 24)
    colorizer.video(film, tmp_path / "out.mkv", FFV1, references=references)
    colored = rgb_of(tmp_path / "out.mkv")
    for index, (frame, model, true) in enumerate(zip(colored, alone, truth, strict=True)):
        if 20 <= index < 32:
            assert psnr(frame, true) > max(30, psnr(model, true) + 8), index
        else:
            np.testing.assert_array_equal(frame, model, err_msg=str(index))
    assert psnr(colored[24], truth[24]) > 42
    for before, after in zip(read_frames(film), read_frames(tmp_path / "out.mkv"), strict=True):
        assert bytes(before.planes[0]) == bytes(after.planes[0])


def test_two_references_are_better_than_one(
    film: Path, truth: list[U8], colorizer: Colorizer, tmp_path: Path
) -> None:
    means = []
    for frames in [(0,), (0, 19)]:
        references = give(tmp_path / f"refs{len(frames)}", truth, *frames)
        target = tmp_path / f"{len(frames)}.mkv"
        colorizer.video(film, target, FFV1, references=references)
        colored = rgb_of(target)
        means.append(np.mean([psnr(colored[i], truth[i]) for i in range(1, 19)]))
    assert means[1] > means[0] + 1


def test_only_the_color_of_a_reference_counts(
    film: Path, truth: list[U8], colorizer: Colorizer, tmp_path: Path
) -> None:
    references = give(tmp_path / "refs", truth, 0)
    gray = np.full_like(truth[0], 90)
    Image.fromarray(gray).save(references / "ref_000000.png")
    colorizer.video(film, tmp_path / "out.mkv", FFV1, references=references)
    for frame in rgb_of(tmp_path / "out.mkv")[:20:5]:
        spread = frame.astype(int).max(-1) - frame.astype(int).min(-1)
        assert np.median(spread) <= 3


def test_where_a_reference_is_transparent_the_model_decides(
    film: Path, truth: list[U8], alone: list[U8], colorizer: Colorizer, tmp_path: Path
) -> None:
    references = tmp_path / "refs"
    references.mkdir()
    alpha = np.zeros(truth[0].shape[:2], np.uint8)
    Image.fromarray(np.dstack([truth[0], alpha])).save(references / "ref_0.png")
    colorizer.video(film, tmp_path / "out.mkv", FFV1, references=references)
    for frame, model in zip(rgb_of(tmp_path / "out.mkv")[:20:5], alone[:20:5], strict=True):
        assert psnr(frame, model) > 35


def test_strokes_lie_over_the_reference(truth: list[U8], tmp_path: Path) -> None:
    references = give(tmp_path / "refs", truth, 3)
    strokes = np.zeros((*truth[3].shape[:2], 4), np.uint8)
    strokes[:20, :20] = (0, 0, 255, 255)
    Image.fromarray(strokes).save(references / "ref_000003_hints.png")
    [reference] = find_references(references).values()
    ab, alpha = reference.colors((96, 144))
    assert ab[5, 5, 1] < -80
    assert ab[40, 30, 0] > 20
    assert alpha.min() == 1
    (references / "ref_000003.png").unlink()
    [strokes_alone] = find_references(references).values()
    _, alpha = strokes_alone.colors((48, 72))
    assert alpha[2, 2] == 1
    assert alpha[30, 30] == 0


def _tall(folder: Path, truth: list[U8]) -> None:
    Image.fromarray(truth[0][:, :60]).save(folder / "ref_000001.png")


def _beyond(folder: Path, truth: list[U8]) -> None:
    Image.fromarray(truth[0]).save(folder / "ref_000048.png")


def _twice(folder: Path, truth: list[U8]) -> None:
    for name in ("ref_5.png", "ref_000005.jpg"):
        Image.fromarray(truth[0]).save(folder / name)


def _damaged(folder: Path, truth: list[U8]) -> None:
    content = io.BytesIO()
    Image.fromarray(truth[0]).save(content, "PNG")
    (folder / "ref_000002.png").write_bytes(content.getvalue()[:200])


def _opaque(folder: Path, truth: list[U8]) -> None:
    Image.fromarray(truth[0]).save(folder / "ref_000002_hints.png")


def _nothing(folder: Path, truth: list[U8]) -> None:
    (folder / "notes.txt").write_text(str(len(truth)))


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (_tall, "ref_000001.png: its size 60x96 has another aspect"),
        (_beyond, "ref_000048.png: the video has only 48 frames"),
        (_twice, "ref_5.png: ref_000005.jpg is of the same frame"),
        (_damaged, "ref_000002.png: damaged"),
        (_opaque, "ref_000002_hints.png: has no transparency"),
        (_nothing, "has no reference frames"),
    ],
)
def test_an_unusable_reference_is_refused_by_name_before_any_work(
    spoil: Callable[[Path, list[U8]], None],
    said: str,
    film: Path,
    truth: list[U8],
    colorize_run: Callable[..., Finished],
    tmp_path: Path,
) -> None:
    references = tmp_path / "refs"
    references.mkdir()
    spoil(references, truth)
    target = tmp_path / "out.mkv"
    done = colorize_run(film, "-o", target, "--references", references)
    assert done.returncode == 2
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert sorted(tmp_path.iterdir()) == [references]


def test_extraction_writes_a_frame_of_each_scene_and_replaces_none(
    film: Path, colorize_run: Callable[..., Finished], tmp_path: Path
) -> None:
    folder = tmp_path / "refs"
    done = colorize_run(film, "--extract-references", folder)
    assert (done.returncode, done.stdout) == (0, f"{folder}\n")
    assert "3 scenes, 3 reference frames written" in done.stderr
    scenes = json.loads((folder / "scenes.json").read_text())
    assert [(each["first"], each["last"], each["time"]) for each in scenes] == [
        (0, 19, 0.0),
        (20, 31, 0.8),
        (32, 47, 1.28),
    ]
    chosen = [frame for each in scenes for frame in each["chosen"]]
    assert all(each["first"] <= f <= each["last"] for each, f in zip(scenes, chosen, strict=True))
    painted = folder / f"ref_{chosen[0]:06}.png"
    with Image.open(painted) as image:
        assert image.size == (144, 96)
    painted.write_bytes(b"hours of work")
    (folder / f"ref_{chosen[1]:06}.png").rename(folder / f"ref_{chosen[1]}.tif")
    done = colorize_run(film, "--extract-references", folder, "--every", "0.2", "--overwrite")
    assert done.returncode == 0
    assert "3 were there already and were left as they are" in done.stderr
    assert painted.read_bytes() == b"hours of work"
    assert not (folder / f"ref_{chosen[1]:06}.png").exists()
    assert len(list(folder.glob("ref_*"))) > 6
    assert not list(tmp_path.glob("*.mkv"))


def test_extracted_references_change_nothing_but_the_motion_of_colors(
    film: Path, alone: list[U8], colorizer: Colorizer, tmp_path: Path
) -> None:
    made = colorizer.extract_references(film, tmp_path / "refs")
    colorizer.video(film, tmp_path / "out.mkv", FFV1, references=tmp_path / "refs")
    colored = rgb_of(tmp_path / "out.mkv")
    for own in (each.chosen[0] for each in made.scenes):
        assert psnr(colored[own], alone[own]) > 30


def test_a_dry_run_lists_scenes_with_their_references_and_colors_nothing(
    film: Path, given: Path, folder: Path, colorize_run: Callable[..., Finished], tmp_path: Path
) -> None:
    target = tmp_path / "out"
    words = (film, folder / "photo.png", "-o", target, "--references", given, "--dry-run")
    done = colorize_run(*words)
    assert done.returncode == 0
    first, *scenes, photo, last = done.stdout.splitlines()
    named = f"{film} -> {target / 'film_colorized.mkv'}"
    assert first.startswith(f"{named}: 144x96, 48 frames, about 0")
    assert scenes == [
        "  scene 1, frames 0 to 19: ref_000003.png, ref_000017.png",
        "  scene 2, frames 20 to 31: ref_000024.png",
        "  scene 3, frames 32 to 47: ref_000045.png",
    ]
    assert photo == f"{folder / 'photo.png'} -> {target / 'photo_colorized.png'}"
    assert last.startswith("2 of 2 files: about 0:00:")
    assert not target.exists()
    target.mkdir()
    (target / "photo_colorized.png").touch()
    done = colorize_run(*words, "--duration", "0:01")
    assert done.returncode == 3
    assert "48 frames" not in done.stdout
    assert "photo_colorized.png: exists" in done.stdout


def test_references_of_a_film_that_players_turn_are_upright(
    truth: list[U8], colorizer: Colorizer, tmp_path: Path
) -> None:
    film = write_film(tmp_path / "film.mp4", truth[:6], "libx264", turn=90)
    colorizer.extract_references(film, tmp_path / "refs")
    [given] = (tmp_path / "refs").glob("ref_*.png")
    with Image.open(given) as image:
        assert image.size == (96, 144)
    shown = np.rot90(truth[int(given.stem[4:])])
    gray = rgb_to_gray(np.asarray(Image.open(given).convert("RGB")))
    assert np.corrcoef(gray.ravel(), rgb_to_gray(shown).ravel())[0, 1] > 0.9
    Image.fromarray(shown).save(given)
    colorizer.video(film, tmp_path / "out.mkv", FFV1, references=tmp_path / "refs")
    assert min(psnr(a, b) for a, b in zip(rgb_of(tmp_path / "out.mkv"), truth, strict=False)) > 28


def test_commands_for_references(
    film: Path,
    truth: list[U8],
    folder: Path,
    colorize_run: Callable[..., Finished],
    tmp_path: Path,
) -> None:
    references = tmp_path / "refs"
    give(references, truth)
    give(references / "film.mkv", truth, 24)
    other = write_film(tmp_path / "other.mkv", truth[:4])
    inputs = (film, other, folder / "photo.png")
    done = colorize_run(
        *inputs, "-o", tmp_path / "out", "--codec", "ffv1", "--references", references
    )
    assert done.returncode == 0
    assert "other.mkv: has no references" in done.stderr
    assert "photographs are colored without" in done.stderr
    assert psnr(rgb_of(tmp_path / "out" / "film_colorized.mkv")[24], truth[24]) > 42
    parts = parts_in(tmp_path / "out")
    assert [path.name.split(".")[1] for path in parts] == ["film_colorized"]


@pytest.mark.parametrize(
    "words",
    [
        ("-", "--references", "refs"),
        ("-", "--extract-references", "refs"),
        ("{film}", "--every", "2"),
        ("{film}", "--discard-work"),
        ("{film}", "--extract-references", "a", "--references", "b"),
        ("{film}", "--extract-references", "a", "-o", "b"),
        ("{film}", "--references", "missing"),
        ("{photo}", "--extract-references", "a"),
        ("{film}", "--extract-references", "a", "--start", "1"),
        ("{film}", "--start", "1:x"),
        ("{film}", "--duration", "0"),
        ("-", "--dry-run"),
    ],
)
def test_commands_that_cannot_be_followed_are_refused(
    words: tuple[str, ...], film: Path, folder: Path, colorize_run: Callable[..., Finished]
) -> None:
    names = {"film": film, "photo": folder / "photo.png"}
    done = colorize_run(*(word.format(**names) for word in words))
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1


def test_a_folder_of_references_is_not_colored(
    film: Path, colorizer: Colorizer, colorize_run: Callable[..., Finished], tmp_path: Path
) -> None:
    colorizer.extract_references(film, tmp_path / "refs")
    done = colorize_run(tmp_path / "refs")
    assert done.returncode == 2
    assert "no photographs or films" in done.stderr


def test_python_users_get_scenes(film: Path, colorizer: Colorizer) -> None:
    scenes = colorizer.scenes(film)
    assert [each.first for each in scenes] == list(FIRSTS)
    assert all(each.first <= each.chosen[0] <= each.last for each in scenes)
    several = colorizer.scenes(film, every=0.2)
    assert all(
        frame - before == 5
        for each in several
        for before, frame in zip(each.chosen, each.chosen[1:], strict=False)
    )
    with pytest.raises(ColorizeError, match="no such file"):
        colorizer.scenes("missing.mkv")
