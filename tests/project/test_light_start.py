"""What starts without what: torch, the video library and the engines are loaded only when used."""

import subprocess
from collections.abc import Callable
from pathlib import Path
from textwrap import indent

Run = Callable[..., subprocess.CompletedProcess[str]]

HEAVY = ("torch", "torchvision", "lightning", "lightning_fabric", "onnx", "onnxscript")

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
    code = BLOCKED.format(names=HEAVY) + COLORS.format(model=str(tiny_model))
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


def test_help_of_the_web_page_loads_no_heavy_library(in_subprocess: Run) -> None:
    code = LOADED.format(floor="runtime.web").replace(
        '"torch", ', '"torch", "gradio", "starlette", '
    )
    run = in_subprocess("-c", code)
    assert "Usage: " in run.stdout
    assert run.stderr.split()[0] == "0"
    heavy = {"torch", "cv2", "openvino", "av", "onnxruntime", "gradio", "starlette"}
    assert not heavy & set(run.stderr.split())


WITHOUT = """
import importlib.util
find = importlib.util.find_spec
importlib.util.find_spec = lambda name, *more: None if name == "gradio" else find(name, *more)
from colorize.runtime.web.cli import main
main(["--no-browser"])
"""


def test_the_web_page_names_the_extra_that_it_needs(in_subprocess: Run) -> None:
    run = in_subprocess("-c", WITHOUT)
    assert run.returncode == 2
    assert run.stderr.startswith("colorize-web: needs gradio: pip install 'colorize-toolkit[web]'")
    assert len(run.stderr.splitlines()) == 1


def test_refused_arguments_load_no_engine(in_subprocess: Run, tmp_path: Path) -> None:
    code = LOADED.format(floor="runtime").replace('"--help"', repr(str(tmp_path / "none.png")))
    run = in_subprocess("-c", code)
    assert run.stderr.splitlines()[-1].split()[0] == "2"
    assert not {"torch", "cv2", "openvino", "av", "onnxruntime"} & set(run.stderr.split())


PUBLIC = """
import sys
from colorize import runtime
from colorize.runtime import ColorizeError, InputError, VideoOptions
assert issubclass(InputError, ColorizeError)
VideoOptions(codec="ffv1")
print(sorted({"cv2", "openvino", "av", "onnxruntime", "numpy", "PIL"} & set(sys.modules)))
with_everything = {name: getattr(runtime, name) for name in runtime.__all__}
print("cv2" in sys.modules, with_everything["Colorizer"].__name__)
"""


def test_the_public_names_are_imported_when_first_asked_for(in_subprocess: Run) -> None:
    run = in_subprocess("-c", PUBLIC)
    assert run.stdout.splitlines() == ["[]", "True Colorizer"], run.stderr
