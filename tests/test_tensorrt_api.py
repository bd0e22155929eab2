"""Every name and argument of TensorRT that the code uses exists in every TensorRT it may meet.

tensorrt_api.json lists, for each version and class, the members and the arguments of methods (one
list an overload, null for attributes), as the real Python bindings state them.
"""

import ast
import importlib.util
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
Api = dict[str, dict[str, list[list[str]] | None]]
APIS: dict[str, Api] = json.loads(Path(__file__).with_name("tensorrt_api.json").read_text())

# Of which class the code's variables, and the answers of these methods, are.
OWNERS = {
    "trt": "module",
    "toolkit.trt": "module",
    "builder": "Builder",
    "config": "IBuilderConfig",
    "parser": "OnnxParser",
    "error": "ParserError",
    "shapes": "IOptimizationProfile",
    "config.get_timing_cache()": "ITimingCache",
}
RTX_ALONE = {"ComputeCapability", "num_compute_capabilities", "set_compute_capability"}
BASES = {"ILogger", "IProgressMonitor"}  # what the code's own classes derive from


def _owner(node: ast.expr) -> str | None:
    text = ast.unparse(node)
    in_module = text.removeprefix("toolkit.").partition("trt.")  # trt.MemoryPoolType, for instance
    return OWNERS.get(text) or (in_module[2] if in_module[:2] == ("", "trt.") else None)


def uses() -> Iterator[tuple[str, str, ast.Call | None]]:
    """Yield class, member, and the call of it where it is called."""
    tree = ast.parse((ROOT / "export" / "tensorrt.py").read_text(encoding="utf-8"))
    calls = {id(n.func): n for n in ast.walk(tree) if isinstance(n, ast.Call)}
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Attribute)
            and (owner := _owner(node.value))
            and node.attr != "__init__"
        ):
            yield owner, node.attr, calls.get(id(node))
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "getattr":
            held, name = node.args[:2]
            if (owner := _owner(held)) and isinstance(name, ast.Constant):
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
    assert len(checked) >= 24
    assert ("IBuilderConfig", "progress_monitor") in checked
    assert ("Builder", "build_serialized_network") in checked
    assert ("NetworkDefinitionCreationFlag", "STRONGLY_TYPED") in checked
    assert ("MemoryPoolType", "WORKSPACE") in checked


@pytest.mark.parametrize("version", APIS)
def test_methods_that_tensorrt_calls_take_what_it_gives(version: str) -> None:
    tree = ast.parse((ROOT / "export" / "tensorrt.py").read_text(encoding="utf-8"))
    found = set()
    for cls in (n for n in ast.walk(tree) if isinstance(n, ast.ClassDef) and n.bases):
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
