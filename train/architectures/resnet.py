"""ResNet: a residual encoder and a plain decoder without skips."""

from dataclasses import dataclass

from ...runtime.errors import ArgumentError
from .base import Architecture
from .blocks import Decoder, Generator
from .encoders import RESNETS, ResNetEncoder


@dataclass(frozen=True)
class ResNetConfig:
    """Shape of the network; the encoder is torchvision's (He et al. 2016, arXiv:1512.03385)."""

    encoder: str = "resnet18"
    stages: int = 4  # of the encoder, down to stride 2^stages
    decoder_channels: tuple[int, ...] = (128, 96, 64)


def build_resnet(config: ResNetConfig) -> Generator:
    """Return the network with random weights."""
    if config.encoder not in RESNETS:
        raise ArgumentError(
            f"resnet cannot use the encoder {config.encoder!r}; choose one of {', '.join(RESNETS)}"
        )
    encoder = ResNetEncoder(config.encoder, config.stages)
    return Generator(encoder, Decoder(encoder.channels, config.decoder_channels, skips=False))


ARCHITECTURE = Architecture(
    name="resnet",
    summary="torchvision ResNet encoder, plain decoder, no skips",
    config=ResNetConfig,
    presets={
        "small": ResNetConfig(),
        "base": ResNetConfig("resnet34", 5, (256, 128, 96, 64)),
        "large": ResNetConfig("resnet50", 5, (512, 256, 128, 64)),
    },
    build=build_resnet,
)
