"""The job of `--import`: another's colorizer becomes a proven contract file."""

from collections.abc import Iterator
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path

import numpy as np
from onnx import helper
from skimage.color import rgb2lab

from ...runtime.color import F32, lab_to_rgb
from ...runtime.engines.onnxruntime import OnnxRuntimeEngine
from ...runtime.errors import ArgumentError, ProofError
from ...runtime.files import sha256
from ...runtime.models.contract import ModelInfo
from ...runtime.resize import enlarge
from ..graphs.fp16 import Precision
from ..jobs.output import Exported, Output
from ..proof.batches import Batch, sample_files, seen_batches
from ..proof.proof import FLOAT16, WRAPPED, Proof, Trial
from .loaders import Foreign, halved, load_onnx, load_torch
from .options import ImportOptions
from .wrapper import wrap

_PHOTOS = 2  # these networks are large, and each is compared at its full size


def import_colorizer(options: ImportOptions, precision: Precision, output: Output) -> Exported:
    """Return another's colorizer in the contract, proven; ProofError if it fails."""
    foreign = _load(options)
    hints = foreign.signature.takes_hints
    photos = sample_files(_PHOTOS + hints)  # with none, a few, and dense hints
    batches = seen_batches(photos, foreign, hints=hints)
    truths = [reference(foreign, batch) for batch in batches]
    if precision == "fp16":
        foreign = halved(foreign)
    info = _info(foreign, options, precision)
    resized = truths[0].shape != foreign.compute(*_given(foreign, batches[0])).shape
    model = wrap(foreign.to_onnx(), foreign.signature, info, resized=resized)
    helper.set_model_props(model, {**info.to_metadata(), "colorize.source": options.source})
    content = model.SerializeToString()
    trial = Trial(batches, truths, FLOAT16 if precision == "fp16" else WRAPPED)
    proofs = []
    with output.draft(content) as file:
        for proof in _prove(file, foreign, precision, trial):
            if not output.tell(proof).passed:
                raise ProofError(f"refused: {proof}")
            proofs.append(proof.to_json())
    sidecar = {
        "architecture": foreign.architecture,
        "precision": precision,
        "source": options.source,
        "licence": options.license,  # as all files there are spell it
        "kind": asdict(foreign.signature),
        "proofs": proofs,
    }
    return Exported(content, sidecar)


def _load(options: ImportOptions) -> Foreign:
    if options.file.suffix.lower() != ".onnx":
        return load_torch(options.file)
    signature = options.signature()
    if signature is None:
        raise ArgumentError(f"{options.file}: say with --takes and --gives what it computes")
    return load_onnx(
        options.file,
        signature,
        native_size=options.native_size,
        size_multiple=options.size_multiple,
    )


def _info(foreign: Foreign, options: ImportOptions, precision: str) -> ModelInfo:
    return ModelInfo(
        architecture=foreign.architecture,
        precision=precision,
        native_size=foreign.native_size,
        size_multiple=foreign.size_multiple,
        checkpoint_sha256=sha256(options.file),
        data_name="unstated",
        data_fingerprint="unstated",
        license=options.license,
        toolkit_version=version("colorize-toolkit"),
        fixed_size=foreign.fixed_size,
        takes_hints=foreign.signature.takes_hints,
    )


def _prove(file: Path, foreign: Foreign, precision: Precision, trial: Trial) -> Iterator[Proof]:
    if precision == "fp16":
        # ONNX Runtime computes FP16 files in float32 on CPUs; torch rounds as a GPU does.
        yield trial.prove("torch", "fp16", lambda *batch: reference(foreign, batch))
    with OnnxRuntimeEngine(file) as engine:
        yield trial.prove("onnxruntime", "fp32", engine.infer)


def reference(foreign: Foreign, batch: Batch) -> F32:
    """Return ab (N, 2, H, W) as the network gives it, with nothing of the ONNX wrapper."""
    answer, signature = foreign.compute(*_given(foreign, batch)), foreign.signature
    if signature.gives == "ab":
        ab = answer * np.float32(signature.ab_scale)
    else:
        low, span = signature.gives_range.columns(3)
        rgb = np.clip((answer - low) / span, 0, 1)
        ab = rgb2lab(rgb, channel_axis=1)[:, 1:]
    planes = [enlarge(one.transpose(1, 2, 0), batch[0].shape[2:]) for one in ab]
    return np.stack(planes).transpose(0, 3, 1, 2)


def _given(foreign: Foreign, batch: Batch) -> tuple[F32, ...]:
    (lightness, *hints), signature = batch, foreign.signature
    unit = lightness / 100
    if signature.takes == "gray-rgb":
        unit = np.stack([lab_to_rgb(np.stack([L, 0 * L, 0 * L], -1))[..., 0] for L in lightness])
    low, span = signature.takes_range.columns(signature.channels)
    scaled = (hint / signature.hint_scale for hint in hints)
    return np.asarray(unit * span + low, np.float32), *scaled
