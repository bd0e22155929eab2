"""The contract of every model file: lightness in, two chroma planes out.

    L     float32 [N, 1, H, W]  CIELAB L* in 0..100
    hints float32 [N, 3, H, W]  a*, b*, confidence in 0..1: of models that take hints alone
    ab    float32 [N, 2, H, W]  CIELAB a*, b*, about -110..110, D65

Where the confidence is 0, so are the hints' a* and b*. Files of version 1 take no hints. A model of
`extended_hints` was trained with what steering.spread.extend_hints makes of hints, and is given
that.
N, H and W are dynamic, H and W multiples of `size_multiple`; a network that takes one size alone
says so in `fixed_size`. Everything else that a program must know before it runs the model stands in
the ONNX metadata, one key a field of `ModelInfo`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Self

from ..errors import ModelError

CONTRACT_VERSION = 2
_READ_VERSIONS = ("1", "2")
INPUT = "L"
HINTS = "hints"
OUTPUT = "ab"
_PREFIX = "colorize."
_KEYS = {"license": "licence"}  # the spelling in every file exported so far
_FLAGS = ("takes_hints", "extended_hints")  # what a file does not say is false
CHANNELS = {INPUT: 1, HINTS: 3, OUTPUT: 2}


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
    takes_hints: bool = False
    extended_hints: bool = False

    @property
    def inputs(self) -> tuple[str, ...]:
        """The names of its inputs, lightness first."""
        return (INPUT, HINTS) if self.takes_hints else (INPUT,)

    def to_metadata(self) -> dict[str, str]:
        """Return the ONNX metadata, text to text."""
        values = {_KEYS.get(name, name): value for name, value in asdict(self).items()}
        size = values.pop("fixed_size")
        for name in _FLAGS:
            if values.pop(name):
                values[name] = "true"
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
        if version not in _READ_VERSIONS:
            raise ModelError(
                f"{source}: follows contract version {version}, this toolkit reads "
                f"{' and '.join(_READ_VERSIONS)}; export the model again"
            )
        values: dict[str, str | int | tuple[int, ...]] = {}
        for field in fields(cls):
            key = _PREFIX + _KEYS.get(field.name, field.name)
            text = metadata.get(key)
            if field.name == "fixed_size":
                if text is not None:
                    values[field.name] = _two_sides(text, source)
                continue
            if field.name in _FLAGS:
                values[field.name] = _truth(text, field.name, source)
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


def _truth(text: str | None, name: str, source: str) -> bool:
    """Return whether it is "true"; what is not said is false."""
    if text not in (None, "true", "false"):
        raise ModelError(f"{source}: metadata {_PREFIX}{name} is {text!r}, not true or false")
    return text == "true"


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
    *,
    takes_hints: bool = False,
) -> None:
    """Raise ModelError naming the first way in which the model breaks the contract."""
    wanted = (-1, *(fixed_size or (-1, -1)))
    given = (INPUT, HINTS) if takes_hints else (INPUT,)
    for specs, names, role in ((inputs, given, "input"), (outputs, (OUTPUT,), "output")):
        if sorted(spec.name for spec in specs) != sorted(names):
            found = ", ".join(spec.name for spec in specs) or "none"
            has = f"one {role}, {names[0]}" if len(names) == 1 else f"{role}s {' and '.join(names)}"
            raise ModelError(f"{source}: {role}s are {found}; the contract has {has}")
    roles = [(spec, "input") for spec in inputs] + [(spec, "output") for spec in outputs]
    for spec, role in roles:
        name = spec.name
        if spec.dtype != "float32":
            raise ModelError(f"{source}: {role} {name} is {spec.dtype}, the contract has float32")
        if len(spec.shape) != 4 or spec.shape[1] != CHANNELS[name]:
            raise ModelError(
                f"{source}: {role} {name} has shape {list(spec.shape)}, the contract has "
                f"[N, {CHANNELS[name]}, H, W]"
            )
        for axis, length in zip((0, 2, 3), wanted, strict=True):
            if spec.shape[axis] not in (-1, length):
                must = "be dynamic" if length == -1 else f"be {length}, as its fixed_size says"
                raise ModelError(f"{source}: {role} {name} fixes axis {axis}, it must {must}")
