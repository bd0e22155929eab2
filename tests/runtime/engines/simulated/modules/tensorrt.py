"""A stand-in for TensorRT's runtime classes, over the simulated CUDA driver; no GPU, no network.

An engine is JSON that says which profiles it has. It computes `tiny_model`'s a* = 20 + 0.2 L*,
b* = 40 - 0.6 L*, and adds hinted a*, b* times their confidence, from the raw addresses that it was
given, when its stream comes to it. What a real TensorRT would crash or answer nonsense at ends as
an AssertionError or an illegal address.
tests/test_tensorrt_api.py holds its names and arguments against the real ones.
"""

import ctypes
import enum
import json
from math import prod
from typing import Any

import numpy as np

__version__ = "11.4.simulated"

driver = ctypes.CDLL("libcuda.so.1")
_HostFunction = ctypes.CFUNCTYPE(None, ctypes.c_void_p)
_WORKSPACE_PER_PIXEL = 16
_CHANNELS = {"L": 1, "hints": 3}
Shape = tuple[int, ...]


class TensorIOMode(enum.Enum):
    NONE = 0
    INPUT = 1
    OUTPUT = 2


class DataType(enum.Enum):
    FLOAT = 0
    HALF = 1


class ExecutionContextAllocationStrategy(enum.Enum):
    STATIC = 0
    ON_PROFILE_CHANGE = 1
    USER_MANAGED = 2


class ILogger:
    INTERNAL_ERROR, ERROR, WARNING, INFO, VERBOSE = range(5)

    def __init__(self) -> None:
        pass

    def log(self, severity: int, msg: str) -> None:
        raise NotImplementedError


class Runtime:
    def __init__(self, logger: ILogger) -> None:
        assert _current_context(), "the real one crashes without a CUDA context"
        self.logger = logger

    def deserialize_cuda_engine(self, serialized_engine: bytes) -> "ICudaEngine | None":
        try:
            return ICudaEngine(json.loads(serialized_engine), self.logger)
        except ValueError:
            self.logger.log(ILogger.INFO, "something of no interest")
            self.logger.log(ILogger.ERROR, "Serialization assertion magicTagRead failed")
            return None


class ICudaEngine:
    def __init__(self, plan: dict[str, Any], logger: ILogger) -> None:
        self._logger = logger
        self._profiles = [[tuple(shape) for shape in profile] for profile in plan["profiles"]]
        self.inputs: list[str] = plan.get("inputs", ["L"])
        self._names: dict[str, TensorIOMode] = {
            **dict.fromkeys(self.inputs, TensorIOMode.INPUT),
            plan.get("output", "ab"): TensorIOMode.OUTPUT,
        }
        self._dtype = DataType[plan.get("dtype", "FLOAT")]
        self._channels = plan.get("channels", 2)
        self._refused = plan.get("refuses", "")
        self.num_io_tensors = len(self._names)

    def get_tensor_name(self, index: int) -> str:
        return [*self._names][index]

    def get_tensor_mode(self, name: str) -> TensorIOMode:
        return self._names[name]

    def get_tensor_dtype(self, name: str) -> DataType:
        assert name in self._names
        return self._dtype

    def get_tensor_shape(self, name: str) -> Shape:
        return (-1, _CHANNELS.get(name, self._channels), -1, -1)

    def create_execution_context(
        self,
        strategy: ExecutionContextAllocationStrategy = ExecutionContextAllocationStrategy.STATIC,
    ) -> "IExecutionContext | None":
        assert strategy is ExecutionContextAllocationStrategy.USER_MANAGED
        if self._refused == "context":
            self._logger.log(ILogger.ERROR, "Error Code 2: OutOfMemory (Requested 9 bytes)")
            return None
        return IExecutionContext(self)


class IExecutionContext:
    created = 0

    def __init__(self, engine: ICudaEngine) -> None:
        IExecutionContext.created += 1
        self.engine = engine
        self._profile: int | None = None
        self._shapes: dict[str, Shape] = {}
        self._addresses: dict[str, int] = {}
        self._memory = (0, 0)
        self._work: list[Any] = []  # ctypes' callbacks must outlive the stream's and graphs' use

    def set_optimization_profile_async(self, profile_index: int, stream_handle: int) -> bool:
        assert stream_handle
        self._profile, self._shapes = profile_index, {}
        return profile_index < len(self.engine._profiles)

    def set_input_shape(self, name: str, shape: Shape) -> bool:
        assert name in self.engine.inputs
        assert shape[1] == _CHANNELS[name]
        assert self._profile is not None
        low, _, high = self.engine._profiles[self._profile]
        sides = (shape[0], 1, *shape[2:])  # the profiles are those of L
        if not all(a <= b <= c for a, b, c in zip(low, sides, high, strict=True)):
            self.engine._logger.log(ILogger.ERROR, f"{shape} is not in the profile")
            return False
        self._shapes[name], self._memory = tuple(shape), (0, 0)
        return True

    @property
    def _shape(self) -> Shape:
        """L's, once all inputs have one and agree."""
        if self._shapes.keys() != set(self.engine.inputs):
            return ()
        batches = {(shape[0], *shape[2:]) for shape in self._shapes.values()}
        return self._shapes["L"] if len(batches) == 1 else ()

    def update_device_memory_size_for_shapes(self) -> int:
        assert self._shape
        return _WORKSPACE_PER_PIXEL * prod(self._shape)

    def set_device_memory(self, memory: int, size: int) -> None:
        assert memory % 256 == 0
        assert size >= self.update_device_memory_size_for_shapes()
        self._memory = (memory, size)

    def get_tensor_shape(self, name: str) -> Shape:
        channels = 1 if name == "L" else self.engine._channels
        return (self._shape[0], channels, *self._shape[2:])

    def set_tensor_address(self, name: str, memory: int) -> bool:
        self._addresses[name] = memory
        return name in self.engine._names

    def execute_async_v3(self, stream_handle: int) -> bool:
        assert _current_context(), "no context is current in this thread"
        assert self._shape, "the input's shape is not set"
        if self.engine._refused == "batches" and self._shape[0] > 1:
            self.engine._logger.log(ILogger.ERROR, "cuda out of memory")
            return False
        # What it is given now counts, also when a graph runs it again.
        work = _HostFunction(self._compute(self._shape, dict(self._addresses), self._memory))
        self._work.append(work)
        return not driver.cuLaunchHostFunc(ctypes.c_void_p(stream_handle), work, None)

    def _compute(self, shape: Shape, addresses: dict[str, int], memory: tuple[int, int]) -> Any:
        count, _, height, width = shape

        def compute(_: object) -> None:
            channels = {name: _CHANNELS[name] for name in self.engine.inputs} | {"ab": 2}
            tensors = {name: (count, wide, height, width) for name, wide in channels.items()}
            held = [(addresses[name], 4 * prod(sides)) for name, sides in tensors.items()]
            need = _WORKSPACE_PER_PIXEL * prod(shape)
            if not all(_holds(*part) for part in [*held, (memory[0], need)]):
                driver.simulated_break()
                return
            views = {name: _tensor(addresses[name], sides) for name, sides in tensors.items()}
            ab = views["ab"]
            ctypes.memset(memory[0], 0xEE, need)  # a real one's activations
            given = views["L"].copy()
            ab[:, :1], ab[:, 1:] = 20 + 0.2 * given, 40 - 0.6 * given
            if "hints" in views:
                ab += views["hints"][:, :2] * views["hints"][:, 2:]

        return compute


def _tensor(address: int, shape: Shape) -> Any:
    pointer = ctypes.cast(address, ctypes.POINTER(ctypes.c_float))
    return np.ctypeslib.as_array(pointer, shape)


def _holds(address: int, size: int) -> bool:
    return bool(driver.simulated_holds(ctypes.c_uint64(address), ctypes.c_size_t(size)))


def _current_context() -> int:
    context = ctypes.c_void_p()
    driver.cuCtxGetCurrent(ctypes.byref(context))
    return context.value or 0
