"""The floors: who may import whom, what starts without what, and what is installed with what."""

import ast
import runpy
import subprocess
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path
from textwrap import indent
from typing import Any

import pytest

from colorize.runtime.engines.select import open_engine, refuse_two_onnxruntimes
from colorize.runtime.errors import EngineError

Run = Callable[..., subprocess.CompletedProcess[str]]

ROOT = Path(__file__).parents[2]
FLOORS = ["runtime", "train", "export", "bench"]  # each may use those before it
HEAVY = {"torch", "torchvision", "lightning", "lightning_fabric", "onnx", "onnxscript"}


def _modules(floor: str) -> list[Path]:
    return sorted((ROOT / floor).rglob("*.py"))


def _imports(path: Path) -> Iterator[str]:
    """Yield the absolute name of every module imported anywhere in PATH."""
    package = ["colorize", *path.relative_to(ROOT).parent.parts]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = [*base, *(node.module or "").split(".")] if node.module else base
            yield ".".join(module)
            if not node.module:  # from .. import train
                yield from (".".join([*base, alias.name]) for alias in node.names)


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


BLOCKED = """
import sys

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {names!r}:
            raise ModuleNotFoundError(f"{{name}} is blocked", name=name)

sys.meta_path.insert(0, Blocker())
"""

COLORS = """
import numpy as np
from colorize.runtime.colorizer import Colorizer

with Colorizer({model!r}) as colorizer:
    rgb = colorizer.image(np.full((9, 9), 120, np.uint8))
print(rgb.std() > 10)
"""


def test_runtime_colors_without_torch_and_onnx(in_subprocess: Run, tiny_model: Path) -> None:
    names = sorted(HEAVY)
    code = BLOCKED.format(names=names) + COLORS.format(model=str(tiny_model))
    run = in_subprocess("-c", code)
    assert (run.returncode, run.stdout) == (0, "True\n"), run.stderr


PHOTOGRAPH = """
from colorize.runtime.cli import main
main([{photo!r}, "-o", {target!r}, "--model", {model!r}])
"""


def test_a_photograph_waits_for_no_film_library(
    in_subprocess: Run, tiny_model: Path, photo: Path, tmp_path: Path
) -> None:
    target = tmp_path / "colored.jpg"
    code = PHOTOGRAPH.format(photo=str(photo), target=str(target), model=str(tiny_model))
    run = in_subprocess("-c", BLOCKED.format(names=["av"]) + code)
    assert run.returncode == 0, run.stderr
    assert target.is_file()


REPORTERS = """
import sys
try:
{code}
finally:
    loaded = {{"openvino", "openvino_telemetry"}} & set(sys.modules)
    print(*sorted(loaded), file=sys.stderr)
"""


def test_colorize_run_leaves_out_what_reports_its_start(
    in_subprocess: Run, tiny_model: Path, photo: Path, tmp_path: Path
) -> None:
    target = tmp_path / "colored.jpg"
    code = PHOTOGRAPH.format(photo=str(photo), target=str(target), model=str(tiny_model))
    run = in_subprocess("-c", REPORTERS.format(code=indent(code, "    ")))
    assert run.returncode == 0, run.stderr
    assert target.is_file()
    assert run.stderr.splitlines()[-1] == "openvino"


def test_the_blocker_blocks(in_subprocess: Run) -> None:
    run = in_subprocess("-c", BLOCKED.format(names=["torch"]) + "import torch")
    assert run.returncode == 1
    assert "torch is blocked" in run.stderr


LOADED = """
import sys
from colorize.{floor}.cli import main
try:
    main(["--help"])
except SystemExit as leaving:
    code = leaving.code
slow = {{"torch", "torchvision", "cv2", "openvino", "av", "onnx", "onnxruntime", "numpy", "PIL"}}
print(code, *sorted(slow & set(sys.modules)), file=sys.stderr)
"""


def test_help_of_run_loads_no_heavy_library(in_subprocess: Run) -> None:
    run = in_subprocess("-c", LOADED.format(floor="runtime"))
    assert "Usage: " in run.stdout
    assert run.stderr.split()[0] == "0"
    assert not {"torch", "cv2", "openvino", "av", "onnxruntime"} & set(run.stderr.split())


def test_refused_arguments_load_no_engine(in_subprocess: Run, tmp_path: Path) -> None:
    code = LOADED.format(floor="runtime").replace('"--help"', repr(str(tmp_path / "none.png")))
    run = in_subprocess("-c", code)
    assert run.stderr.splitlines()[-1].split()[0] == "2"
    assert not {"torch", "cv2", "openvino", "av", "onnxruntime"} & set(run.stderr.split())


@pytest.fixture
def pretend_installed(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """`pretend_installed(*names)`: of ONNX Runtime's two distributions these are installed."""
    real = metadata.version

    def pretend(*names: str) -> None:
        def version(name: str) -> str:
            if name in names:
                return "1.0"
            if name in ("onnxruntime", "onnxruntime-gpu"):
                raise metadata.PackageNotFoundError(name)
            return real(name)

        monkeypatch.setattr(metadata, "version", version)

    return pretend


@pytest.mark.parametrize("names", [[], ["onnxruntime"], ["onnxruntime-gpu"]])
def test_one_onnxruntime_is_fine(names: list[str], pretend_installed: Callable[..., None]) -> None:
    pretend_installed(*names)
    refuse_two_onnxruntimes()


def test_two_onnxruntimes_are_refused_with_the_fix(
    pretend_installed: Callable[..., None], tiny_model: Path
) -> None:
    pretend_installed("onnxruntime", "onnxruntime-gpu")
    fix = r"pip uninstall -y onnxruntime onnxruntime-gpu && pip install"
    with pytest.raises(EngineError, match=fix):
        refuse_two_onnxruntimes()
    with pytest.raises(EngineError, match=fix):
        open_engine(tiny_model, "onnxruntime")


@pytest.fixture(scope="module")
def setup_arguments() -> dict[str, Any]:
    found: dict[str, Any] = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("setuptools.setup", lambda **arguments: found.update(arguments))
        runpy.run_path(str(ROOT / "setup.py"))
    return found


def _names(requirements: list[str]) -> set[str]:
    """The distributions in a list of requirements, without versions and markers."""
    cut = str.maketrans(dict.fromkeys("<>=!~;[ ", " "))
    return {requirement.translate(cut).split()[0].lower() for requirement in requirements}


def test_base_install_is_light(setup_arguments: dict[str, Any]) -> None:
    base = _names(setup_arguments["install_requires"])
    assert {"numpy", "openvino", "av", "pillow"} <= base
    assert not base & {"torch", "torchvision", "onnx", "onnxruntime", "onnxruntime-gpu"}


def test_ort_and_gpu_exclude_each_other(setup_arguments: dict[str, Any]) -> None:
    extras = {name: _names(wanted) for name, wanted in setup_arguments["extras_require"].items()}
    assert "onnxruntime" in extras["ort"]
    assert "onnxruntime-gpu" in extras["gpu"]
    for name, wanted in extras.items():
        assert not {"onnxruntime", "onnxruntime-gpu"} <= wanted, name


def test_all_holds_every_extra_but_gpu(setup_arguments: dict[str, Any]) -> None:
    extras = setup_arguments["extras_require"]
    everything = set(extras["all"])
    for name in ("train", "export", "import", "bench", "ort"):
        assert set(extras[name]) <= everything, name
    assert not _names(extras["all"]) & (_names(extras["gpu"]) - _names(extras["ort"]))


def test_four_commands_are_installed(setup_arguments: dict[str, Any]) -> None:
    scripts = dict(
        entry.split(" = ") for entry in setup_arguments["entry_points"]["console_scripts"]
    )
    assert scripts == {
        "colorize-train": "colorize.train.cli:main",
        "colorize-export": "colorize.export.cli:main",
        "colorize-run": "colorize.runtime.cli:main",
        "colorize-bench": "colorize.bench.cli:main",
    }


def test_every_package_is_listed_and_typed(setup_arguments: dict[str, Any]) -> None:
    listed = set(setup_arguments["packages"])
    found = {
        ".".join(["colorize", *init.parent.relative_to(ROOT).parts])
        for floor in FLOORS
        for init in (ROOT / floor).rglob("__init__.py")
    }
    assert found == listed
    for floor in FLOORS:
        assert (ROOT / floor / "py.typed").is_file()
