"""The JSON file beside a model: what was measured of it, bound to it by its SHA-256."""

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


def read_sidecar(model: Path) -> dict[str, Any]:
    """Return the JSON object beside MODEL, {} if there is none; ModelError if it is damaged."""
    path = sidecar_path(model)
    if not path.is_file():
        return {}
    try:
        sidecar = json.loads(path.read_bytes())
    except ValueError as error:
        raise ModelError(f"{path}: damaged; export the model again ({error})") from error
    return sidecar if isinstance(sidecar, dict) else {}


def read_figures(figures: Mapping[str, Any]) -> dict[str, float]:
    """Return the numbers among FIGURES by the names of today; shipped files have older ones."""
    return {
        _OLDER_NAMES.get(name, name): value
        for name, value in figures.items()
        if isinstance(value, int | float)
    }


def bound_sidecar(model: Path) -> dict[str, Any]:
    """Return what was measured of MODEL; {} if that is not there or of another file."""
    try:
        sidecar = read_sidecar(model)
    except ModelError:
        return {}
    return sidecar if sidecar.get("onnx_sha256") == known_sha256(model) else {}


def read_proofs(model: Path) -> list[dict[str, Any]]:
    """Return the proofs of MODEL with their engine and precision, as export's Proof has them."""
    return [{**_proved_in(proof), **proof} for proof in bound_sidecar(model).get("proofs", ())]


def _proved_in(proof: Mapping[str, Any]) -> dict[str, str]:
    """Read the subject of older files, such as "OpenVINO, bf16"; "" of those without fields."""
    engine, _, precision = proof.get("subject", "").partition(", ")
    return {"engine": engine, "precision": precision}


def proved_in_bfloat16(model: Path) -> bool:
    """Whether MODEL gave its network's answers in bf16 too."""
    return any(proof["passed"] for proof in read_proofs(model) if proof["precision"] == "bf16")


def refused_precisions(model: Path) -> tuple[str, ...]:
    """Return the arithmetic, such as bf16, in which MODEL failed its proof."""
    return tuple(bound_sidecar(model).get("refused_precisions", ()))
