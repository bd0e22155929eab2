"""The FP16 network: halved, but for the layers that float16 cannot compute."""

import copy
from collections.abc import Callable, Sequence
from typing import Any, Literal, cast

import torch
from torch import Tensor, fx, nn
from torch.fx.experimental.optimization import fuse

from ..proof.batches import Batch
from ..proof.proof import FLOAT16, Proof, Trial, torch_answer

Precision = Literal["fp32", "fp16"]
"""Of an exported network; int8 is made from a float32 file."""

_MOST_KEPT = 0.5  # of the layers: beyond that, the file is no FP16 file any more


class HalvedNetwork(nn.Module):
    """A network computed in float16 between a float32 input and a float32 output.

    The layers KEPT, by name, compute in float32. What joins the two follows torch's type
    promotion, so that no value passes through float16 between two kept layers.
    """

    def __init__(self, network: nn.Module, kept: Sequence[str] = ()) -> None:
        super().__init__()
        self.network = copy.deepcopy(network).half()
        if kept:
            for name, layer in list(network.named_modules()):
                if _has_weights(layer):
                    dtype = torch.float32 if name in kept else torch.float16
                    self.network.set_submodule(name, _ComputedIn(layer, dtype))

    def forward(self, L: Tensor, hints: Tensor | None = None) -> Tensor:
        """(B, 1, H, W) and hints (B, 3, H, W), if it takes them -> (B, 2, H, W), all float32."""
        given = (L,) if hints is None else (L, hints)
        ab: Tensor = self.network(*(tensor.half() for tensor in given))
        return ab.float()


class _ComputedIn(nn.Module):
    """A layer that takes any float type and answers in its own."""

    def __init__(self, layer: nn.Module, dtype: torch.dtype) -> None:
        super().__init__()
        self.layer = copy.deepcopy(layer).to(dtype)
        self.dtype = dtype

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.layer(x.to(self.dtype))
        return y


def deployed_network(
    network: nn.Module, precision: Precision, kept: Sequence[str] = ()
) -> nn.Module:
    """Return NETWORK as it is exported: batch norms folded; fp16 halves all layers but KEPT."""
    folded = _folded(network)
    return HalvedNetwork(folded, kept) if precision == "fp16" else folded


def _folded(network: nn.Module) -> fx.GraphModule:
    folded = cast(fx.GraphModule, fuse(network.eval()))
    for node in folded.graph.nodes:
        if node.op == "placeholder" and not node.users:  # hints of a network that takes none
            folded.graph.erase_node(node)
    folded.recompile()
    return folded


def prove_halved(network: nn.Module, batches: Sequence[Batch], kept: Sequence[str] = ()) -> Proof:
    """Compare the halved network with NETWORK on BATCHES; torch rounds to float16 as a GPU does."""
    halved = deployed_network(network, "fp16", kept)
    trial = Trial.of(torch_answer(network), batches, FLOAT16)
    return trial.prove("torch", "fp16", torch_answer(halved))


def halve(
    network: nn.Module, batches: Sequence[Batch], say: Callable[[str], None]
) -> tuple[tuple[str, ...], Proof]:
    """Return the layers to keep in float32, mostly none, and the proof of the halved network.

    If it fails, the worst 1, 2, 4, ... layers are kept until it passes, or half of all are kept:
    then the proof is a failed one. SAY gets a line about each try.
    """
    kept: tuple[str, ...] = ()
    proof = prove_halved(network, batches)
    if proof.passed:
        return kept, proof
    ranked = rank_layers(network, batches[0])
    while len(kept) < _MOST_KEPT * len(ranked):
        kept = tuple(ranked[: max(1, 2 * len(kept))])
        say(f"float16 fails ({proof}); kept in float32: {', '.join(kept)}")
        proof = prove_halved(network, batches, kept)
        if proof.passed:
            break
    return kept, proof


def rank_layers(network: nn.Module, batch: Batch) -> list[str]:
    """Return the layers' names, the one that float16 harms most on BATCH first."""
    rounding = _Rounding(_folded(network))
    with torch.inference_mode():
        rounding.run(*map(torch.from_numpy, batch))
    return sorted(rounding.errors, key=lambda name: rounding.errors[name], reverse=True)


class _Rounding(fx.Interpreter):
    """Runs a network in float32, and beside it each layer in float16.

    Every layer is given the float32 network's values, so that it answers for its own error alone.
    """

    def __init__(self, network: fx.GraphModule) -> None:
        super().__init__(network)
        self.errors: dict[str, float] = {}

    def call_module(self, target: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        truth = super().call_module(target, args, kwargs)
        layer = self.fetch_attr(target)
        if _has_weights(layer):
            answer = copy.deepcopy(layer).half()(args[0].half()).float()
            error = (answer - truth).norm() / truth.norm().clamp_min(1e-12)
            self.errors[target] = float(error.nan_to_num(nan=torch.inf))
        return truth


def _has_weights(layer: nn.Module) -> bool:
    is_leaf = next(layer.children(), None) is None
    return is_leaf and next(layer.parameters(recurse=False), None) is not None
