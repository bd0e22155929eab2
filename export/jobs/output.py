"""Where an export goes: the ONNX file, the card beside it, and what failed its proof."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ...runtime.errors import ArgumentError, ProofError
from ...runtime.files import sha256, whole_file
from ...runtime.models.card import sidecar_path
from ...runtime.models.catalog import REFUSED_SUFFIX


def check_target(target: Path, overwrite: bool) -> None:
    """Raise ArgumentError if TARGET or its card exists and may not be replaced."""
    if target.suffix != ".onnx":
        raise ArgumentError(f"{target}: give -o a name that ends in .onnx")
    for path in (target, sidecar_path(target)):
        if path.exists() and not overwrite:
            raise ArgumentError(f"{path}: exists; give --overwrite or another -o")


def refused_path(target: Path) -> Path:
    """Return the name under which a file that failed its proof is kept."""
    return target.with_suffix(REFUSED_SUFFIX)


@contextmanager
def proven_file(target: Path, refused: Path | None = None) -> Iterator[Path]:
    """Yield a path to write and prove; it becomes TARGET only if nothing was raised.

    After a ProofError, which then says so, it is kept as REFUSED: where a job works for another in
    a temporary folder, that other's; else TARGET's own.
    """
    kept = refused or refused_path(target)
    with whole_file(target) as part:
        try:
            yield part
        except ProofError as error:
            kept.parent.mkdir(parents=True, exist_ok=True)
            part.replace(kept)
            raise ProofError(f"{error}; kept for inspection as {kept}") from error


def write_card(target: Path, card: Mapping[str, Any]) -> None:
    """Write CARD beside TARGET, bound to its content."""
    with whole_file(sidecar_path(target)) as part:
        bound = {**card, "onnx_sha256": sha256(target)}
        part.write_text(json.dumps(bound, indent=2) + "\n")
