"""The job of `--graph image`: a proven network becomes one self-contained, proven file."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import cv2
import numpy as np
import onnx
import onnxruntime
from PIL import Image

from ...runtime.color import U8, gray_to_lightness, rgb_to_lab
from ...runtime.colorizer import Colorizer
from ...runtime.errors import ProofError
from ...runtime.files import photo_files
from ...runtime.models.catalog import SAMPLES
from ...runtime.models.contract import HINTS
from ...runtime.photo.photo import Photo, apply_chroma
from ...runtime.photo.reader import read_photo
from ...runtime.resize import shrink
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
    hints: bool = False  # as a second input

    def run(self, report: Callable[[str], None]) -> None:
        """Export, wrap, prove; ProofError leaves nothing under the file's name."""
        check_target(self.target, self.overwrite)
        with TemporaryDirectory() as folder:
            network = Path(folder) / "network.onnx"
            replace(self.job, target=network, refused=refused_path(self.target)).run(report)
            with proven_file(self.target) as part:
                model = image_graph(onnx.load(network), hints=self.hints)
                part.write_bytes(model.SerializeToString())
                proof = prove_image(part, network, hints=self.hints)
                report(f"proved: {proof}")
            card = json.loads(network.with_suffix(".json").read_text())
        card |= {
            "graph": "image-hints" if self.hints else "image",
            "image": {"levels": proof.levels, "bound": proof.bound},
        }
        write_card(self.target, card)


def prove_image(file: Path, network: Path, *, hints: bool = False) -> ImageProof:
    """Compare the self-contained FILE with colorize-run on NETWORK; ProofError if they differ.

    With HINTS compare with what NETWORK answers to the same ones, shrunk in numpy.
    """
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    worst = 0
    with Colorizer(network, backend="onnxruntime") as colorizer:
        for number, gray in enumerate(_pictures()):
            given = {GRAY: np.ascontiguousarray(gray[None])}
            if hints:
                given[HINTS] = _overlay(gray.shape, number)[None]
                expected = _with_hints(colorizer, gray, given[HINTS][0])
            else:
                expected = colorizer.image(gray)
            [rgb] = session.run(None, given)[0]
            worst = max(worst, int(np.abs(rgb.astype(np.int16) - expected).max()))
    proof = ImageProof(worst)
    if worst > MOST_LEVELS:
        raise ProofError(f"refused: {proof}")
    return proof


def _overlay(shape: tuple[int, ...], number: int) -> U8:
    """Return an RGBA picture of SHAPE: some colored disks, opaque, half transparent, or none."""
    chance = np.random.default_rng(number)
    overlay = np.zeros((*shape, 4), np.uint8)
    for _ in range(4 * (number % 3)):
        center = (int(chance.integers(shape[1])), int(chance.integers(shape[0])))
        color = [*chance.integers(0, 256, 3).tolist(), int(chance.choice([128, 255]))]
        cv2.circle(overlay, center, max(1, min(shape) // 16), color, cv2.FILLED)
    return overlay


def _with_hints(colorizer: Colorizer, gray: U8, overlay: U8) -> U8:
    """Return GRAY, colored by the network under the hints of OVERLAY alone."""
    height, width = shape = colorizer.working_shape(*gray.shape)
    alpha = overlay[..., 3:].astype(np.float32) / 255
    weighed = np.dstack([rgb_to_lab(overlay[..., :3])[..., 1:] * alpha, alpha])
    # Pillow's triangle, as everywhere; in float it keeps all digits.
    planes = np.stack(
        [
            np.asarray(Image.fromarray(plane).resize((width, height), Image.Resampling.BILINEAR))
            for plane in np.ascontiguousarray(weighed.transpose(2, 0, 1))
        ]
    )
    hints = np.concatenate([planes[:2] / np.maximum(planes[2:], 1e-6), planes[2:]])
    lightness = gray_to_lightness(shrink(gray, shape))[None, None]
    [ab] = colorizer.engine.infer(lightness, hints[None].astype(np.float32))
    planes = np.ascontiguousarray(ab.transpose(1, 2, 0))
    return apply_chroma(Photo(np.dstack([gray] * 3)), planes, 1.0, None).codes.astype(np.uint8)


def _pictures() -> Iterator[U8]:
    """Yield grays of photographs: whole, a tall strip, and smaller than networks see them."""
    for path in photo_files(SAMPLES / "test")[:_PHOTOS]:
        gray = read_photo(path).gray()
        yield from (gray, gray[:, : gray.shape[1] // 5], gray[::8, ::8])
