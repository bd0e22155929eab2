"""Hints in training: a network that listens to them, and the simulated ones it learns from."""

import itertools
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import cv2
import numpy as np
import pytest
import torch
from helpers.train import QUICK, rows_of, train
from PIL import Image
from torch import Tensor

from colorize.runtime.color import F32
from colorize.runtime.errors import ArgumentError
from colorize.runtime.models.catalog import SAMPLES
from colorize.train import loop
from colorize.train.architectures import ARCHITECTURES, architecture
from colorize.train.architectures.blocks import HINT_AB_SCALE, EncoderDecoder, HintSpread
from colorize.train.checkpoints.build import build
from colorize.train.checkpoints.checkpoint import Checkpoint, Origin, load_checkpoint
from colorize.train.config import TrainConfig
from colorize.train.data.color_statistics import ColorShares
from colorize.train.data.crops import Crop, CropDataset, Draw, to_tensors
from colorize.train.data.hints import (
    carried,
    fixed_patches,
    patches,
    patches_of_256,
    recolored,
    simulate_hints,
    strokes,
)
from colorize.train.data.photos import collect
from colorize.train.listening import extended, mostly_extended
from colorize.train.loop import _grown, predictions
from colorize.train.losses.objective import Objective

NAMES = sorted(ARCHITECTURES)


def some_lightness(*shape: int) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(1)) * 100


def random_hints(*shape: int) -> torch.Tensor:
    """Return hints of every confidence, a third of them none."""
    drawn = torch.rand((shape[0], 3, *shape[2:]), generator=torch.Generator().manual_seed(2))
    confidence = (drawn[:, 2:] * 1.5 - 0.5).clamp(min=0)
    return torch.cat([(drawn[:, :2] - 0.5) * 160 * (confidence > 0), confidence], dim=1)


def listening(name: str) -> EncoderDecoder:
    """Return a network whose hint weights are no longer zero."""
    torch.manual_seed(0)
    entry = architecture(name)
    network = entry.build(replace(entry.presets["small"], hints=True)).eval()
    assert network.hints is not None
    for module in network.hints.modules():
        if isinstance(module, torch.nn.Conv2d):
            torch.nn.init.normal_(module.weight, std=0.1)
    return network


@pytest.fixture(scope="module")
def photo() -> tuple[F32, F32]:
    """L* (128, 128), and a*, b* (2, 128, 128), of a photograph with vivid things and edges."""
    with Image.open(SAMPLES / "train" / "citrus.jpg") as image:
        rgb = np.asarray(image.convert("RGB").resize((128, 128)))
    lightness, ab = to_tensors(rgb)
    return np.asarray(lightness[0].numpy()), np.asarray(ab.numpy())


@pytest.fixture(scope="module")
def true_ab(photo: tuple[F32, F32]) -> F32:
    """The a*, b* of `photo`."""
    return photo[1]


@pytest.mark.parametrize("name", NAMES)
def test_a_network_that_learns_to_listen_starts_exactly_as_good(name: str, tmp_path: Path) -> None:
    entry, path = architecture(name), tmp_path / "parent.safetensors"
    torch.manual_seed(3)
    parent = entry.build(entry.presets["small"]).eval()
    origin = Origin("tests", "0" * 32, 128, "CC0", 1, 16)
    Checkpoint(name, entry.presets["small"], parent, origin).save(path)
    config = TrainConfig(arch=name, data=("none",), init_from=str(path), hints=True)
    start = build(config)
    assert start.config.hints
    L, hints = some_lightness(2, 1, 64, 96), random_hints(2, 3, 64, 96)
    for mode in (False, True):  # in training batch norm sees hints, too
        with torch.no_grad():
            before = parent.train(mode)(L)
            assert torch.equal(start.network.train(mode)(L, hints), before)
            assert torch.equal(start.network(L), before)


@pytest.mark.parametrize("name", NAMES)
def test_every_hint_weight_gets_a_gradient_and_is_obeyed(name: str) -> None:
    entry = architecture(name)
    network = entry.build(replace(entry.presets["small"], hints=True)).train()
    assert network.hints is not None
    L, hints = some_lightness(2, 1, 64, 64), random_hints(2, 3, 64, 64)
    network(L, hints).square().mean().backward()
    for key, value in network.hints.named_parameters():
        if not key.startswith("spread.") or key == "spread.project.weight":
            assert value.grad is not None, key
            assert value.grad.abs().sum() > 0, key
    heard = listening(name)
    assert heard.hints is not None
    heard(L, hints).square().mean().backward()
    for key, value in heard.hints.named_parameters():  # what the zeros let nothing through to
        assert value.grad is not None, key
        assert value.grad.abs().sum() > 0, key
    with torch.inference_mode():
        plain = heard(L)
        assert torch.equal(heard(L, torch.zeros_like(hints)), plain)  # no hint, no effect at all
        lone = torch.zeros_like(hints)
        lone[:, :, 8:12, 8:12] = torch.tensor([40.0, -30.0, 1.0])[:, None, None]
        assert (heard(L, lone) - plain).abs().max() > 0.1
        unsure = lone * torch.tensor([1.0, 1.0, 1e-6])[:, None, None]
        assert (heard(L, unsure) - plain).abs().max() < 1e-2  # confidence weighs


def test_what_the_levels_see_is_the_mean_of_the_hinted_pixels() -> None:
    """One stroke reaches a coarse cell in its full color, however few of its pixels it covers."""
    network = listening("unet")
    assert network.hints is not None
    seen: list[torch.Tensor] = []
    network.hints.deepest.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    hints = torch.zeros(1, 3, 64, 64)
    hints[0, :, 3:13, 5:15] = torch.tensor([60.0, -15.0, 1.0])[:, None, None]
    network(some_lightness(1, 1, 64, 64), hints)
    [cells] = seen
    assert cells.shape == (1, 3, 2, 2)
    a, b, sureness = cells[0, :, 0, 0]
    share = 100 / 32**2
    assert sureness == pytest.approx(share / (share + 0.02), rel=1e-5)
    assert float(a / sureness) == pytest.approx(60 / HINT_AB_SCALE, rel=1e-5)
    assert float(b / sureness) == pytest.approx(-15 / HINT_AB_SCALE, rel=1e-5)
    assert cells[0, :, 1].abs().max() == 0


def test_hints_spread_to_what_is_alike_and_near() -> None:
    """Against the formula: Nadaraya-Watson with a cosine kernel and a Gaussian one."""
    torch.manual_seed(4)
    spread = HintSpread(8, 3)
    torch.nn.init.dirac_(spread.project.weight)  # so that it answers the sums themselves
    features, cells = torch.randn(2, 8, 3, 5), torch.rand(2, 3, 3, 5)
    with torch.inference_mode():
        answer = spread(features, cells).double()
        alike = spread.embed(features).double().numpy()
    sharpness, nearness = spread.sharpness.item(), spread.nearness.item()
    places = [(y, x) for y in range(3) for x in range(5)]
    for picture, (y, x) in itertools.product(range(2), places):
        total = np.zeros(3)
        for v, u in places:
            one, other = alike[picture, :, y, x], alike[picture, :, v, u]
            cosine = one @ other / np.sqrt((one @ one + 1e-4) * (other @ other + 1e-4))
            distance = (y - v) ** 2 + (x - u) ** 2
            weight = np.exp(sharpness * (cosine - 1) - nearness**2 * distance)
            total += weight * cells[picture, :, v, u].numpy()
        expected = total / (total[2] + 0.05)
        np.testing.assert_allclose(answer[picture, :, y, x], expected, rtol=1e-4)


def test_networks_without_hints_say_so() -> None:
    entry = architecture("unet")
    with pytest.raises(ValueError, match="takes no hints"):
        entry.build(entry.presets["small"])(some_lightness(1, 1, 32, 32), torch.zeros(1, 3, 32, 32))


def test_simulated_hints_keep_the_contract_and_show_every_kind(photo: tuple[F32, F32]) -> None:
    hinted, changed = [], 0
    for number in range(600):
        true_ab, hints = simulate_hints(*photo, np.random.default_rng([0, number]))
        changed += true_ab is not photo[1]
        assert hints.shape == (3, 128, 128)
        assert hints.dtype == np.float32
        assert np.isfinite(hints).all()
        assert hints[2].min() >= 0
        assert hints[2].max() <= 1
        assert (hints[:2, hints[2] == 0] == 0).all()
        hinted.append(float((hints[2] > 0).mean()))
        sure = hints[2] == 1
        if 0 < sure.mean() < 0.01:  # few and sure: true colors, up to the mean over a patch
            error = np.abs(hints[:2, sure] - true_ab[:, sure]).mean()
            assert error < 40
    shares = np.array(hinted)
    assert 0.34 < (shares == 0).mean() < 0.46
    assert 0.08 < changed / 600 < 0.16
    assert (shares[shares > 0] < 0.02).mean() > 0.2  # 10 patches of 7 at 256: 0.7%
    assert ((shares > 0.04) & (shares < 0.2)).mean() > 0.08  # 100 of them: 7%
    assert (shares > 0.3).mean() > 0.05  # what a film brings


def test_patches_have_the_mean_color_of_what_they_cover(true_ab: F32) -> None:
    for width in (1, 4, 9):
        hints = patches(true_ab, np.array([width]), np.random.default_rng(width))
        there = hints[2] > 0
        assert there.sum() == width**2
        assert (hints[2, there] == 1).all()
        expected = true_ab[:, there].mean(axis=1)
        np.testing.assert_allclose(hints[:2, there], expected[:, None].repeat(width**2, 1), 1e-4)
    ten = patches_of_256(true_ab, 10, np.random.default_rng(0))
    assert 4**2 < (ten[2] > 0).sum() <= 10 * 4**2  # 7 of 256 pixels are 4 of 128


def test_a_recolored_thing_is_hinted_and_the_others_keep_their_colors(
    photo: tuple[F32, F32],
) -> None:
    lightness, true_ab = photo
    sizes, errors = list[float](), list[float]()
    for number in range(40):
        changed, hints = recolored(lightness, true_ab, np.random.default_rng(number))
        change = np.hypot(*(changed - true_ab))
        thing = change > 0.5 * change.max()
        sizes.append(thing.mean())
        assert np.median(change[cv2.dilate(thing.astype(np.uint8), np.ones((9, 9))) == 0]) < 1
        there = hints[2] > 0
        assert there.any()
        assert (hints[2, there] == 1).all()
        wrong = np.hypot(*(hints[:2, there] - changed[:, there]))
        errors.append(np.median(wrong))
    assert np.median(errors) < 8
    assert 0.02 < np.median(sizes) < max(sizes) < 0.7


def test_strokes_stay_on_one_thing(true_ab: F32) -> None:
    for number in range(50):
        hints = strokes(true_ab, np.random.default_rng(number))
        there = hints[2] > 0
        assert there.any()
        # Where strokes cross the later one wins: its own color differs by at most twice the bound.
        wrong = np.hypot(*(hints[:2, there] - true_ab[:, there]))
        assert np.quantile(wrong, 0.95) <= 30


def test_what_flow_brings_is_never_sure_and_more_wrong_where_it_is_less_so(true_ab: F32) -> None:
    errors, confidences, holes = [], [], []
    for number in range(100):
        hints = carried(true_ab, np.random.default_rng(number))
        assert hints[2].max() < 1
        there = hints[2] > 0
        holes.append(1 - there.mean())
        errors.append(np.hypot(*(hints[:2, there] - true_ab[:, there])))
        confidences.append(hints[2, there])
    error, confidence = np.concatenate(errors), np.concatenate(confidences)
    low, high = error[confidence < 0.4].mean(), error[confidence > 0.9].mean()
    assert low > 1.3 * high
    assert 0.2 < np.mean(holes) < 0.8
    assert min(holes) < 0.05


def test_a_draw_decides_its_hints() -> None:
    photos = collect([str(SAMPLES / "train")]).photos
    hinted = CropDataset(photos, 64, seed=5, smallest=0.6, hints=simulate_hints)
    plain = CropDataset(photos, 64, seed=5, smallest=0.6)
    numbers = range(40)
    crops = [hinted[Draw(3, number)] for number in numbers]
    for number, crop in zip(numbers, crops, strict=True):
        again = hinted[Draw(3, number)]
        assert torch.equal(crop.hints, again.hints)
        assert torch.equal(crop.L, plain[Draw(3, number)].L)  # the crops are those without hints
        assert plain[Draw(3, number)].hints.shape == (0, 64, 64)
    places = {crop.hints[2].numpy().tobytes() for crop in crops if crop.hints[2].any()}
    assert len(places) > 15
    other = CropDataset(photos, 64, seed=6, smallest=0.6, hints=simulate_hints)
    assert any(not torch.equal(other[Draw(3, n)].hints, crops[n].hints) for n in numbers)
    # Of the crop that is shown, mirrored or not: a single pixel has its very color.
    exact = CropDataset(
        photos,
        64,
        seed=5,
        smallest=0.6,
        hints=lambda _, ab, chance: (ab, patches(ab, np.ones(30, np.int64), chance)),
    )
    for number in numbers:
        _, ab, hints = exact[Draw(3, number)]
        there = hints[2] == 1
        assert torch.equal(hints[:2, there], ab[:, there])


def test_hints_are_extended_for_every_figure_and_for_most_crops() -> None:
    photos = collect([str(SAMPLES / "train")]).photos
    L, _, hints = CropDataset(photos, 64, hints=fixed_patches(1))[0]  # 2 by 2 pixels
    seen: list[Tensor] = []

    def answers(lightness: Tensor, hints: Tensor | None = None) -> Tensor:
        seen.extend([] if hints is None else hints)
        return lightness.repeat(1, 2, 1, 1) / 10

    network = Mock(side_effect=answers, parameters=lambda: iter([L]))
    list(predictions(network, CropDataset(photos[:2], 64, hints=fixed_patches(1)), 2))
    plain = answers(L[None])
    assert torch.equal(seen[0], extended(L[None], plain, hints[None])[0])
    assert (seen[0][2] > 0.05).float().mean() > 0.2

    many = [each.expand(60, -1, -1, -1) for each in (L, plain[0], hints)]
    given = mostly_extended(many[0], many[1], many[2], np.random.default_rng(0))
    assert 4 <= sum(torch.equal(each, hints) for each in given) <= 22


def test_answers_are_kept_where_nothing_is_hinted() -> None:
    config = TrainConfig(arch="unet", data=("none",), hints=True, init_from="default", keep=2)
    objective = Objective(config, ColorShares(np.zeros((22, 22)), 0.0))
    answers, hints = torch.rand(4, 2, 32, 32) * 40, torch.zeros(4, 3, 32, 32)
    hints[1:, 2, 5, 5] = 1
    changed = answers.clone()
    changed[1:] += 9
    assert objective.kept(changed, answers, hints) == 0
    changed[0] += 24  # absolute above a delta of 12: 24 - 12 / 2, in one of four crops
    assert float(objective.kept(changed, answers, hints)) == pytest.approx(18 / 4)
    assert objective.kept(changed[1:], answers[1:], hints[1:]) == 0
    assert float(objective.total({"kept": torch.tensor(3.0)})) == 6


@pytest.mark.parametrize("lacking", [{"hints": False}, {"init_from": None}])
def test_only_answers_of_a_parent_can_be_kept(lacking: dict[str, Any]) -> None:
    given = {"hints": True, "init_from": "default", **lacking}
    with pytest.raises(ArgumentError, match="keep needs --init-from"):
        TrainConfig(arch="unet", data=("none",), keep=1, **given)


def test_hints_shrink_with_their_crops() -> None:
    config = TrainConfig(arch="unet", data=("none",), size=64, start_size=32, hints=True)
    hints = torch.zeros(1, 3, 64, 64)
    hints[0, :, 8:11, 8:10] = torch.tensor([50.0, 20.0, 1.0])[:, None, None]
    small = _grown(
        Crop(some_lightness(1, 1, 64, 64), torch.zeros(1, 2, 64, 64), hints), 0.0, config
    )
    assert small.hints.shape == (1, 3, 32, 32)
    expected = torch.zeros(32, 32)
    expected[4, 4], expected[5, 4] = 1.0, 0.5
    torch.testing.assert_close(small.hints[0, 2], expected)
    there = expected > 0
    torch.testing.assert_close(small.hints[0, 0, there], torch.full((2,), 50.0))
    assert small.hints[0, :2, ~there].abs().max() == 0


@pytest.mark.slow
def test_the_command_learns_to_listen_and_keeps_listening(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "VALIDATIONS", 1)  # the last one is enough
    run, again = tmp_path / "run", tmp_path / "again"
    settings = ("--size", "64", "--batch-size", "8", "--steps", "30", "--lr", "2e-3")
    assert train(*settings, "--init-from", "default", "--hints", "-o", str(run)).exit_code == 0
    row = rows_of(run)[-1]
    assert float(row["psnr_100_hints"]) > float(row["psnr"]) + 0.5  # at the start it is the same
    assert {"psnr_1_hints", "psnr_10_hints"} <= row.keys()
    assert load_checkpoint(run / "checkpoint.safetensors").config.hints
    assert train(*QUICK, "--init-from", str(run), "-o", str(again)).exit_code == 0
    assert load_checkpoint(again / "checkpoint.safetensors").config.hints
    assert "psnr_10_hints" in rows_of(again)[-1]
