"""Engines on disk: used only where the JSON file beside them says that they fit."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from colorize.export.tensorrt.profiles import check_sizes, default_sizes, profiles
from colorize.runtime.engines.tensorrt.plan import (
    BuildConfig,
    Profile,
    check_build_config,
    engine_path,
    find_engine,
    read_build_config,
    read_metadata,
    store_engine,
)
from colorize.runtime.errors import ArgumentError, EngineError
from colorize.runtime.files import sha256
from colorize.runtime.models.contract import ModelInfo
from colorize.runtime.resize import working_shape

PLAN = b"plan" * 1000
METADATA = {"colorize.native_size": "64", "another": "value"}


@pytest.fixture
def config(tiny_model: Path) -> BuildConfig:
    return BuildConfig(
        onnx_sha256=sha256(tiny_model),
        variant="tensorrt_rtx",
        version="1.7",
        precision="fp16",
        compute_capabilities=("86", "89"),
        device="",
        profiles=profiles((1, 8, 32), (64, 128, 512), 32),
        workspace_mib=512,
    )


@pytest.fixture
def engine(config: BuildConfig, tiny_model: Path, tmp_path: Path) -> Path:
    """An engine beside its model, tmp_path/tiny.onnx."""
    model = tmp_path / "tiny.onnx"
    model.write_bytes(tiny_model.read_bytes())
    path = engine_path(model, "tensorrt_rtx")
    store_engine(path, PLAN, config, METADATA)
    return path


def test_a_config_comes_back_as_it_was_written(engine: Path, config: BuildConfig) -> None:
    assert engine.read_bytes() == PLAN
    assert read_build_config(engine) == config
    assert read_metadata(engine) == METADATA
    check_build_config(engine, read_build_config(engine), **vars(config))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("onnx_sha256", "0" * 64),
        ("variant", "tensorrt"),
        ("version", "1.8"),
        ("precision", "fp32"),
        ("compute_capabilities", ("86",)),
        ("device", "NVIDIA L4"),
        ("profiles", profiles((1, 8, 16), (64, 128, 512), 32)),
        ("workspace_mib", None),
        ("optimization_level", 5),
    ],
)
def test_whatever_decides_the_bytes_makes_an_engine_stale(
    name: str, value: object, engine: Path, config: BuildConfig
) -> None:
    wanted = vars(replace(config, **{name: value}))  # type: ignore[arg-type]  # by the field's name
    with pytest.raises(EngineError, match=f"stale: {name} is"):
        check_build_config(engine, read_build_config(engine), **wanted)


def test_damaged_engines_are_never_used(engine: Path) -> None:
    stored = Path(f"{engine}.json")
    good = stored.read_text()
    engine.write_bytes(PLAN[:-1])
    with pytest.raises(EngineError, match="truncated, or not the file that was built"):
        read_build_config(engine)
    engine.write_bytes(PLAN)
    damages = [json.dumps({**json.loads(good), name: 3}) for name in ("profiles", "metadata")]
    for damage in ("", "[]", good[:-20], *damages):
        stored.write_text(damage)
        with pytest.raises(EngineError, match=r"engine.json: damaged"):
            read_build_config(engine)
    stored.unlink()
    with pytest.raises(EngineError, match=r"no tiny\.rtx\.engine\.json beside it"):
        read_build_config(engine)
    engine.unlink()
    with pytest.raises(EngineError, match="no such engine"):
        read_build_config(engine)


def test_the_engine_of_a_model_is_found_where_it_fits(engine: Path, config: BuildConfig) -> None:
    model = engine.with_name("tiny.onnx")
    assert find_engine(model, "tensorrt_rtx", "1.7", "89") == (engine, config)
    with pytest.raises(EngineError, match="built for compute capability 86, 89, this GPU has 120"):
        find_engine(model, "tensorrt_rtx", "1.7", "120")
    with pytest.raises(EngineError, match=r"version is 1\.7, not 1\.8"):
        find_engine(model, "tensorrt_rtx", "1.8", "89")
    with pytest.raises(EngineError, match=r"tiny\.engine: no such engine"):
        find_engine(model, "tensorrt", "1.7", "89")
    store_engine(engine, PLAN, replace(config, compute_capabilities=()), METADATA)
    assert find_engine(model, "tensorrt_rtx", "1.7", "120")[0] == engine
    model.write_bytes(model.read_bytes() + b"\n")
    with pytest.raises(EngineError, match="stale: onnx_sha256"):
        find_engine(model, "tensorrt_rtx", "1.7", "89")


@pytest.mark.parametrize("multiple", [8, 16, 32])
@pytest.mark.parametrize("native", [64, 100, 128, 256, 600])
def test_the_default_profiles_take_whatever_the_runtime_asks(
    multiple: int, native: int, tiny_info: ModelInfo
) -> None:
    info = replace(tiny_info, native_size=native, size_multiple=multiple)
    sizes = default_sizes(info)
    check_sizes(sizes, multiple)
    made = profiles((1, 8, 32), sizes, multiple)
    assert all(p.takes(p.best) for p in made)
    pictures = [(480, 640), (1080, 1920), (1920, 1080), (500, 500), (100, 5000), (5000, 100)]
    for height, width in [*pictures, (817, 1234)]:
        for size in {*sizes, native}:
            shape = working_shape(height, width, size, multiple)
            for batch in (1, 5, 32):
                assert any(p.takes((batch, 1, *shape)) for p in made), (shape, made)
    assert not any(p.takes((33, 1, sizes[1], sizes[1])) for p in made)


def test_a_profile_takes_what_lies_between_its_ends() -> None:
    profile = Profile((1, 1, 64, 64), (1, 1, 64, 96), (2, 1, 64, 128))
    assert profile.takes((2, 1, 64, 128))
    assert not profile.takes((2, 1, 64, 160))
    assert not profile.takes((3, 1, 64, 64))
    assert not profile.takes((1, 1, 32, 64))


def test_older_json_files_call_the_variant_flavour_and_name_no_inputs() -> None:
    old = {"low": [1, 1, 64, 64], "best": [1, 1, 64, 96], "high": [2, 1, 64, 128]}
    stored: dict[str, Any] = {
        "onnx_sha256": "0",
        "flavour": "tensorrt",
        "version": "10",
        "precision": "fp16",
        "compute_capabilities": [],
        "device": "",
        "profiles": [old, {**old, "inputs": ["L", "hints"]}],
    }
    config = BuildConfig.from_json(stored)
    assert config.variant == "tensorrt"
    plain, hinted = config.profiles
    assert plain == Profile((1, 1, 64, 64), (1, 1, 64, 96), (2, 1, 64, 128))
    assert plain.inputs == ("L",)
    assert hinted.inputs == ("L", "hints")
    assert hinted.shapes("L") == (plain.low, plain.best, plain.high)
    assert hinted.shapes("hints") == ((1, 3, 64, 64), (1, 3, 64, 96), (2, 3, 64, 128))


def test_sizes_that_the_network_cannot_take_are_named() -> None:
    with pytest.raises(ArgumentError, match="size 100: this network takes multiples of 32"):
        profiles((1, 1, 1), (64, 100, 128), 32)
