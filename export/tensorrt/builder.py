"""From an ONNX file to a TensorRT engine; one builder for `tensorrt` and `tensorrt_rtx`.

`tensorrt` builds for the GPU at hand and needs one. `tensorrt_rtx` builds ahead of time, for every
RTX card, with no GPU. Both read the precision from the ONNX file (strongly typed networks).
"""

import importlib
import importlib.util
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from filelock import FileLock, Timeout

from ...runtime.engines.base import last_line
from ...runtime.engines.cuda import devices
from ...runtime.engines.tensorrt.log import error_log
from ...runtime.engines.tensorrt.plan import (
    BuildConfig,
    Profile,
    check_build_config,
    engine_path,
    read_build_config,
    store_engine,
)
from ...runtime.errors import ArgumentError, EngineError
from ...runtime.files import sha256, whole_file
from ..graphs.onnx import read_info, read_metadata
from .profiles import BATCH, Range, default_sizes, profiles

OnPhase = Callable[[str, int, int], None]
"""Gets a phase's name, its step and its number of steps."""

Say = Callable[[str], None]


@dataclass(frozen=True)
class BuildOptions:
    """What an engine is built for."""

    batch: Range = BATCH
    size: Range | None = None  # short sides in pixels; None: around the network's own
    compute_capabilities: tuple[str, ...] = ()  # such as 89; ahead of time only; (): all
    workspace_mib: int | None = None  # None: all of the GPU's memory
    optimization_level: int | None = None  # 0..5; None: TensorRT's default


@dataclass(frozen=True)
class Toolkit:
    """The module that builds: tensorrt or tensorrt_rtx."""

    trt: Any
    variant: str

    def __str__(self) -> str:
        return f"{self.variant} {self.trt.__version__}"


def find_toolkit(
    device: Literal["auto", "cuda"] = "auto", compute_capabilities: tuple[str, ...] = ()
) -> Toolkit:
    """Return what builds here: tensorrt where there is a GPU, else tensorrt_rtx ahead of time.

    "cuda" insists on the GPU, COMPUTE_CAPABILITIES on building ahead of time. EngineError says
    what is missing, ArgumentError which capability is unknown.
    """
    if device == "cuda" and compute_capabilities:
        raise ArgumentError("--compute-capability builds ahead of time, --device cuda for this GPU")
    reasons = []
    if not compute_capabilities:
        if not devices():
            reasons.append("no NVIDIA driver reports a GPU, which tensorrt needs to build")
        if importlib.util.find_spec("tensorrt") is None:
            reasons.append("tensorrt is not installed (pip install 'colorize-toolkit[gpu]')")
        if not reasons:
            return _load("tensorrt")
        if device == "cuda":
            raise EngineError(f"--device cuda: {'; '.join(reasons)}")
    if importlib.util.find_spec("tensorrt_rtx") is None:
        reasons.append("tensorrt_rtx, which needs no GPU, is not installed")
        raise EngineError(f"{'; '.join(reasons)}: pip install tensorrt-rtx")
    toolkit = _load("tensorrt_rtx")
    names = toolkit.trt.ComputeCapability.__members__
    known = sorted((name[2:] for name in names if name.startswith("SM")), key=int)
    for capability in compute_capabilities:
        if capability not in known:
            raise ArgumentError(
                f"compute capability {capability!r}: {toolkit} knows {', '.join(known)}"
            )
    return toolkit


def _load(variant: str) -> Toolkit:
    try:
        return Toolkit(importlib.import_module(variant), variant)
    except (ImportError, OSError) as error:
        raise EngineError(
            f"{variant} cannot be loaded ({last_line(error)}); install it again"
        ) from error


def build_engine(
    model: Path, toolkit: Toolkit, options: BuildOptions, on_phase: OnPhase, say: Say
) -> Path:
    """Return the engine of the ONNX file MODEL, built unless one of that config lies there.

    EngineError carries TensorRT's own message and the node it is about.
    """
    settings = _build_config(model, toolkit, options)
    engine = engine_path(model, toolkit.variant)
    with _alone(engine, say):
        if engine.exists():
            try:
                check_build_config(engine, read_build_config(engine), **vars(settings))
            except EngineError as error:
                say(f"not reused: {error}")
            else:
                say(f"reused: {engine} was built with the same settings")
                return engine
        plan = _build(model, toolkit, settings, on_phase)
        store_engine(engine, plan, settings, read_metadata(model))
    say(f"built with {toolkit}")
    return engine


def _build_config(model: Path, toolkit: Toolkit, options: BuildOptions) -> BuildConfig:
    info = read_info(model)
    ahead_of_time = toolkit.variant == "tensorrt_rtx"
    gpu = None if ahead_of_time else devices()[0]
    if info.fixed_size:
        low, best, high = ((count, 1, *info.fixed_size) for count in options.batch)
        shapes: tuple[Profile, ...] = (Profile(low, best, high),)
    else:
        sizes = options.size or default_sizes(info)
        shapes = profiles(options.batch, sizes, info.size_multiple)
    return BuildConfig(
        onnx_sha256=sha256(model),
        variant=toolkit.variant,
        version=toolkit.trt.__version__,
        precision=info.precision,
        compute_capabilities=(gpu.compute_capability,) if gpu else options.compute_capabilities,
        device=gpu.name if gpu else "",
        profiles=tuple(replace(profile, inputs=info.inputs) for profile in shapes),
        workspace_mib=options.workspace_mib,
        optimization_level=options.optimization_level,
    )


@contextmanager
def _alone(engine: Path, say: Say) -> Iterator[None]:
    """Keep other processes from building ENGINE at the same time."""
    lock = FileLock(engine.with_name(f".{engine.name}.lock"))
    try:
        held = lock.acquire(timeout=0)
    except Timeout:
        say(f"another process builds {engine.name}; waiting for it")
        held = lock.acquire()
    with held:
        yield


def _build(model: Path, toolkit: Toolkit, settings: BuildConfig, on_phase: OnPhase) -> memoryview:
    trt = toolkit.trt
    log = error_log(trt)
    builder = trt.Builder(log)
    network = builder.create_network(_strongly_typed(toolkit))
    parser = trt.OnnxParser(network, log)
    if not parser.parse(model.read_bytes()):
        raise EngineError(f"{model}: {_parser_errors(parser)}")
    config = builder.create_builder_config()
    _configure(trt, builder, config, settings)
    monitor = _monitor(trt, on_phase)
    config.progress_monitor = monitor
    with _timing_cache(config, model, settings):
        plan = _interruptible(monitor, lambda: builder.build_serialized_network(network, config))
    if plan is None:
        reason = "; ".join(dict.fromkeys(log.errors)) or "it gave no reason"
        raise EngineError(f"{model}: {toolkit} built no engine: {reason}")
    return memoryview(plan)


def _strongly_typed(toolkit: Toolkit) -> int:
    flag = getattr(toolkit.trt.NetworkDefinitionCreationFlag, "STRONGLY_TYPED", None)
    if flag is None:
        raise EngineError(
            f"{toolkit} cannot build strongly typed networks, which hold the precision of each "
            "layer; install tensorrt 10.13 or newer"
        )
    return 1 << int(flag)


def _configure(trt: Any, builder: Any, config: Any, settings: BuildConfig) -> None:
    for profile in settings.profiles:
        shapes = builder.create_optimization_profile()
        for name in profile.inputs:
            shapes.set_shape(name, *profile.shapes(name))
        config.add_optimization_profile(shapes)
    # So that an engine takes the memory of the shape that runs, not of the largest.
    config.set_preview_feature(trt.PreviewFeature.RUNTIME_ACTIVATION_RESIZE_10_10, True)
    if settings.variant == "tensorrt_rtx" and settings.compute_capabilities:
        config.num_compute_capabilities = len(settings.compute_capabilities)
        for index, capability in enumerate(settings.compute_capabilities):
            member = trt.ComputeCapability.__members__[f"SM{capability}"]
            config.set_compute_capability(member, index)
    if settings.workspace_mib is not None:
        config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, settings.workspace_mib << 20)
    if settings.optimization_level is not None:
        config.builder_optimization_level = settings.optimization_level


@contextmanager
def _timing_cache(config: Any, model: Path, settings: BuildConfig) -> Iterator[None]:
    """Let standard TensorRT remember which kernels were fast; TensorRT-RTX times nothing here."""
    if settings.variant != "tensorrt":
        yield
        return
    path = model.with_name(
        f".tensorrt-{settings.version}-sm{settings.compute_capabilities[0]}.timing"
    )
    timings = config.create_timing_cache(path.read_bytes() if path.is_file() else b"")
    if not config.set_timing_cache(timings, False):  # of another GPU, or damaged
        config.set_timing_cache(config.create_timing_cache(b""), False)
    yield
    with whole_file(path) as part:
        part.write_bytes(config.get_timing_cache().serialize())


def _interruptible(monitor: Any, build: Callable[[], Any]) -> Any:
    """Run BUILD so that Ctrl-C ends it at TensorRT's next step.

    In a thread of its own: an exception must not cross TensorRT's frames, and Python hands signals
    to the main thread alone.
    """
    with ThreadPoolExecutor(1) as pool:
        try:
            return pool.submit(build).result()
        except KeyboardInterrupt:
            monitor.cancelled = True  # leaving the pool waits for the build to end
            raise


def _parser_errors(parser: Any) -> str:
    errors = [parser.get_error(index) for index in range(parser.num_errors)]
    return "; ".join(
        f"node {error.node_name() or '?'} ({error.node_operator() or '?'}): {error.desc()}"
        for error in errors
    )


# Subclassed inside a function because the module is an argument.
def _monitor(trt: Any, on_phase: OnPhase) -> Any:
    class Monitor(trt.IProgressMonitor):  # type: ignore[misc]  # untyped base
        """Passes progress on; TensorRT stops where step_complete returns False."""

        def __init__(self) -> None:
            trt.IProgressMonitor.__init__(self)
            self.steps: dict[str, int] = {}
            self.cancelled = False

        def phase_start(self, phase_name: str, _parent: str | None, num_steps: int) -> None:
            self.steps[phase_name] = num_steps

        def step_complete(self, phase_name: str, step: int) -> bool:
            on_phase(phase_name, step, self.steps[phase_name])
            return not self.cancelled

        def phase_finish(self, phase_name: str) -> None:
            self.steps.pop(phase_name, None)

    return Monitor()
