"""Hints with a model that takes them: it hears them, and what it still lacks is spread."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from helpers.bench import INFO
from helpers.onnx_models import write_model

from colorize.runtime.color import rgb_to_lab
from colorize.runtime.colorizer import Colorizer
from colorize.runtime.steering.hints import Hints
from colorize.runtime.steering.spread import extend_hints

GRAY = np.full((128, 160), 120, np.uint8)
BLUE = Hints.points([(40, 60, "#4060c0", 12)])


@pytest.mark.parametrize("extended", [False, True])
def test_a_model_hears_hints_or_what_they_let_expect_and_is_followed_in_part(
    extended: bool, tiny_hint_model: Path, tmp_path: Path
) -> None:
    """`tiny_hint_model` adds hinted colors to its guess, each at its own place."""
    info = replace(INFO, takes_hints=True, extended_hints=extended)
    model = write_model(tmp_path / "model.onnx", info.to_metadata(), hints=True)
    with Colorizer(model, backend="openvino", precision="fp32") as colorizer:
        assert colorizer.info.extended_hints == extended
        [(lightness, guess)] = colorizer.chroma([GRAY])
        hinted, plain = colorizer.answers([GRAY, GRAY], [BLUE, None])
    assert hinted.hints is not None
    told = extend_hints(lightness, guess, hinted.hints) if extended else hinted.hints
    assert (told[2] > 0.1).mean() > 0.5 if extended else (told[2] > 0.1).mean() < 0.1
    heard = (told[:2] * told[2]).transpose(1, 2, 0)
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
