"""The JSON file beside a model: what was measured of it, bound to it by its SHA-256."""

import json
from pathlib import Path
from typing import Any

from .files import sha256


def sidecar_path(model: Path) -> Path:
    """Return where the JSON file of MODEL lies."""
    return model.with_suffix(".json")


def read_sidecar(model: Path) -> dict[str, Any]:
    """Return what the JSON file beside MODEL says; {} if there is none or it is another file's."""
    try:
        card = json.loads(sidecar_path(model).read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return {}
    ours = isinstance(card, dict) and card.get("onnx_sha256") == sha256(model)
    return card if ours else {}


def refused_precisions(model: Path) -> tuple[str, ...]:
    """Return the arithmetic, such as bf16, in which MODEL failed its proof."""
    return tuple(read_sidecar(model).get("refused_precisions", ()))
