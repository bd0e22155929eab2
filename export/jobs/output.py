"""Where an export goes: the ONNX file, the JSON file beside it, and what failed its proof."""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...runtime.errors import ArgumentError, ProofError
from ...runtime.files import part_file, sha256, whole_file
from ...runtime.models.catalog import REFUSED_SUFFIX
from ...runtime.models.sidecar import sidecar_path
from ..proof.proof import Proof


@dataclass(frozen=True)
class Exported:
    """A proven ONNX file, and what the JSON file beside it says of it."""

    content: bytes
    sidecar: Mapping[str, Any]


@dataclass(frozen=True)
class Output:
    """Where an export goes, and who hears how it goes, line by line."""

    target: Path
    say: Callable[[str], None]

    def check(self, *, overwrite: bool) -> None:
        """Raise ArgumentError if the target or its sidecar exists and may not be replaced."""
        if self.target.suffix != ".onnx":
            raise ArgumentError(f"{self.target}: give -o a name that ends in .onnx")
        for path in (self.target, sidecar_path(self.target)):
            if path.exists() and not overwrite:
                raise ArgumentError(f"{path}: exists; give --overwrite or another -o")

    @contextmanager
    def draft(self, content: bytes) -> Iterator[Path]:
        """Yield a hidden file of CONTENT to prove; ProofError keeps it, and says where."""
        with part_file(self.target) as part:
            part.write_bytes(content)
            try:
                yield part
            except ProofError as error:
                refused = part.replace(self.target.with_suffix(REFUSED_SUFFIX))
                raise ProofError(f"{error}; kept for inspection as {refused}") from error

    def tell(self, proof: Proof) -> Proof:
        """Return PROOF after a line about it."""
        self.say(f"{'proved' if proof.passed else 'failed'}: {proof}")
        return proof

    def publish(self, exported: Exported) -> None:
        """Write the target and its sidecar, each whole or not at all."""
        with whole_file(self.target) as part:
            part.write_bytes(exported.content)
        with whole_file(sidecar_path(self.target)) as part:
            bound = {**exported.sidecar, "onnx_sha256": sha256(exported.content)}
            part.write_text(json.dumps(bound, indent=2) + "\n")
