"""Who may import whom: floors, the rooms of each floor, and no circle between modules."""

import ast
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FLOORS = ["runtime", "train", "export", "bench"]  # each may use those before it
ROOMS = {  # in each floor: each may use those before it; a room is a folder or a single file
    "runtime": "samples errors color files resize notices command models photo video engines "
    "steering colorizer __init__ vapoursynth inputs jobs guidance finished dry_run listing "
    "outcomes terminal reference_options cluster cli web",
    "train": "architectures devices config data interrupt curves metrics schedule checkpoints "
    "losses listening loop run cli",
    "export": "listing proof graphs tensorrt jobs foreign cli",
    "bench": "options machine settings training_speed quality speed video compare_runs bounds "
    "cluster report measure run cli",
}
HEAVY = {"torch", "torchvision", "lightning", "lightning_fabric", "onnx", "onnxscript"}


def _modules(floor: str) -> list[Path]:
    return sorted((ROOT / floor).rglob("*.py"))


def _imports(path: Path, *, aliases: bool = False) -> Iterator[str]:
    """Yield the absolute name of every module imported anywhere in PATH.

    With ALIASES, of every name too that is imported from one: it may be a module itself.
    """
    package = ["colorize", *path.relative_to(ROOT).parent.parts]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = [*base, *(node.module or "").split(".")] if node.module else base
            yield ".".join(module)
            if aliases or not node.module:  # from .. import train
                yield from (".".join([*module, alias.name]) for alias in node.names)


def _floors_used(path: Path) -> set[str]:
    names = (name.split(".") for name in _imports(path))
    return {parts[1] for parts in names if parts[0] == "colorize" and len(parts) > 1}


def test_imports_of_any_kind_are_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(globals(), "ROOT", tmp_path)
    module = tmp_path / "runtime" / "engines" / "new.py"
    module.parent.mkdir(parents=True)
    module.write_text(
        "from typing import TYPE_CHECKING\n"
        "from ..color import F32\n"
        "from . import base\n"
        "if TYPE_CHECKING:\n    from ...train.data import Data\n"
        "def late():\n    from ... import bench\n    import torch.nn as nn\n"
    )
    assert set(_imports(module)) == {
        "typing",
        "colorize.runtime.color",
        "colorize.runtime.engines",
        "colorize.runtime.engines.base",
        "colorize.train.data",
        "colorize",
        "colorize.bench",
        "torch.nn",
    }
    assert _floors_used(module) == {"runtime", "train", "bench"}


@pytest.mark.parametrize("floor", FLOORS)
def test_a_floor_imports_only_from_floors_below(floor: str) -> None:
    allowed = set(FLOORS[: FLOORS.index(floor) + 1])
    breaches = {
        str(path.relative_to(ROOT)): _floors_used(path) - allowed for path in _modules(floor)
    }
    assert breaches
    assert {path: used for path, used in breaches.items() if used} == {}


def test_runtime_never_names_torch_or_onnx() -> None:
    breaches = [
        (str(path.relative_to(ROOT)), name)
        for path in _modules("runtime")
        for name in _imports(path)
        if name.split(".")[0] in HEAVY
    ]
    assert breaches == []


def test_train_never_names_onnx() -> None:
    names = {name.split(".")[0] for path in _modules("train") for name in _imports(path)}
    assert "torch" in names
    assert not names & {"onnx", "onnxscript", "tensorrt", "tensorrt_rtx"}


@pytest.fixture(scope="module")
def modules() -> dict[str, set[str]]:
    """Return which modules of the package each of its modules imports, for type checking too."""
    paths = {_module_name(path): path for floor in FLOORS for path in _modules(floor)}
    graph = {}
    for name, path in paths.items():
        own_package = f"{name.rpartition('.')[0]}.__init__"  # which `from . import base` names too
        used = {_known(used, paths) for used in _imports(path, aliases=True)}
        graph[name] = used - {"", name, own_package}
    return graph


def _module_name(path: Path) -> str:
    return ".".join(["colorize", *path.relative_to(ROOT).with_suffix("").parts])


def _known(used: str, paths: dict[str, Path]) -> str:
    return next((name for name in (used, f"{used}.__init__") if name in paths), "")


def _room(module: str) -> tuple[str, str]:
    """Return the floor and the room of a module such as colorize.runtime.photo.reader."""
    _, floor, room = module.split(".")[:3]
    return floor, room


def _climbs(graph: dict[str, set[str]]) -> list[str]:
    """Return the imports that go from a room to a later one of its floor."""
    order = {floor: rooms.split() for floor, rooms in ROOMS.items()}
    return [
        f"{module} imports {used}"
        for module, imports in graph.items()
        for used in imports
        if _room(used)[0] == _room(module)[0]
        and order[_room(module)[0]].index(_room(used)[1])
        > order[_room(module)[0]].index(_room(module)[1])
    ]


def test_every_room_has_its_place(modules: dict[str, set[str]]) -> None:
    for floor, rooms in ROOMS.items():
        found = {_room(module)[1] for module in modules if _room(module)[0] == floor}
        assert found - {"__init__"} <= set(rooms.split()), floor


def test_a_room_imports_only_from_rooms_before_it(modules: dict[str, set[str]]) -> None:
    graph = {
        module: {used for used in imports if not _is_bare_floor(used)}
        for module, imports in modules.items()
        if module == "colorize.runtime.__init__" or not _is_bare_floor(module)
    }
    assert graph
    assert _climbs(graph) == []
    graph["colorize.runtime.color"] |= {"colorize.runtime.photo.icc"}
    assert _climbs(graph) == ["colorize.runtime.color imports colorize.runtime.photo.icc"]


def _is_bare_floor(module: str) -> bool:
    return module in {f"colorize.{floor}.__init__" for floor in FLOORS}


def test_no_modules_import_each_other_in_a_circle(modules: dict[str, set[str]]) -> None:
    graph = {module: set(imports) for module, imports in modules.items()}
    assert len(list(TopologicalSorter(graph).static_order())) == len(graph)
    graph["colorize.runtime.color"] |= {"colorize.runtime.resize"}
    with pytest.raises(CycleError):
        TopologicalSorter(graph).prepare()
