"""One loaded TensorRT engine on one GPU: execution contexts, shapes, memory, order of work."""

from collections import OrderedDict
from pathlib import Path
from typing import Any

from ...color import F32
from ...errors import EngineError, OutOfMemoryError
from ...models.contract import INPUT, OUTPUT, TensorSpec, check_signature
from .log import error_log
from .memory import DeviceMemory, EventTimer, Gpu, Graph, Staged

_MOST_GRAPHS = 8
"""Shapes whose graphs are kept; each holds an execution context and some MB."""


class _Run:
    """An execution context, and the shape, memory and graph that it is set up with."""

    def __init__(self, context: Any) -> None:
        self.context = context
        self.profile = -1
        self.shape: tuple[int, ...] = ()
        self.answer: tuple[int, ...] = ()
        self.workspace = 0  # bytes that this shape needs
        self.addresses: tuple[int, ...] = ()
        self.graph: Graph | None = None

    def drop_graph(self) -> None:
        """Give back the graph, if there is one."""
        if self.graph is not None:
            self.graph.close()
        self.graph = None


class Session:
    """A deserialized engine with one stream; for one caller at a time, from any thread.

    TensorRT would reserve the memory of the largest batch and size at once. Here all execution
    contexts share one block that grows with the shapes that really come.
    """

    def __init__(
        self,
        trt: Any,
        plan: Path,
        ordinal: int,
        fixed_size: tuple[int, int] | None,
        cuda_graph: bool,
    ) -> None:
        self._trt, self._plan, self.cuda_graph = trt, plan, cuda_graph
        self._log = error_log(trt)
        self._input, self._output, self._workspace = Staged(), Staged(), DeviceMemory()
        self._runs: OrderedDict[object, _Run] = OrderedDict()
        self._runtime: Any = None
        self._engine: Any = None
        self._gpu = Gpu(ordinal)
        try:
            with self._gpu.current():
                self._load(fixed_size)
        except BaseException:
            self.close()
            raise

    def infer(self, lightness: F32, profile: int) -> F32:
        """Return ab for L* of a shape that the profile with this index takes."""
        with self._gpu.current():
            return self._infer(lightness, profile, None)

    def time(self, lightness: F32, profile: int) -> list[float]:
        """Do the same; return the milliseconds to the device, on it, and back."""
        with self._gpu.current():
            return self._time(lightness, profile)

    def _time(self, lightness: F32, profile: int) -> list[float]:
        watch = EventTimer(self._gpu.stream)  # whose events must end before the context is left
        self._infer(lightness, profile, watch)
        return watch.between()

    def close(self) -> None:
        """Give everything back, contexts before their engine, memory before its GPU context."""
        try:
            with self._gpu.current():
                for run in self._runs.values():
                    run.drop_graph()
                self._runs.clear()
                self._engine = self._runtime = None
                self._free()
        finally:
            self._gpu.close()

    def _load(self, fixed_size: tuple[int, int] | None) -> None:
        runtime = self._runtime = self._trt.Runtime(self._log)
        engine = self._engine = runtime.deserialize_cuda_engine(self._plan.read_bytes())
        if engine is None:
            raise self._failure("TensorRT cannot load it")
        names = [engine.get_tensor_name(index) for index in range(engine.num_io_tensors)]
        inputs = [
            name for name in names if engine.get_tensor_mode(name) == self._trt.TensorIOMode.INPUT
        ]
        outputs = [name for name in names if name not in inputs]
        check_signature(self._specs(inputs), self._specs(outputs), str(self._plan), fixed_size)

    def _specs(self, names: list[str]) -> list[TensorSpec]:
        engine, float32 = self._engine, self._trt.DataType.FLOAT
        dtypes = [engine.get_tensor_dtype(name) for name in names]
        return [
            TensorSpec(
                name,
                "float32" if dtype == float32 else str(dtype),
                tuple(engine.get_tensor_shape(name)),
            )
            for name, dtype in zip(names, dtypes, strict=True)
        ]

    def _infer(self, lightness: F32, profile: int, watch: EventTimer | None) -> F32:
        run, stream = self._prepare(lightness.shape, profile), self._gpu.stream
        mark = watch.mark if watch else _nothing
        self._input.host(run.shape)[...] = lightness
        try:
            mark()
            self._input.upload(run.shape, stream)
            mark()
            if run.graph is None:
                self._execute(run)
            else:
                run.graph.launch(stream)
            mark()
            self._output.download(run.answer, stream)
            mark()
        finally:  # pinned memory must not change while the GPU may still read or write it
            stream.synchronize()
        if self.cuda_graph and run.graph is None:
            # Only now: a first run may allocate, which cannot be captured.
            run.graph = Graph(stream, lambda: self._execute(run))
        return self._output.host(run.answer).copy()

    def _execute(self, run: _Run) -> None:
        context = run.context
        if not context.execute_async_v3(self._gpu.stream.handle):
            raise self._failure("TensorRT cannot run it")

    def _prepare(self, shape: tuple[int, ...], profile: int) -> _Run:
        """Return a run for SHAPE: with graphs one for each shape, else the only one, set anew."""
        key = (profile, shape) if self.cuda_graph else None
        run = self._runs.get(key)
        if run is None:
            run = self._runs[key] = self._new_run()
        self._runs.move_to_end(key)
        if len(self._runs) > _MOST_GRAPHS:
            self._runs.popitem(last=False)[1].drop_graph()
        self._set_shape(run, shape, profile)
        self._set_memory(run)
        return run

    def _new_run(self) -> _Run:
        engine = self._engine
        context = engine.create_execution_context(
            self._trt.ExecutionContextAllocationStrategy.USER_MANAGED
        )
        if context is None:
            raise self._failure("TensorRT cannot prepare to run it")
        return _Run(context)

    def _set_shape(self, run: _Run, shape: tuple[int, ...], profile: int) -> None:
        context, stream = run.context, self._gpu.stream
        if run.profile != profile:
            if not context.set_optimization_profile_async(profile, stream.handle):
                raise self._failure(f"TensorRT cannot switch to profile {profile}")
            run.profile, run.shape = profile, ()
        if run.shape != shape:
            run.shape = ()
            if not context.set_input_shape(INPUT, shape):
                raise self._failure(f"TensorRT does not take {list(shape)}")
            run.workspace = context.update_device_memory_size_for_shapes()
            run.answer = tuple(context.get_tensor_shape(OUTPUT))
            run.shape, run.addresses = shape, ()

    def _set_memory(self, run: _Run) -> None:
        self._reserve(run)
        addresses = (self._input.address, self._output.address, self._workspace.address)
        if run.addresses == addresses:
            return
        run.drop_graph()  # it remembers the old addresses
        context = run.context
        context.set_device_memory(self._workspace.address, self._workspace.nbytes)
        for name, part in ((INPUT, self._input), (OUTPUT, self._output)):
            if not context.set_tensor_address(name, part.address):
                raise self._failure(f"TensorRT does not take the memory of {name}")
        run.addresses = addresses

    def _reserve(self, run: _Run) -> None:
        try:
            self._input.reserve(_bytes(run.shape))
            self._output.reserve(_bytes(run.answer))
            self._workspace.reserve(max(1, run.workspace))  # 0 bytes cannot be allocated
        except BaseException:
            self._free()  # what fitted of too large a shape would be in the way of a smaller one
            raise

    def _free(self) -> None:
        for memory in (self._input, self._output, self._workspace):
            memory.free()

    def _failure(self, what: str) -> EngineError:
        """Return the error for WHAT with TensorRT's own reason."""
        reason = "; ".join(dict.fromkeys(self._log.errors)) or "it gave no reason"
        self._log.errors.clear()
        kind = OutOfMemoryError if "outofmemory" in _letters(reason) else EngineError
        return kind(f"{self._plan}: {what}: {reason}")


def _bytes(shape: tuple[int, ...]) -> int:
    count = 4  # bytes of a float32
    for side in shape:
        count *= side
    return count


def _letters(text: str) -> str:
    return "".join(filter(str.isalpha, text)).lower()


def _nothing() -> None:
    pass
