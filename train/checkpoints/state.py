"""Everything that changes while a network is trained; saved, it lets a training go on exactly."""

from collections.abc import Callable
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save
from torch import Tensor, nn
from torch.optim import AdamW, Optimizer
from torch.optim.swa_utils import AveragedModel

from ...runtime.errors import ModelError
from ...runtime.files import whole_file
from ..architectures import architecture
from ..architectures.blocks import EncoderDecoder
from ..architectures.discriminator import PatchDiscriminator
from ..architectures.encoders import PretrainedEncoder, part_of
from ..config import TrainConfig

_Tensors = tuple[Tensor, ...] | list[Tensor]


class TrainState:
    """The networks, their optimizers, the average, and how far the training is."""

    def __init__(self, config: TrainConfig, network: EncoderDecoder) -> None:
        self.step = 0
        self.seconds = 0.0
        self.network = network.to(memory_format=torch.channels_last)
        self.optimizer = _generator_optimizer(config, network)
        self.average = AveragedModel(network, multi_avg_fn=_moving_average(config.ema_decay))
        self._modules: dict[str, nn.Module] = {"network": self.network, "average": self.average}
        self._optimizers = {"optimizer": self.optimizer}
        self.discriminator: PatchDiscriminator | None = None
        self.discriminator_optimizer: Optimizer | None = None
        if architecture(config.arch).adversarial_from is not None:
            self.discriminator = PatchDiscriminator(
                config.discriminator_width, spectral=config.discriminator_penalty == "spectral"
            )
            self.discriminator_optimizer = AdamW(
                self.discriminator.parameters(), config.discriminator_lr, betas=(0.5, 0.99)
            )
            self._modules["discriminator"] = self.discriminator
            self._optimizers["discriminator_optimizer"] = self.discriminator_optimizer

    @property
    def averaged(self) -> EncoderDecoder:
        """The network with averaged weights, which is what is kept; in eval mode."""
        module = self.average.module.eval()
        assert isinstance(module, EncoderDecoder)
        return module

    def save(self, path: Path) -> None:
        """Write everything as safetensors, whole or not at all."""
        tensors = {
            f"{part}.{key}": value.detach().contiguous().clone()
            for part, module in self._modules.items()
            for key, value in module.state_dict().items()
        }
        for part, optimizer in self._optimizers.items():
            for index, slots in optimizer.state_dict()["state"].items():
                tensors |= {f"{part}.{index}.{slot}": v.contiguous() for slot, v in slots.items()}
        progress = {"step": str(self.step), "seconds": str(self.seconds)}
        with whole_file(path) as part_file:
            part_file.write_bytes(save(tensors, metadata=progress))

    def load(self, path: Path) -> None:
        """Go on from what `save` wrote; ModelError if it does not fit."""
        try:
            with safe_open(path, framework="pt") as file:
                progress = file.metadata() or {}
            tensors = load_file(path)
            for part, module in self._modules.items():
                module.load_state_dict(part_of(tensors, f"{part}."))
            for part, optimizer in self._optimizers.items():
                slots: dict[int, dict[str, Tensor]] = {}
                for key, value in part_of(tensors, f"{part}.").items():
                    index, slot = key.split(".")
                    slots.setdefault(int(index), {})[slot] = value
                groups = optimizer.state_dict()["param_groups"]
                optimizer.load_state_dict({"state": slots, "param_groups": groups})
            self.step, self.seconds = int(progress["step"]), float(progress["seconds"])
        except (OSError, SafetensorError, RuntimeError, KeyError, ValueError) as error:
            reason = str(error).splitlines()[0]
            raise ModelError(f"{path}: cannot be resumed from ({reason})") from error


def _generator_optimizer(config: TrainConfig, network: EncoderDecoder) -> Optimizer:
    knows_much = isinstance(network.encoder, PretrainedEncoder) and (
        config.encoder_weights or config.init_from
    )
    scale = config.encoder_lr_scale if knows_much else 1.0
    rates = {"encoder": config.lr * scale, "decoder": config.lr, "head": config.lr}
    if network.hints is not None:
        rates["hints"] = config.lr
    groups = [
        {"name": name, "params": list(part.parameters()), "lr": rate, "full_lr": rate}
        for name, rate in rates.items()
        for part in [network.get_submodule(name)]
    ]
    return AdamW(groups, weight_decay=config.weight_decay)


def _moving_average(decay: float) -> Callable[[_Tensors, _Tensors, Tensor | int], None]:
    """Return an exponential average; its decay grows with the steps, to forget the start."""

    @torch.no_grad()
    def update(averaged: _Tensors, current: _Tensors, count: Tensor | int) -> None:
        now = min(decay, (1 + int(count)) / (10 + int(count)))
        torch._foreach_lerp_(averaged, current, 1 - now)

    return update
