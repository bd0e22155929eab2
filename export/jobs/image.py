"""The job of `--graph image`: a proven network becomes one self-contained, proven file."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2
import numpy as np
import onnx
import onnxruntime
from PIL import Image

from ...runtime.color import U8, gray_to_lightness, rgb_to_lab
from ...runtime.colorizer import Colorizer
from ...runtime.errors import ProofError
from ...runtime.files import part_file
from ...runtime.models.contract import HINTS
from ...runtime.photo.photo import Photo, apply_chroma
from ...runtime.resize import shrink
from ..graphs.image import GRAY, image_graph
from ..proof.batches import gray_of, sample_files
from .output import Exported, Output

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


def as_image_graph(network: Exported, output: Output, *, hints: bool = False) -> Exported:
    """Return NETWORK wrapped, 8-bit gray in and RGB out; ProofError if it colors otherwise.

    HINTS: it takes them as a second input.
    """
    model = image_graph(onnx.load_from_string(network.content), hints=hints)
    content, kind = model.SerializeToString(), "image-hints" if hints else "image"
    with part_file(output.target) as plain, output.draft(content) as file:
        plain.write_bytes(network.content)
        proof = prove_image(file, plain, hints=hints)
    output.say(f"proved: {proof}")
    return Exported(content, {**network.sidecar, "graph": kind, "image": asdict(proof)})


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
    for gray in map(gray_of, sample_files(_PHOTOS)):
        yield from (gray, gray[:, : gray.shape[1] // 5], gray[::8, ::8])
