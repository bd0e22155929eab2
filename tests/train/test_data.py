"""Photographs as training sees them."""

import csv
import io
import shutil
import tarfile
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import pytest
import skimage.color
import torch
from PIL import Image

from colorize.runtime.color import F32
from colorize.runtime.errors import ArgumentError, InputError
from colorize.runtime.models.catalog import SAMPLES
from colorize.train.data import index
from colorize.train.data.crops import CropDataset, Draw, EndlessDraws, decoded_side, to_tensors
from colorize.train.data.decoded_cache import decoded_cache
from colorize.train.data.degrade import degrade
from colorize.train.data.photos import collect
from colorize.train.data.sources import PhotoFile

TRAIN = SAMPLES / "train"


def jpeg(path: Path, rgb: tuple[int, int, int]) -> None:
    pixels = np.random.default_rng(sum(rgb)).normal(rgb, 20, (48, 64, 3)).clip(0, 255)
    Image.fromarray(pixels.astype(np.uint8)).save(path)


def test_samples_are_all_usable() -> None:
    photos = collect([str(TRAIN)])
    assert len(photos.photos) == len(list(TRAIN.glob("*.jpg"))) >= 20
    assert photos.gray == ()
    assert photos.unreadable == ()


def test_nested_folders_and_tars_give_the_same_photos(tmp_path: Path) -> None:
    nested, shard = tmp_path / "a" / "b", tmp_path / "photos-000.tar"
    nested.mkdir(parents=True)
    for number, rgb in enumerate([(200, 60, 40), (40, 90, 200), (60, 180, 60)]):
        jpeg(nested / f"{number}.jpg", rgb)
    with tarfile.open(shard, "w") as tar:
        for path in sorted(nested.iterdir()):
            tar.add(path, path.name)
    folder = collect([str(tmp_path / "a")])
    for pattern in (
        "photos-*.tar",
        "photos-{000..000}.tar",
        "../test_nested*0/photos-*.tar",
        "[a]",
        "**/b",
    ):
        tarred = collect([str(tmp_path / pattern)])
        assert [p.read() for p in folder.photos] == [p.read() for p in tarred.photos]
        assert folder.fingerprint == tarred.fingerprint


def test_braces_name_a_series_and_every_one_must_be_there(tmp_path: Path) -> None:
    for number in ("098", "099", "100"):
        jpeg(tmp_path / "red.jpg", (200, 60, int(number)))
        with tarfile.open(tmp_path / f"photos-{number}.tar", "w") as tar:
            tar.add(tmp_path / "red.jpg", "red.jpg")
    names = [photo.path.name for photo in collect([f"{tmp_path}/photos-{{098..100}}.tar"]).photos]
    assert names == ["photos-098.tar", "photos-099.tar", "photos-100.tar"]
    with pytest.raises(ArgumentError, match=r"photos-101\.tar: no such folder or tar"):
        collect([f"{tmp_path}/photos-{{099..102}}.tar"])


def test_photographs_are_looked_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, rgb in (("a", (200, 60, 40)), ("b", (40, 90, 200))):
        jpeg(tmp_path / f"{name}.jpg", rgb)
    looked: list[str] = []
    look_at = index._look_at

    def counting(photo: PhotoFile, at: Callable[[bytes], index.Seen]) -> index.Seen:
        looked.append(photo.name)
        return look_at(photo, at)

    monkeypatch.setattr(index, "_look_at", counting)
    first = collect([str(tmp_path)])
    assert looked == ["a.jpg", "b.jpg"]
    assert collect([str(tmp_path)]) == first
    assert looked == ["a.jpg", "b.jpg"]
    jpeg(tmp_path / "b.jpg", (60, 180, 60))
    assert collect([str(tmp_path)]).fingerprint != first.fingerprint
    assert looked == ["a.jpg", "b.jpg", "b.jpg"]
    [stored] = [file for file in index.Index(tmp_path)._file.parent.iterdir()
                if str(tmp_path) in file.read_text()]  # fmt: skip
    stored.write_text("damaged")
    assert len(collect([str(tmp_path)]).photos) == 2


def test_gray_and_damaged_photos_are_left_out_and_counted(tmp_path: Path) -> None:
    jpeg(tmp_path / "red.jpg", (200, 60, 40))
    Image.new("L", (64, 64), 90).save(tmp_path / "gray.png")
    (tmp_path / "text.jpg").write_text("not a picture")
    truncated = (TRAIN / "castle.jpg").read_bytes()[:500]
    (tmp_path / "truncated.jpg").write_bytes(truncated)
    photos = collect([str(tmp_path)])
    assert [photo.path.name for photo in photos.photos] == ["red.jpg"]
    assert [Path(left.name).name for left in photos.gray] == ["gray.png"]
    unreadable = sorted(Path(left.name).name for left in photos.unreadable)
    assert unreadable == ["text.jpg", "truncated.jpg"]
    photos.save_left_out(tmp_path / "left_out.csv")
    with (tmp_path / "left_out.csv").open() as file:
        reasons = {Path(row["photograph"]).name: row["reason"] for row in csv.DictReader(file)}
    assert reasons.keys() == {"gray.png", "text.jpg", "truncated.jpg"}
    assert reasons["gray.png"] == "gray: mean chroma 0.0"
    assert all(reason and "0x" not in reason for reason in reasons.values())


def _toned(photo: Path, tone: tuple[float, float, float]) -> Image.Image:
    """A gray print of a photograph in one hue: each channel is a power of the gray."""
    with Image.open(photo) as image:
        gray = np.asarray(image.convert("L")) / 255
    return Image.fromarray((np.stack([gray**power for power in tone], -1) * 255).astype(np.uint8))


@pytest.mark.parametrize("tone", [(0.85, 1, 1.35), (1.4, 1.05, 0.7)], ids=["sepia", "cyanotype"])
def test_photos_of_one_hue_are_left_out_and_counted(
    tone: tuple[float, float, float], tmp_path: Path
) -> None:
    sources = sorted(TRAIN.glob("*.jpg"))[:12]
    for source in sources[:4]:
        shutil.copy(source, tmp_path)
    for source in sources[4:]:
        _toned(source, tone).save(tmp_path / f"toned-{source.name}", quality=90)
    photos = collect([str(tmp_path)])
    assert [photo.path.name for photo in photos.photos] == [source.name for source in sources[:4]]
    assert len(photos.tinted) + len(photos.gray) == 8
    assert len(photos.tinted) >= 6
    photos.save_left_out(tmp_path / "left_out.csv")
    assert "of a single hue, as sepia is" in (tmp_path / "left_out.csv").read_text()
    kept = collect([str(tmp_path)], keep_tinted=True)
    assert len(kept.photos) == 4 + len(photos.tinted)
    assert kept.fingerprint == photos.fingerprint


def test_only_gray_photos_are_refused(tmp_path: Path) -> None:
    Image.new("L", (64, 64), 90).save(tmp_path / "gray.png")
    with pytest.raises(InputError, match=r"no photograph in color among 1 files \(1 gray"):
        collect([str(tmp_path)])


def test_missing_and_wrong_sources_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match="no such folder"):
        collect([str(tmp_path / "nothing")])
    (tmp_path / "text.tar").write_text("no tar")
    with pytest.raises(InputError, match="neither a folder nor an uncompressed tar"):
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
    # The network sees 8-bit gray, as in the runtime: half a gray level is 0.5 L* at the darkest.
    np.testing.assert_allclose(lightness[0].numpy(), reference[..., 0], atol=0.5)
    np.testing.assert_allclose(ab.numpy(), reference[..., 1:].transpose(2, 0, 1), atol=0.02)


def test_crops_vary_in_training_and_not_in_validation() -> None:
    photos = collect([str(TRAIN)]).photos[:1]
    random = CropDataset(photos, 64, seed=0, smallest=0.6)
    fixed = CropDataset(photos, 64)
    assert not torch.equal(random[Draw(0, 0)][0], random[Draw(0, 1)][0])
    assert torch.equal(random[Draw(0, 1)][0], random[Draw(0, 1)][0])
    assert torch.equal(fixed[0][1], fixed[0][1])


def test_a_share_of_the_crops_looks_old_and_keeps_its_colors() -> None:
    photos = collect([str(SAMPLES / "train")]).photos
    plain = CropDataset(photos, 64, seed=2)
    old = CropDataset(photos, 64, seed=2, degraded=0.5)
    draws = [Draw(number % len(photos), number) for number in range(80)]
    changed = 0
    for draw in draws:
        before, after = plain[draw], old[draw]
        assert torch.equal(before.ab, after.ab)
        assert torch.equal(after.L, old[draw].L)
        changed += not torch.equal(before.L, after.L)
    assert 20 <= changed <= 60
    held_out = CropDataset(photos, 64, degraded=1.0)[0]
    assert torch.equal(held_out.L, CropDataset(photos, 64)[0].L)


def test_old_looks_are_curves_other_sharpness_and_grain() -> None:
    lightness = CropDataset(collect([str(SAMPLES / "train")]).photos, 96)[0].L[0].numpy()

    def detail(plane: F32) -> float:
        return float(np.abs(plane - cv2.blur(plane, (3, 3))).mean())

    results = [degrade(lightness, np.random.default_rng(seed)) for seed in range(60)]
    assert all(result.dtype == np.float32 for result in results)
    assert all(result.min() >= 0 and result.max() <= 100 for result in results)
    spread = [detail(result) / detail(lightness) for result in results]
    assert min(spread) < 0.6  # soft
    assert max(spread) > 1.8  # grainy
    tones = [float(result.mean() - lightness.mean()) for result in results]
    assert min(tones) < -6
    assert max(tones) > 6
    rough = [np.corrcoef(result.ravel(), lightness.ravel())[0, 1] for result in results]
    assert min(rough) > 0.8  # the picture is still that picture


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


def test_every_kind_of_picture_becomes_lightness_and_color(tmp_path: Path) -> None:
    with Image.open(TRAIN / "castle.jpg") as image:
        rgb = image.convert("RGB").resize((96, 64))
    rgb.save(tmp_path / "0-plain.png")
    rgb.convert("CMYK").save(tmp_path / "1-cmyk.tif")
    rgb.quantize(255).save(tmp_path / "2-palette.png")
    rgba = rgb.convert("RGBA")
    rgba.putalpha(255)
    rgba.save(tmp_path / "3-alpha.png")
    deep = np.asarray(rgb).astype(np.uint16) * 257
    cv2.imwrite(str(tmp_path / "4-deep.png"), deep[..., ::-1])
    gray16 = tmp_path / "5-gray16.png"
    cv2.imwrite(str(gray16), deep[..., 1])
    photos = collect([str(tmp_path)])
    assert [Path(left.name) for left in photos.gray] == [gray16]
    crops = CropDataset(photos.photos, 64)
    assert len(crops) == 5
    lightness, ab, _ = crops[0]
    for other in range(1, 5):
        assert (crops[other][0] - lightness).abs().mean() < 1
        assert (crops[other][1] - ab).abs().mean() < 2.5


def test_the_cache_changes_nothing_but_the_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photos = collect([str(TRAIN)]).photos[:3]
    plain = CropDataset(photos, 64, seed=0, smallest=0.6)
    side = decoded_side(64, 0.6)
    with decoded_cache(len(photos), side, limit=2 * 6 * (side + 1) ** 2) as cache:
        assert cache.capacity == 2
        cached = CropDataset(photos, 64, seed=0, smallest=0.6, cache=cache)
        before = [cached[Draw(photo, 7)] for photo in range(3)]
        monkeypatch.setattr(Image, "open", lambda *_: pytest.fail("decoded once more"))
        for photo in range(2):
            for once, again in zip(before[photo], cached[Draw(photo, 7)], strict=True):
                assert torch.equal(once, again)
        monkeypatch.undo()
        for photo in range(3):
            for ours, expected in zip(before[photo], plain[Draw(photo, 7)], strict=True):
                assert torch.equal(ours, expected)
    assert not cache.path.parent.exists()


def test_a_photograph_damaged_since_is_named(tmp_path: Path) -> None:
    jpeg(tmp_path / "red.jpg", (200, 60, 40))
    crops = CropDataset(collect([str(tmp_path)]).photos, 64)
    (tmp_path / "red.jpg").write_bytes(b"now something else")
    with pytest.raises(InputError, match=r"red\.jpg: has been damaged"):
        crops[0]
    (tmp_path / "red.jpg").unlink()
    with pytest.raises(InputError, match=r"red\.jpg: cannot be read"):
        crops[0]


@pytest.mark.parametrize("world", [1, 2, 4])
def test_processes_share_every_batch(world: int) -> None:
    whole = list(islice(EndlessDraws(10, seed=3, start=8), 24))
    parts = [
        list(islice(EndlessDraws(10, 3, start=8, batch=8, rank=rank, world=world), 24 // world))
        for rank in range(world)
    ]
    share = 8 // world
    for batch in range(3):
        drawn = [draw for part in parts for draw in part[batch * share : (batch + 1) * share]]
        assert drawn == whole[batch * 8 : (batch + 1) * 8]


def test_draws_are_permutations_that_can_be_entered_anywhere() -> None:
    draws = list(islice(EndlessDraws(10, seed=3), 35))
    assert [draw.number for draw in draws] == list(range(35))
    epochs = [[draw.photo for draw in draws[i : i + 10]] for i in (0, 10, 20)]
    assert all(sorted(epoch) == list(range(10)) for epoch in epochs)
    assert epochs[0] != epochs[1]
    assert list(islice(EndlessDraws(10, seed=3, start=17), 18)) == draws[17:]
