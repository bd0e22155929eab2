"""The contract of model files: every breach is named, whichever engine reads it."""

import dataclasses
import importlib.util
from collections.abc import Callable
from importlib.machinery import ModuleSpec
from pathlib import Path

import numpy as np
import pytest

from colorize.runtime.colorizer import Colorizer
from colorize.runtime.engines.select import available_backends, open_engine
from colorize.runtime.errors import ArgumentError, EngineError, ModelError
from colorize.runtime.models.contract import ModelInfo, TensorSpec, check_signature

SaveModel = Callable[..., Path]
L = TensorSpec("L", "float32", (-1, 1, -1, -1))
AB = TensorSpec("ab", "float32", (-1, 2, -1, -1))
_OPTIONAL = ("fixed_size", "takes_hints", "extended_hints")
_REQUIRED = (f.name for f in dataclasses.fields(ModelInfo) if f.name not in _OPTIONAL)
FIELDS = ["licence" if name == "license" else name for name in _REQUIRED]  # the keys of all files

backends = pytest.mark.parametrize("backend", ["openvino", "onnxruntime"])


def test_metadata_survives_the_way_there_and_back(tiny_info: ModelInfo) -> None:
    assert ModelInfo.from_metadata(tiny_info.to_metadata(), "model") == tiny_info


def test_metadata_is_text_under_a_prefix(tiny_info: ModelInfo) -> None:
    metadata = tiny_info.to_metadata()
    assert set(metadata) == {f"colorize.{name}" for name in FIELDS}
    assert all(isinstance(text, str) for text in metadata.values())


def test_a_fixed_size_is_metadata_too(tiny_info: ModelInfo) -> None:
    info = dataclasses.replace(tiny_info, fixed_size=(256, 320))
    assert info.to_metadata()["colorize.fixed_size"] == "256x320"
    assert ModelInfo.from_metadata(info.to_metadata(), "model") == info


@pytest.mark.parametrize("text", ["256", "256x", "256x0", "8x8x8", "axb"])
def test_a_fixed_size_that_is_none_is_named(text: str, tiny_info: ModelInfo) -> None:
    metadata = {**tiny_info.to_metadata(), "colorize.fixed_size": text}
    with pytest.raises(ModelError, match=r"model\.onnx: metadata colorize\.fixed_size is"):
        ModelInfo.from_metadata(metadata, "model.onnx")


def test_a_fixed_signature_must_be_that_of_the_metadata() -> None:
    lightness = TensorSpec("L", "float32", (-1, 1, 48, 64))
    ab = TensorSpec("ab", "float32", (-1, 2, 48, 64))
    check_signature([lightness], [ab], "model", (48, 64))
    check_signature([L], [AB], "model", (48, 64))
    with pytest.raises(ModelError, match="input L fixes axis 2, it must be dynamic"):
        check_signature([lightness], [ab], "model")
    with pytest.raises(ModelError, match="input L fixes axis 3, it must be 48, as its fixed_size"):
        check_signature([lightness], [ab], "model", (48, 48))


@backends
def test_models_of_one_size_color_pictures_of_any(
    backend: str, tiny_info: ModelInfo, save_model: SaveModel, tmp_path: Path
) -> None:
    metadata = dataclasses.replace(tiny_info, fixed_size=(48, 64)).to_metadata()
    path = save_model(tmp_path / "fixed.onnx", metadata, sides=("N", 48, 64))
    gray = np.tile(np.arange(200, dtype=np.uint8), (90, 1))
    with Colorizer(path, backend=backend) as colorizer:
        assert colorizer.working_shape(90, 200) == (48, 64)
        assert colorizer.image(gray).shape == (90, 200, 3)
    with pytest.raises(ArgumentError, match="size is 64; this model takes 64x48 alone"):
        Colorizer(path, backend=backend, size=64)


def test_other_metadata_is_passed_over(tiny_info: ModelInfo) -> None:
    metadata = {**tiny_info.to_metadata(), "producer": "someone", "colorize.new": "1"}
    assert ModelInfo.from_metadata(metadata, "model") == tiny_info


@pytest.mark.parametrize("name", FIELDS)
def test_each_missing_field_is_named(name: str, tiny_info: ModelInfo) -> None:
    metadata = tiny_info.to_metadata()
    del metadata[f"colorize.{name}"]
    with pytest.raises(ModelError, match=rf"^model\.onnx: .*lacks colorize\.{name}"):
        ModelInfo.from_metadata(metadata, "model.onnx")


@pytest.mark.parametrize("name", ["native_size", "size_multiple"])
@pytest.mark.parametrize(
    "text",
    [
        "0",
        "-8",
        "8.0",
        "",
        "eight",
        "0x8",
        pytest.param(
            "²",
        ),
    ],
)
def test_sizes_that_are_no_positive_numbers_are_named(
    name: str, text: str, tiny_info: ModelInfo
) -> None:
    metadata = {**tiny_info.to_metadata(), f"colorize.{name}": text}
    with pytest.raises(ModelError, match=f"colorize.{name} is .*not a positive number"):
        ModelInfo.from_metadata(metadata, "model.onnx")


def test_files_of_version_1_are_read_and_take_no_hints(tiny_info: ModelInfo) -> None:
    metadata = {**tiny_info.to_metadata(), "colorize.contract_version": "1"}
    assert "colorize.takes_hints" not in metadata
    info = ModelInfo.from_metadata(metadata, "model.onnx")
    assert (info.takes_hints, info.inputs) == (False, ("L",))


def test_a_model_says_that_it_takes_hints(tiny_info: ModelInfo) -> None:
    info = dataclasses.replace(tiny_info, takes_hints=True)
    metadata = info.to_metadata()
    assert metadata["colorize.takes_hints"] == "true"
    assert ModelInfo.from_metadata(metadata, "model.onnx") == info
    assert info.inputs == ("L", "hints")
    metadata["colorize.takes_hints"] = "perhaps"
    with pytest.raises(ModelError, match=r"takes_hints is 'perhaps', not true or false"):
        ModelInfo.from_metadata(metadata, "model.onnx")


def test_the_signature_of_a_model_with_hints() -> None:
    hints = TensorSpec("hints", "float32", (-1, 3, -1, -1))
    check_signature([hints, L], [AB], "model", takes_hints=True)  # in any order
    for inputs, takes, breach in (
        ([L], True, "inputs are L; the contract has inputs L and hints"),
        ([L, hints], False, "inputs are L, hints; the contract has one input, L"),
        ([L, _with(hints, shape=(-1, 4, -1, -1))], True, r"hints has shape \[-1, 4, -1, -1\]"),
        ([L, _with(hints, shape=(-1, 3, 64, -1))], True, "hints fixes axis 2"),
    ):
        with pytest.raises(ModelError, match=breach):
            check_signature(inputs, [AB], "model", takes_hints=takes)


@pytest.mark.parametrize("version", ["3", "0", "1.0", ""])
def test_other_versions_of_the_contract_are_refused(version: str, tiny_info: ModelInfo) -> None:
    metadata = {**tiny_info.to_metadata(), "colorize.contract_version": version}
    with pytest.raises(ModelError, match="this toolkit reads 1 and 2"):
        ModelInfo.from_metadata(metadata, "model.onnx")


def test_files_of_others_are_told_apart() -> None:
    with pytest.raises(ModelError, match="not a colorizer of this toolkit"):
        ModelInfo.from_metadata({"author": "someone"}, "model.onnx")


def test_a_signature_that_keeps_the_contract_passes() -> None:
    check_signature([L], [AB], "model.onnx")


def _with(spec: TensorSpec, **changes: object) -> TensorSpec:
    return dataclasses.replace(spec, **changes)  # type: ignore[arg-type]  # each as the field has it


BREACHES = {
    "inputs are none": ([], [AB]),
    "inputs are X": ([_with(L, name="X")], [AB]),
    "inputs are L, mask": ([L, _with(L, name="mask")], [AB]),
    "outputs are ab, extra": ([L], [AB, _with(AB, name="extra")]),
    "outputs are rgb": ([L], [_with(AB, name="rgb")]),
    "input L is float16": ([_with(L, dtype="float16")], [AB]),
    "output ab is uint8": ([L], [_with(AB, dtype="uint8")]),
    r"input L has shape \[-1, 3, -1, -1\]": ([_with(L, shape=(-1, 3, -1, -1))], [AB]),
    r"input L has shape \[-1, -1, -1\]": ([_with(L, shape=(-1, -1, -1))], [AB]),
    r"output ab has shape \[-1, 3, -1, -1\]": ([L], [_with(AB, shape=(-1, 3, -1, -1))]),
    "input L fixes axis 0": ([_with(L, shape=(1, 1, -1, -1))], [AB]),
    "input L fixes axis 2": ([_with(L, shape=(-1, 1, 256, -1))], [AB]),
    "input L fixes axis 3": ([_with(L, shape=(-1, 1, -1, 256))], [AB]),
    "output ab fixes axis 2": ([L], [_with(AB, shape=(-1, 2, 256, 256))]),
}


@pytest.mark.parametrize("breach", BREACHES)
def test_each_breach_of_the_signature_is_named(breach: str) -> None:
    inputs, outputs = BREACHES[breach]
    with pytest.raises(ModelError, match=rf"^model\.onnx: {breach}"):
        check_signature(inputs, outputs, "model.onnx")


@backends
def test_engines_read_the_metadata(backend: str, tiny_model: Path, tiny_info: ModelInfo) -> None:
    with open_engine(tiny_model, backend) as engine:
        assert engine.info == tiny_info
        assert engine.name == backend


@backends
@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 16, 40), (8, 64, 96), (2, 40, 16)])
def test_engines_compute_batches_of_any_shape(
    backend: str, shape: tuple[int, int, int], tiny_model: Path
) -> None:
    count, height, width = shape
    lightness = np.random.default_rng(0).uniform(0, 100, (count, 1, height, width))
    with open_engine(tiny_model, backend, "fp32") as engine:
        ab = engine.infer(lightness.astype(np.float32))
        assert engine.precision == "fp32"
    assert ab.shape == (count, 2, height, width)
    assert ab.dtype == np.float32
    expected = np.concatenate([20 + 0.2 * lightness, 40 - 0.6 * lightness], axis=1)
    np.testing.assert_allclose(ab, expected, atol=1e-4)


@backends
def test_answers_stay_after_the_next_question(backend: str, tiny_model: Path) -> None:
    dark, bright = (np.full((1, 1, 8, 8), value, np.float32) for value in (0, 100))
    with open_engine(tiny_model, backend, "fp32") as engine:
        first = engine.infer(dark)
        engine.infer(bright)
    np.testing.assert_allclose(first[0, 0], 20, atol=1e-4)


@backends
@pytest.mark.parametrize(
    ("changes", "breach"),
    [
        ({"input_name": "X"}, "inputs are X"),
        ({"channels": 3}, r"output ab has shape \[-1, 3, -1, -1\]"),
        ({"sides": (1, "H", "W")}, "input L fixes axis 0"),
        ({"sides": ("N", 64, 64)}, "input L fixes axis 2"),
    ],
)
def test_engines_name_the_breach_of_a_file(
    backend: str,
    changes: dict[str, object],
    breach: str,
    tiny_info: ModelInfo,
    save_model: SaveModel,
    tmp_path: Path,
) -> None:
    model = save_model(tmp_path / "model.onnx", tiny_info.to_metadata(), **changes)
    with pytest.raises(ModelError, match=breach):
        open_engine(model, backend)


@backends
def test_engines_refuse_files_of_others(
    backend: str, save_model: SaveModel, tmp_path: Path
) -> None:
    model = save_model(tmp_path / "model.onnx", {})
    with pytest.raises(ModelError, match="not a colorizer of this toolkit"):
        open_engine(model, backend)


@backends
@pytest.mark.parametrize("content", ["empty", "text", "cut"])
def test_engines_refuse_damaged_files(
    backend: str, content: str, tiny_model: Path, tmp_path: Path
) -> None:
    data = tiny_model.read_bytes()
    contents = {"empty": b"", "text": b"This is a letter.\n" * 9, "cut": data[: len(data) // 2]}
    model = tmp_path / "model.onnx"
    model.write_bytes(contents[content])
    with pytest.raises(ModelError) as raised:
        open_engine(model, backend)
    assert str(raised.value).startswith(str(model))


def test_auto_takes_the_fastest_backend_that_is_installed(tiny_model: Path) -> None:
    with open_engine(tiny_model) as engine:
        assert engine.name == available_backends()[0]
        assert engine.name in str(engine)


def test_unknown_backends_are_refused(tiny_model: Path) -> None:
    with pytest.raises(ArgumentError, match=r"unknown backend 'cuda'; choose one of auto, "):
        open_engine(tiny_model, "cuda")


def test_a_backend_that_is_not_installed_is_refused_with_the_mend(
    tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = importlib.util.find_spec

    def find(name: str, package: str | None = None) -> ModuleSpec | None:
        return None if name == "onnxruntime" else real(name, package)

    monkeypatch.setattr("importlib.util.find_spec", find)
    with pytest.raises(EngineError, match=r"pip install 'colorize-toolkit\[ort\]'"):
        open_engine(tiny_model, "onnxruntime", device="cpu")
