"""GAN: a generator of residual blocks at one size, without skips, against a discriminator."""

from dataclasses import dataclass

from torch import Tensor, nn

from .base import Architecture
from .blocks import Decoder, Encoder, EncoderDecoder, ResidualBlock
from .encoders import PlainEncoder


@dataclass(frozen=True)
class GANConfig:
    """Shape of the generator (after Johnson et al. 2016, arXiv:1603.08155)."""

    channels: tuple[int, ...] = (32, 64, 128)  # strides 2, 4, 8
    residual_blocks: int = 8  # at the deepest stride
    decoder_channels: tuple[int, ...] = (64, 32)
    hints: bool = False  # whether it listens to hinted colors


class ResidualBlockEncoder(Encoder):
    """Strided convolutions, then the residual blocks in which the work is done."""

    def __init__(self, config: GANConfig) -> None:
        super().__init__()
        self.channels = config.channels
        self.stem_channels = config.channels[0]
        self.down = PlainEncoder(config.channels, blocks=0)
        deepest = config.channels[-1]
        self.blocks = nn.Sequential(
            *(ResidualBlock(deepest) for _ in range(config.residual_blocks))
        )

    def forward(self, L: Tensor, hints: Tensor | None = None) -> list[Tensor]:
        """See Encoder."""
        *finer, deepest = self.down(L, hints)
        return [*finer, self.blocks(deepest)]


def build_gan(config: GANConfig) -> EncoderDecoder:
    """Return the generator with random weights."""
    encoder = ResidualBlockEncoder(config)
    decoder = Decoder(encoder.channels, config.decoder_channels, skips=False)
    return EncoderDecoder(encoder, decoder, hints=config.hints)


ARCHITECTURE = Architecture(
    name="gan",
    summary="residual-block generator against a patch discriminator",
    config=GANConfig,
    presets={
        "small": GANConfig(),
        "base": GANConfig((48, 96, 192), 9, (96, 48)),
        "large": GANConfig((64, 128, 256), 12, (128, 64)),
    },
    build=build_gan,
    adversarial_from=0.0,
)
