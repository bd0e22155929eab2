"""What every model file keeps, whoever trained it: lightness in, two chroma planes out.

    L  float32 [N, 1, H, W]  CIELAB L* in 0..100
    ab float32 [N, 2, H, W]  CIELAB a*, b*, about -110..110, D65

N, H and W are dynamic, H and W multiples of `size_multiple`; a network that takes one size alone
says so in `fixed_size`. Everything else that a program must know before it runs the model stands in
the ONNX metadata, one key a field of `ModelInfo`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Self

from ..errors import ModelError

CONTRACT_VERSION = 1
INPUT = "L"
OUTPUT = "ab"
_PREFIX = "colorize."
_KEYS = {"license": "licence"}  # as all files there are spell it
_CHANNELS = {INPUT: 1, OUTPUT: 2}


@dataclass(frozen=True)
class ModelInfo:
    """The metadata of one model file."""

    architecture: str
    precision: str  # of the arithmetic inside: fp32 or fp16
    native_size: int  # short side in pixels at which the model colors best
    size_multiple: int  # H and W must be multiples of this
    checkpoint_sha256: str
    data_name: str
    data_fingerprint: str  # of the training pictures, see files.fingerprint
    license: str
    toolkit_version: str
    contract_version: int = CONTRACT_VERSION
    fixed_size: tuple[int, int] | None = None  # (H, W), if the network takes no other

    def to_metadata(self) -> dict[str, str]:
        """Return the ONNX metadata, text to text."""
        values = {_KEYS.get(name, name): value for name, value in asdict(self).items()}
        size = values.pop("fixed_size")
        if size is not None:
            values["fixed_size"] = "{}x{}".format(*size)
        return {_PREFIX + name: str(value) for name, value in values.items()}

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, str], source: str) -> Self:
        """Read the metadata of the file named SOURCE; ModelError names the first breach."""
        version = metadata.get(_PREFIX + "contract_version")
        if version is None:
            raise ModelError(
                f"{source}: not a colorizer of this toolkit (its metadata lacks "
                f"{_PREFIX}contract_version); make one with colorize-export"
            )
        if version != str(CONTRACT_VERSION):
            raise ModelError(
                f"{source}: follows contract version {version}, this toolkit reads "
                f"{CONTRACT_VERSION}; export the model again"
            )
        values: dict[str, str | int | tuple[int, ...]] = {}
        for field in fields(cls):
            key = _PREFIX + _KEYS.get(field.name, field.name)
            text = metadata.get(key)
            if field.name == "fixed_size":
                if text is not None:
                    values[field.name] = _two_sides(text, source)
                continue
            if text is None:
                raise ModelError(f"{source}: metadata lacks {key}; export it again")
            values[field.name] = _positive(text, field.name, source) if field.type is int else text
        return cls(**values)  # type: ignore[arg-type]  # each value was read by its field's type


def _two_sides(text: str, source: str) -> tuple[int, ...]:
    sides = text.split("x")
    if len(sides) != 2:
        raise ModelError(f"{source}: metadata {_PREFIX}fixed_size is {text!r}, not as 256x256")
    return tuple(_positive(side, "fixed_size", source) for side in sides)


def _positive(text: str, name: str, source: str) -> int:
    if not (text.isascii() and text.isdigit()) or int(text) == 0:
        raise ModelError(f"{source}: metadata {_PREFIX}{name} is {text!r}, not a positive number")
    return int(text)


@dataclass(frozen=True)
class TensorSpec:
    """One input or output of a model as an engine reports it; -1 stands for a dynamic side."""

    name: str
    dtype: str
    shape: tuple[int, ...]


def check_signature(
    inputs: Sequence[TensorSpec],
    outputs: Sequence[TensorSpec],
    source: str,
    fixed_size: tuple[int, int] | None = None,
) -> None:
    """Raise ModelError naming the first way in which the model breaks the contract."""
    wanted = (-1, *(fixed_size or (-1, -1)))
    for specs, name, role in ((inputs, INPUT, "input"), (outputs, OUTPUT, "output")):
        if [spec.name for spec in specs] != [name]:
            found = ", ".join(spec.name for spec in specs) or "none"
            raise ModelError(f"{source}: {role}s are {found}; the contract has one {role}, {name}")
        spec = specs[0]
        if spec.dtype != "float32":
            raise ModelError(f"{source}: {role} {name} is {spec.dtype}, the contract has float32")
        if len(spec.shape) != 4 or spec.shape[1] != _CHANNELS[name]:
            raise ModelError(
                f"{source}: {role} {name} has shape {list(spec.shape)}, the contract has "
                f"[N, {_CHANNELS[name]}, H, W]"
            )
        for axis, length in zip((0, 2, 3), wanted, strict=True):
            if spec.shape[axis] not in (-1, length):
                must = "be dynamic" if length == -1 else f"be {length}, as its fixed_size says"
                raise ModelError(f"{source}: {role} {name} fixes axis {axis}, it must {must}")
