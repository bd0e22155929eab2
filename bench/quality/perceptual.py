"""LPIPS from torchmetrics; weights are given or cached, and fetched only on demand."""

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torchmetrics.image.lpip import LearnedPerceptualImagePatchSimilarity
from torchvision.models import get_model, get_model_weights

from ...runtime.color import U8
from ...runtime.errors import InputError
from ...runtime.files import sha256

NETWORKS = {"alex": "alexnet", "vgg": "vgg16", "squeeze": "squeezenet1_1"}
"""LPIPS' names of its networks and torchvision's."""


@dataclass(frozen=True)
class Weights:
    """A file of weights and its SHA-256."""

    path: Path
    sha256: str


def find_lpips(net: str, given: Sequence[Path], *, download: bool) -> Weights | str:
    """Return the weights of NET among the GIVEN files and folders or in torch's cache.

    Where there are none and DOWNLOAD allows it, torchvision fetches them; else the reason.
    InputError if a given file is none of the three networks.
    """
    for path in given:
        if not path.exists():
            raise InputError(f"{path}: no such file; --lpips-weights wants torchvision's weights")
        for file in sorted(path.glob("*.pth")) if path.is_dir() else [path]:
            network = _network_of(file)
            if network == net:
                return Weights(file, sha256(file))
            if network is None and file == path:  # a folder may hold other weights too
                names = ", ".join(NETWORKS.values())
                raise InputError(f"{path}: not the weights of torchvision's {names}")
    cached = weights_cache() / _cached_name(net)
    if cached.is_file():
        return Weights(cached, sha256(cached))
    if not download:
        return f"no {NETWORKS[net]} weights here: give --lpips-weights or allow --download"
    try:
        get_model_weights(NETWORKS[net])["DEFAULT"].get_state_dict(progress=False, check_hash=True)
    except (OSError, RuntimeError) as error:  # RuntimeError: the download has another hash
        return f"{NETWORKS[net]} weights could not be fetched ({error})"
    return Weights(cached, sha256(cached))


def weights_cache() -> Path:
    """Return the folder in which torch keeps weights."""
    return Path(torch.hub.get_dir()) / "checkpoints"


def _cached_name(net: str) -> str:
    return str(get_model_weights(NETWORKS[net])["DEFAULT"].url).rpartition("/")[2]


def _network_of(path: Path) -> str | None:
    """Return LPIPS' name of the network whose torchvision weights PATH holds; None: another's."""
    try:
        state = dict(load_weights(path))
    except Exception as error:  # torch's readers share no base, and a file may hold a list
        raise InputError(f"{path}: not a file of weights ({type(error).__name__})") from error
    shapes = {key: value.shape for key, value in state.items() if isinstance(value, Tensor)}
    for net, name in NETWORKS.items():
        with torch.device("meta"):
            wanted = get_model(name, weights=None).state_dict()
        if shapes == {key: value.shape for key, value in wanted.items()}:
            return net
    return None


def load_weights(path: Path) -> dict[str, Any]:
    """Read weights without running what a pickle may hold, whatever device they were saved on."""
    state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    return state


class Lpips:
    """LPIPS of one network, v0.1 (Zhang et al. 2018), heads as torchmetrics ships them."""

    def __init__(self, net: str, weights: Weights) -> None:
        with cache_of_one(_cached_name(net), weights):
            self._metric = LearnedPerceptualImagePatchSimilarity(net, normalize=True)  # type: ignore[arg-type]  # its Literal

    @torch.inference_mode()
    def __call__(self, picture: U8, truth: U8) -> float:
        """Return the distance of two 8-bit (H, W, 3) pictures; 0 if they are equal."""
        value = float(self._metric(_unit(picture), _unit(truth)))
        self._metric.reset()  # else it keeps every picture's score
        return value


def _unit(rgb: U8) -> Tensor:
    """8-bit (H, W, 3) -> float (1, 3, H, W) in 0..1."""
    return torch.from_numpy(rgb.transpose(2, 0, 1)[None].astype(np.float32) / 255)


@contextmanager
def cache_of_one(name: str, weights: Weights) -> Iterator[Path]:
    """Let torch find WEIGHTS as NAME in its cache, re-saved for the CPU."""
    before = torch.hub.get_dir()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "checkpoints", name)
        path.parent.mkdir()
        torch.save(load_weights(weights.path), path)
        torch.hub.set_dir(folder)
        try:
            yield path
        finally:
            torch.hub.set_dir(before)
