"""Prove a file again that was exported before, on this machine."""

from pathlib import Path

from ...runtime.engines.openvino import OpenVINOEngine
from ...runtime.engines.tensorrt.plan import check_build_config, model_path, read_build_config
from ...runtime.errors import ArgumentError, ModelError
from ...runtime.files import sha256
from ...runtime.models.catalog import MODELS, checkpoint_of, find_model
from ...runtime.models.contract import ModelInfo
from ...runtime.models.sidecar import refused_precisions
from ...train.architectures import ARCHITECTURES
from ...train.checkpoints.checkpoint import checkpoints, load_checkpoint
from ..graphs.fp16 import prove_halved
from ..graphs.onnx import FLOAT32_LAYERS, read_metadata
from . import examine
from .output import Output


def recheck(output: Output, checkpoint: Path | None) -> None:
    """Compare OUTPUT's target, an ONNX file or engine, with the checkpoint that it was made from.

    Nothing is written. CHECKPOINT None: it is found by the SHA-256 in the file's metadata. Raises
    ProofError if a proof fails, ModelError if the file breaks the contract or no checkpoint is
    found, EngineError if an engine is damaged or stale.
    """
    file = output.target
    model = _model_of(file, output) if file.suffix == ".engine" else find_model(file)
    with OpenVINOEngine(model, "fp32") as engine:  # names the first breach of the contract
        info = engine.info
    if info.architecture not in ARCHITECTURES:
        raise ModelError(
            f"{model}: holds an imported {info.architecture}; prove it by --import, again from the "
            "file that it was made from"
        )
    source = _find_checkpoint(model, info, checkpoint)
    output.say(f"made from {source}")
    loaded = load_checkpoint(source)
    kept = tuple(read_metadata(model).get(FLOAT32_LAYERS, "").split())
    proofs = examine.examine(model, loaded, info.precision, kept, output)
    if info.precision == "fp16":
        batches = examine.native_batches(loaded)
        proofs.append(output.tell(prove_halved(loaded.network, batches, kept)))
    examine.demand(proofs)
    if set(examine.refused_precisions(proofs)) - set(refused_precisions(model)):
        output.say("on CPUs with AMX run it with --precision fp32, or export it here again")


def _model_of(engine: Path, output: Output) -> Path:
    """Return the ONNX file of ENGINE, which must be whole and built from it."""
    config, model = read_build_config(engine), find_model(model_path(engine))
    check_build_config(engine, config, onnx_sha256=sha256(model))
    output.say(f"{engine}: whole, built by {config.variant} {config.version} from {model.name}")
    output.say("the engine itself is not run here; what follows is about the ONNX file")
    return model


def _find_checkpoint(model: Path, info: ModelInfo, named: Path | None) -> Path:
    """Return the checkpoint that MODEL was made from, known by its SHA-256."""
    beside = model.parent.glob("*.safetensors")
    others = [*MODELS.glob("*.safetensors"), *beside, *checkpoints(Path("runs"))]
    candidates = [path for path in ([named] if named else others) if path.is_file()]
    if found := checkpoint_of(model, candidates):
        return found
    origin = f"{model}: made from the checkpoint with SHA-256 {info.checkpoint_sha256[:16]}..."
    if named:
        raise ArgumentError(f"{origin}, which {named} is not")
    raise ModelError(
        f"{origin}, which is not bundled, not beside it and not below runs/; name it with "
        "--checkpoint"
    )
