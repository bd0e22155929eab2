"""ONNX Runtime: runs anywhere, on its CPU, CUDA and TensorRT providers."""

import contextlib
import ctypes
import io
import platform
import sys
from pathlib import Path
from typing import Any

import onnxruntime

from ..color import F32
from ..errors import EngineError, ModelError
from ..models.contract import INPUT, OUTPUT, ModelInfo, TensorSpec, check_signature
from . import cuda
from .base import Engine, EngineDevice, Precision, last_line

_DTYPES = {"tensor(float)": "float32", "tensor(float16)": "float16", "tensor(uint8)": "uint8"}
_PROVIDERS = {
    "cpu": "CPUExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider",
}
_SILENT = 4  # log severity: errors are raised; the log would print them a second time


class OnnxRuntimeEngine(Engine):
    """A model in an ONNX Runtime session, on the CPU, on cuda:N, or on tensorrt:N.

    tensorrt:N is that GPU through ONNX Runtime's TensorRT provider, which builds its engines as
    shapes come.
    """

    name = "onnxruntime"
    memory_signs = (
        "Failed to allocate memory",
        "bad_alloc",
        "out of memory",
        "cudaErrorMemoryAllocation",
        "ALLOC_FAILED",  # CUBLAS_STATUS_ALLOC_FAILED and its like
    )

    def __init__(
        self,
        model: Path,
        precision: Precision = "auto",
        device: str = "auto",
        threads: int | None = None,
        *,
        expects_hints: bool = False,  # noqa: ARG002  # an Engine's
    ) -> None:
        self.model = model
        kind, _, number = device.replace("auto", "cpu").partition(":")
        if kind not in _PROVIDERS or (kind == "cpu" and number):
            raise EngineError(
                f"device {device}: onnxruntime has none of this name; give --device cpu, cuda, "
                "cuda:N, tensorrt or tensorrt:N"
            )
        self._ordinal = 0 if kind == "cpu" else _usable_gpu(kind, number)
        self.device = "CPU" if kind == "cpu" else f"{kind}:{self._ordinal}"
        self._memory = "cpu" if kind == "cpu" else "cuda"
        self._session = _open_session(model, kind, self._ordinal, threads)
        metadata = self._session.get_modelmeta().custom_metadata_map
        self.info = ModelInfo.from_metadata(metadata, str(model))
        check_signature(
            _specs(self._session.get_inputs()),
            _specs(self._session.get_outputs()),
            str(model),
            self.info.fixed_size,
            takes_hints=self.info.takes_hints,
        )
        # The CPU provider computes FP16 models in float32 too; a GPU as the file is written.
        self.precision = "fp32" if kind == "cpu" else self.info.precision
        if precision not in ("auto", self.precision):
            raise EngineError(
                f"onnxruntime on {self.device} computes this file in {self.precision}, not in "
                f"{precision}" + _fix(kind, precision)
            )
        self._bound: tuple[tuple[int, ...], list[Any], Any] | None = None

    @classmethod
    def devices(cls) -> list[EngineDevice]:
        """See Engine."""
        found = [EngineDevice("cpu", platform.machine())]
        gpus = cuda.devices()
        for kind in ("cuda", "tensorrt"):
            problem = cuda.absence() or _missing(kind)
            names = [(f"{kind}:{index}", gpu.name) for index, gpu in enumerate(gpus)]
            found += [EngineDevice(device, name, problem) for device, name in names or [(kind, "")]]
        return found

    def close(self) -> None:
        """See Engine."""
        self._bound = None
        del self._session

    def _compute(self, lightness: F32, *hints: F32) -> F32:
        inputs = dict(zip(self.info.inputs, (lightness, *hints), strict=True))
        if self._memory == "cpu":
            result: F32 = self._session.run(None, inputs)[0]
            return result
        return self._compute_bound(inputs)

    def _compute_bound(self, inputs: dict[str, F32]) -> F32:
        """Run with all tensors in the GPU's memory, kept from batch to batch of one shape."""
        shape = inputs[INPUT].shape
        if self._bound is None or self._bound[0] != shape:
            self._bound = None  # freed first: old and new together may not fit
            place = (self._memory, self._ordinal)
            values = [
                onnxruntime.OrtValue.ortvalue_from_numpy(tensor, *place)
                for tensor in inputs.values()
            ]
            binding = self._session.io_binding()
            for name, value in zip(inputs, values, strict=True):
                binding.bind_ortvalue_input(name, value)
            binding.bind_output(OUTPUT, *place)
            self._bound = shape, values, binding
        else:
            for value, tensor in zip(self._bound[1], inputs.values(), strict=True):
                value.update_inplace(tensor)
        _, _, binding = self._bound
        try:
            self._session.run_with_iobinding(binding)
            result: F32 = binding.copy_outputs_to_cpu()[0]
        except Exception:
            self._bound = None  # frees what had been allocated of a shape that does not fit
            raise
        return result


def _usable_gpu(kind: str, number: str) -> int:
    """Return the ordinal of the GPU that KIND:NUMBER names; EngineError if it cannot be used."""
    ordinal, _ = cuda.find_device(f"cuda:{number}" if number else "cuda")
    problem = _missing(kind)
    if problem:
        raise EngineError(f"device {kind}: {problem}")
    return ordinal


def _missing(kind: str) -> str:
    """Return what is missing here to compute on KIND, and the fix; "" if nothing is."""
    provider = _PROVIDERS[kind]
    if provider not in onnxruntime.get_available_providers():
        return (
            f"this onnxruntime {onnxruntime.__version__} has no {provider}: pip uninstall -y "
            "onnxruntime && pip install onnxruntime-gpu"
        )
    _preload()
    folder = Path(onnxruntime.__file__).parent / "capi"
    start, end = ("", ".dll") if sys.platform == "win32" else ("lib", ".so")
    try:
        for name in ("shared", kind):
            library = folder / f"{start}onnxruntime_providers_{name}{end}"
            ctypes.CDLL(str(library), mode=ctypes.RTLD_GLOBAL)
    except OSError as error:
        libraries = "TensorRT" if kind == "tensorrt" else "CUDA and cuDNN"
        return (
            f"a library is missing ({error}): install {libraries} as onnxruntime-gpu "
            f"{onnxruntime.__version__} wants it, such as with pip install "
            "'onnxruntime-gpu[cuda,cudnn]'"
        )
    return ""


def _preload() -> None:
    """Load the CUDA libraries that pip installed: the system's linker does not look there."""
    with contextlib.redirect_stdout(io.StringIO()):  # it prints the libraries it does not find
        onnxruntime.preload_dlls()


def _open_session(
    model: Path, kind: str, ordinal: int, threads: int | None = None
) -> onnxruntime.InferenceSession:
    provider = _PROVIDERS[kind]
    options = onnxruntime.SessionOptions()
    options.log_severity_level = _SILENT
    options.intra_op_num_threads = threads or 0
    providers: list[Any] = [provider]
    if kind == "cuda":
        # TF32, which is the default, rounds to 10 bits of mantissa: the proofs do not cover it.
        providers = [(provider, {"device_id": ordinal, "use_tf32": 0})]
    elif kind == "tensorrt":  # what TensorRT cannot compute goes to CUDA
        place = {"device_id": ordinal}
        providers = [(provider, place), (_PROVIDERS["cuda"], {**place, "use_tf32": 0})]
    try:
        session = onnxruntime.InferenceSession(
            model, options, providers=providers, enable_fallback=0
        )
    except Exception as error:  # its own exception classes have no public base
        if kind == "cpu":
            raise ModelError(f"{model}: not an ONNX file ({last_line(error)})") from error
        _open_session(model, "cpu", 0)  # raises if the file is at fault, not the device
        raise EngineError(f"device {kind}:{ordinal}: onnxruntime: {last_line(error)}") from error
    # ONNX Runtime falls back to other providers silently.
    if session.get_providers()[0] != provider:
        raise EngineError(
            f"device {kind}:{ordinal}: onnxruntime did not take its {provider}, which mostly means "
            "that the driver or a CUDA library is too old for it: update the NVIDIA driver"
        )
    return session


def _fix(kind: str, precision: str) -> str:
    if kind == "cpu" or precision == "bf16":
        return "; leave out --precision"
    return f"; give --model a file made with colorize-export --engine {precision}"


def _specs(nodes: list[onnxruntime.NodeArg]) -> list[TensorSpec]:
    return [
        TensorSpec(
            node.name,
            _DTYPES.get(node.type, node.type),
            tuple(side if isinstance(side, int) else -1 for side in node.shape),
        )
        for node in nodes
    ]
