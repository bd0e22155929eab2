"""Every name and argument of TensorRT that the code uses exists in every TensorRT it may meet.

tensorrt_api.json lists, for each version and class, the members and the arguments of methods (one
list an overload, null for attributes), as the real Python bindings state them; cuda_api.json does
so for pycuda, as built, and for the CUDA driver, as its header states it.
"""

import ast
import importlib.util
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
STAND_IN = Path(__file__).with_name("simulated") / "modules" / "tensorrt.py"
Api = dict[str, dict[str, list[list[str]] | None]]
APIS: dict[str, Api] = json.loads(Path(__file__).with_name("tensorrt_api.json").read_text())
CUDA: dict[str, Api] = json.loads(Path(__file__).with_name("cuda_api.json").read_text())
PYCUDA, DRIVER = CUDA["pycuda 2026.1"], CUDA["CUDA 13.0"]["driver"]

# By file, of which class its variables, and the answers of these methods, are.
OWNERS = {
    "export/tensorrt/builder.py": {
        "trt": "module",
        "toolkit.trt": "module",
        "builder": "Builder",
        "config": "IBuilderConfig",
        "parser": "OnnxParser",
        "error": "ParserError",
        "shapes": "IOptimizationProfile",
        "config.get_timing_cache()": "ITimingCache",
    },
    "runtime/engines/tensorrt/engine.py": {"trt": "module"},
    "runtime/engines/tensorrt/log.py": {"trt": "module"},
    "runtime/engines/tensorrt/session.py": {
        "self._trt": "module",
        "runtime": "Runtime",
        "engine": "ICudaEngine",
        "context": "IExecutionContext",
    },
}
PYCUDA_OWNERS = {
    "cuda": "module",
    "self._context": "Context",
    "cuda.Device(ordinal)": "Device",
    "stream": "Stream",
    "event": "Event",
    "start": "Event",
    "self._held": "DeviceAllocation",
    "self._pinned.base": "HostAllocation",
}
RTX_ALONE = {"ComputeCapability", "num_compute_capabilities", "set_compute_capability"}
BASES = {"ILogger", "IProgressMonitor"}  # what the code's own classes derive from


def _tree(file: str) -> ast.Module:
    return ast.parse((ROOT / file).read_text(encoding="utf-8"))


def _owner(node: ast.expr, owners: dict[str, str]) -> str | None:
    text = ast.unparse(node)
    inside = text.removeprefix("toolkit.").removeprefix("self._")  # trt.MemoryPoolType, for one
    before, dot, name = inside.partition("trt.")
    return owners.get(text) or (name if dot and not before else None)


def uses() -> Iterator[tuple[str, str, ast.Call | None]]:
    """Yield class, member, and the call of it where it is called."""
    for file, owners in OWNERS.items():
        yield from _uses(_tree(file), owners)


def _uses(tree: ast.Module, owners: dict[str, str]) -> Iterator[tuple[str, str, ast.Call | None]]:
    calls = {id(n.func): n for n in ast.walk(tree) if isinstance(n, ast.Call)}
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Attribute)
            and (owner := _owner(node.value, owners))
            and node.attr != "__init__"
        ):
            yield owner, node.attr, calls.get(id(node))
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "getattr":
            held, name = node.args[:2]
            if (owner := _owner(held, owners)) and isinstance(name, ast.Constant):
                yield owner, str(name.value), None


def _fits(call: ast.Call, overloads: list[list[str]]) -> bool:
    named = {keyword.arg for keyword in call.keywords}
    starred = any(isinstance(argument, ast.Starred) for argument in call.args)
    return any(
        (starred or len(call.args) + len(named) <= len(names)) and named <= set(names)
        for names in overloads
    )


@pytest.mark.parametrize("version", APIS)
def test_every_name_and_argument_exists(version: str) -> None:
    api, checked = APIS[version], set()
    for owner, name, call in uses():
        if not version.startswith("tensorrt_rtx") and {owner, name} & RTX_ALONE:
            continue
        assert owner in api, f"{version} has no {owner}"
        assert name in api[owner] or name == "__members__", f"{version}: no {owner}.{name}"
        member = api[owner].get(name)
        if call and owner == "module":
            member = api.get(name, {}).get("__init__")
        if call and member:
            assert _fits(call, member), f"{version}: {owner}.{name} takes {member}"
        checked.add((owner, name))
    assert len(checked) >= 40
    assert ("IBuilderConfig", "progress_monitor") in checked
    assert ("Builder", "build_serialized_network") in checked
    assert ("NetworkDefinitionCreationFlag", "STRONGLY_TYPED") in checked
    assert ("MemoryPoolType", "WORKSPACE") in checked
    assert ("IExecutionContext", "execute_async_v3") in checked
    assert ("ExecutionContextAllocationStrategy", "USER_MANAGED") in checked


@pytest.mark.parametrize("version", APIS)
def test_methods_that_tensorrt_calls_take_what_it_gives(version: str) -> None:
    found = set()
    nodes = [node for file in OWNERS for node in ast.walk(_tree(file))]
    for cls in (n for n in nodes if isinstance(n, ast.ClassDef) and n.bases):
        if not ast.unparse(cls.bases[0]).startswith("trt."):
            continue
        base = ast.unparse(cls.bases[0]).removeprefix("trt.")
        for method in (n for n in cls.body if isinstance(n, ast.FunctionDef)):
            signatures = APIS[version][base].get(method.name)
            if method.name != "__init__":
                assert signatures, f"{version}: {base} calls no {method.name}"
                [given] = signatures
                assert len(method.args.args) - 1 == len(given), f"{base}.{method.name}{given}"
        found.add(base)
    assert found == BASES


@pytest.mark.skipif(
    importlib.util.find_spec("tensorrt_rtx") is None, reason="tensorrt_rtx is not installed"
)
def test_the_listing_is_of_the_real_module() -> None:
    import tensorrt_rtx

    listed = APIS["tensorrt_rtx 1.7.1.116"]
    for owner, name, _ in uses():
        real = tensorrt_rtx if owner == "module" else getattr(tensorrt_rtx, owner)
        assert hasattr(real, name), f"{owner}.{name}"
        assert name == "__members__" or name in listed[owner]


@pytest.mark.parametrize("version", APIS)
def test_the_stand_in_of_the_simulated_tests_is_like_the_real_module(version: str) -> None:
    api = APIS[version]
    classes = [
        node for node in ast.parse(STAND_IN.read_text()).body if isinstance(node, ast.ClassDef)
    ]
    for cls in classes:
        assert cls.name in api
        for method in (n for n in cls.body if isinstance(n, ast.FunctionDef)):
            if method.name.startswith("_"):
                continue
            given = [argument.arg for argument in method.args.args[1:]]
            signatures = api[cls.name][method.name] or []
            assert given in signatures, f"{version}: {cls.name}.{method.name} takes {signatures}"
    assert len(classes) >= 7


def test_every_name_of_pycuda_exists() -> None:
    checked = set()
    for file in ("memory.py", "session.py"):
        for owner, name, _ in _uses(_tree(f"runtime/engines/tensorrt/{file}"), PYCUDA_OWNERS):
            if owner in PYCUDA:
                assert name in PYCUDA[owner], f"pycuda has no {owner}.{name}"
                checked.add((owner, name))
    assert {owner for owner, _ in checked} == set(PYCUDA)
    assert ("Device", "retain_primary_context") in checked


def test_every_function_of_the_driver_exists_and_gets_its_arguments() -> None:
    checked = set()
    for file in ("runtime/engines/cuda.py", "runtime/engines/tensorrt/memory.py"):
        for call in (n for n in ast.walk(_tree(file)) if isinstance(n, ast.Call)):
            name, arguments = ast.unparse(call.func).rpartition(".")[2], call.args
            if name == "_do":
                name, arguments = str(ast.literal_eval(call.args[0])), call.args[1:]
            if re.match("cu[A-Z]", name):
                [known] = DRIVER[name] or [[]]
                assert len(arguments) == len(known), f"{name}{known}"
                checked.add(name)
    assert len(checked) >= 11
    assert "cuGraphLaunch" in checked
