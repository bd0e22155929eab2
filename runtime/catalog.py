"""What the package brings along: sample pictures and models by name."""

from pathlib import Path

from .errors import ModelError

SAMPLES = Path(__file__).with_name("samples")
"""Free photographs in train/ and test/ (disjoint scenes) and clip.mp4; see SOURCES.md."""

MODELS = Path(__file__).with_name("models")
DEFAULT_MODEL = "default"


def bundled_models() -> dict[str, Path]:
    """Return the ONNX files that the package brings, by name."""
    return {path.stem: path for path in sorted(MODELS.glob("*.onnx"))}


def find_model(name: str | Path) -> Path:
    """Return the ONNX file NAME, a bundled model's name or a path; ModelError if there is none."""
    bundled = bundled_models()
    if str(name) in bundled:
        return bundled[str(name)]
    path = Path(name)
    if path.is_file():
        return path
    known = ", ".join(bundled) or "none"
    raise ModelError(f"{name}: neither a file nor a bundled model (these are: {known})")
