"""Losses and schedules against computations of their own."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.ndimage
import skimage.color
import torch
import torchvision
from PIL import Image

from colorize.runtime.color import rgb_to_lab
from colorize.runtime.errors import ArgumentError
from colorize.runtime.models.catalog import SAMPLES
from colorize.train.architectures.discriminator import PatchDiscriminator
from colorize.train.architectures.encoders import EfficientNetLiteEncoder
from colorize.train.checkpoints.pretrained import read_weights
from colorize.train.config import TrainConfig, resolve
from colorize.train.data.color_statistics import ColorShares
from colorize.train.data.crops import to_tensors
from colorize.train.data.photos import collect
from colorize.train.devices import Machine
from colorize.train.losses.lab import lab_to_rgb
from colorize.train.losses.losses import (
    ADVERSARIAL_LOSSES,
    COLOR_WEIGHTS,
    ChromaLoss,
    paleness,
    r1_penalty,
)
from colorize.train.losses.objective import Objective
from colorize.train.losses.perceptual import PerceptualLoss
from colorize.train.metrics import colorfulness
from colorize.train.schedule import Budget, learning_rate_factor


@pytest.fixture(scope="module")
def shares() -> ColorShares:
    return ColorShares.of(collect([str(SAMPLES / "train")]).photos)


def config(**changes: Any) -> TrainConfig:
    return TrainConfig("unet", (), **changes)


def noise(*shape: int) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(0).normal(0, 30, shape)).float()


def test_huber_is_the_weighted_mean_of_the_definition(shares: ColorShares) -> None:
    predicted, truth = noise(2, 3, 2, 8, 8).numpy()
    delta, vividness = 12.0, 1 / 30
    error = np.abs(predicted - truth)
    huber = np.where(error <= delta, error**2 / 2, delta * (error - delta / 2)) / delta
    weight = 1 + vividness * np.sqrt(truth[:, :1] ** 2 + truth[:, 1:] ** 2)
    expected = (huber * weight).mean() / (1 + vividness * shares.mean_chroma)
    loss = ChromaLoss(config(color_weights="vividness"), shares)
    assert float(loss(torch.tensor(predicted), torch.tensor(truth))) == pytest.approx(expected)
    assert float(loss(torch.tensor(truth), torch.tensor(truth))) == 0


def test_l1_without_weights_is_the_mean_absolute_error(shares: ColorShares) -> None:
    predicted, truth = noise(2, 3, 2, 8, 8)
    loss = ChromaLoss(config(pixel_loss="l1", color_weights="none"), shares)
    assert float(loss(predicted, truth)) == pytest.approx(
        np.abs(predicted.numpy() - truth.numpy()).mean()
    )


def test_paleness_is_what_a_picture_lacks_of_a_colorfulness_of_100() -> None:
    """Against the metric, which is computed in numpy from 8-bit pictures."""
    paths = sorted((SAMPLES / "train").glob("*.jpg"))[:4]
    rgb = np.stack([np.asarray(Image.open(path).convert("RGB").resize((64, 64))) for path in paths])
    lab = torch.from_numpy(np.stack([rgb_to_lab(picture) for picture in rgb])).permute(0, 3, 1, 2)
    expected = 1 - np.mean([colorfulness(picture) for picture in rgb]) / 100
    assert float(paleness(lab[:, :1], lab[:, 1:])) == pytest.approx(expected, abs=2e-3)
    gray = torch.zeros_like(lab[:, 1:]).requires_grad_()
    loss = paleness(lab[:, :1], gray)
    torch.autograd.backward(loss)
    assert float(loss.detach()) == pytest.approx(1, abs=2e-3)
    assert gray.grad is not None
    assert torch.isfinite(gray.grad).all()


@pytest.mark.parametrize("weights", sorted(COLOR_WEIGHTS))
def test_a_batch_costs_the_mean_of_its_halves(shares: ColorShares, weights: str) -> None:
    """What lets several processes share a batch."""
    predicted, truth = noise(2, 4, 2, 8, 8)
    truth[2:] *= 3
    loss = ChromaLoss(config(color_weights=weights), shares)
    halves = [float(loss(predicted[i : i + 2], truth[i : i + 2])) for i in (0, 2)]
    assert float(loss(predicted, truth)) == pytest.approx(sum(halves) / 2)


@pytest.mark.parametrize("weights", sorted(COLOR_WEIGHTS))
def test_weights_have_a_mean_of_one_over_the_photographs(shares: ColorShares, weights: str) -> None:
    weigh = COLOR_WEIGHTS[weights](config(), shares)
    drawn = []
    for path in sorted((SAMPLES / "train").glob("*.jpg")):
        with Image.open(path) as image:
            side = min(image.size)
            left, top = (image.width - side) / 2, (image.height - side) / 2
            box = (left, top, left + side, top + side)
            rgb = image.convert("RGB").resize((64, 64), Image.Resampling.BILINEAR, box)
        drawn.append(weigh(to_tensors(np.asarray(rgb))[1][None]))
    assert float(torch.stack(drawn).mean()) == pytest.approx(1, abs=0.05)


def test_rarity_weights_are_those_of_the_paper(shares: ColorShares) -> None:
    mix = 0.5
    smooth = scipy.ndimage.gaussian_filter(shares.shares, 0.5, mode="constant", truncate=4)
    smooth /= smooth.sum()
    cube = np.stack(np.meshgrid(*[np.arange(0, 256, 5)] * 3), axis=-1).astype(np.uint8)
    ab = skimage.color.rgb2lab(cube)[..., 1:].reshape(-1, 2)
    shown = len(np.unique(np.floor(ab / 10), axis=0))
    weights = 1 / ((1 - mix) * smooth + mix / shown)
    weights /= (weights * shares.shares).sum()
    ours = shares.rarity_weights(mix)
    np.testing.assert_allclose(ours, weights, rtol=0.02)
    assert len(np.unique(shares.rarity_weights(1.0))) == 1
    loss = ChromaLoss(config(color_weights="rarity"), shares)
    truth = torch.tensor([[5.0, 5.0], [85.0, 65.0]])[:, :, None, None]  # gray; a pure red
    gray, red = (float(loss(ab[None] + 20, ab[None])) for ab in truth)
    assert red / gray == pytest.approx(float(ours[19, 17] / ours[11, 11]), rel=1e-4)
    assert red > 5 * gray


def test_colorful_errors_weigh_more(shares: ColorShares) -> None:
    truth = torch.zeros(1, 2, 1, 2)
    truth[0, 0, 0, 1] = 60
    on_gray, on_color = truth.clone(), truth.clone()
    on_gray[0, 0, 0, 0] += 20
    on_color[0, 0, 0, 1] += 20
    loss = ChromaLoss(config(color_weights="vividness", vividness=1 / 30), shares)
    gray, color = (float(loss(predicted, truth)) for predicted in (on_gray, on_color))
    assert color == pytest.approx(3 * gray)


def test_adversarial_losses_are_those_of_the_papers() -> None:
    real, fake = torch.tensor([2.0, 0.5]), torch.tensor([-3.0, 0.25])
    hinge, lsgan = ADVERSARIAL_LOSSES["hinge"], ADVERSARIAL_LOSSES["lsgan"]
    assert float(hinge.discriminator(real, fake)) == pytest.approx((0 + 0.5) / 2 + (0 + 1.25) / 2)
    assert float(hinge.generator(fake)) == pytest.approx(2.75 / 2)
    expected = 0.5 * (1 + 0.25) / 2 + 0.5 * (9 + 0.0625) / 2
    assert float(lsgan.discriminator(real, fake)) == pytest.approx(expected)
    assert float(lsgan.generator(fake)) == pytest.approx(0.5 * (16 + 0.5625) / 2)


def test_r1_is_the_squared_slope_at_the_truth() -> None:
    """Of scores that are a weighted sum, the slope is the weights."""
    ab = noise(3, 2, 4, 4).requires_grad_()
    weights = torch.linspace(-1, 1, 32).reshape(2, 4, 4)
    scores = (ab / 110 * weights).sum(dim=(1, 2, 3))
    assert float(r1_penalty(scores, ab)) == pytest.approx(float(weights.square().sum()) / 2)


@pytest.mark.parametrize(
    "network", ["efficientnet_lite0", pytest.param("vgg16", marks=pytest.mark.slow)]
)
def test_perceptual_loss_is_the_distance_of_unit_features(network: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    if network == "vgg16":  # 528 MB
        reference = torchvision.models.vgg16(weights=None).eval()
        torch.save(reference.state_dict(), tmp_path / "net.pth")
        loss = PerceptualLoss(network, str(tmp_path / "net.pth"))
        layers, taps = [*reference.features], (3, 8, 15, 22, 29)
        means, deviations = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
    else:
        loss = PerceptualLoss(network, "DEFAULT")
        encoder = EfficientNetLiteEncoder()
        encoder.load_pretrained(read_weights(network, "DEFAULT"))
        layers, taps = [encoder.stem, torch.nn.ReLU6(), *encoder.eval().stages], (2, 3, 4, 6, 7)
        means, deviations = [127 / 255] * 3, [128 / 255] * 3
    with Image.open(SAMPLES / "test" / "tulips.jpg") as image:
        L, ab = (plane[None] for plane in to_tensors(np.asarray(image.resize((64, 64)))))
    gray = torch.zeros_like(ab)
    unit = []
    for colors in (gray, ab):
        lab = torch.cat([L, colors], dim=1)[0].permute(1, 2, 0).numpy()
        rgb = np.clip(skimage.color.lab2rgb(lab), 0, 1).transpose(2, 0, 1)
        mean, std = np.array(means), np.array(deviations)
        x = (rgb - mean[:, None, None]) / std[:, None, None]
        with torch.inference_mode():
            seen = [torch.from_numpy(x)[None].float()]
            for layer in layers:
                seen.append(layer(seen[-1]))
        maps = [seen[tap + 1][0].numpy() for tap in taps]
        unit.append([each / np.linalg.norm(each, axis=0) for each in maps])
    expected = sum(((a - b) ** 2).sum(axis=0).mean() for a, b in zip(*unit, strict=True))
    assert float(loss(L, gray, ab)) == pytest.approx(expected, rel=0.01)
    assert float(loss(L, ab, ab)) == 0
    predicted = (ab / 2).requires_grad_()
    torch.autograd.backward(loss(L, predicted, ab))
    assert predicted.grad is not None
    assert predicted.grad.isfinite().all()
    assert predicted.grad.abs().sum() > 0


def test_torch_turns_lab_to_rgb_as_the_runtime_does() -> None:
    with Image.open(SAMPLES / "test" / "coral_reef.jpg") as image:
        rgb = np.asarray(image.convert("RGB").resize((96, 64)))
    lab = torch.from_numpy(rgb_to_lab(rgb)).permute(2, 0, 1)[None].requires_grad_()
    ours = lab_to_rgb(lab[:, :1], lab[:, 1:])
    np.testing.assert_allclose(ours[0].detach().permute(1, 2, 0), rgb / 255, atol=1e-3)
    torch.autograd.backward(ours.sum())
    assert lab.grad is not None
    assert lab.grad.isfinite().all()


def test_the_objective_sums_what_was_asked_for(shares: ColorShares) -> None:
    chosen = config(
        pixel_loss="l1",
        perceptual="efficientnet_lite0",
        perceptual_weight=3.0,
        paleness_weight=2.0,
        adversarial_weight=0.25,
    )
    objective = Objective(chosen, shares)
    L, (predicted, truth) = noise(2, 1, 64, 64).abs(), noise(2, 2, 2, 64, 64)
    losses = objective.regression(L, predicted, truth)
    assert losses.keys() == {"l1", "perceptual", "paleness"}
    losses["adversarial"] = torch.tensor(8.0)
    total = float(losses["l1"]) + 3 * float(losses["perceptual"]) + 0.25 * 8
    total += 2 * float(losses["paleness"])
    assert float(objective.total(losses)) == pytest.approx(total)


def test_r1_reaches_the_discriminator(shares: ColorShares) -> None:
    L, (predicted, truth) = noise(2, 1, 32, 32).abs(), noise(2, 2, 2, 32, 32)
    torch.manual_seed(0)
    discriminator = PatchDiscriminator(8, spectral=False)
    values = []
    for penalty in ("spectral", "r1"):
        objective = Objective(config(discriminator_penalty=penalty, r1_weight=5.0), shares)
        loss = objective.discriminator_loss(discriminator, L, predicted, truth.clone())
        torch.autograd.backward(loss)
        values.append(float(loss.detach()))
    assert values[1] > values[0]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("pixel_loss", "unknown --loss 'x'; choose one of huber, l1"),
        ("color_weights", "unknown --color-weights 'x'; choose one of none, vividness, rarity"),
        ("adversarial_loss", "unknown --gan-loss 'x'; choose one of hinge, lsgan"),
        ("discriminator_penalty", "'x'; choose one of spectral, r1"),
        ("perceptual", "unknown perceptual network 'x'; choose one of efficientnet_lite0, vgg16"),
    ],
)
def test_unknown_names_list_the_choices(shares: ColorShares, name: str, message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        Objective(config(**{name: "x"}), shares)


def test_budget_ends_with_whichever_comes_first() -> None:
    config = TrainConfig("unet", (), steps=100, max_seconds=50.0)
    budget = Budget.of(config, photos=1000)
    assert budget.progress(10, 40) == pytest.approx(0.8)
    assert budget.progress(90, 1) == pytest.approx(0.9)
    assert budget.progress(100, 1) == budget.progress(1, 51) == 1
    assert Budget.of(TrainConfig("unet", (), epochs=2, batch_size=10), 100).steps == 20


def test_a_training_without_a_budget_is_given_one() -> None:
    machine = Machine(gpu=False, bf16=False, threads=1)
    assert resolve({"data": ("photos",)}, machine, 100, {}).epochs == 20
    assert resolve({"data": ("photos",), "steps": 5}, machine, 100, {}).epochs is None
    assert resolve({}, machine, 24, {}).max_seconds == 180
    with pytest.raises(ArgumentError, match="needs steps, epochs or max_seconds"):
        Budget.of(TrainConfig("unet", ()), 100)


def test_learning_rate_warms_up_and_falls_to_zero() -> None:
    config = TrainConfig("unet", (), warmup_steps=10)
    assert learning_rate_factor(1, 0, config) == pytest.approx(0.1)
    assert learning_rate_factor(10, 0, config) == pytest.approx(1)
    assert learning_rate_factor(500, 0.5, config) == pytest.approx(0.5)
    assert learning_rate_factor(1000, 1, config) == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("lr", math.nan),
        ("lr", -1.0),
        ("batch_size", 0),
        ("size", 100),
        ("size", 16),
        ("epochs", 0.0),
    ],
)
def test_impossible_settings_are_refused(name: str, value: float) -> None:
    with pytest.raises(ArgumentError, match=name):
        TrainConfig("unet", (), **{name: value})  # type: ignore[arg-type]  # wrong on purpose
