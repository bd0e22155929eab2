"""The JSON file beside a model: what was measured, bound to the model by its SHA-256."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..errors import ModelError
from ..files import known_sha256

_OLDER_NAMES = {"colourfulness": "colorfulness"}


def sidecar_path(model: Path) -> Path:
    """Return where the JSON file of MODEL lies."""
    return model.with_suffix(".json")


def read_card(model: Path) -> dict[str, Any]:
    """Return the JSON object beside MODEL, {} if there is none; ModelError if it is damaged."""
    path = sidecar_path(model)
    if not path.is_file():
        return {}
    try:
        card = json.loads(path.read_bytes())
    except ValueError as error:
        raise ModelError(f"{path}: damaged; export the model again ({error})") from error
    return card if isinstance(card, dict) else {}


def read_figures(figures: Mapping[str, Any]) -> dict[str, float]:
    """Return the numbers among FIGURES by their current names; shipped files use older ones."""
    return {
        _OLDER_NAMES.get(name, name): value
        for name, value in figures.items()
        if isinstance(value, int | float)
    }


def read_sidecar(model: Path) -> dict[str, Any]:
    """Return what was measured of MODEL; {} if that is not there or of another file."""
    try:
        card = read_card(model)
    except ModelError:
        return {}
    return card if card.get("onnx_sha256") == known_sha256(model) else {}


def proved_in_bfloat16(model: Path) -> bool:
    """Whether MODEL gave its network's answers in bf16 too."""
    proofs = read_sidecar(model).get("proofs", ())
    return any(proof["passed"] for proof in proofs if "bf16" in proof["subject"])


def refused_precisions(model: Path) -> tuple[str, ...]:
    """Return the arithmetic, such as bf16, in which MODEL failed its proof."""
    return tuple(read_sidecar(model).get("refused_precisions", ()))
