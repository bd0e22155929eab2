"""The photographs of colorize-bench: sets, manifests, samples, and what is left out of them."""

import shutil
import tarfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from helpers.bench import FAST, INFO, Quick, write_model
from PIL import Image

from colorize.bench.quality.dataset import PROTOCOLS, open_data
from colorize.runtime.errors import InputError
from colorize.runtime.files import fingerprint, photo_files, sha256
from colorize.runtime.models.catalog import SAMPLES
from colorize.runtime.photo.reader import read_photo

pytest.importorskip("torch")
pytest.importorskip("onnxruntime")


# Data


def write_manifest(folder: Path) -> None:
    lines = [f"{sha256(path)}  {path.name}\n" for path in photo_files(folder)]
    (folder / "SHA256SUMS").write_text("".join(lines))


def test_a_folder_and_its_tar_hold_the_same_photographs(photos: Path, tmp_path: Path) -> None:
    write_manifest(photos)
    tar = tmp_path / "set.tar"
    with tarfile.open(tar, "w") as writer:
        writer.add(photos, ".")
    folder, packed = open_data(photos), open_data(tar)
    assert [ref.name for ref in folder.photos] == [ref.name for ref in packed.photos]
    for one, other in zip(folder.photos, packed.photos, strict=True):
        np.testing.assert_array_equal(one.read(), other.read())
    assert folder.manifest_sha256 == packed.manifest_sha256 == sha256(photos / "SHA256SUMS")


def test_a_set_that_does_not_match_its_manifest_is_refused(photos: Path) -> None:
    write_manifest(photos)
    first, second = photo_files(photos)
    shutil.copy(first, photos / "more.png")
    with pytest.raises(InputError, match=r"not listed against its SHA256SUMS: more\.png"):
        open_data(photos)
    (photos / "more.png").unlink()
    shutil.copy(first, second)
    with pytest.raises(InputError, match=f"changed against its SHA256SUMS: {second.name}"):
        open_data(photos)
    second.unlink()
    with pytest.raises(InputError, match=f"missing against its SHA256SUMS: {second.name}"):
        open_data(photos)


def test_sets_without_photographs_are_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="no photographs in it"):
        open_data(tmp_path / "empty")
    (tmp_path / "text.tar").write_text("no tar")
    with pytest.raises(InputError, match="neither a folder nor an uncompressed tar"):
        open_data(tmp_path / "text.tar")


def test_a_sample_is_drawn_by_its_seed(photos: Path) -> None:
    for index in range(10):
        shutil.copy(photo_files(photos)[0], photos / f"more{index}.png")
    data = open_data(photos)
    drawn = data.sample(5, seed=1)
    assert drawn == data.sample(5, seed=1)
    assert drawn != data.sample(5, seed=2)
    assert len(set(drawn.photos)) == 5
    assert data.sample(99, seed=1) == data


@pytest.mark.parametrize(
    ("name", "shape", "sides", "box"),
    [
        ("temple", (342, 512), (383, 256), (63, 0, 319, 256)),
        ("lighthouse", (512, 340), (256, 386), (0, 65, 256, 321)),
        ("tulips", (500, 500), (256, 256), (0, 0, 256, 256)),
    ],
)
def test_imagenet256_is_the_middle_at_short_side_256(
    name: str, shape: tuple[int, int], sides: tuple[int, int], box: tuple[int, int, int, int]
) -> None:
    photo = read_photo(SAMPLES / "test" / f"{name}.jpg").rgb
    assert photo.shape[:2] == shape
    expected = Image.fromarray(photo).resize(sides, Image.Resampling.LANCZOS).crop(box)
    np.testing.assert_array_equal(PROTOCOLS["imagenet256"](photo), np.asarray(expected))
    assert PROTOCOLS["native"](photo) is photo


# The command


def test_unusable_pictures_are_reported_and_counted(
    model: Path, photos: Path, quick: Quick
) -> None:
    (photos / "broken.jpg").write_bytes(b"no picture")
    Image.new("L", (40, 40), 90).save(photos / "gray.png")
    Image.new("RGB", (20, 40), (200, 0, 0)).save(photos / "small.png")
    result, document = quick("--model", model, *FAST)
    assert result.exit_code == 0, result.output
    assert document["data"]["photos"] == 2
    left_out = {entry["name"]: entry["reason"] for entry in document["data"]["left_out"]}
    assert set(left_out) == {"broken.jpg", "gray.png", "small.png"}
    assert document["data"]["left_out_count"] == 3
    assert sum(line.startswith("skipped: ") for line in result.stderr.splitlines()) == 3
    usable = [path for path in photo_files(photos) if path.name != "broken.jpg"]
    assert document["data"]["fingerprint"] == fingerprint(map(sha256, usable))


def test_a_set_without_usable_pictures_is_refused(model: Path, quick: Quick, photos: Path) -> None:
    for path in photo_files(photos):
        path.write_bytes(b"no picture")
    result, document = quick("--model", model, *FAST)
    assert result.exit_code == 2
    assert "no usable photograph among 2" in result.stderr.splitlines()[-1]
    assert document == {}


def test_figures_of_photographs_are_kept_for_the_first_alone(
    model: Path, quick: Quick, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, whole = quick("--model", model, *FAST)
    monkeypatch.setattr("colorize.bench.quality.evaluate.KEPT", 1)
    monkeypatch.setattr("colorize.bench.run._WALL_PHOTOS", 1)
    result, kept = quick("--model", model, *FAST)
    assert result.exit_code == 0, result.output
    assert kept["data"]["names"] == whole["data"]["names"][:1]
    assert kept["data"]["photos"] == 2
    for row, other in zip(kept["quality"], whole["quality"], strict=True):
        assert row["means"] == other["means"]
        assert {len(values) for values in row["per_photo"].values()} == {1}


def test_the_fingerprint_is_of_the_whole_folder_under_a_limit(model: Path, quick: Quick) -> None:
    _, whole = quick("--model", model, *FAST)
    _, part = quick("--model", model, *FAST, "--limit-images", 1)
    assert (whole["data"]["photos"], part["data"]["photos"]) == (2, 1)
    assert part["data"]["fingerprint"] == whole["data"]["fingerprint"]


def test_measuring_on_the_training_pictures_warns(
    tmp_path: Path, photos: Path, quick: Quick
) -> None:
    seen = fingerprint(sha256(path) for path in photo_files(photos))
    path = write_model(tmp_path / "seen.onnx", replace(INFO, data_fingerprint=seen))
    result, document = quick("--model", path, "--backend", "onnxruntime", "--batch", "1")
    assert result.exit_code == 0, result.output
    [warning] = document["warnings"]
    assert "trained on these very photographs" in warning
    assert f"warning: {warning}" in result.stderr.splitlines()
