"""Other people's colorizers, wrapped: the runtime gives what they give, to within a level."""

import importlib.util
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
import torch.nn.functional as F
from click.testing import CliRunner, Result
from helpers.onnx_models import save_onnx
from onnxruntime.transformers.float16 import convert_float_to_float16
from skimage.color import lab2rgb, rgb2lab
from torch import Tensor, nn

from colorize.export.cli import main
from colorize.export.foreign import loaders as load
from colorize.export.foreign.signature import IOSignature, Range
from colorize.export.foreign.zhang import ECCV16, SIGGRAPH17
from colorize.export.graphs.onnx import read_metadata
from colorize.export.listing import exported_files
from colorize.export.tensorrt import builder as tensorrt
from colorize.runtime.color import F32
from colorize.runtime.colorizer import Colorizer
from colorize.runtime.models.catalog import SAMPLES
from colorize.runtime.photo.reader import read_photo

MEAN, STD = ([[[0.485]], [[0.456]], [[0.406]]], [[[0.229]], [[0.224]], [[0.225]]])


def run(*arguments: str | Path | int) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def test_a_float16_file_computes_as_it_did_between_float32_ends(tmp_path: Path) -> None:
    whole = onnx.load(save_onnx(tmp_path / "whole.onnx", (3, 2), ("N", "H", "W")))
    source, target = tmp_path / "theirs.onnx", tmp_path / "ours.onnx"
    onnx.save(convert_float_to_float16(whole), source)
    theirs = onnxruntime.InferenceSession(source, providers=["CPUExecutionProvider"])
    assert theirs.get_inputs()[0].type == "tensor(float16)"
    signature = ("--takes", "gray-rgb", "--gives", "ab", "--ab-scale", "20")
    about = ("--license", "MIT", "--source", "a friend", "--size-multiple", 8)
    result = run("--import", source, *signature, *about, "-o", target)
    assert result.exit_code == 0, result.output
    L = np.random.default_rng(1).uniform(5, 95, (1, 1, 40, 56)).astype(np.float32)
    [expected] = theirs.run(None, {"L": gray_rgb(L).astype(np.float16)})
    for backend in ("onnxruntime", "openvino"):
        with Colorizer(target, backend=backend, precision="fp32") as colorizer:
            assert levels(L, colorizer.engine.infer(L), expected * np.float32(20)) <= 1


def plain(path: Path) -> Callable[[F32], F32]:
    opened = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    name = opened.get_inputs()[0].name
    return lambda given: np.concatenate(
        [opened.run(None, {name: one[None].astype(np.float32)})[0] for one in given]
    )


def gray_rgb(lightness: F32) -> F32:
    """The gray picture, by scikit-image, as (N, 3, H, W) in 0..1."""
    lab = np.concatenate([lightness, 0 * lightness, 0 * lightness], axis=1)
    return np.asarray(lab2rgb(lab, channel_axis=1), np.float32)


def levels(lightness: F32, one: F32, two: F32) -> float:
    pictures = [
        lab2rgb(np.concatenate([lightness, ab], axis=1), channel_axis=1) for ab in (one, two)
    ]
    return float(255 * np.abs(pictures[0] - pictures[1]).max())


@pytest.mark.parametrize(
    ("channels", "sides", "options", "expected"),
    [
        pytest.param(
            (1, 2), ("N", "H", "W"), "--takes L --gives ab", lambda net, L: net(L), id="L-ab"
        ),
        pytest.param(
            (1, 2),
            (1, "H", "W"),
            "--takes L --takes-range -1,1 --gives ab --ab-scale 110",
            lambda net, L: 110 * net(L / 50 - 1),
            id="L-ab in ranges, one at a time",
        ),
        pytest.param(
            (3, 2),
            ("N", 48, 80),
            "--takes gray-rgb --takes-range 0,255 --gives ab",
            lambda net, L: net(255 * gray_rgb(L)),
            id="rgb-ab of one size",
        ),
        pytest.param(
            (3, 3),
            (1, 64, 64),
            "--takes gray-rgb --takes-range imagenet --gives rgb --gives-range imagenet",
            lambda net, L: rgb2lab(
                np.clip(net((gray_rgb(L) - MEAN) / STD) * STD + MEAN, 0, 1), channel_axis=1
            )[:, 1:],
            id="rgb-rgb as DeOldify",
        ),
    ],
)
def test_onnx_files_of_every_kind(
    channels: tuple[int, int],
    sides: tuple[Any, Any, Any],
    options: str,
    expected: Callable[[Callable[[F32], F32], F32], F32],
    tmp_path: Path,
) -> None:
    source, target = save_onnx(tmp_path / "theirs.onnx", channels, sides), tmp_path / "ours.onnx"
    about = ("--license", "MIT", "--source", "a friend", "--size-multiple", 8)
    result = run("--import", source, *options.split(), *about, "-o", target)
    assert result.exit_code == 0, result.output
    assert "proved: onnxruntime, fp32" in result.stderr
    for backend in ("onnxruntime", "openvino"):
        with Colorizer(target, backend=backend, precision="fp32") as colorizer:
            info = colorizer.info
            height, width = info.fixed_size or (40, 56)
            L = np.random.default_rng(1).uniform(5, 95, (3, 1, height, width)).astype(np.float32)
            ab = colorizer.engine.infer(L)
            assert levels(L, ab, expected(plain(source), L)) <= 1
            assert np.abs(ab).mean() > 0.5
            photo = read_photo(SAMPLES / "test" / "tulips.jpg").rgb
            assert colorizer.image(photo).shape == photo.shape
    fixed = sides[1:] if isinstance(sides[1], int) else None
    assert (info.fixed_size, info.license) == (fixed, "MIT")
    sidecar = json.loads(target.with_suffix(".json").read_text())
    assert (sidecar["source"], sidecar["licence"]) == ("a friend", "MIT")
    assert read_metadata(target)["colorize.source"] == "a friend"


@pytest.mark.skipif(
    importlib.util.find_spec("tensorrt_rtx") is None, reason="tensorrt_rtx is not installed"
)
def test_tensorrt_builds_an_engine_of_an_import(tmp_path: Path) -> None:
    source, target = save_onnx(tmp_path / "a.onnx", (3, 3), ("N", "H", "W")), tmp_path / "b.onnx"
    result = run("--import", source, "--takes", "gray-rgb", "--gives", "rgb", "-o", target)
    assert result.exit_code == 0, result.output
    options = tensorrt.BuildOptions(size=(64, 64, 128))
    engine = tensorrt.build_engine(
        target, tensorrt.find_toolkit(), options, lambda *_: None, lambda _: None
    )
    assert engine.stat().st_size > 1000


def colorful(network: nn.Module, last: nn.Conv2d, gain: float) -> nn.Module:
    """Random weights answer with grays; give the answer some size."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, std=0.2)
        elif isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.kaiming_normal_(module.weight)
    with torch.no_grad():
        last.weight *= gain
    return network.eval()


def zhang(name: str) -> nn.Module:
    torch.manual_seed(0)
    if name == "eccv16":
        network = ECCV16()
        return colorful(network, network.model_out, 3)
    unet = SIGGRAPH17()
    last = unet.model_out[0]
    assert isinstance(last, nn.Conv2d)
    return colorful(unet, last, 0.1)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "precision"), [("eccv16", "fp32"), ("eccv16", "fp16"), ("siggraph17", "fp32")]
)
def test_networks_of_zhang(name: str, precision: str, tmp_path: Path) -> None:
    network = zhang(name)
    source, target = tmp_path / f"{name}.pth", tmp_path / "ours.onnx"
    torch.save(network.state_dict(), source)
    result = run("--import", source, "--engine", precision, "-o", target)
    assert result.exit_code == 0, result.output
    L = np.random.default_rng(1).uniform(5, 95, (2, 1, 64, 96)).astype(np.float32)
    hints = np.zeros((2, 3, 64, 96), np.float32)
    hints[0, :, 10:14, 20:30] = np.array([50, -70, 1])[:, None, None]
    given: list[F32] = [L / np.float32(100) - np.float32(0.5)]
    if name == "siggraph17":  # it was made to be told colors
        given.append(hints / np.array([110, 110, 1], np.float32)[:, None, None])
    with torch.inference_mode():
        expected = 110 * network(*map(torch.from_numpy, given)).numpy()
    assert np.abs(expected).mean() > 1
    with Colorizer(target, backend="onnxruntime") as colorizer:
        assert (colorizer.info.architecture, colorizer.info.size_multiple) == (name, 8)
        assert colorizer.info.takes_hints == (name == "siggraph17")
        if name == "siggraph17":
            ab = colorizer.engine.infer(L, hints)
            unhinted = colorizer.engine.infer(L)
            assert np.abs(ab - unhinted)[0].max() > 1
            assert np.abs(ab - unhinted)[1].max() < 1e-3
        else:
            ab = colorizer.engine.infer(L)
    if precision == "fp32":
        assert levels(L, ab, expected) <= 1
    else:
        assert np.abs(ab - expected).mean() < 1
        assert target.stat().st_size < 0.55 * source.stat().st_size


def test_the_definition_of_eccv16_by_hand() -> None:
    """The paper's table, layer by layer, with functions alone."""
    network = zhang("eccv16")
    w = network.state_dict()
    x = given = torch.rand(1, 1, 32, 48) - 0.5
    strides = {"1": (1, 2), "2": (1, 2), "3": (1, 1, 2)}
    for block in "1234567":
        dilation = 2 if block in "56" else 1
        for i, stride in enumerate(strides.get(block, (1, 1, 1))):
            key = f"model{block}.{2 * i}"
            weight, bias = w[f"{key}.weight"], w[f"{key}.bias"]
            x = F.conv2d(x, weight, bias, stride, dilation, dilation).relu()
        key = f"model{block}.{2 * (i + 1)}"
        parts = ("running_mean", "running_var", "weight", "bias")
        x = F.batch_norm(x, *(w[f"{key}.{part}"] for part in parts))
    x = F.conv_transpose2d(x, w["model8.0.weight"], w["model8.0.bias"], 2, 1).relu()
    for key in ("model8.2", "model8.4"):
        x = F.conv2d(x, w[f"{key}.weight"], w[f"{key}.bias"], 1, 1).relu()
    x = F.conv2d(x, w["model8.6.weight"], w["model8.6.bias"]).softmax(1)
    x = F.conv2d(x, w["model_out.weight"])
    expected = F.interpolate(x, scale_factor=4, mode="bilinear")
    with torch.inference_mode():
        torch.testing.assert_close(network(given), expected)


@pytest.mark.slow
@pytest.mark.skipif(
    importlib.util.find_spec("spandrel_extra_arches") is None, reason="the extra import is missing"
)
def test_ddcolor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from spandrel_extra_arches.architectures.DDColor import DDColor

    monkeypatch.setattr(load, "DDCOLOR_SIZE", 64)
    torch.manual_seed(0)
    network = DDColor(
        encoder_name="convnext-t",
        input_size=(64, 64),
        num_output_channels=2,
        last_norm="Spectral",
        num_queries=20,
        dec_layers=3,
    )
    with torch.no_grad():  # spectral norms of random weights settle in training mode
        for _ in range(5):
            network.train()(torch.rand(2, 3, 64, 64))
        network.decoder.color_decoder.color_embed.layers[-1].weight *= 100
    network.eval()
    source, target = tmp_path / "ddcolor.pth", tmp_path / "ours.onnx"
    torch.save({"params": network.state_dict()}, source)
    result = run("--import", source, "-o", target)
    assert result.exit_code == 0, result.output
    L = np.random.default_rng(1).uniform(5, 95, (2, 1, 64, 64)).astype(np.float32)
    with torch.inference_mode():
        expected = network(torch.from_numpy(gray_rgb(L))).numpy()
    assert np.abs(expected).mean() > 0.5
    with Colorizer(target, backend="onnxruntime") as colorizer:
        assert colorizer.info.fixed_size == (64, 64)
        assert levels(L, colorizer.engine.infer(L), expected) <= 1


def test_what_was_imported_is_listed_and_says_how_to_prove_it_again(tmp_path: Path) -> None:
    source = save_onnx(tmp_path / "theirs.onnx", (1, 2), ("N", "H", "W"))
    ours = tmp_path / "ours" / "ours.onnx"
    result = run("--import", source, "--takes", "L", "--gives", "ab", "-o", ours)
    assert result.exit_code == 0, result.output
    [row] = exported_files([ours.parent])
    assert row.proof.startswith("levels mean 0.0")
    result = run("--verify", ours)
    assert result.exit_code == 2
    assert "prove it by --import, again from the file" in result.stderr.splitlines()[-1]


def test_rounding_to_float16_shows_what_overflows() -> None:
    """Each operation is rounded, so that a value beyond float16 is seen."""

    class Large(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return (x * 70000 / 70000).repeat(1, 2, 1, 1)

    signature = IOSignature("L", Range((0.0,), (1.0,)), "ab")
    foreign = load.of_torch("large", Large(), signature, native_size=64, size_multiple=8)
    given = np.ones((1, 1, 8, 8), np.float32)
    assert np.isfinite(foreign.compute(given)).all()
    assert not np.isfinite(load.halved(foreign).compute(given)).all()
