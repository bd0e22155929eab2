"""Starts the tests of the folder simulated in a process that has the SIMULATED CUDA driver in it.

Real are there: pycuda, and the toolkit's code that uses it. Simulated are the driver, the GPUs and
TensorRT, so these tests hold the order of calls and the handling of memory, and nothing else.
"""

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).with_name("simulated")
_PYCUDA = importlib.util.find_spec("pycuda")
_TOOLKITS = [os.environ.get("CUDA_ROOT", ""), "/usr/local/cuda", "/usr/lib/cuda", "/usr"]
_HEADERS = next((root for root in _TOOLKITS if Path(root, "include/cuda.h").is_file()), None)


def _lacking() -> str:
    """Return why there can be no simulated driver here; "" if there can."""
    if sys.platform != "linux":
        return "the simulated CUDA driver is written for Linux"
    if _PYCUDA is None:
        return "pycuda is not installed (.ci/pycuda builds it where CUDA's headers are)"
    if _HEADERS is None:
        return "no cuda.h below CUDA_ROOT, /usr/local/cuda, /usr/lib/cuda or /usr"
    tools = [tool for tool in ("gcc", "nm") if shutil.which(tool) is None]
    return f"{' and '.join(tools)} not installed" if tools else ""


def _build(folder: Path) -> Path:
    """Compile the simulated driver; what else pycuda needs answers `not supported`."""
    assert _PYCUDA is not None
    assert _PYCUDA.origin is not None
    [extension] = Path(_PYCUDA.origin).parent.glob("_driver*.so")
    library, written = folder / "libcuda.so.1", folder / "driver.o"
    compiler = ["gcc", "-fPIC", "-O1", "-Wall", "-Werror", f"-I{_HEADERS}/include"]
    subprocess.run([*compiler, "-c", FOLDER / "driver.c", "-o", written], check=True)
    rest = _symbols(extension, "--undefined-only", "-D") - _symbols(written, "--defined-only")
    stubs = folder / "rest.c"
    stubs.write_text("".join(f"int {name}(void) {{ return 801; }}\n" for name in sorted(rest)))
    named = "-Wl,-soname,libcuda.so.1"
    subprocess.run(["gcc", "-shared", "-fPIC", named, "-o", library, stubs, written], check=True)
    return library


def _symbols(binary: Path, *options: str) -> set[str]:
    listed = subprocess.run(["nm", *options, binary], capture_output=True, text=True, check=True)
    return {word for word in listed.stdout.split() if re.fullmatch("cu[A-Z][A-Za-z0-9_]*", word)}


@pytest.mark.skipif(bool(_lacking()), reason=_lacking())
@pytest.mark.parametrize(
    ("file", "least"),
    [("test_engine.py", 30), pytest.param("test_bench.py", 2, marks=pytest.mark.slow)],
)
def test_all_pass_over_the_simulated_driver(file: str, least: int, tmp_path: Path) -> None:
    environment = {
        **os.environ,
        "SIMULATED_CUDA": "1",
        "LD_PRELOAD": str(_build(tmp_path)),  # before any real driver
        "PYTHONPATH": os.pathsep.join([str(FOLDER / "modules"), os.environ.get("PYTHONPATH", "")]),
    }
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-p",
        "no:cacheprovider",
        "-q",
        "-m",
        "",
        str(FOLDER / file),
    ]
    run = subprocess.run(
        command, env=environment, capture_output=True, text=True, check=False, cwd=FOLDER.parents[3]
    )
    assert run.returncode == 0, f"{run.stdout[-8000:]}\n{run.stderr[-2000:]}"
    passed = re.search(r"^(\d+) passed in", run.stdout, re.MULTILINE)  # and none skipped
    assert passed
    assert int(passed[1]) >= least
