"""The job of `--import`: another's colorizer becomes a proven contract file."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Self

import numpy as np
from onnx import helper
from skimage.color import rgb2lab

from ...runtime.color import F32, lab_to_rgb
from ...runtime.engines.onnxruntime import OnnxRuntimeEngine
from ...runtime.errors import ArgumentError, ProofError
from ...runtime.files import sha256
from ...runtime.models.contract import ModelInfo
from ...runtime.resize import enlarge, seen_shape
from ..jobs.examine import Report, tell
from ..jobs.output import check_target, proven_file, write_card
from ..proof.batches import Batch, hinted, lightness_of, sample_grays
from ..proof.proof import FLOAT16, WRAPPED, Proof, compare
from .loaders import Foreign, halved, load_onnx, load_torch
from .options import ImportOptions
from .signature import Kind
from .wrapper import wrap

_PHOTOS = 2  # these networks are large, and each is compared at its full size


@dataclass(frozen=True)
class ImportJob:
    """What to import, how it is spoken to, and where the contract file goes."""

    file: Path
    kind: Kind | None  # of an ONNX file; the others tell theirs by their weights
    precision: str
    target: Path
    overwrite: bool = False
    native_size: int = 256
    size_multiple: int = 32
    license: str = "unstated"
    source: str = "unstated"
    refused: Path | None = None  # where a file that fails is kept; None: beside the target

    @classmethod
    def of(cls, options: ImportOptions, precision: str, target: Path, overwrite: bool) -> Self:
        """Return the job that the command's options ask for."""
        return cls(
            options.file,
            options.kind(),
            precision,
            target,
            overwrite,
            options.native_size,
            options.size_multiple,
            options.license,
            options.source,
        )

    def run(self, report: Report) -> None:
        """Wrap, prove and only then name the file; ProofError leaves nothing under its name."""
        check_target(self.target, self.overwrite)
        foreign = self._load()
        batches = sample_batches(foreign)
        truths = [reference(foreign, batch) for batch in batches]
        if self.precision == "fp16":
            foreign = halved(foreign)
        proofs = []
        with proven_file(self.target, self.refused) as part:
            resized = truths[0].shape != foreign.compute(*_given(foreign, batches[0])).shape
            info = self._info(foreign)
            model = wrap(foreign.to_onnx(), foreign.kind, info, resized=resized)
            helper.set_model_props(model, {**info.to_metadata(), "colorize.source": self.source})
            part.write_bytes(model.SerializeToString())
            for proof in self._prove(part, foreign, batches, truths):
                if not tell(proof, report).passed:
                    raise ProofError(f"refused: {proof}")
                proofs.append(proof.to_card())
        card = {
            "architecture": foreign.architecture,
            "precision": self.precision,
            "source": self.source,
            "licence": self.license,
            "kind": asdict(foreign.kind),
            "proofs": proofs,
        }
        write_card(self.target, card)

    def _load(self) -> Foreign:
        if self.file.suffix.lower() != ".onnx":
            return load_torch(self.file)
        if self.kind is None:
            raise ArgumentError(f"{self.file}: say with --takes and --gives what it computes")
        return load_onnx(
            self.file, self.kind, native_size=self.native_size, size_multiple=self.size_multiple
        )

    def _info(self, foreign: Foreign) -> ModelInfo:
        return ModelInfo(
            architecture=foreign.architecture,
            precision=self.precision,
            native_size=foreign.native_size,
            size_multiple=foreign.size_multiple,
            checkpoint_sha256=sha256(self.file),
            data_name="unstated",
            data_fingerprint="unstated",
            license=self.license,
            toolkit_version=version("colorize-toolkit"),
            fixed_size=foreign.fixed_size,
            takes_hints=foreign.kind.takes_hints,
        )

    def _prove(
        self, file: Path, foreign: Foreign, batches: list[Batch], truths: list[F32]
    ) -> Iterator[Proof]:
        bound = WRAPPED
        if self.precision == "fp16":
            bound = FLOAT16
            # ONNX Runtime computes FP16 files in float32 on CPUs; torch rounds as a GPU does.
            rounded = [reference(foreign, batch) for batch in batches]
            yield compare("torch, float16", batches, rounded, truths, bound)
        with OnnxRuntimeEngine(file) as engine:
            answers = [engine.infer(*batch) for batch in batches]
        yield compare("wrapped file", batches, answers, truths, bound)


def sample_batches(foreign: Foreign) -> list[Batch]:
    """Return sample photographs as the runtime would give them to FOREIGN."""
    hints = foreign.kind.takes_hints
    grays = sample_grays(_PHOTOS + hints)  # with none, a few, and dense ones
    lightness = [lightness_of(gray, seen_shape(foreign, *gray.shape)) for gray in grays]
    return hinted(lightness, hints=hints)


def reference(foreign: Foreign, batch: Batch) -> F32:
    """Return ab (N, 2, H, W) as the network gives it, with nothing of the ONNX wrapper."""
    lightness = batch[0]
    answer = foreign.compute(*_given(foreign, batch))
    if foreign.kind.gives == "ab":
        ab = answer * np.float32(foreign.kind.ab_scale)
    else:
        low, span = foreign.kind.gives_range.columns(3)
        rgb = np.clip((answer - low) / span, 0, 1)
        ab = rgb2lab(rgb, channel_axis=1)[:, 1:]
    planes = [enlarge(one.transpose(1, 2, 0), lightness.shape[2:]) for one in ab]
    return np.stack(planes).transpose(0, 3, 1, 2)


def _given(foreign: Foreign, batch: Batch) -> tuple[F32, ...]:
    lightness, *hints = batch
    scale = np.array([foreign.kind.ab_scale] * 2 + [1], np.float32).reshape(3, 1, 1)
    unit = lightness / 100
    if foreign.kind.takes == "gray-rgb":
        unit = np.stack([lab_to_rgb(np.stack([L, 0 * L, 0 * L], -1))[..., 0] for L in lightness])
    low, span = foreign.kind.takes_range.columns(1 if foreign.kind.takes == "L" else 3)
    return np.asarray(unit * span + low, np.float32), *(hint / scale for hint in hints)
