"""Networks that take hints: exported, halved, quantized, and as self-contained pictures."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from colorize.export.graphs.fp16 import deployed_network, halve, rank_layers
from colorize.export.graphs.image import image_graph
from colorize.export.graphs.int8 import calibrate
from colorize.export.graphs.onnx import export_onnx
from colorize.export.jobs.checkpoint import export_checkpoint
from colorize.export.jobs.image import prove_image
from colorize.export.jobs.output import Output
from colorize.export.jobs.verify import recheck
from colorize.export.proof.batches import sample_batches, seen_batches, square_batch
from colorize.export.proof.proof import reference_answer, torch_answer
from colorize.runtime.color import F32
from colorize.runtime.engines.onnxruntime import OnnxRuntimeEngine
from colorize.runtime.engines.openvino import OpenVINOEngine
from colorize.runtime.errors import ArgumentError
from colorize.runtime.files import photo_files, sha256
from colorize.runtime.models.catalog import SAMPLES
from colorize.runtime.models.contract import ModelInfo
from colorize.train.architectures.gan import GANConfig
from colorize.train.architectures.unet import UNetConfig
from colorize.train.checkpoints.checkpoint import Checkpoint

SLIM = UNetConfig("plain", (16, 32, 32, 48, 64), (48, 32, 32, 16), hints=True)


def listening(checkpoint: Checkpoint) -> Checkpoint:
    """Give the hint weights what a training would have given them."""
    assert checkpoint.network.hints is not None
    for module in checkpoint.network.hints.modules():
        if isinstance(module, torch.nn.Conv2d):
            torch.nn.init.normal_(module.weight, std=0.15)
    return checkpoint


@pytest.fixture(scope="module")
def checkpoint(trained_like: Callable[..., Checkpoint]) -> Checkpoint:
    return listening(trained_like("unet", SLIM))


@pytest.fixture(scope="module")
def made(
    checkpoint: Checkpoint, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Path, list[str]]:
    """The checkpoint's file, its export, and what the export said."""
    source = tmp_path_factory.mktemp("hints") / "net.safetensors"
    checkpoint.save(source)
    target, lines = source.with_suffix(".onnx"), list[str]()
    output = Output(target, lines.append)
    output.publish(export_checkpoint(source, "fp32", output))
    return source, target, lines


def hints_like(lightness: F32, seed: int = 0) -> F32:
    count, _, height, width = lightness.shape
    hints = np.zeros((count, 3, height, width), np.float32)
    color = np.array([*np.random.default_rng(seed).uniform(-60, 60, 2), 1])
    hints[:, :, height // 4 : height // 2, 4:20] = color[:, None, None]
    return hints


def test_an_export_is_proved_with_and_without_hints(
    made: tuple[Path, Path, list[str]], checkpoint: Checkpoint
) -> None:
    _, target, lines = made
    assert sum(line.startswith("proved: ") for line in lines) >= 2
    [lightness] = square_batch(32, 64, photos=2)
    hints = hints_like(lightness)
    truth = torch_answer(checkpoint.network)
    for engine in (OnnxRuntimeEngine(target), OpenVINOEngine(target, "fp32")):
        with engine:
            assert engine.info.takes_hints
            assert engine.info.contract_version == 2
            plain = engine.infer(lightness)
            np.testing.assert_allclose(plain, truth(lightness), atol=0.01)
            hinted = engine.infer(lightness, hints)
            np.testing.assert_allclose(hinted, truth(lightness, hints), atol=0.01)
            assert np.abs(hinted - plain).max() > 5


def test_a_file_is_proved_again(made: tuple[Path, Path, list[str]]) -> None:
    source, target, _ = made
    lines: list[str] = []
    recheck(Output(target, lines.append), source)
    assert sum(line.startswith("proved: ") for line in lines) >= 2


@pytest.mark.parametrize("whole", [False, True])
def test_openvino_spares_the_work_where_nothing_is_hinted(
    whole: bool, made: tuple[Path, Path, list[str]]
) -> None:
    """The same answer as to hints that are all zero, from a network that does not have them."""
    _, target, _ = made
    [lightness] = square_batch(32, 64, photos=3 if whole else 1)
    with OpenVINOEngine(target, "fp32") as engine:
        assert engine.omits_hints
        plain = engine.infer(lightness)
        assert {hinted for _, hinted in engine._requests} == {False}
        zeros = np.zeros((len(lightness), 3, 64, 64), np.float32)
        np.testing.assert_allclose(engine.infer(lightness, zeros), plain, atol=1e-4)
        assert engine._unhinted is not None
        kinds = {node.get_type_name() for node in engine._unhinted.get_ops()}
        assert not kinds & {"Exp", "MatMul", "AvgPool"}


def test_a_network_that_mixes_hints_in_gets_zeros(tiny_info: ModelInfo, tmp_path: Path) -> None:
    from onnx import TensorProto, helper

    weight = helper.make_tensor("w", TensorProto.FLOAT, [2, 4, 1, 1], [0.2, 1, 0, 5, -0.6, 0, 1, 7])
    planes = ["N", "H", "W"]
    graph = helper.make_graph(
        [
            helper.make_node("Concat", ["L", "hints"], ["both"], axis=1),
            helper.make_node("Conv", ["both", "w"], ["ab"]),
        ],
        "joined",
        [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, [planes[0], wide, *planes[1:]])
            for name, wide in (("L", 1), ("hints", 3))
        ],
        [helper.make_tensor_value_info("ab", TensorProto.FLOAT, [planes[0], 2, *planes[1:]])],
        [weight],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    helper.set_model_props(model, replace(tiny_info, takes_hints=True).to_metadata())
    onnx.save(model, tmp_path / "joined.onnx")
    lightness = np.full((1, 1, 8, 8), 50, np.float32)
    with OpenVINOEngine(tmp_path / "joined.onnx", "fp32") as engine:
        assert not engine.omits_hints
        np.testing.assert_allclose(engine.infer(lightness)[0, :, 0, 0], (10, -30), rtol=1e-5)


@pytest.mark.slow
def test_hints_survive_float16(checkpoint: Checkpoint, tmp_path: Path) -> None:
    batches = sample_batches(32, (64,), photos=3, hints=True)
    assert len({batch[1].any() for batch in batches[:-1]}) == 2  # some with hints, one with none
    kept, proof = halve(checkpoint.network, batches, pytest.fail)
    assert proof.passed
    assert kept == ()
    names = rank_layers(checkpoint.network, batches[1])
    assert "hints.stem" in names
    # Layers that are kept in float32, among them those of the hints, still fit together.
    mixed = deployed_network(checkpoint.network, "fp16", [*names[:4], "hints.stem"])
    truth = torch_answer(checkpoint.network)(*batches[1])
    assert np.abs(torch_answer(mixed)(*batches[1]) - truth).mean() < 0.5
    file = tmp_path / "half.onnx"
    file.write_bytes(export_onnx(checkpoint, "0" * 64, "fp16").SerializeToString())
    [lightness] = square_batch(32, 32, photos=1)
    hints = hints_like(lightness)
    answer = reference_answer(file)(lightness, hints)
    halved = torch_answer(deployed_network(checkpoint.network, "fp16"))(lightness, hints)
    assert np.abs(answer - halved).mean() < 0.2


def test_eight_bits_leave_hints_and_the_first_layer_alone(
    made: tuple[Path, Path, list[str]], tiny_info: ModelInfo
) -> None:
    _, target, _ = made
    info = replace(tiny_info, takes_hints=True, size_multiple=32)
    seen = seen_batches(photo_files(SAMPLES / "train")[:3], info, hints=True)
    assert [batch[1].any() for batch in seen] == [False, True, True]
    network = calibrate(target, seen)
    convs = [node for node in network.model.graph.node if node.op_type == "Conv"]
    left = [node for node in convs if node.name not in network.layers]
    widths = {w.name: list(w.dims) for w in network.model.graph.initializer}
    # The first layer, and the stem's, the deepest, the spread's and four levels' of the hints.
    assert sorted(widths[node.input[1]][1] for node in left) == [1, 3, 3, 3, 3, 3, 3, 3]
    assert len(network.layers) > 10


@pytest.mark.slow
def test_a_picture_with_hints_in_one_file(
    made: tuple[Path, Path, list[str]], tmp_path: Path, tiny_model: Path
) -> None:
    _, target, _ = made
    network = onnx.load(target)
    plain, hinted = tmp_path / "plain.onnx", tmp_path / "hinted.onnx"
    plain.write_bytes(image_graph(network).SerializeToString())
    hinted.write_bytes(image_graph(network, hints=True).SerializeToString())
    assert prove_image(plain, target).levels <= 2
    assert prove_image(hinted, target, hints=True).levels <= 2
    sessions = [
        onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        for path in (plain, hinted)
    ]
    names = [[given.name for given in session.get_inputs()] for session in sessions]
    assert names == [["gray"], ["gray", "hints"]]  # none is baked in
    gray = np.tile(np.linspace(40, 200, 96).astype(np.uint8), (1, 64, 1))
    overlay = np.zeros((1, 64, 96, 4), np.uint8)
    overlay[..., :3] = 200  # transparent: no hint, whatever its color
    pictures = [
        session.run(None, {"gray": gray, **given})[0].astype(int)
        for session, given in zip(sessions, ({}, {"hints": overlay}), strict=True)
    ]
    assert np.abs(pictures[0] - pictures[1]).max() <= 1
    overlay[:, 20:44, 30:60] = (220, 30, 40, 255)
    changed = sessions[1].run(None, {"gray": gray, "hints": overlay})[0].astype(int)
    assert np.abs(changed - pictures[1]).max() > 5
    with pytest.raises(ArgumentError, match="takes no hints; leave out --graph image-hints"):
        image_graph(onnx.load(tiny_model), hints=True)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["gan", "resnet"])
def test_other_architectures(
    name: str, trained_like: Callable[..., Checkpoint], tmp_path: Path
) -> None:
    from colorize.train.architectures import architecture

    config = replace(architecture(name).presets["small"], hints=True)
    checkpoint, file = listening(trained_like(name, config)), tmp_path / "net.onnx"
    file.write_bytes(export_onnx(checkpoint, "0" * 64, "fp32").SerializeToString())
    truth = torch_answer(checkpoint.network)
    batches = sample_batches(32, (64,), hints=True)
    for engine in (OnnxRuntimeEngine(file), OpenVINOEngine(file, "fp32")):
        with engine:
            for batch in batches:
                np.testing.assert_allclose(engine.infer(*batch), truth(*batch), atol=0.01)


def test_files_without_hints_are_what_they_were(
    trained_like: Callable[..., Checkpoint], tmp_path: Path
) -> None:
    checkpoint = trained_like("gan", GANConfig((8, 16, 16), 1, (16, 8)))
    model = export_onnx(checkpoint, sha256(b"x"), "fp32")
    assert [value.name for value in model.graph.input] == ["L"]
    assert not any("takes_hints" in entry.key for entry in model.metadata_props)
