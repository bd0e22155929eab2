"""ResNet: a residual encoder and a plain decoder without skips."""

from dataclasses import dataclass

from .base import Architecture
from .blocks import Decoder, EncoderDecoder
from .encoders import pretrained_encoder


@dataclass(frozen=True)
class ResNetConfig:
    """Shape of the network (residual learning: He et al. 2016, arXiv:1512.03385)."""

    encoder: str = "resnet18"
    stages: int = 4  # of the encoder, down to stride 2^stages
    decoder_channels: tuple[int, ...] = (128, 96, 64)
    hints: bool = False  # whether it listens to hinted colors


def build_resnet(config: ResNetConfig) -> EncoderDecoder:
    """Return the network with random weights."""
    encoder = pretrained_encoder(config.encoder, config.stages)
    decoder = Decoder(encoder.channels, config.decoder_channels, skips=False)
    return EncoderDecoder(encoder, decoder, hints=config.hints)


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
