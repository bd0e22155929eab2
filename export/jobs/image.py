"""The job of `--graph image`: a proven network becomes one self-contained, proven file."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import onnx
import onnxruntime

from ...runtime.color import U8
from ...runtime.colorizer import Colorizer
from ...runtime.errors import ProofError
from ...runtime.files import photo_files
from ...runtime.models.catalog import SAMPLES
from ...runtime.photo.reader import read_photo
from ..graphs.image import GRAY, image_graph
from .output import check_target, proven_file, refused_path, write_card

MOST_LEVELS = 2
"""How far a channel of 0..255 may lie from what colorize-run makes of the same picture."""

_PHOTOS = 4


@dataclass(frozen=True)
class ImageProof:
    """How far the file's pictures lie from those of colorize-run, over all photographs tried."""

    levels: int
    bound: int = MOST_LEVELS

    def __str__(self) -> str:
        return f"image graph: at most {self.levels} levels of 255 (bound {self.bound})"


@dataclass(frozen=True)
class ImageJob:
    """Make the network's file as JOB says, in a folder of its own, and wrap it."""

    job: Any  # a dataclass with `target`, `refused` and `run`: ExportJob, ImportJob or Int8Job
    target: Path
    overwrite: bool = False

    def run(self, report: Callable[[str], None]) -> None:
        """Export, wrap, prove; ProofError leaves nothing under the file's name."""
        check_target(self.target, self.overwrite)
        with TemporaryDirectory() as folder:
            network = Path(folder) / "network.onnx"
            replace(self.job, target=network, refused=refused_path(self.target)).run(report)
            with proven_file(self.target) as part:
                part.write_bytes(image_graph(onnx.load(network)).SerializeToString())
                proof = prove_image(part, network)
                report(f"proved: {proof}")
            card = json.loads(network.with_suffix(".json").read_text())
        card |= {
            "graph": "image",
            "image": {"levels": proof.levels, "bound": proof.bound},
        }
        write_card(self.target, card)


def prove_image(file: Path, network: Path) -> ImageProof:
    """Compare the self-contained FILE with colorize-run on NETWORK; ProofError if they differ."""
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    worst = 0
    with Colorizer(network, backend="onnxruntime") as colorizer:
        for gray in _pictures():
            [rgb] = session.run(None, {GRAY: np.ascontiguousarray(gray[None])})[0]
            levels = np.abs(rgb.astype(np.int16) - colorizer.image(gray)).max()
            worst = max(worst, int(levels))
    proof = ImageProof(worst)
    if worst > MOST_LEVELS:
        raise ProofError(f"refused: {proof}")
    return proof


def _pictures() -> Iterator[U8]:
    """Yield grays of photographs: whole, a tall strip, and smaller than networks see them."""
    for path in photo_files(SAMPLES / "test")[:_PHOTOS]:
        gray = read_photo(path).gray()
        yield from (gray, gray[:, : gray.shape[1] // 5], gray[::8, ::8])
