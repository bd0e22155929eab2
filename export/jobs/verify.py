"""Prove a file again that was exported before, on this machine."""

from pathlib import Path

import onnx

from ...runtime.engines.openvino import OpenVINOEngine
from ...runtime.engines.tensorrt.plan import check_build_config, model_path, read_build_config
from ...runtime.errors import ArgumentError, ModelError
from ...runtime.files import sha256
from ...runtime.models.card import refused_precisions
from ...runtime.models.catalog import MODELS, find_model
from ...runtime.models.contract import ModelInfo
from ...train.architectures import ARCHITECTURES
from ...train.checkpoints.checkpoint import checkpoints, load_checkpoint
from ..graphs.fp16 import prove_halved
from ..graphs.onnx import FLOAT32_LAYERS
from .examine import Examination, Report, examine, native_batches, tell


def recheck(file: Path, checkpoint: Path | None, report: Report) -> None:
    """Compare FILE, an ONNX file or engine, with the checkpoint that it was made from.

    Nothing is written. CHECKPOINT None: it is found by the SHA-256 in FILE's metadata. Raises
    ProofError if a proof fails, ModelError if FILE breaks the contract or no checkpoint is found,
    EngineError if an engine is damaged or stale.
    """
    model = _model_of(file, report) if file.suffix == ".engine" else find_model(file)
    with OpenVINOEngine(model, "fp32") as engine:  # names the first breach of the contract
        info = engine.info
    if info.architecture not in ARCHITECTURES:
        raise ModelError(
            f"{model}: holds an imported {info.architecture}; prove it by --import, again from the "
            "file that it was made from"
        )
    source = _find_checkpoint(model, info, checkpoint)
    report(f"made from {source}")
    loaded = load_checkpoint(source)
    kept = _float32_layers(model)
    found = examine(model, loaded, info.precision, kept, report)
    if info.precision == "fp16":
        halved = tell(prove_halved(loaded.network, native_batches(loaded), kept), report)
        found = Examination((*found.proofs, halved), found.bfloat16)
    found.demand()
    if set(found.refused_precisions) - set(refused_precisions(model)):
        report("on CPUs with AMX run it with --precision fp32, or export it here again")


def _float32_layers(model: Path) -> tuple[str, ...]:
    """Return the layers that MODEL, an fp16 file, computes in float32."""
    metadata = {each.key: each.value for each in onnx.load(model).metadata_props}
    return tuple(metadata.get(FLOAT32_LAYERS, "").split())


def _model_of(engine: Path, report: Report) -> Path:
    """Return the ONNX file of ENGINE, which must be whole and built from it."""
    build_config, model = read_build_config(engine), find_model(model_path(engine))
    check_build_config(engine, build_config, onnx_sha256=sha256(model))
    report(
        f"{engine}: whole, built by {build_config.variant} {build_config.version} from {model.name}"
    )
    report("the engine itself is not run here; what follows is about the ONNX file")
    return model


def _find_checkpoint(model: Path, info: ModelInfo, named: Path | None) -> Path:
    """Return the checkpoint that MODEL was made from, known by its SHA-256."""
    beside = model.parent.glob("*.safetensors")
    others = [*MODELS.glob("*.safetensors"), *beside, *checkpoints(Path("runs"))]
    candidates = [named] if named else others
    for path in candidates:
        if path.is_file() and sha256(path) == info.checkpoint_sha256:
            return path
    origin = f"{model}: made from the checkpoint with SHA-256 {info.checkpoint_sha256[:16]}..."
    if named:
        raise ArgumentError(f"{origin}, which {named} is not")
    raise ModelError(
        f"{origin}, which is not bundled, not beside it and not below runs/; name it with "
        "--checkpoint"
    )
