"""TensorRT engines on disk, and the JSON file beside each that decides whether it is used.

An engine fits one ONNX file, one TensorRT, and the GPUs and shapes that it was built for. Those who
build it write a `BuildConfig`; those who run it read it. Nothing here needs TensorRT.
"""

import json
import shlex
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

from ...errors import EngineError
from ...files import sha256, whole_file
from ...models.catalog import MODELS, checkpoint_of
from ...models.contract import CHANNELS, INPUT
from ...models.sidecar import bound_sidecar

Shape = tuple[int, int, int, int]
"""(N, C, H, W) of an input of the network."""

SUFFIXES = {"tensorrt": ".engine", "tensorrt_rtx": ".rtx.engine"}
"""By variant, what an engine's name ends in."""


@dataclass(frozen=True)
class Profile:
    """The smallest, best and largest shape that one of an engine's profiles takes.

    They are those of L*, of one channel; its other inputs differ in that alone.
    """

    low: Shape
    best: Shape
    high: Shape
    inputs: tuple[str, ...] = (INPUT,)  # engines of earlier versions do not say

    def shapes(self, name: str) -> tuple[Shape, Shape, Shape]:
        """Return the smallest, best and largest shape of the input NAME."""
        low, best, high = (
            (count, CHANNELS[name], height, width)
            for count, _, height, width in (self.low, self.best, self.high)
        )
        return low, best, high

    def takes(self, shape: Shape) -> bool:
        """Whether the engine can compute SHAPE under this profile."""
        ranges = zip(self.low, shape, self.high, strict=True)
        return all(low <= side <= high for low, side, high in ranges)


@dataclass(frozen=True)
class BuildConfig:
    """All that decides an engine's bytes."""

    onnx_sha256: str
    variant: str  # tensorrt or tensorrt_rtx
    version: str  # of TensorRT
    precision: str
    compute_capabilities: tuple[str, ...]  # such as 89; () for all that the variant knows
    device: str  # the GPU's name; "" if built ahead of time
    profiles: tuple[Profile, ...]
    workspace_mib: int | None = None
    optimization_level: int | None = None

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Self:
        """Read what `store_engine` wrote, today or when the variant was called flavour."""
        values = {"variant" if key == "flavour" else key: value for key, value in values.items()}
        profiles = tuple(
            Profile(**{name: tuple(sides) for name, sides in profile.items()})
            for profile in values["profiles"]
        )
        capabilities = tuple(values["compute_capabilities"])
        return cls(**{**values, "profiles": profiles, "compute_capabilities": capabilities})


def engine_path(model: Path, variant: str) -> Path:
    """Return where the engine of the ONNX file MODEL lies."""
    return model.with_suffix(SUFFIXES[variant])


def model_path(engine: Path) -> Path:
    """Return where the ONNX file lies that ENGINE was built from."""
    for suffix in sorted(SUFFIXES.values(), key=len, reverse=True):
        if engine.name.endswith(suffix):
            return engine.with_name(engine.name.removesuffix(suffix) + ".onnx")
    raise EngineError(f"{engine}: an engine's name ends in one of {', '.join(SUFFIXES.values())}")


def store_engine(
    engine: Path, plan: memoryview | bytes, config: BuildConfig, metadata: Mapping[str, str]
) -> None:
    """Write PLAN as ENGINE with the JSON file beside it, each whole or not at all.

    METADATA is the ONNX file's, which whoever runs the engine needs too: see contract.ModelInfo.
    """
    values = {**asdict(config), "engine_sha256": sha256(bytes(plan)), "metadata": dict(metadata)}
    # A crash between the two leaves an engine that its JSON file disowns, so it is built again.
    with whole_file(engine) as part:
        part.write_bytes(plan)
    with whole_file(_json_path(engine)) as part:
        part.write_text(json.dumps(values, indent=2) + "\n")


def read_build_config(engine: Path) -> BuildConfig:
    """Return how ENGINE was built; EngineError if it is missing, damaged, or of unknown origin."""
    return _read_json(engine)[0]


def read_metadata(engine: Path) -> dict[str, str]:
    """Return the metadata of the ONNX file that ENGINE was built from; EngineError as above."""
    return _read_json(engine)[1]


def _read_json(engine: Path) -> tuple[BuildConfig, dict[str, str]]:
    if not engine.is_file():
        raise EngineError(f"{engine}: no such engine; build it with colorize-export --engine fp16")
    try:
        values = json.loads(_json_path(engine).read_text(encoding="utf-8"))
        bound, metadata = values.pop("engine_sha256"), dict(values.pop("metadata"))
        config = BuildConfig.from_json(values)
    except FileNotFoundError as error:
        raise EngineError(
            f"{engine}: no {_json_path(engine).name} beside it; build it again"
        ) from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise EngineError(f"{_json_path(engine)}: damaged; build the engine again") from error
    if bound != sha256(engine):
        raise EngineError(f"{engine}: truncated, or not the file that was built; build it again")
    return config, metadata


def check_build_config(engine: Path, found: BuildConfig, **wanted: object) -> None:
    """Raise EngineError naming the first field in which FOUND is not as WANTED."""
    for name, new in wanted.items():
        old = getattr(found, name)
        if old != new:
            raise EngineError(f"{engine}: stale: {name} is {_brief(old)}, not {_brief(new)}")


def find_engine(
    model: Path, variant: str, version: str, compute_capability: str
) -> tuple[Path, BuildConfig]:
    """Return the engine of the ONNX file MODEL for a GPU such as "89", and how it was built.

    EngineError says why there is none that this TensorRT can run on that GPU.
    """
    engine = engine_path(model, variant)
    config = read_build_config(engine)
    wanted = {"onnx_sha256": sha256(model), "variant": variant, "version": version}
    check_build_config(engine, config, **wanted)
    known = config.compute_capabilities
    if known and compute_capability not in known:
        raise EngineError(
            f"{engine}: built for compute capability {', '.join(known)}, this GPU has "
            f"{compute_capability}; build it again"
        )
    return engine, config


def export_command(model: Path, *options: str) -> str:
    """Return what to type for an engine of the ONNX file MODEL, or of its network in FP16."""
    sidecar = bound_sidecar(model)
    fp16 = sidecar.get("precision") == "fp16"
    folder = Path("exports") if model.parent == MODELS else model.parent
    target = model if fp16 else folder / f"{model.stem.removesuffix('-fp32')}-fp16.onnx"
    words = ["colorize-export", "--engine", "fp16"]
    if "kind" in sidecar:  # an import, which another's file was wrapped for
        words += ["--import", "FILE"]
    else:
        words += ["--checkpoint", str(_checkpoint(model) or "FILE")]
    words += ["-o", str(target), *(["--overwrite"] if target.exists() else []), *options]
    given = f", FILE being what {model.name} was made from" if "FILE" in words else ""
    return shlex.join(words) + ("" if fp16 else f" (then give --model {target})") + given


def _checkpoint(model: Path) -> Path | None:
    """Return the checkpoint beside MODEL, or among the bundled ones, that it was exported from."""
    beside = [*sorted(model.parent.glob("*.safetensors")), *sorted(MODELS.glob("*.safetensors"))]
    return checkpoint_of(model, beside)


def _json_path(engine: Path) -> Path:
    return Path(f"{engine}.json")


def _brief(value: object) -> str:
    text = str(value)
    return text if len(text) <= 40 else f"{text[:12]}..."
