"""The job of `--engine int8`: quantize, measure, and keep the file only if it is worth it."""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from onnx import helper

from ...runtime.color import F32
from ...runtime.engines.base import Engine
from ...runtime.engines.onnxruntime import OnnxRuntimeEngine
from ...runtime.engines.openvino import OpenVINOEngine
from ...runtime.errors import ArgumentError, ProofError
from ...runtime.files import photo_files
from ...runtime.models.catalog import SAMPLES
from ...runtime.models.contract import ModelInfo
from ...runtime.photo.reader import read_photo
from ...runtime.resize import seen_shape
from ..graphs.int8 import calibrate, quantize
from ..proof.batches import Batch, hinted, lightness_of
from ..proof.distance import ciede2000
from ..proof.proof import INT8
from .output import check_target, proven_file, refused_path, write_card

MOST_DIFFERENCE = INT8.mean
"""Mean CIEDE2000 to float32 that an int8 file may have."""
LEAST_SPEEDUP = 1.3
"""How many times as fast as the best other precision an int8 file must be."""

# On the photographs calibrated on; others come out a little worse.
_AIM = 0.8 * MOST_DIFFERENCE
_CALIBRATED_ON = 64  # photographs at most
_BATCH, _ROUNDS = 8, 15


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


@dataclass(frozen=True)
class Int8Job:
    """Make a float32 file as JOB says, quantize it, and keep that if it is near and fast enough."""

    job: Any  # a dataclass with `target`, `refused` and `run`: ExportJob or ImportJob
    target: Path
    overwrite: bool = False
    data: Path | None = None
    refused: Path | None = None  # where a file that fails is kept; None: beside the target

    def run(self, report: Callable[[str], None]) -> None:
        """Write the int8 file; ProofError, with the figures, if it is not worth it."""
        check_target(self.target, self.overwrite)
        refused = self.refused or refused_path(self.target)
        photographs = photo_files(self.data or SAMPLES / "train")[:_CALIBRATED_ON]
        if not photographs:
            raise ArgumentError(f"{self.data}: no photographs to calibrate on")
        with TemporaryDirectory() as folder:
            network = Path(folder) / "float32.onnx"
            replace(self.job, target=network, refused=refused).run(report)
            card = json.loads(network.with_suffix(".json").read_text())
            with proven_file(self.target, refused) as part:
                figures = make_int8(network, part, photographs)
                report(str(figures))
                if reasons := figures.reasons_against():
                    raise ProofError(f"int8 is not worth it here: {'; '.join(reasons)}")
        for figure in ("proofs", "refused_precisions"):  # they are the float32 file's
            card.pop(figure, None)
        card |= {
            "precision": "int8",
            "int8": {**vars(figures), "calibrated_on": len(photographs)},
        }
        write_card(self.target, card)


def make_int8(network: Path, target: Path, photographs: Sequence[Path]) -> Figures:
    """Quantize the float32 file NETWORK to TARGET, calibrated on PHOTOGRAPHS, and measure it."""
    with OnnxRuntimeEngine(network) as engine:
        info = engine.info
    calibration = as_seen(photographs, info)
    model, kept = quantize(calibrate(network, calibration), calibration, _AIM)
    props = replace(info, precision="int8").to_metadata()
    helper.set_model_props(model, props)
    target.write_bytes(model.SerializeToString())
    batches = as_seen(photo_files(SAMPLES / "test"), info)
    with ExitStack() as stack:
        engines: dict[str, Engine] = {}
        for path, precision in ((network, ""), (target, "int8")):
            for kind in (OpenVINOEngine, OnnxRuntimeEngine):
                opened = stack.enter_context(kind(path))
                engines[f"{opened.name} {precision or opened.precision}"] = opened
        truths = [engines["onnxruntime fp32"].infer(*batch) for batch in batches]
        difference = max(
            float(
                np.mean(
                    [
                        ciede2000(batch[0], e.infer(*batch), ab).mean()
                        for batch, ab in zip(batches, truths, strict=True)
                    ]
                )
            )
            for name, e in engines.items()
            if name.endswith("int8")
        )
        seconds = time_in_turns(engines, np.repeat(batches[0][0], _BATCH, axis=0))
    milliseconds = {name: 1000 * value for name, value in seconds.items()}
    return Figures(difference, speedup(seconds), milliseconds, _BATCH, kept)


def speedup(seconds: Mapping[str, float]) -> float:
    """Return how many times as fast the best int8 engine is as the best of the others."""
    int8 = min(value for name, value in seconds.items() if name.endswith("int8"))
    return min(value for name, value in seconds.items() if not name.endswith("int8")) / int8


def as_seen(photographs: Sequence[Path], info: ModelInfo) -> list[Batch]:
    """Return each photograph at the size that the model takes; with hints, if it takes those."""
    grays = (read_photo(path).gray() for path in photographs)
    lightness = [lightness_of(gray, seen_shape(info, *gray.shape)) for gray in grays]
    return hinted(lightness, hints=info.takes_hints)


def time_in_turns(engines: dict[str, Engine], lightness: F32) -> dict[str, float]:
    """Return the median seconds of each engine; they take turns, so that noise hits all alike."""
    seconds: dict[str, list[float]] = {name: [] for name in engines}
    for _ in range(_ROUNDS):
        for name, engine in engines.items():
            engine.infer(lightness)  # untimed: the engine before still holds the caches
            start = time.perf_counter()
            engine.infer(lightness)
            seconds[name].append(time.perf_counter() - start)
    return {name: float(np.median(taken)) for name, taken in seconds.items()}
