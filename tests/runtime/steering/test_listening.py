"""Hints with a model that takes them: it hears them, and what it still lacks is spread."""

from pathlib import Path

import numpy as np
import pytest

from colorize.runtime.color import rgb_to_lab
from colorize.runtime.colorizer import Colorizer
from colorize.runtime.steering.hints import Hints

GRAY = np.full((128, 160), 120, np.uint8)
BLUE = Hints.points([(40, 60, "#4060c0", 12)])


def test_the_answer_goes_a_third_of_the_way_to_what_the_model_heard(tiny_hint_model: Path) -> None:
    """`tiny_hint_model` adds hinted colors to its guess, each at its own place."""
    with Colorizer(tiny_hint_model, backend="openvino", precision="fp32") as colorizer:
        [(_, guess)] = colorizer.chroma([GRAY])
        hinted, plain = colorizer.answers([GRAY, GRAY], [BLUE, None])
    assert hinted.hints is not None
    heard = (hinted.hints[:2] * hinted.hints[2]).transpose(1, 2, 0)
    assert np.abs(heard).max() > 20
    np.testing.assert_allclose(hinted.ab, guess + heard / 3, atol=1e-3)
    np.testing.assert_allclose(plain.ab, guess, atol=1e-3)
    assert plain.hints is None


@pytest.mark.parametrize("backend", ["openvino", "onnxruntime"])
def test_inside_a_stroke_it_is_the_color_asked_for(backend: str, tiny_hint_model: Path) -> None:
    with Colorizer(tiny_hint_model, backend=backend, precision="fp32") as colorizer:
        rgb = colorizer.image(GRAY, hints=BLUE)
        plain = colorizer.image(GRAY)
    asked = rgb_to_lab(np.array([[[0x40, 0x60, 0xC0]]], np.uint8))[0, 0, 1:]
    got = rgb_to_lab(rgb)[56:64, 36:44, 1:].mean((0, 1))
    # Of its hue; at this lightness sRGB shows less of it than was asked for, or as much.
    assert got @ asked / (np.linalg.norm(got) * np.linalg.norm(asked)) > 0.98
    assert np.abs(rgb.astype(int) - plain)[56:64, 36:44].max() > 20
