"""Losses and schedules against computations of their own."""

import math

import numpy as np
import pytest
import torch

from colorize.runtime.errors import ArgumentError
from colorize.train.config import TrainConfig
from colorize.train.losses import chroma_huber, discriminator_hinge, generator_hinge
from colorize.train.schedule import Budget, learning_rate_factor


def test_huber_is_the_weighted_mean_of_the_definition() -> None:
    generator = np.random.default_rng(0)
    predicted, truth = generator.normal(0, 30, (2, 3, 2, 8, 8))
    delta, vividness = 12.0, 1 / 30
    error = np.abs(predicted - truth)
    huber = np.where(error <= delta, error**2 / 2, delta * (error - delta / 2)) / delta
    weight = 1 + vividness * np.sqrt(truth[:, :1] ** 2 + truth[:, 1:] ** 2)
    expected = (huber * weight).mean() / weight.mean()
    loss = chroma_huber(torch.tensor(predicted), torch.tensor(truth), delta, vividness)
    assert float(loss) == pytest.approx(expected)
    assert float(chroma_huber(torch.tensor(truth), torch.tensor(truth), delta, vividness)) == 0


def test_colourful_errors_weigh_more() -> None:
    truth = torch.zeros(1, 2, 1, 2)
    truth[0, 0, 0, 1] = 60
    on_grey, on_colour = truth.clone(), truth.clone()
    on_grey[0, 0, 0, 0] += 20
    on_colour[0, 0, 0, 1] += 20
    grey, colour = (float(chroma_huber(p, truth, 12, 1 / 30)) for p in (on_grey, on_colour))
    assert colour == pytest.approx(3 * grey)


def test_hinge_losses() -> None:
    real, fake = torch.tensor([2.0, 0.5]), torch.tensor([-3.0, 0.25])
    assert float(discriminator_hinge(real, fake)) == pytest.approx((0 + 0.5) / 2 + (0 + 1.25) / 2)
    assert float(generator_hinge(fake)) == pytest.approx(2.75 / 2)


def test_budget_ends_with_whichever_comes_first() -> None:
    config = TrainConfig("unet", (), steps=100, max_seconds=50.0)
    budget = Budget.of(config, photos=1000)
    assert budget.progress(10, 40) == pytest.approx(0.8)
    assert budget.progress(90, 1) == pytest.approx(0.9)
    assert budget.progress(100, 1) == budget.progress(1, 51) == 1
    assert Budget.of(TrainConfig("unet", (), epochs=2, batch_size=10), 100).steps == 20


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
    with pytest.raises(ArgumentError, match=name.replace("_", "-")):
        TrainConfig("unet", (), **{name: value})  # type: ignore[arg-type]  # wrong on purpose
