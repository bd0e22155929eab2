"""What was exported: the files below exports/ and runs/, their proofs, and what runs here."""

import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from rich import box
from rich.table import Column, Table

from ..runtime.engines.cuda import devices
from ..runtime.engines.select import available_backends, open_engine
from ..runtime.engines.tensorrt.plan import find_engine, model_path, read_build_config
from ..runtime.errors import ColorizeError, EngineError
from ..runtime.models.catalog import REFUSED_SUFFIX
from ..runtime.models.sidecar import bound_sidecar, read_proofs

FOLDERS = (Path("exports"), Path("runs"))


@dataclass(frozen=True)
class Row:
    """One exported file."""

    path: Path
    precision: str
    proof: str
    runs_here: str


def exported_files(folders: Sequence[Path] = FOLDERS) -> list[Row]:
    """Return the ONNX files and engines below FOLDERS, by name."""
    paths = {path for folder in folders for path in folder.rglob("*")}
    files = sorted(path for path in paths if path.suffix in (".onnx", ".engine") and path.is_file())
    return [
        _engine_row(path) if path.suffix == ".engine" else _model_row(path)
        for path in files
        if not path.name.startswith(".")
    ]


def _model_row(path: Path) -> Row:
    if path.name.endswith(REFUSED_SUFFIX):
        return Row(path, "-", "refused", "no: it failed its proof")
    proof = _summary(path)
    precision, able, reason = "-", [], ""
    for backend in available_backends():
        try:
            with open_engine(path, backend) as engine:
                precision = engine.info.precision
                able.append(backend)
        except ColorizeError as error:
            reason = f"no: {error}"
    return Row(path, precision, proof, ", ".join(able) or reason)


def _summary(path: Path) -> str:
    """Return the figures of the proof that came closest to its bound, bf16's left out."""
    if int8 := bound_sidecar(path).get("int8"):
        return f"CIEDE2000 mean {int8['difference']:.4f}; {int8['speedup']:.2f} times as fast"
    proofs = read_proofs(path)
    decisive = [proof for proof in proofs if proof["precision"] != "bf16"]
    if not decisive:
        return "none beside it"
    closest = max(decisive, key=lambda proof: proof["tail"] / proof["bound"]["tail"])
    unit = closest["bound"]["unit"]
    refused = "".join("; not in bf16" for proof in proofs if not proof["passed"])
    return f"{unit} mean {closest['mean']:.4f}, tail {closest['tail']:.4f}{refused}"


def _engine_row(path: Path) -> Row:
    try:
        config = read_build_config(path)
    except EngineError as error:
        return Row(path, "-", "-", f"no: {error}")
    return Row(path, config.precision, "see its ONNX file", _engine_runs(path, config.variant))


def _engine_runs(path: Path, variant: str) -> str:
    gpus = devices()
    if not gpus:
        return "no: no NVIDIA driver reports a GPU"
    for module in (variant, "pycuda"):
        if importlib.util.find_spec(module) is None:
            return f"no: {module} is not installed"
    try:
        find_engine(model_path(path), variant, version(variant), gpus[0].compute_capability)
    except ColorizeError as error:
        return f"no: {error}"
    return f"yes, on {gpus[0].name}"


def as_table(rows: Sequence[Row]) -> Table:
    """Return ROWS as a table for a terminal."""
    columns = (Column("file", overflow="fold"), "precision", Column("MiB", justify="right"))
    table = Table(*columns, "proof", "runs here", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for row in rows:
        mib = f"{row.path.stat().st_size / 2**20:.1f}"
        table.add_row(str(row.path), row.precision, mib, row.proof, row.runs_here)
    return table
