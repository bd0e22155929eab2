"""U-Net: an encoder, and a decoder that sees the encoder's features at every level."""

from dataclasses import dataclass

from .base import Architecture
from .blocks import Decoder, Encoder, EncoderDecoder
from .encoders import PlainEncoder, pretrained_encoder


@dataclass(frozen=True)
class UNetConfig:
    """Shape of a U-Net (Ronneberger et al. 2015, arXiv:1505.04597)."""

    encoder: str = "plain"  # from scratch, or one of encoders.PRETRAINED
    plain_channels: tuple[int, ...] = (32, 64, 96, 160, 224)  # of the plain encoder, strides 2..32
    decoder_channels: tuple[int, ...] = (160, 96, 64, 32)  # strides 16, 8, 4, 2
    hints: bool = False  # whether it listens to hinted colors


def build_encoder(config: UNetConfig) -> Encoder:
    """Return the encoder that CONFIG names."""
    if config.encoder == "plain":
        return PlainEncoder(config.plain_channels)
    return pretrained_encoder(config.encoder, others=("plain",))


def build_unet(config: UNetConfig) -> EncoderDecoder:
    """Return the network with random weights."""
    encoder = build_encoder(config)
    decoder = Decoder(encoder.channels, config.decoder_channels, skips=True)
    return EncoderDecoder(encoder, decoder, hints=config.hints)


ARCHITECTURE = Architecture(
    name="unet",
    summary="U-Net with skips at every level",
    config=UNetConfig,
    presets={
        # What its published weights know is worth more than channels: docs/training-recipe.md
        "small": UNetConfig("efficientnet_lite0"),
        "base": UNetConfig("plain", (48, 96, 192, 288, 384), (256, 160, 96, 48)),
        "large": UNetConfig("plain", (64, 128, 256, 512, 768), (512, 256, 128, 64)),
    },
    build=build_unet,
)
