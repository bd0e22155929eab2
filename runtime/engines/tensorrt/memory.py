"""One GPU through pycuda: its primary context, a stream, memory that grows, captured graphs.

Whoever uses these makes the context current first: `with gpu.current(): ...`.
"""

import ctypes
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Thread
from typing import Any

import numpy as np
import pycuda.driver as cuda

from ...color import F32
from ...errors import EngineError, OutOfMemoryError
from ..cuda import load_driver

_NON_BLOCKING = 1  # of cuStreamCreate: other libraries' default stream does not wait for it
_THREAD_LOCAL = 1  # of cuStreamBeginCapture: other threads may allocate meanwhile
_OUT_OF_MEMORY = 2  # of CUresult
_FLOAT = np.dtype(np.float32)


class Gpu:
    """The primary context of a GPU, which torch and ONNX Runtime share, and one stream in it."""

    def __init__(self, ordinal: int) -> None:
        cuda.init()
        self._context = cuda.Device(ordinal).retain_primary_context()
        self.stream: Any = None
        try:
            with self.current():
                self.stream = cuda.Stream(_NON_BLOCKING)
        except BaseException:
            self.close()
            raise

    @contextmanager
    def current(self) -> Iterator[None]:
        """Make the context the calling thread's own; pycuda's MemoryError becomes ours."""
        self._context.push()
        try:
            yield
        except cuda.MemoryError as error:
            raise OutOfMemoryError(f"too little GPU memory ({error})") from error
        finally:
            self._context.pop()

    def close(self) -> None:
        """Give back stream and context; all memory in it must have been freed."""
        with self.current():
            self.stream = None
        # In a thread of its own: pycuda leaves a primary context that it releases current there.
        thread = Thread(target=self._release)
        thread.start()
        thread.join()

    def _release(self) -> None:
        self._context.push()
        self._context.detach()


class DeviceMemory:
    """Bytes on the GPU that grow and never shrink."""

    def __init__(self) -> None:
        self.nbytes = 0
        self._held: Any = None

    @property
    def address(self) -> int:
        """Where they lie; 0 if nothing was reserved."""
        return 0 if self._held is None else int(self._held)

    def reserve(self, nbytes: int) -> None:
        """Hold at least NBYTES, losing the content if it grows; no work may be under way."""
        if nbytes > self.nbytes:
            DeviceMemory.free(self)  # first: old and new together may not fit
            self._held = cuda.mem_alloc(nbytes)
            self.nbytes = nbytes

    def free(self) -> None:
        """Give all back."""
        if self._held is not None:
            self._held.free()
        self._held, self.nbytes = None, 0


class Staged(DeviceMemory):
    """A float32 tensor on the GPU, and pinned host memory from which it is copied at full speed."""

    def __init__(self) -> None:
        super().__init__()
        self._pinned: Any = None

    def reserve(self, nbytes: int) -> None:
        """See DeviceMemory."""
        super().reserve(nbytes)
        if self._pinned is None or self._pinned.nbytes < nbytes:
            self._free_pinned()
            self._pinned = cuda.pagelocked_empty(nbytes // _FLOAT.itemsize, _FLOAT)

    def host(self, shape: tuple[int, ...]) -> F32:
        """Return the pinned memory as a tensor of SHAPE, for which there must be room."""
        tensor: F32 = self._pinned[: np.prod(shape)].reshape(shape)
        return tensor

    def upload(self, shape: tuple[int, ...], stream: Any) -> None:
        """Enqueue the copy of SHAPE to the GPU."""
        cuda.memcpy_htod_async(self._held, self.host(shape), stream)

    def download(self, shape: tuple[int, ...], stream: Any) -> None:
        """Enqueue the copy of SHAPE from the GPU."""
        cuda.memcpy_dtoh_async(self.host(shape), self._held, stream)

    def free(self) -> None:
        """See DeviceMemory."""
        super().free()
        self._free_pinned()

    def _free_pinned(self) -> None:
        if self._pinned is not None:
            self._pinned.base.free()
        self._pinned = None


class Graph:
    """Work captured once from a stream, launched again as a whole; pycuda has no such thing."""

    _driver: Any

    def __init__(self, stream: Any, enqueue: Callable[[], None]) -> None:
        self._driver = load_driver()
        self._exec = ctypes.c_void_p()
        captured = ctypes.c_void_p()
        handle = ctypes.c_void_p(stream.handle)
        self._do("cuStreamBeginCapture_v2", handle, _THREAD_LOCAL)
        try:
            enqueue()
        finally:  # the stream must not stay in capture
            ended = self._driver.cuStreamEndCapture(handle, ctypes.byref(captured))
        _check(ended, "cuStreamEndCapture")
        try:
            made, flags = ctypes.byref(self._exec), ctypes.c_ulonglong(0)
            self._do("cuGraphInstantiateWithFlags", made, captured, flags)
        finally:
            self._driver.cuGraphDestroy(captured)

    def launch(self, stream: Any) -> None:
        """Enqueue all of it on STREAM."""
        self._do("cuGraphLaunch", self._exec, ctypes.c_void_p(stream.handle))

    def close(self) -> None:
        """Give it back; it must not be running."""
        self._driver.cuGraphExecDestroy(self._exec)

    def _do(self, name: str, *arguments: object) -> None:
        _check(getattr(self._driver, name)(*arguments), name)


def _check(result: int, name: str) -> None:
    if result == _OUT_OF_MEMORY:
        raise OutOfMemoryError(f"too little GPU memory ({name})")
    if result:
        raise EngineError(f"{name} failed: CUDA error {result}")


class EventTimer:
    """CUDA events on a stream, and the milliseconds between them."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self._events: list[Any] = []

    def mark(self) -> None:
        """Enqueue an event."""
        event = cuda.Event()
        event.record(self._stream)
        self._events.append(event)

    def between(self) -> list[float]:
        """Return the milliseconds from each mark to the next, once the stream has done them."""
        pairs = zip(self._events, self._events[1:], strict=False)
        return [float(start.time_till(end)) for start, end in pairs]
