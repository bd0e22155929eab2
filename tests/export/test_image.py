"""The self-contained file: the picture that colorize-run makes, with no code around the graph."""

import dataclasses
import importlib.util
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime
import pytest
from click.testing import CliRunner

from colorize.export.cli import main
from colorize.export.graphs.color import FLOAT, UINT8, shrink, working_side
from colorize.export.graphs.expressions import Formulas
from colorize.export.graphs.image import image_graph
from colorize.export.jobs.image import MOST_LEVELS, as_image_graph, prove_image
from colorize.export.jobs.output import Exported, Output
from colorize.export.tensorrt import builder as tensorrt
from colorize.runtime import resize as planes
from colorize.runtime.color import U8
from colorize.runtime.colorizer import Colorizer
from colorize.runtime.errors import ModelError, ProofError
from colorize.runtime.files import sha256
from colorize.runtime.models.catalog import MODELS, SAMPLES
from colorize.runtime.models.contract import ModelInfo
from colorize.runtime.photo.reader import read_photo

SHAPES = [(512, 512), (341, 128), (96, 108), (54, 64), (31, 300), (1, 1), (700, 500)]


@pytest.fixture(scope="module")
def default_image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("image") / "image.onnx"
    model = image_graph(onnx.load(MODELS / "default.onnx"))
    path.write_bytes(model.SerializeToString())
    return path


def session(path: Path) -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])


def gray_of(name: str, height: int, width: int) -> U8:
    gray = read_photo(SAMPLES / "test" / name).gray()
    repeats = -(-height // gray.shape[0]), -(-width // gray.shape[1])
    return np.ascontiguousarray(np.tile(gray, repeats)[:height, :width])


@pytest.mark.parametrize("shape", SHAPES)
def test_pictures_equal_those_of_colorize_run(shape: tuple[int, int], default_image: Path) -> None:
    opened = session(default_image)
    with Colorizer(backend="onnxruntime") as colorizer:
        for name in ("tulips.jpg", "coral_reef.jpg"):
            gray = gray_of(name, *shape)
            [rgb] = opened.run(None, {"gray": gray[None]})[0]
            expected = colorizer.image(gray)
            assert rgb.dtype == np.uint8
            assert rgb.shape == (*shape, 3)
            assert np.abs(rgb.astype(int) - expected).max() <= MOST_LEVELS
            if min(shape) > 50:
                assert np.ptp(rgb, axis=-1).mean() > 5  # it is in color


def test_several_pictures_at_once(default_image: Path) -> None:
    grays = np.stack(
        [gray_of(name, 90, 120) for name in ("tulips.jpg", "cat.jpg", "dog_field.jpg")]
    )
    opened = session(default_image)
    together = opened.run(None, {"gray": grays})[0]
    alone = [opened.run(None, {"gray": gray[None]})[0][0] for gray in grays]
    assert np.abs(together.astype(int) - np.stack(alone)).max() <= 1


def shrinker(size: int, multiple: int) -> Callable[[U8], U8]:
    """The part of the graph before the network, as a function."""
    gray = ir.val("gray", UINT8, ["N", "H", "W"])
    formulas = Formulas("part")
    levels = formulas.term(gray).to(FLOAT).op("Unsqueeze", np.array([1]))
    sides = levels.side(2), levels.side(3)
    height, width = (working_side(a, b, size, multiple) for a, b in (sides, sides[::-1]))
    small = shrink(levels, height, width).value
    small.name, small.type, small.shape = (
        "small",
        ir.TensorType(FLOAT),
        ir.Shape(["N", 1, "h", "w"]),
    )
    graph = ir.Graph([gray], [small], nodes=[], opset_imports={"": 21}, name="part")
    formulas.add_to(graph)
    data = ir.to_proto(ir.Model(graph, ir_version=10)).SerializeToString()
    opened = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    return lambda picture: opened.run(None, {"gray": picture[None]})[0][0, 0]


@pytest.mark.parametrize(("size", "multiple"), [(128, 32), (250, 8), (48, 28)])
def test_the_shrink_is_that_of_the_runtime_to_the_bit(size: int, multiple: int) -> None:
    small = shrinker(size, multiple)
    for height, width in [*SHAPES, (49, 77), (132, 96), (1080, 1920), (300, 112)]:
        gray = gray_of("grace_hopper.jpg", height, width)
        expected = planes.shrink(gray, planes.working_shape(height, width, size, multiple))
        np.testing.assert_array_equal(small(gray), expected)


def test_colors_outside_the_gamut_are_scaled_as_the_runtime_does(
    tiny_model: Path, tmp_path: Path
) -> None:
    """The tiny model's colors are far outside for dark and for bright grays."""
    path = tmp_path / "image.onnx"
    path.write_bytes(image_graph(onnx.load(tiny_model)).SerializeToString())
    ramp = np.tile(np.arange(256, dtype=np.uint8), (64, 1))
    [rgb] = session(path).run(None, {"gray": ramp[None]})[0]
    with Colorizer(tiny_model, backend="onnxruntime") as colorizer:
        expected = colorizer.image(ramp)
    assert np.abs(rgb.astype(int) - expected).max() <= MOST_LEVELS


def test_networks_of_one_size_are_wrapped_too(
    tiny_info: ModelInfo, save_model: Callable[..., Path], tmp_path: Path
) -> None:
    metadata = dataclasses.replace(tiny_info, fixed_size=(48, 80)).to_metadata()
    network = save_model(tmp_path / "network.onnx", metadata, sides=("N", 48, 80))
    path = tmp_path / "image.onnx"
    path.write_bytes(image_graph(onnx.load(network)).SerializeToString())
    assert prove_image(path, network).levels <= MOST_LEVELS


def test_a_wrong_picture_is_refused(default_image: Path, tiny_model: Path) -> None:
    with pytest.raises(ProofError, match=r"refused: image graph: at most .* levels"):
        prove_image(default_image, tiny_model)


def test_the_runtime_names_what_it_is(default_image: Path) -> None:
    with pytest.raises(ModelError, match="inputs are gray; the contract has inputs L and hints"):
        Colorizer(default_image)


@pytest.mark.skipif(
    importlib.util.find_spec("tensorrt_rtx") is None, reason="tensorrt_rtx is not installed"
)
def test_tensorrt_parses_it(default_image: Path) -> None:
    trt = tensorrt.find_toolkit().trt
    log = trt.Logger(trt.Logger.ERROR)
    strongly_typed = 1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED)
    network = trt.Builder(log).create_network(strongly_typed)
    parser = trt.OnnxParser(network, log)
    assert parser.parse(default_image.read_bytes()), [
        parser.get_error(i).desc() for i in range(parser.num_errors)
    ]
    given, answer = network.get_input(0), network.get_output(0)
    assert (given.dtype, answer.dtype) == (trt.uint8, trt.uint8)


def test_the_job_leaves_one_proven_file_and_its_sidecar(tmp_path: Path) -> None:
    lines: list[str] = []
    output = Output(tmp_path / "picture.onnx", lines.append)
    network = Exported((MODELS / "default.onnx").read_bytes(), {"architecture": "unet"})
    output.publish(as_image_graph(network, output))
    assert {path.name for path in tmp_path.iterdir()} == {"picture.onnx", "picture.json"}
    assert len(lines) == 1
    assert "image graph: at most" in lines[0]
    sidecar = json.loads((tmp_path / "picture.json").read_text())
    assert (sidecar["architecture"], sidecar["onnx_sha256"]) == ("unet", sha256(output.target))
    assert sidecar["image"]["levels"] <= sidecar["image"]["bound"] == MOST_LEVELS


@pytest.mark.slow
def test_the_command_writes_it(tmp_path: Path) -> None:
    target = tmp_path / "picture.onnx"
    arguments = ["--graph", "image", "--checkpoint", MODELS / "default.safetensors", "-o", target]
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines() == [str(target)]
    assert {path.name for path in tmp_path.iterdir()} == {"picture.onnx", "picture.json"}
