"""Checkpoints: safetensors with the architecture's config as JSON in its header; never pickle."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save
from torch import Tensor, nn

from ...runtime.errors import ModelError
from ...runtime.files import whole_file
from ...runtime.models.sidecar import read_figures
from ..architectures import architecture
from ..architectures.base import AnyArchitecture
from ..architectures.blocks import EncoderDecoder

_FORMAT = "colorize-checkpoint-1"
_KEY = "colorize"
_PICKLE_SUFFIXES = {".pt", ".pth", ".ckpt", ".bin", ".pkl"}


@dataclass(frozen=True)
class Origin:
    """Where a checkpoint's weights come from."""

    data_name: str
    data_fingerprint: str
    native_size: int  # working size, short side, at which the network colors best
    license: str
    steps: int
    photos_seen: int
    parent: str = ""  # SHA-256 of the checkpoint that it started from
    figures: dict[str, float] = field(default_factory=dict)  # on validation photographs
    crop_size: int = 0  # side of the training crops; 0: the native size
    saturation: float = 1.0  # by which a* and b* were multiplied after the training
    encoder_weights: str = ""  # which published weights the encoder, or the parent's, began with
    extended_hints: bool = False  # whether it was trained with them: see runtime/models/contract.py

    def to_json(self) -> dict[str, Any]:
        """Return it as checkpoints and model files store it."""
        values = asdict(self)
        values["licence"] = values.pop("license")  # the key that shipped files have
        return values

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """Read what `to_json` returned; TypeError if it does not fit."""
        known = {key: value for key, value in values.items() if key not in ("licence", "figures")}
        figures = read_figures(values.get("figures", {}))
        return cls(**known, license=values.get("licence", "not stated"), figures=figures)


@dataclass(frozen=True)
class Checkpoint:
    """A network, its origin, and the model card for those it is shared with."""

    arch: str
    config: Any  # the architecture's own frozen dataclass
    network: EncoderDecoder
    origin: Origin
    card: str = ""  # Markdown

    @property
    def takes_hints(self) -> bool:
        """Whether the network listens to hinted colors."""
        return self.network.hints is not None

    def save(self, path: Path, *, dtype: torch.dtype = torch.float32) -> None:
        """Write the weights as DTYPE and everything else into one file, whole or not at all."""
        header = {
            "format": _FORMAT,
            "architecture": self.arch,
            "config": asdict(self.config),
            "origin": self.origin.to_json(),
            "card": self.card,
        }
        state = {
            key: (value.to(dtype) if value.is_floating_point() else value).contiguous()
            for key, value in self.network.state_dict().items()
        }
        with whole_file(path) as part:
            part.write_bytes(save(state, metadata={_KEY: json.dumps(header, sort_keys=True)}))


def load_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint, weights as float32 in eval mode; ModelError says what is wrong with it."""
    header = _read_header(path)
    entry = architecture(header["architecture"])
    try:
        config = config_from_json(entry, header["config"])
        origin = Origin.from_json(header["origin"])
    except TypeError as error:
        raise ModelError(f"{path}: its config does not fit this toolkit ({error})") from error
    network = entry.build(config)
    _load_state(network, load_file(path), path)
    return Checkpoint(
        arch=entry.name,
        config=config,
        network=network.eval(),
        origin=origin,
        card=header.get("card", ""),
    )


def config_from_json(entry: AnyArchitecture, settings: dict[str, Any]) -> Any:
    """Return the architecture's config that was saved as JSON; TypeError if it does not fit."""
    with_tuples = {k: tuple(v) if isinstance(v, list) else v for k, v in settings.items()}
    return entry.config(**with_tuples)


def _read_header(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise ModelError(f"{path}: no such checkpoint")
    if path.suffix.lower() in _PICKLE_SUFFIXES:
        raise ModelError(
            f"{path}: pickle checkpoints can run any code and are not read; another's colorizer: "
            f"colorize-export --import {path}; weights alone: python -c 'import torch, "
            "safetensors.torch as s, sys; s.save_file(torch.load(sys.argv[1], weights_only=True), "
            f"sys.argv[2])' {path} {path.with_suffix('.safetensors')}"
        )
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise ModelError(f"{path}: not a safetensors file, or a damaged one ({error})") from error
    if _KEY not in metadata:
        raise ModelError(f"{path}: safetensors, but not written by colorize-train")
    try:
        header: dict[str, Any] = json.loads(metadata[_KEY])
    except ValueError as error:
        raise ModelError(f"{path}: its header is damaged ({error})") from error
    if header.get("format") != _FORMAT:
        raise ModelError(f"{path}: format {header.get('format')!r}, this toolkit reads {_FORMAT}")
    return header


def _load_state(network: nn.Module, state: dict[str, Tensor], path: Path) -> None:
    own = network.state_dict()
    missing, extra = own.keys() - state.keys(), state.keys() - own.keys()
    if missing or extra:
        what = f"lacks {min(missing)}" if missing else f"has the unknown tensor {min(extra)}"
        raise ModelError(f"{path}: {what}; it was made for another network")
    for key, value in own.items():
        if state[key].shape != value.shape:
            raise ModelError(
                f"{path}: {key} has shape {list(state[key].shape)}, expected {list(value.shape)}"
            )
    network.load_state_dict({key: state[key].to(value.dtype) for key, value in own.items()})


def newest_checkpoint(runs: Path) -> Path | None:
    """Return the checkpoint below RUNS that was written last, if there is one."""
    return max(checkpoints(runs), key=lambda path: path.stat().st_mtime, default=None)


def checkpoints(runs: Path) -> Iterator[Path]:
    """Yield the checkpoints of all runs below RUNS, however deep they lie."""
    return runs.rglob("checkpoint.safetensors")
