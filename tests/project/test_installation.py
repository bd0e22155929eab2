"""What is installed with what: the base, the extras, and the distributions that exclude others."""

import re
import runpy
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from colorize.runtime.engines.select import open_engine, refuse_two_onnxruntimes
from colorize.runtime.errors import EngineError

ROOT = Path(__file__).parents[2]
FLOORS = ("runtime", "train", "export", "bench")


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
    for name in ("web", "train", "export", "import", "bench", "ort"):
        assert set(extras[name]) <= everything, name
    assert not _names(extras["all"]) & (_names(extras["gpu"]) - _names(extras["ort"]))


def test_five_commands_are_installed(setup_arguments: dict[str, Any]) -> None:
    scripts = dict(
        entry.split(" = ") for entry in setup_arguments["entry_points"]["console_scripts"]
    )
    assert scripts == {
        "colorize-train": "colorize.train.cli:main",
        "colorize-export": "colorize.export.cli:main",
        "colorize-run": "colorize.runtime.cli:main",
        "colorize-bench": "colorize.bench.cli:main",
        "colorize-web": "colorize.runtime.web.cli:main",
    }


def test_containers_get_what_is_installed_and_start_a_command(
    setup_arguments: dict[str, Any],
) -> None:
    kept = {line[1:] for line in (ROOT / ".dockerignore").read_text().split() if line[0] == "!"}
    assert kept == {*FLOORS, "__init__.py", "LICENSE", "README.md", "pyproject.toml", "setup.py"}
    scripts = [entry.split()[0] for entry in setup_arguments["entry_points"]["console_scripts"]]
    files = sorted((ROOT / "docker").glob("*.Dockerfile"))
    assert [file.stem for file in files] == ["cpu", "cuda"]
    for file in files:
        text = file.read_text(encoding="utf-8")
        assert re.findall(r'^ENTRYPOINT \["(.*)"\]$', text, re.M)[0] in scripts
        assert int(re.findall(r"^USER (.*)$", text, re.M)[-1]) > 0  # not root


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
