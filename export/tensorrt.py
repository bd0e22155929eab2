"""From an ONNX file to a TensorRT engine; one builder for `tensorrt` and `tensorrt_rtx`.

`tensorrt` builds for the GPU at hand and needs one. `tensorrt_rtx` builds ahead of time, for every
RTX card, with no GPU. Both read the precision from the ONNX file (strongly typed networks).
"""

import importlib
import importlib.util
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ..runtime.contract import INPUT
from ..runtime.cuda import device_count
from ..runtime.errors import EngineError
from ..runtime.files import sha256, whole_file

OnStep = Callable[[str, int, int], None]
"""Gets a phase's name, its step and its number of steps."""


@dataclass(frozen=True)
class Profile:
    """The shapes an engine must take: (smallest, best, largest) batch, and side in pixels."""

    batch: tuple[int, int, int] = (1, 8, 32)
    size: tuple[int, int, int] = (64, 256, 512)

    def shapes(self) -> list[tuple[int, int, int, int]]:
        """Return the smallest, best and largest shape (N, 1, H, W)."""
        return [(n, 1, side, side) for n, side in zip(self.batch, self.size, strict=True)]


def find_builder() -> tuple[Any, str]:
    """Return the module to build with and its flavour; EngineError says why there is none."""
    reasons = []
    if importlib.util.find_spec("tensorrt") is None:
        reasons.append("tensorrt is not installed")
    elif device_count() == 0:
        reasons.append("tensorrt needs an NVIDIA GPU to build, and no driver reports one")
    else:
        return importlib.import_module("tensorrt"), "tensorrt"
    if importlib.util.find_spec("tensorrt_rtx") is not None:
        return importlib.import_module("tensorrt_rtx"), "tensorrt_rtx"
    reasons.append("tensorrt_rtx, which needs none, is not installed: pip install tensorrt-rtx")
    raise EngineError("; ".join(reasons))


def build_engine(
    trt: Any, flavour: str, model: Path, target: Path, profile: Profile, on_step: OnStep
) -> None:
    """Build the engine of the ONNX file MODEL with the module TRT, and its sidecar JSON.

    EngineError carries TensorRT's own message and the node it is about.
    """
    log = _logger(trt)
    builder = trt.Builder(log)
    strongly_typed = 1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED)
    network = builder.create_network(strongly_typed)
    parser = trt.OnnxParser(network, log)
    if not parser.parse(model.read_bytes()):
        raise EngineError(f"{model}: {_parser_errors(parser)}")
    config = builder.create_builder_config()
    shapes = builder.create_optimization_profile()
    shapes.set_shape(INPUT, *profile.shapes())
    config.add_optimization_profile(shapes)
    config.progress_monitor = _monitor(trt, on_step)
    engine = builder.build_serialized_network(network, config)
    if engine is None:
        raise EngineError(
            f"{model}: TensorRT built no engine ({log.last_error or 'it gave no reason'})"
        )
    with whole_file(target) as part:
        part.write_bytes(memoryview(engine))
    sidecar = {
        "onnx_sha256": sha256(model),
        "engine_sha256": sha256(target),
        "flavour": flavour,
        "version": trt.__version__,
        "profile": asdict(profile),
    }
    with whole_file(Path(f"{target}.json")) as part:
        part.write_text(json.dumps(sidecar, indent=2) + "\n")


def _parser_errors(parser: Any) -> str:
    errors = [parser.get_error(index) for index in range(parser.num_errors)]
    return "; ".join(
        f"node {error.node_name() or '?'} ({error.node_operator() or '?'}): {error.desc()}"
        for error in errors
    )


# TensorRT's interfaces are subclassed inside functions because the module is an argument.
def _logger(trt: Any) -> Any:
    class Logger(trt.ILogger):  # type: ignore[misc]  # untyped base
        """Keeps TensorRT's last error for the message; says nothing by itself."""

        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self.last_error = ""

        def log(self, severity: Any, message: str) -> None:
            if severity in (trt.ILogger.ERROR, trt.ILogger.INTERNAL_ERROR):
                self.last_error = message

    return Logger()


def _monitor(trt: Any, on_step: OnStep) -> Any:
    class Monitor(trt.IProgressMonitor):  # type: ignore[misc]  # untyped base
        """Passes progress on; TensorRT stops where step_complete returns False."""

        def __init__(self) -> None:
            trt.IProgressMonitor.__init__(self)
            self.steps: dict[str, int] = {}

        def phase_start(self, phase: str, _parent: str | None, steps: int) -> None:
            self.steps[phase] = steps

        def step_complete(self, phase: str, step: int) -> bool:
            on_step(phase, step, self.steps[phase])
            return True

        def phase_finish(self, phase: str) -> None:
            self.steps.pop(phase, None)

    return Monitor()
