"""The JSON file beside a model: what was measured of it, bound to it by its SHA-256."""

import json
from pathlib import Path
from typing import Any

from .errors import ModelError
from .files import sha256


def sidecar_path(model: Path) -> Path:
    """Return where the JSON file of MODEL lies."""
    return model.with_suffix(".json")


def read_sidecar(model: Path) -> dict[str, Any]:
    """Return what the JSON file beside MODEL says; {} if there is none or it is another file's.

    ModelError if it is damaged.
    """
    path = sidecar_path(model)
    if not path.is_file():
        return {}
    try:
        card = json.loads(path.read_text(encoding="utf-8"))
        bound = card["onnx_sha256"]
    except (ValueError, KeyError, TypeError) as error:
        raise ModelError(f"{path}: damaged; export the model again, or delete it") from error
    return dict(card) if bound == sha256(model) else {}


def refused_precisions(model: Path) -> tuple[str, ...]:
    """Return the arithmetic, such as bf16, in which MODEL failed its proof."""
    return tuple(read_sidecar(model).get("refused_precisions", ()))
