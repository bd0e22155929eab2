"""TensorRT engines on disk, and the JSON file beside each that decides whether it is used.

An engine fits one ONNX file, one TensorRT, and the GPUs and shapes that it was built for. Those who
build it write a `Recipe`; those who run it read it. Nothing here needs TensorRT.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

from ..errors import EngineError
from ..files import sha256, whole_file

Shape = tuple[int, int, int, int]
"""(N, 1, H, W) of the network's input."""

SUFFIXES = {"tensorrt": ".engine", "tensorrt_rtx": ".rtx.engine"}
"""By flavour, what an engine's name ends in."""


@dataclass(frozen=True)
class Profile:
    """The smallest, best and largest shape that one of an engine's profiles takes."""

    low: Shape
    best: Shape
    high: Shape

    def takes(self, shape: Shape) -> bool:
        """Whether the engine can compute SHAPE under this profile."""
        ranges = zip(self.low, shape, self.high, strict=True)
        return all(low <= side <= high for low, side, high in ranges)


@dataclass(frozen=True)
class Recipe:
    """All that decides an engine's bytes."""

    onnx_sha256: str
    flavour: str  # tensorrt or tensorrt_rtx
    version: str  # of TensorRT
    precision: str
    compute_capabilities: tuple[str, ...]  # such as 89; () for all that the flavour knows
    device: str  # the GPU's name; "" if built ahead of time
    profiles: tuple[Profile, ...]
    workspace_mib: int | None = None
    optimization_level: int | None = None

    @classmethod
    def from_card(cls, card: dict[str, Any]) -> Self:
        """Read what `store_engine` wrote."""
        profiles = tuple(
            Profile(**{name: tuple(sides) for name, sides in profile.items()})
            for profile in card["profiles"]
        )
        capabilities = tuple(card["compute_capabilities"])
        return cls(**{**card, "profiles": profiles, "compute_capabilities": capabilities})


def engine_path(model: Path, flavour: str) -> Path:
    """Return where the engine of the ONNX file MODEL lies."""
    return model.with_suffix(SUFFIXES[flavour])


def model_path(engine: Path) -> Path:
    """Return where the ONNX file lies that ENGINE was built from."""
    for suffix in sorted(SUFFIXES.values(), key=len, reverse=True):
        if engine.name.endswith(suffix):
            return engine.with_name(engine.name.removesuffix(suffix) + ".onnx")
    raise EngineError(f"{engine}: an engine's name ends in one of {', '.join(SUFFIXES.values())}")


def store_engine(engine: Path, plan: memoryview | bytes, recipe: Recipe) -> None:
    """Write PLAN as ENGINE with the JSON file beside it, each whole or not at all."""
    card = {**asdict(recipe), "engine_sha256": sha256(bytes(plan))}
    # A crash between the two leaves an engine that its card disowns, so it is built again.
    with whole_file(engine) as part:
        part.write_bytes(plan)
    with whole_file(_card_path(engine)) as part:
        part.write_text(json.dumps(card, indent=2) + "\n")


def read_recipe(engine: Path) -> Recipe:
    """Return how ENGINE was built; EngineError if it is missing, damaged, or of unknown origin."""
    if not engine.is_file():
        raise EngineError(f"{engine}: no such engine; build it with colorize-export --engine fp16")
    try:
        card = json.loads(_card_path(engine).read_text(encoding="utf-8"))
        bound = card.pop("engine_sha256")
        recipe = Recipe.from_card(card)
    except FileNotFoundError as error:
        raise EngineError(
            f"{engine}: no {_card_path(engine).name} beside it; build it again"
        ) from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise EngineError(f"{_card_path(engine)}: damaged; build the engine again") from error
    if bound != sha256(engine):
        raise EngineError(f"{engine}: truncated, or not the file that was built; build it again")
    return recipe


def check_recipe(engine: Path, found: Recipe, **wanted: object) -> None:
    """Raise EngineError naming the first field in which the recipe FOUND is not as WANTED."""
    for name, new in wanted.items():
        old = getattr(found, name)
        if old != new:
            raise EngineError(f"{engine}: stale: {name} is {_brief(old)}, not {_brief(new)}")


def find_engine(
    model: Path, flavour: str, version: str, compute_capability: str
) -> tuple[Path, Recipe]:
    """Return the engine of the ONNX file MODEL for a GPU such as "89", and its recipe.

    EngineError says why there is none that this TensorRT can run on that GPU.
    """
    engine = engine_path(model, flavour)
    recipe = read_recipe(engine)
    check_recipe(engine, recipe, onnx_sha256=sha256(model), flavour=flavour, version=version)
    known = recipe.compute_capabilities
    if known and compute_capability not in known:
        raise EngineError(
            f"{engine}: built for compute capability {', '.join(known)}, this GPU has "
            f"{compute_capability}; build it again"
        )
    return engine, recipe


def _card_path(engine: Path) -> Path:
    return Path(f"{engine}.json")


def _brief(value: object) -> str:
    text = str(value)
    return text if len(text) <= 40 else f"{text[:12]}..."
