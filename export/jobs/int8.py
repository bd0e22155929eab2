"""The job of `--engine int8`: quantize, measure, and keep the file only if it is worth it."""

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from statistics import median

import numpy as np
from onnx import helper

from ...runtime.engines.base import Engine
from ...runtime.engines.onnxruntime import OnnxRuntimeEngine
from ...runtime.engines.openvino import OpenVINOEngine
from ...runtime.errors import ArgumentError, ProofError
from ...runtime.files import part_file, photo_files
from ...runtime.models.catalog import SAMPLES
from ..graphs.int8 import calibrate, mean_difference, quantize
from ..graphs.onnx import read_info
from ..proof.batches import sample_files, seen_batches
from ..proof.proof import INT8
from ..proof.timing import in_turns, seconds_of
from .output import Exported, Output

MOST_DIFFERENCE = INT8.mean
"""Mean CIEDE2000 to float32 that an int8 file may have."""
LEAST_SPEEDUP = 1.3
"""How many times as fast as the best other precision an int8 file must be."""

# On the photographs calibrated on; others come out a little worse.
_AIM = 0.8 * MOST_DIFFERENCE
_CALIBRATED_ON = 64  # photographs at most
_BATCH, _ROUNDS = 8, 15
_ABOUT_FLOAT32 = ("proofs", "refused_precisions")  # in a sidecar


@dataclass(frozen=True)
class Figures:
    """What was measured of an int8 file, in one run, on one machine."""

    difference: float  # mean CIEDE2000, of the engine where it is larger
    speedup: float  # over the best other precision
    milliseconds: dict[str, float]  # median for a batch, by engine and precision
    batch: int
    kept: list[str]  # layers that stayed in float32

    def reasons_against(self) -> list[str]:
        """Say what keeps the file from being worth it; empty if nothing does."""
        reasons = []
        if not self.difference <= MOST_DIFFERENCE:  # NaN is a reason too
            reasons.append(
                f"mean CIEDE2000 to float32 is {self.difference:.2f}, above {MOST_DIFFERENCE}"
            )
        if not self.speedup >= LEAST_SPEEDUP:
            reasons.append(
                f"it is {self.speedup:.2f} times as fast as the best other precision, below "
                f"{LEAST_SPEEDUP}"
            )
        return reasons

    def __str__(self) -> str:
        times = ", ".join(f"{name} {ms:.1f} ms" for name, ms in self.milliseconds.items())
        return (
            f"int8: mean CIEDE2000 {self.difference:.2f} (bound {MOST_DIFFERENCE}), "
            f"{self.speedup:.2f} times as fast (bound {LEAST_SPEEDUP}; batch {self.batch}: "
            f"{times}), {len(self.kept)} layers kept in float32"
        )


def as_int8(network: Exported, output: Output, data: Path | None = None) -> Exported:
    """Return the float32 NETWORK quantized, calibrated on the photographs below DATA.

    ProofError, with the figures, if it is not near and fast enough to be worth it.
    """
    photographs = photo_files(data or SAMPLES / "train")[:_CALIBRATED_ON]
    if not photographs:
        raise ArgumentError(f"{data}: no photographs to calibrate on")
    with part_file(output.target) as float32:
        float32.write_bytes(network.content)
        info = read_info(float32)
        batches = seen_batches(photographs, info, hints=info.takes_hints)
        model, kept = quantize(calibrate(float32, batches), batches, _AIM)
        helper.set_model_props(model, replace(info, precision="int8").to_metadata())
        content = model.SerializeToString()
        with output.draft(content) as int8:
            in_bf16 = "bf16" not in network.sidecar.get("refused_precisions", ())
            figures = measure(float32, int8, kept, in_bf16=in_bf16)
            output.say(str(figures))
            if reasons := figures.reasons_against():
                raise ProofError(f"int8 is not worth it here: {'; '.join(reasons)}")
    about_both = {key: value for key, value in network.sidecar.items() if key not in _ABOUT_FLOAT32}
    measured = {**vars(figures), "calibrated_on": len(photographs)}
    return Exported(content, {**about_both, "precision": "int8", "int8": measured})


def measure(float32: Path, int8: Path, kept: list[str], *, in_bf16: bool) -> Figures:
    """Compare the file INT8 with FLOAT32, which it was made from and which may run IN_BF16."""
    info = read_info(float32)
    batches = seen_batches(sample_files(), info, hints=info.takes_hints)
    with ExitStack() as stack:
        fast = stack.enter_context(OpenVINOEngine(float32, "auto" if in_bf16 else "fp32"))
        exact = stack.enter_context(OnnxRuntimeEngine(float32))
        quantized = [
            stack.enter_context(kind(int8)) for kind in (OpenVINOEngine, OnnxRuntimeEngine)
        ]
        truths = [exact.infer(*batch) for batch in batches]
        difference = max(
            mean_difference(batches, [engine.infer(*batch) for batch in batches], truths)
            for engine in quantized
        )
        engines: dict[tuple[str, str], Engine] = {
            (engine.name, engine.precision): engine for engine in (fast, exact)
        }
        engines |= {(engine.name, "int8"): engine for engine in quantized}
        lightness = np.repeat(batches[0][0], _BATCH, axis=0)
        calls = [partial(engine.infer, lightness) for engine in engines.values()]
        medians = [median(taken) for taken in in_turns(calls, _ROUNDS, seconds_of)]
    seconds = dict(zip(engines, medians, strict=True))
    milliseconds = {" ".join(key): 1000 * value for key, value in seconds.items()}
    return Figures(
        difference=difference,
        speedup=speedup(seconds),
        milliseconds=milliseconds,
        batch=_BATCH,
        kept=kept,
    )


def speedup(seconds: Mapping[tuple[str, str], float]) -> float:
    """Return the best other SECONDS, by engine and precision, over the best of int8."""
    int8 = min(value for (_, precision), value in seconds.items() if precision == "int8")
    return min(value for (_, precision), value in seconds.items() if precision != "int8") / int8
