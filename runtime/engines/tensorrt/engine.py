"""TensorRT, native through pycuda: runs on NVIDIA GPUs the engines that colorize-export built."""

import importlib.util
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...color import F32
from ...errors import ColorizeError, EngineError
from ...models.contract import ModelInfo
from ...resize import LONG_SIDE_LIMIT
from .. import cuda
from ..base import Engine, EngineDevice, Precision, Timeline, last_line
from ..cuda import Device
from .plan import SUFFIXES, BuildConfig, Profile, Shape, export_command, find_engine, read_metadata

if TYPE_CHECKING:
    from .session import Session

_INSTALL = "pip install 'colorize-toolkit[gpu]' (in a clone: pip install '.[gpu]')"


class TensorRTEngine(Engine):
    """A TensorRT engine on one NVIDIA GPU; it is never built here.

    Inputs of any batch are taken: larger ones than the engine's are split, smaller ones filled up.
    """

    name = "tensorrt"

    def __init__(
        self,
        model: Path,
        precision: Precision = "auto",
        device: str = "auto",
        threads: int | None = None,  # noqa: ARG002  # an Engine's
        *,
        expects_hints: bool = False,  # noqa: ARG002
    ) -> None:
        self.model = model
        # The driver is asked first: without one TensorRT can crash the process.
        problem = cuda.absence() if device == "auto" else ""
        if problem:
            raise EngineError(
                f"backend tensorrt cannot be used: {problem}; install the driver, or give another "
                "--backend"
            )
        ordinal, gpu = cuda.find_device("cuda" if device == "auto" else device)
        problem = _missing()
        if problem:
            raise EngineError(f"backend tensorrt cannot be used: {problem}")
        trt, plan, config = _find(model, gpu)
        if precision not in ("auto", config.precision):
            raise EngineError(
                f"{plan}: computes in {config.precision}, not in {precision}; "
                "give --precision auto, or another --backend"
            )
        self.info = ModelInfo.from_metadata(read_metadata(plan), str(plan))
        self.device, self.precision = f"cuda:{ordinal}", config.precision
        self.remark = "TensorRT-RTX" if config.variant == "tensorrt_rtx" else ""
        self.best_batch = config.profiles[0].best[0]
        self._profiles = config.profiles
        try:
            from .session import Session  # imports pycuda, which loads the driver

            self._session: Session | None = Session(
                trt, plan, ordinal, self.info.inputs, self.info.fixed_size
            )
        except ColorizeError:
            raise
        except Exception as error:  # pycuda's own errors; also where its library cannot be loaded
            raise EngineError(f"tensorrt on {self.device}: {last_line(error)}") from error

    @classmethod
    def devices(cls) -> list[EngineDevice]:
        """See Engine."""
        problem = _missing()
        gpus = [
            EngineDevice(f"cuda:{n}", gpu.name, problem) for n, gpu in enumerate(cuda.devices())
        ]
        return gpus or [EngineDevice("cuda", "", cuda.absence())]

    def close(self) -> None:
        """See Engine."""
        session, self._session = self._session, None
        if session is not None:
            session.close()

    def capture_graphs(self) -> None:
        """See Engine: each shape's work is captured once, then launched as a whole."""
        self._open().cuda_graph = True

    def timeline(self, lightness: F32, hints: F32 | None = None) -> Timeline:
        """See timeline.Timed; the CPU's own copies to and from pinned memory are not in it."""
        spent = np.zeros(3)
        for part, profile in self._parts(self._inputs(lightness, hints)):
            spent += self._open().time(part, profile)
        return Timeline(*(float(value) for value in spent))

    def _compute(self, lightness: F32, *hints: F32) -> F32:
        answers = [self._open().infer(*part) for part in self._parts((lightness, *hints))]
        whole = answers[0] if len(answers) == 1 else np.concatenate(answers)
        return whole[: len(lightness)]

    def _open(self) -> "Session":
        if self._session is None:
            raise EngineError(f"{self.model}: the engine is closed")
        return self._session

    def _parts(self, inputs: tuple[F32, ...]) -> Iterator[tuple[tuple[F32, ...], int]]:
        """Yield batches that the engine takes, the last one filled up, and the profile's index."""
        index = self._profile_for(*inputs[0].shape[2:])
        least, most = self._profiles[index].low[0], self._profiles[index].high[0]
        for start in range(0, len(inputs[0]), most):
            yield tuple(_filled(tensor[start : start + most], least) for tensor in inputs), index

    def _profile_for(self, height: int, width: int) -> int:
        for index, profile in enumerate(self._profiles):
            if profile.takes((profile.low[0], 1, height, width)):
                return index
        size = _wider(self._profiles[0], height, width)
        command = export_command(self.model, "--size", size)
        built = " and ".join(f"{_sides(p.low)} to {_sides(p.high)}" for p in self._profiles)
        raise EngineError(
            f"pictures of {width}x{height} are outside what the engine was built for, {built}; "
            f"give a --size within, or build it for them: {command}"
        )


def _missing() -> str:
    """Return what is missing to run engines, and the fix; "" if nothing is."""
    lacking = [] if importlib.util.find_spec("pycuda") else ["pycuda"]
    if not _variants():
        lacking.append("tensorrt")
    return f"{' and '.join(lacking)} not installed: {_INSTALL}" if lacking else ""


def _variants() -> list[str]:
    return [variant for variant in SUFFIXES if importlib.util.find_spec(variant) is not None]


def _find(model: Path, gpu: Device) -> tuple[Any, Path, BuildConfig]:
    """Return the module of TensorRT, the engine of MODEL that fits GPU, and how that was built."""
    reasons = []
    for variant in _variants():
        try:
            trt = import_module(variant)
        except (ImportError, OSError) as error:
            reasons.append(f"{variant} cannot be loaded: {last_line(error)}")
            continue
        try:
            plan, config = find_engine(model, variant, trt.__version__, gpu.compute_capability)
        except EngineError as error:
            reasons.append(str(error).partition(";")[0])
        else:
            return trt, plan, config
    raise EngineError(
        f"{model}: no TensorRT engine to run here ({'; '.join(reasons)}); "
        f"build one: {export_command(model)}"
    )


def _filled(part: F32, least: int) -> F32:
    lacking = max(0, least - len(part))
    return np.concatenate([part, *[part[-1:]] * lacking]) if lacking else part


def _sides(shape: Shape) -> str:
    return f"{shape[3]}x{shape[2]}"


def _wider(profile: Profile, height: int, width: int) -> str:
    """Return PROFILE's sizes as --size takes them, widened for pictures of this shape."""
    low, best, high = (min(shape[2:]) for shape in (profile.low, profile.best, profile.high))
    short, long = sorted((height, width))
    needed = max(short, -(-long // LONG_SIDE_LIMIT))
    return f"{min(low, short)},{best},{max(high, needed)}"
