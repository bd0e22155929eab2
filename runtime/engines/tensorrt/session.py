"""One loaded TensorRT engine on one GPU: execution contexts, shapes, memory, order of work."""

from collections import OrderedDict
from pathlib import Path
from typing import Any

from ...color import F32
from ...errors import EngineError, OutOfMemoryError
from ...models.contract import HINTS, OUTPUT, TensorSpec, check_signature
from .log import error_log
from .memory import DeviceMemory, EventTimer, Gpu, Graph, Staged

_MOST_GRAPHS = 8
"""Shapes whose graphs are kept; each holds an execution context and some MB."""


Shape = tuple[int, ...]


class _Run:
    """An execution context, and the shape, memory and graph that it is set up with."""

    def __init__(self, context: Any) -> None:
        self.context = context
        self.profile = -1
        self.shapes: tuple[Shape, ...] = ()  # of the inputs
        self.answer: Shape = ()
        self.workspace = 0  # bytes that this shape needs
        self.addresses: Shape = ()
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
        inputs: tuple[str, ...],
        fixed_size: tuple[int, int] | None,
    ) -> None:
        self.cuda_graph = False  # True: each shape's work is captured once, then launched whole
        self._trt, self._plan = trt, plan
        self._log = error_log(trt)
        self._inputs = {name: Staged() for name in inputs}
        self._output, self._workspace = Staged(), DeviceMemory()
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

    def infer(self, inputs: tuple[F32, ...], profile: int) -> F32:
        """Return ab for inputs of shapes that the profile with this index takes."""
        with self._gpu.current():
            return self._infer(inputs, profile, None)

    def time(self, inputs: tuple[F32, ...], profile: int) -> list[float]:
        """Do the same; return the milliseconds to the device, on it, and back."""
        with self._gpu.current():
            return self._time(inputs, profile)

    def _time(self, inputs: tuple[F32, ...], profile: int) -> list[float]:
        watch = EventTimer(self._gpu.stream)  # whose events must end before the context is left
        self._infer(inputs, profile, watch)
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
        check_signature(
            self._specs(inputs),
            self._specs(outputs),
            str(self._plan),
            fixed_size,
            takes_hints=HINTS in self._inputs,
        )

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

    def _infer(self, inputs: tuple[F32, ...], profile: int, watch: EventTimer | None) -> F32:
        run = self._prepare(tuple(tensor.shape for tensor in inputs), profile)
        stream, mark = self._gpu.stream, watch.mark if watch else _nothing
        staged = list(zip(self._inputs.values(), run.shapes, strict=True))
        for (memory, shape), tensor in zip(staged, inputs, strict=True):
            memory.host(shape)[...] = tensor
        try:
            mark()
            for memory, shape in staged:
                memory.upload(shape, stream)
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

    def _prepare(self, shapes: tuple[Shape, ...], profile: int) -> _Run:
        """Return a run for SHAPES: with graphs one for each, else the only one, set anew."""
        key = (profile, shapes) if self.cuda_graph else None
        run = self._runs.get(key)
        if run is None:
            run = self._runs[key] = self._new_run()
        self._runs.move_to_end(key)
        if len(self._runs) > _MOST_GRAPHS:
            self._runs.popitem(last=False)[1].drop_graph()
        self._set_shapes(run, shapes, profile)
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

    def _set_shapes(self, run: _Run, shapes: tuple[Shape, ...], profile: int) -> None:
        context, stream = run.context, self._gpu.stream
        if run.profile != profile:
            if not context.set_optimization_profile_async(profile, stream.handle):
                raise self._failure(f"TensorRT cannot switch to profile {profile}")
            run.profile, run.shapes = profile, ()
        if run.shapes != shapes:
            run.shapes = ()
            for name, shape in zip(self._inputs, shapes, strict=True):
                if not context.set_input_shape(name, shape):
                    raise self._failure(f"TensorRT does not take {list(shape)} for {name}")
            run.workspace = context.update_device_memory_size_for_shapes()
            run.answer = tuple(context.get_tensor_shape(OUTPUT))
            run.shapes, run.addresses = shapes, ()

    def _set_memory(self, run: _Run) -> None:
        self._reserve(run)
        tensors = {**self._inputs, OUTPUT: self._output}
        addresses = (*(part.address for part in tensors.values()), self._workspace.address)
        if run.addresses == addresses:
            return
        run.drop_graph()  # it remembers the old addresses
        context = run.context
        context.set_device_memory(self._workspace.address, self._workspace.nbytes)
        for name, part in tensors.items():
            if not context.set_tensor_address(name, part.address):
                raise self._failure(f"TensorRT does not take the memory of {name}")
        run.addresses = addresses

    def _reserve(self, run: _Run) -> None:
        try:
            for memory, shape in zip(self._inputs.values(), run.shapes, strict=True):
                memory.reserve(_bytes(shape))
            self._output.reserve(_bytes(run.answer))
            self._workspace.reserve(max(1, run.workspace))  # 0 bytes cannot be allocated
        except BaseException:
            self._free()  # what fitted of too large a shape would be in the way of a smaller one
            raise

    def _free(self) -> None:
        for memory in (*self._inputs.values(), self._output, self._workspace):
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
