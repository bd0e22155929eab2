"""What the package brings along, and models by name: found, listed, checked by their sidecars."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import ModelError
from ..files import known_sha256, sha256
from .sidecar import read_figures, read_sidecar

SAMPLES = Path(__file__).parents[1] / "samples"
"""Free photographs in train/ and test/ (disjoint scenes) and clip.mp4; see SOURCES.md."""

MODELS = Path(__file__).parent
DEFAULT_MODEL = "default"
REFUSED_SUFFIX = ".refused.onnx"
"""Of files that failed their proof in exporting: kept to look into, never to color with."""

_OTHER_KINDS = frozenset([".safetensors", ".pt", ".pth", ".ckpt", ".json", ".engine"])


@dataclass(frozen=True)
class ModelSummary:
    """What <model>.json, written by colorize-export beside <model>.onnx, says of a model."""

    path: Path
    architecture: str = "?"
    precision: str = "?"
    native_size: int | None = None  # short side in pixels at which it colors best
    license: str = "not stated: it has no JSON file beside it"
    figures: dict[str, float] | None = None  # measured on its validation photographs

    @classmethod
    def of(cls, path: Path) -> "ModelSummary":
        """Read the JSON file beside the ONNX file at PATH; ModelError if either is damaged."""
        fields = read_sidecar(path)
        _check_sum(path, fields)
        if not fields:
            return cls(path)
        origin = _of_type(fields.get("origin"), dict, {})
        figures: dict[str, Any] = _of_type(origin.get("figures"), dict, {})
        return cls(
            path,
            _of_type(fields.get("architecture"), str, "?"),
            _of_type(fields.get("precision"), str, "?"),
            _of_type(origin.get("native_size"), int, None),
            _of_type(origin.get("licence"), str, "not stated"),
            read_figures(figures),
        )


def _of_type(value: Any, kind: type, default: Any) -> Any:
    """Return VALUE if it is of KIND: a sidecar may come from anywhere."""
    return value if isinstance(value, kind) else default


def bundled_models() -> dict[str, Path]:
    """Return the ONNX files that the package brings, by name."""
    return models_in(MODELS)


def models_in(folder: Path) -> dict[str, Path]:
    """Return the ONNX files of a folder, by name; not hidden ones, nor what failed its proof."""
    return {
        path.stem: path
        for path in sorted(folder.glob("*.onnx"))
        if not path.name.startswith(".") and not path.name.endswith(REFUSED_SUFFIX)
    }


def listed_models(name: str | Path) -> dict[str, Path]:
    """Return the models to list for NAME: those of a folder, one file, or the bundled ones.

    ModelError if there is none.
    """
    path = Path(name)
    if str(name) in bundled_models():
        return bundled_models()
    if not path.is_dir():
        found = find_model(name)
        return {found.stem: found}
    if not (inside := models_in(path)):
        raise ModelError(f"{path}: no .onnx file in this folder")
    return inside


def find_model(name: str | Path) -> Path:
    """Return the ONNX file NAME: a bundled model's name, a file, or a folder with one in it.

    ModelError if there is none, or if it is not the file that its sidecar was written for.
    """
    bundled = bundled_models()
    path = bundled.get(str(name), Path(name))
    if path.is_dir():
        path = _only_model(path)
    if not path.is_file():
        known = ", ".join(bundled) or "none"
        raise ModelError(f"{name}: neither a file nor a bundled model (these are: {known})")
    if path.suffix.lower() in _OTHER_KINDS:
        raise ModelError(f"{path}: not an ONNX file; colorize-export makes one of a checkpoint")
    _check_sum(path, read_sidecar(path))
    return path


def checkpoint_of(model: Path, checkpoints: Iterable[Path]) -> Path | None:
    """Return the one of CHECKPOINTS that the ONNX file MODEL was exported from, if it is there."""
    content = model.read_bytes()  # an ONNX file holds its metadata, and so the SHA-256, as text
    return next((path for path in checkpoints if sha256(path).encode() in content), None)


def _check_sum(path: Path, sidecar: dict[str, Any]) -> None:
    expected = sidecar.get("onnx_sha256")
    if expected is not None and known_sha256(path) != expected:
        raise ModelError(
            f"{path}: damaged or replaced: its SHA-256 is not the one in "
            f"{path.with_suffix('.json').name}; export or install it again"
        )


def _only_model(folder: Path) -> Path:
    found = models_in(folder)
    if len(found) == 1:
        return next(iter(found.values()))
    if not found:
        raise ModelError(f"{folder}: no .onnx file in this folder")
    raise ModelError(f"{folder}: holds {', '.join(found)}; name one of these files")
