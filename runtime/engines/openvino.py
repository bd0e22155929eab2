"""OpenVINO: the default on CPUs; also on Intel's GPUs and NPUs."""

from contextlib import suppress
from functools import cache
from pathlib import Path

import numpy as np
import openvino
from openvino.frontend import FrontEndManager

from ..color import F32
from ..errors import EngineError, ModelError
from ..models.contract import HINTS, INPUT, ModelInfo, TensorSpec, check_signature
from ..models.sidecar import proved_in_bfloat16, refused_precisions
from .base import Engine, EngineDevice, Precision, last_line
from .openvino_cache import compile_model
from .openvino_hints import without_hints

_PRECISIONS = {"f32": "fp32", "f16": "fp16", "bf16": "bf16"}
_HINTS = {name: hint for hint, name in _PRECISIONS.items()}
_DRIVERS = {
    "GPU": "install Intel's OpenCL driver (intel-opencl-icd, ocl-icd-libopencl1)",
    "NPU": "install Intel's NPU driver (intel-driver-compiler-npu, intel-level-zero-npu)",
}


class OpenVINOEngine(Engine):
    """A model compiled by OpenVINO; bf16 where the CPU computes that natively."""

    name = "openvino"
    memory_signs = (
        "Failed to allocate",
        "can't alloc",
        "bad_alloc",
        "CL_OUT_OF",
        "CL_MEM_OBJECT_ALLOCATION_FAILURE",
        "max size of memory object",
    )

    def __init__(
        self,
        model: Path,
        precision: Precision = "auto",
        device: str = "auto",
        threads: int | None = None,
        *,
        expects_hints: bool = False,
    ) -> None:
        self.model = model
        self._core = shared_core()
        self._place = _place(self._core, device)
        self.device = self._place.replace(".", ":")
        self._network = _read(model)
        self.info = ModelInfo.from_metadata(_metadata(self._network), str(model))
        check_signature(
            _specs(self._network.inputs),
            _specs(self._network.outputs),
            str(model),
            self.info.fixed_size,
            takes_hints=self.info.takes_hints,
        )
        if precision == "auto" and self._place.startswith("GPU"):
            # OpenVINO would compute every file in fp16; only FP16 files are proved in that.
            precision = "fp16" if self.info.precision == "fp16" else "fp32"
        if precision == "auto" and "bf16" in refused_precisions(model):
            precision, self.remark = "fp32", "in bf16 this model failed its proof"
        self._config = (
            {} if precision == "auto" else {"INFERENCE_PRECISION_HINT": _HINTS[precision]}
        )
        if threads is not None and self._place == "CPU":
            self._config["INFERENCE_NUM_THREADS"] = str(threads)
            # Each process would pin its threads to the first cores, and several share them.
            self._config["ENABLE_CPU_PINNING"] = "NO"
        self._unhinted = without_hints(self._network) if self.info.takes_hints else None
        self.omits_hints = self._unhinted is not None
        self._requests: dict[tuple[str, bool], list[openvino.InferRequest]] = {}
        try:
            [request] = self._prepared("LATENCY", hinted=expects_hints or not self.omits_hints)
        except RuntimeError as error:
            raise EngineError(f"{model}: OpenVINO cannot run it ({last_line(error)})") from error
        compiled = request.get_compiled_model()
        used = compiled.get_property("INFERENCE_PRECISION_HINT").to_string()
        self.precision = _PRECISIONS.get(used, used)
        proved = self.info.precision == "int8" or proved_in_bfloat16(model)  # int8: as it runs
        if (precision, self.precision) == ("auto", "bf16") and not proved:
            self.remark = "in bf16 this model is not proved; --precision fp32 is exact"
        if precision not in ("auto", self.precision):
            raise EngineError(
                f"OpenVINO cannot compute {precision} on this {self._place}; leave out --precision"
            )

    @classmethod
    def devices(cls) -> list[EngineDevice]:
        """See Engine."""
        core = shared_core()
        here = core.available_devices
        found = [
            EngineDevice(
                place.lower().replace(".", ":"), core.get_property(place, "FULL_DEVICE_NAME")
            )
            for place in here
        ]
        absent = [kind for kind in _DRIVERS if not any(place.startswith(kind) for place in here)]
        return found + [EngineDevice(kind.lower(), "", _absence(core, kind)) for kind in absent]

    def close(self) -> None:
        """See Engine; OpenVINO keeps the file mapped as long as the model exists."""
        self._requests.clear()
        del self._network, self._unhinted

    def _compute(self, lightness: F32, *hints: F32) -> F32:
        inputs = dict(zip(self.info.inputs, (lightness, *hints), strict=False))
        try:
            if len(lightness) == 1 or self._place != "CPU":
                [request] = self._prepared("LATENCY", hinted=not self.omits_hints or bool(hints))
                result: F32 = request.infer(inputs, share_inputs=True)[0]
                return result
            return self._in_streams(inputs)
        except Exception as error:
            if self._lacks_memory(error):
                self._requests.clear()  # half allocated, they would fail for smaller inputs too
            raise

    def _in_streams(self, inputs: dict[str, F32]) -> F32:
        """Compute pictures side by side, each on its share of the cores.

        Measured on 2 cores 1.1 to 1.25 times as fast as batches over all cores, in fp32 and bf16.
        """
        requests = self._prepared("THROUGHPUT", hinted=not self.omits_hints or HINTS in inputs)
        waiting: list[openvino.InferRequest] = []
        answers: list[F32] = []
        try:
            for index in range(len(inputs[INPUT])):
                if len(waiting) == len(requests):
                    answers.append(_answer(waiting.pop(0)))
                request = requests[index % len(requests)]
                picture = {name: batch[index : index + 1] for name, batch in inputs.items()}
                request.start_async(picture, share_inputs=True)
                waiting.append(request)
            answers += [_answer(request) for request in waiting]
        except Exception:
            for request in waiting:  # they still read INPUTS
                with suppress(RuntimeError):
                    request.wait()
            raise
        return np.concatenate(answers)

    def _prepared(self, hint: str, *, hinted: bool) -> list[openvino.InferRequest]:
        """Return requests on the model compiled for HINT: one over all cores, or one a stream.

        HINTED is the whole network, else that without hints.
        """
        key = hint, hinted
        if key not in self._requests:
            config = {**self._config, "PERFORMANCE_HINT": hint}
            if hint == "THROUGHPUT":
                config["PERFORMANCE_HINT_NUM_REQUESTS"] = str(self.best_batch)
            whole = hinted or self._unhinted is None
            network = self._network if whole else self._unhinted
            part = "" if whole else "without hints"
            compiled = compile_model(
                self._core, network, self.model, self._place, config, part=part
            )
            count = 1
            if hint == "THROUGHPUT":
                count = compiled.get_property("OPTIMAL_NUMBER_OF_INFER_REQUESTS")
            self._requests[key] = [compiled.create_infer_request() for _ in range(count)]
        return self._requests[key]


@cache
def shared_core() -> openvino.Core:
    """Return the process's one Core, which is never freed.

    Its CPU plugin gives the thread that creates it a signal stack, and frees that in whichever
    thread drops the last Core: the next signal, such as Ctrl-C, would crash the process.
    """
    return openvino.Core()


def _answer(request: openvino.InferRequest) -> F32:
    request.wait()
    result: F32 = request.get_output_tensor(0).data.copy()
    return result


def _place(core: openvino.Core, device: str) -> str:
    """Return OpenVINO's name of DEVICE; EngineError if it is not here."""
    place = "CPU" if device == "auto" else device.upper().replace(":", ".")
    kind = place.partition(".")[0]
    if kind not in ("CPU", *_DRIVERS):
        raise EngineError(
            f"device {device}: openvino has none of this name; give --device cpu, gpu or npu"
        )
    if place == "CPU":
        return place
    here = core.available_devices
    if not any(found.startswith(kind) for found in here):
        raise EngineError(f"device {device}: {_absence(core, kind)}")
    if place not in (kind, *here):
        raise EngineError(f"device {device}: there is no such device; here are {', '.join(here)}")
    return place


def _absence(core: openvino.Core, kind: str) -> str:
    """Return why there is no device of KIND, and the fix."""
    reason = f"OpenVINO finds no Intel {kind}"
    try:
        core.get_property(kind, "FULL_DEVICE_NAME")
    except RuntimeError as error:
        missing = [line for line in str(error).splitlines() if "cannot open shared object" in line]
        if missing:
            library = missing[0].split(": cannot open shared object")[0].split(": ")[-1]
            reason = f"OpenVINO lacks the library {library}"
    return f"{reason}; if there is one, {_DRIVERS[kind]}"


def _read(model: Path) -> openvino.Model:
    # Core.read_model would try its other frontends too, which write to stderr by themselves.
    frontend = FrontEndManager().load_by_framework("onnx")
    try:
        return frontend.convert(frontend.load(str(model)))
    except Exception as error:  # its frontend errors have no public base
        raise ModelError(f"{model}: not an ONNX file ({last_line(error)})") from error


def _metadata(network: openvino.Model) -> dict[str, str]:
    if not network.has_rt_info("framework"):
        return {}
    return dict(network.get_rt_info("framework").value)


def _specs(ports: list[openvino.Output]) -> list[TensorSpec]:
    return [
        TensorSpec(
            port.get_any_name(),
            port.get_element_type().to_dtype().name,
            tuple(-1 if side.is_dynamic else side.get_length() for side in port.partial_shape),
        )
        for port in ports
    ]
