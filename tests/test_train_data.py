"""Photographs as training sees them."""

import io
import tarfile
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import skimage.color
import torch
from PIL import Image

from colorize.runtime.catalog import SAMPLES
from colorize.runtime.errors import ArgumentError, InputError
from colorize.train.data import CropDataset, Draw, EndlessDraws, collect, to_tensors

TRAIN = SAMPLES / "train"


def jpeg(path: Path, rgb: tuple[int, int, int]) -> None:
    pixels = np.random.default_rng(sum(rgb)).normal(rgb, 20, (48, 64, 3)).clip(0, 255)
    Image.fromarray(pixels.astype(np.uint8)).save(path)


def test_samples_are_all_usable() -> None:
    photos = collect([str(TRAIN)])
    assert len(photos.photos) == len(list(TRAIN.glob("*.jpg"))) >= 20
    assert photos.grey == 0
    assert photos.unreadable == ()


def test_nested_folders_and_tars_give_the_same_photos(tmp_path: Path) -> None:
    nested, shard = tmp_path / "a" / "b", tmp_path / "photos-000.tar"
    nested.mkdir(parents=True)
    for index, rgb in enumerate([(200, 60, 40), (40, 90, 200), (60, 180, 60)]):
        jpeg(nested / f"{index}.jpg", rgb)
    with tarfile.open(shard, "w") as tar:
        for path in sorted(nested.iterdir()):
            tar.add(path, path.name)
    folder, tarred = collect([str(tmp_path / "a")]), collect([str(tmp_path / "photos-*.tar")])
    assert [p.read() for p in folder.photos] == [p.read() for p in tarred.photos]
    assert folder.fingerprint == tarred.fingerprint


def test_grey_and_damaged_photos_are_left_out_and_counted(tmp_path: Path) -> None:
    jpeg(tmp_path / "red.jpg", (200, 60, 40))
    Image.new("L", (64, 64), 90).save(tmp_path / "grey.png")
    (tmp_path / "text.jpg").write_text("not a picture")
    truncated = (TRAIN / "castle.jpg").read_bytes()[:500]
    (tmp_path / "truncated.jpg").write_bytes(truncated)
    photos = collect([str(tmp_path)])
    assert [photo.path.name for photo in photos.photos] == ["red.jpg"]
    assert photos.grey == 1
    assert sorted(Path(name).name for name in photos.unreadable) == ["text.jpg", "truncated.jpg"]


def test_only_grey_photos_are_refused(tmp_path: Path) -> None:
    Image.new("L", (64, 64), 90).save(tmp_path / "grey.png")
    with pytest.raises(InputError, match=r"no photograph in colour among 1 files \(1 grey"):
        collect([str(tmp_path)])


def test_missing_and_wrong_sources_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match="no such folder"):
        collect([str(tmp_path / "nothing")])
    (tmp_path / "text.tar").write_text("no tar")
    with pytest.raises(ArgumentError, match="neither a folder nor an uncompressed tar"):
        collect([str(tmp_path / "text.tar")])


def test_split_is_stable_and_keeps_copies_together(tmp_path: Path) -> None:
    for path in TRAIN.glob("*.jpg"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
        (tmp_path / f"copy of {path.name}").write_bytes(path.read_bytes())
    photos = collect([str(tmp_path)])
    training, held_out = photos.split(0.25, 100)
    trained, held = ({photo.sha256 for photo in part} for part in (training, held_out))
    assert trained.isdisjoint(held)
    assert len(held_out) == len(held) == len(photos.photos) / 2 * 0.25
    original, _ = collect([str(TRAIN)]).split(0.25, 100)
    assert {photo.sha256 for photo in original} == trained


def test_tensors_are_cielab_of_the_photo() -> None:
    with Image.open(TRAIN / "castle.jpg") as image:
        rgb = np.asarray(image.convert("RGB").resize((64, 64)))
    lightness, ab = to_tensors(rgb)
    reference = skimage.color.rgb2lab(rgb).astype(np.float32)
    assert lightness.shape == (1, 64, 64)
    assert ab.shape == (2, 64, 64)
    # The network sees 8-bit grey, as in the runtime: half a grey level is 0.5 L* at the darkest.
    np.testing.assert_allclose(lightness[0].numpy(), reference[..., 0], atol=0.5)
    np.testing.assert_allclose(ab.numpy(), reference[..., 1:].transpose(2, 0, 1), atol=0.02)


def test_crops_vary_in_training_and_not_in_validation() -> None:
    photos = collect([str(TRAIN)]).photos[:1]
    random = CropDataset(photos, 64, seed=0)
    fixed = CropDataset(photos, 64)
    assert not torch.equal(random[Draw(0, 0)][0], random[Draw(0, 1)][0])
    assert torch.equal(random[Draw(0, 1)][0], random[Draw(0, 1)][0])
    assert torch.equal(fixed[0][1], fixed[0][1])


def test_exif_orientation_is_applied(tmp_path: Path) -> None:
    with Image.open(TRAIN / "castle.jpg") as image:
        exif = Image.Exif()
        exif[0x0112] = 3  # upside down
        buffer = io.BytesIO()
        image.rotate(180).save(buffer, "PNG", exif=exif)
        image.save(tmp_path / "upright.png")
    (tmp_path / "turned.png").write_bytes(buffer.getvalue())
    turned, upright = collect([str(tmp_path)]).photos
    assert torch.equal(
        CropDataset([turned], 64)[0][0],
        CropDataset([upright], 64)[0][0],
    )


def test_draws_are_permutations_that_can_be_entered_anywhere() -> None:
    draws = list(islice(EndlessDraws(10, seed=3), 35))
    assert [draw.number for draw in draws] == list(range(35))
    epochs = [[draw.photo for draw in draws[i : i + 10]] for i in (0, 10, 20)]
    assert all(sorted(epoch) == list(range(10)) for epoch in epochs)
    assert epochs[0] != epochs[1]
    assert list(islice(EndlessDraws(10, seed=3, start=17), 18)) == draws[17:]
