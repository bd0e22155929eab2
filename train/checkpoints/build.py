"""From a config to a network: built, and filled with the weights it shall start from."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from ...runtime.errors import ArgumentError, MissingExtraError, ModelError
from ...runtime.files import sha256
from ...runtime.models.catalog import MODELS
from ..architectures import architecture
from ..architectures.blocks import EncoderDecoder
from ..architectures.encoders import PRETRAINED, PretrainedEncoder
from ..config import TrainConfig
from .checkpoint import config_from_json, load_checkpoint
from .pretrained import read_weights


@dataclass(frozen=True)
class Start:
    """A network at the start of a training, its architecture's config, and where it comes from."""

    network: EncoderDecoder
    config: Any  # the architecture's own frozen dataclass
    parent: str = ""  # SHA-256 of the checkpoint whose weights it has
    encoder_weights: str = ""  # which published ones its encoder began with


def build(config: TrainConfig) -> Start:
    """Return the network that CONFIG asks for; ArgumentError or ModelError if it cannot be had."""
    torch.manual_seed(config.seed)
    if config.init_from is not None:
        return _fine_tuned(config, config.init_from)
    model_config = config.model
    network = architecture(config.arch).build(model_config)
    encoder_weights = ""
    if config.encoder_weights is not None:
        _fill_encoder(network, model_config, config.encoder_weights)
        encoder_weights = f"{model_config.encoder} {config.encoder_weights}"
    return Start(network, model_config, encoder_weights=encoder_weights)


def rebuild(config: TrainConfig, settings: dict[str, Any]) -> Start:
    """Return the network of a run that goes on, by its run.json; the weights come later."""
    entry = architecture(config.arch)
    try:
        model_config = config_from_json(entry, settings["model"])
    except (TypeError, KeyError) as error:
        raise ArgumentError(f"the run is of another architecture than {config.arch}") from error
    network = entry.build(model_config)
    return Start(network, model_config, settings["parent"], settings.get("encoder_weights", ""))


def inherited_settings(init_from: str) -> dict[str, Any]:
    """Return what a training takes over from the colorizer that it starts from."""
    parent = load_checkpoint(_parent_path(init_from))
    return {
        "arch": parent.arch,
        "hints": parent.takes_hints,
        "size": parent.origin.crop_size or parent.origin.native_size,
    }


def _parent_path(init_from: str) -> Path:
    """Return the checkpoint that `--init-from` names: default, a file, or a run folder."""
    path = MODELS / "default.safetensors" if init_from == "default" else Path(init_from)
    return path / "checkpoint.safetensors" if path.is_dir() else path


def _fine_tuned(config: TrainConfig, init_from: str) -> Start:
    path, entry = _parent_path(init_from), architecture(config.arch)
    parent = load_checkpoint(path)
    if not isinstance(parent.config, entry.config):
        raise ArgumentError(
            f"{init_from} is a {parent.arch}, whose weights do not fit {config.arch}; "
            "leave --arch out"
        )
    network, model_config = parent.network, parent.config
    if config.hints and not model_config.hints:
        model_config = replace(model_config, hints=True)
        network = entry.build(model_config)  # the layers for hints begin at zero
        network.load_state_dict({**network.state_dict(), **parent.network.state_dict()})
    elif model_config.hints and not config.hints:
        raise ArgumentError(f"{init_from} takes hints; without --hints it would forget them")
    return Start(network, model_config, sha256(path), parent.origin.encoder_weights)


def _fill_encoder(network: EncoderDecoder, model_config: Any, wanted: str) -> None:
    encoder = network.encoder
    if not isinstance(encoder, PretrainedEncoder):
        raise ArgumentError(
            f"--encoder-weights needs a pre-trained kind of --encoder: {', '.join(PRETRAINED)}"
        )
    try:
        state = read_weights(model_config.encoder, wanted)
    except MissingExtraError as error:
        raise MissingExtraError(f"{error}, or give --encoder-weights none") from error
    try:
        encoder.load_pretrained(state)
    except (RuntimeError, AttributeError) as error:  # wrong keys or shapes; not a state dict
        raise ModelError(f"{wanted}: not weights of {model_config.encoder} ({error})") from error
