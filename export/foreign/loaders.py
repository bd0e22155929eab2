"""Read other people's colorizers: which network a file holds, and how it is spoken to."""

import copy
import pickle
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map_only

from ...runtime.color import F32
from ...runtime.command import require_extra
from ...runtime.engines.base import last_line
from ...runtime.errors import ModelError
from ...runtime.models.contract import CHANNELS, HINTS
from ..graphs.fp16 import HalvedNetwork
from ..graphs.onnx import to_onnx
from ..proof.proof import torch_answer
from .signature import IOSignature, Range
from .wrapper import with_any_batch, with_float32_ends
from .zhang import AB_SCALE, ECCV16, SIGGRAPH17

DDCOLOR_SIZE = 512
"""Its authors run it on squares of this side."""


@dataclass(frozen=True)
class Foreign:
    """A colorizer and how it is spoken to."""

    architecture: str
    signature: IOSignature
    compute: Callable[..., F32]  # [N, C, H, W] -> [N, C, h, w], without the wrapper
    network: nn.Module | onnx.ModelProto  # the same, float32 in and out
    native_size: int
    size_multiple: int
    fixed_size: tuple[int, int] | None = None

    def to_onnx(self) -> onnx.ModelProto:
        """Return the network as ONNX."""
        if isinstance(self.network, onnx.ModelProto):
            return self.network
        shape = self.fixed_size or (2 * self.size_multiple, 3 * self.size_multiple)
        channels = [self.signature.channels, *[CHANNELS[HINTS]] * self.signature.takes_hints]
        examples = tuple(torch.rand(2, count, *shape) for count in channels)
        return to_onnx(self.network, examples, None if self.fixed_size else self.size_multiple)


def load_torch(path: Path) -> Foreign:
    """Read DDColor, siggraph17 or eccv16 from a .pth file; ModelError if it holds none of them."""
    weights = _read_weights(path)
    if "model1short10.0.weight" in weights:
        return _zhang(path, "siggraph17", SIGGRAPH17(), weights, takes_hints=True)
    if "model8.6.weight" in weights and "model_out.weight" in weights:
        return _zhang(path, "eccv16", ECCV16(), weights)
    return _ddcolor(path, weights)


def _read_weights(path: Path) -> dict[str, Tensor]:
    """Read a state dict with torch's weights-only unpickling, which runs no code of the file."""
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise ModelError(f"{path}: no such file") from error
    except pickle.UnpicklingError as error:
        raise ModelError(
            f"{path}: holds more than weights, or is damaged, and is not loaded, because a pickle "
            "can run code; save its state_dict() alone"
        ) from error
    except (RuntimeError, EOFError, OSError, ValueError) as error:
        raise ModelError(f"{path}: damaged or not a file of torch ({last_line(error)})") from error
    for key in ("params_ema", "params", "state_dict"):  # what trainers wrap weights in
        if isinstance(content, dict) and isinstance(content.get(key), dict):
            content = content[key]
    if not isinstance(content, dict) or not all(isinstance(v, Tensor) for v in content.values()):
        raise ModelError(f"{path}: holds no state dict of tensors")
    return {str(name).removeprefix("module."): tensor for name, tensor in content.items()}


def _zhang(
    path: Path,
    name: str,
    network: nn.Module,
    weights: dict[str, Tensor],
    *,
    takes_hints: bool = False,
) -> Foreign:
    try:
        network.load_state_dict(weights)
    except RuntimeError as error:
        raise ModelError(f"{path}: not the weights of {name} ({last_line(error)})") from error
    signature = IOSignature(
        takes="L",
        takes_range=Range((-0.5,), (0.5,)),
        gives="ab",
        ab_scale=AB_SCALE,
        takes_hints=takes_hints,
    )
    return of_torch(name, network, signature, native_size=256, size_multiple=8)


def _ddcolor(path: Path, weights: dict[str, Tensor]) -> Foreign:
    require_extra("import", ("spandrel", "spandrel_extra_arches"))
    with warnings.catch_warnings():  # it still calls torch.jit.script, which torch deprecates
        warnings.simplefilter("ignore", FutureWarning)
        from spandrel import UnsupportedModelError
        from spandrel_extra_arches.architectures.DDColor import DDColorArch

    architecture = DDColorArch()
    if not architecture.detect(weights):
        raise ModelError(
            f"{path}: none of DDColor, siggraph17 and eccv16; export it to ONNX and import that "
            "with --takes and --gives"
        )
    try:
        network: Any = architecture.load(weights).model
    except (UnsupportedModelError, RuntimeError, ValueError, KeyError) as error:
        raise ModelError(f"{path}: not the weights of DDColor ({last_line(error)})") from error
    gives: Any = {2: "ab", 3: "rgb"}[network.num_output_channels]
    return of_torch(
        "ddcolor",
        _without_parametrizations(network),
        IOSignature("gray-rgb", Range((0.0,), (1.0,)), gives),
        native_size=DDCOLOR_SIZE,
        size_multiple=32,
        fixed_size=(DDCOLOR_SIZE, DDCOLOR_SIZE),
    )


def _without_parametrizations(network: nn.Module) -> nn.Module:
    """Settle the weights that are computed anew each time, and let positions follow the dtype."""
    for module in network.modules():
        if hasattr(module, "weight_orig"):
            nn.utils.remove_spectral_norm(module)
        elif hasattr(module, "weight_g"):
            nn.utils.remove_weight_norm(module)
        if type(module).__name__ == "PositionEmbeddingSine":  # float32 by its own will
            module.register_forward_hook(lambda _, given, answer: answer.to(given[0].dtype))
    return network


def of_torch(
    architecture: str,
    network: nn.Module,
    signature: IOSignature,
    *,
    native_size: int,
    size_multiple: int,
    fixed_size: tuple[int, int] | None = None,
) -> Foreign:
    """Return a torch network as a foreign colorizer."""
    network.eval().requires_grad_(False)
    return Foreign(
        architecture=architecture,
        signature=signature,
        compute=torch_answer(network),
        network=network,
        native_size=native_size,
        size_multiple=size_multiple,
        fixed_size=fixed_size,
    )


def halved(foreign: Foreign) -> Foreign:
    """Return a torch network computed in float16; ModelError for one that came as ONNX."""
    if isinstance(foreign.network, onnx.ModelProto):
        raise ModelError("an ONNX file keeps the precision that it has; leave out --engine fp16")
    network = HalvedNetwork(foreign.network).eval()
    rounded = torch_answer(copy.deepcopy(network.network).float())

    def compute(*given: F32) -> F32:
        with _RoundToHalf():  # type: ignore[no-untyped-call]  # torch's own
            return rounded(*given)

    return replace(foreign, network=network, compute=compute)


class _RoundToHalf(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch's own
    """Rounds the result of each operation to float16, as a GPU does; CPUs halve only slowly."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        return tree_map_only(Tensor, _rounded, result)


def _rounded(x: Tensor) -> Tensor:
    return x.half().float() if x.dtype == torch.float32 else x


def load_onnx(
    path: Path, signature: IOSignature, *, native_size: int, size_multiple: int
) -> Foreign:
    """Read an ONNX file of that SIGNATURE; ModelError says what about it cannot be wrapped.

    NATIVE_SIZE and SIZE_MULTIPLE count for files that take any height and width.
    """
    try:
        model = with_float32_ends(with_any_batch(onnx.load(path)))
        session = onnxruntime.InferenceSession(
            model.SerializeToString(), providers=["CPUExecutionProvider"]
        )
    except FileNotFoundError as error:
        raise ModelError(f"{path}: no such file") from error
    except Exception as error:  # neither library's exceptions have a public base
        raise ModelError(f"{path}: cannot be read as ONNX ({last_line(error)})") from error
    given, answer = _only(session.get_inputs(), path), _only(session.get_outputs(), path)
    _check_channels(given, signature.channels, path)
    _check_channels(answer, 2 if signature.gives == "ab" else 3, path)
    height, width = given.shape[2:]
    fixed = (height, width) if isinstance(height, int) and isinstance(width, int) else None

    def compute(lightness: F32) -> F32:
        result: F32 = session.run(None, {given.name: lightness})[0]
        return result

    foreign = Foreign(
        architecture=f"imported {path.stem}",
        signature=signature,
        compute=compute,
        network=model,
        native_size=min(fixed) if fixed else native_size,
        size_multiple=1 if fixed else size_multiple,
        fixed_size=fixed,
    )
    _check_batches(foreign, path)
    return foreign


def _only(nodes: list[Any], path: Path) -> Any:
    if len(nodes) != 1:
        names = ", ".join(node.name for node in nodes)
        raise ModelError(
            f"{path}: has several inputs or outputs ({names}); one each can be wrapped"
        )
    return nodes[0]


def _check_channels(node: Any, channels: int, path: Path) -> None:
    fits = len(node.shape) == 4 and (
        node.shape[1] == channels or not isinstance(node.shape[1], int)  # any number
    )
    if node.type != "tensor(float)" or not fits:
        raise ModelError(
            f"{path}: {node.name} is {node.type} {node.shape}; what --takes and --gives say needs "
            f"float32 [N, {channels}, H, W]"
        )


def _check_batches(foreign: Foreign, path: Path) -> None:
    """Raise ModelError unless two pictures at once get the answers that each gets alone."""
    side = 2 * foreign.size_multiple * -(-32 // foreign.size_multiple)
    shape = (2, foreign.signature.channels, *(foreign.fixed_size or (side, side)))
    pair = np.random.default_rng(0).uniform(0, 1, shape).astype(np.float32)
    try:
        together = foreign.compute(pair)
        alone = np.concatenate([foreign.compute(pair[i : i + 1]) for i in range(2)])
    except Exception as error:  # ONNX Runtime's exceptions have no public base
        raise ModelError(f"{path}: fails at {list(shape)} ({last_line(error)})") from error
    if together.shape != alone.shape or not np.allclose(together, alone, rtol=1e-3, atol=1e-3):
        raise ModelError(f"{path}: takes one picture at a time; export it with a dynamic batch")
