"""The pieces that the architectures are composed of: encoder, decoder, head.

All layers are ones that TensorRT and OpenVINO fuse well: convolution, batch norm, ReLU, nearest and
bilinear enlarge, concatenation. Shapes: B batch, C channels, H and W of the input, s stride.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

AB_SCALE = 110.0
"""The head's answer of 1 stands for this much a* or b*, so that its weights stay near 1."""


def conv_bn_relu(
    inputs: int, outputs: int, kernel: int = 3, stride: int = 1, groups: int = 1
) -> nn.Sequential:
    """Return convolution, batch norm, ReLU; "same" padding for odd kernels."""
    padding = kernel // 2
    conv = nn.Conv2d(inputs, outputs, kernel, stride, padding, groups=groups, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(outputs), nn.ReLU(inplace=True))


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions around an identity (He et al. 2016, arXiv:1512.03385)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = conv_bn_relu(channels, channels)
        self.second = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels)
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, h, w) -> (B, C, h, w)."""
        return F.relu(x + self.second(self.first(x)))


class Encoder(nn.Module):
    """L* in 0..100 -> features, finest first, each half the size of the one before.

    `channels[i]` belongs to stride 2^(i+1).
    """

    channels: tuple[int, ...]

    def forward(self, L: Tensor) -> list[Tensor]:
        """(B, 1, H, W) -> [(B, channels[i], H/2^(i+1), W/2^(i+1)) for each i]."""
        raise NotImplementedError


class Decoder(nn.Module):
    """Features, deepest first to finest last, to one map at stride 2^(levels left).

    With skips, a U-Net's decoder (Ronneberger et al. 2015, arXiv:1505.04597); without, a plain one.
    """

    def __init__(
        self, encoder: Sequence[int], channels: Sequence[int], *, skips: bool, refine: bool = True
    ) -> None:
        super().__init__()
        if len(channels) >= len(encoder):
            raise ValueError("the decoder has more levels than the encoder below its deepest")
        self.skips = skips
        deep = encoder[-1]
        levels: list[nn.Module] = []
        for skip, width in zip(reversed(encoder[:-1]), channels, strict=False):
            first = conv_bn_relu(deep + skip * skips, width)
            levels.append(nn.Sequential(first, conv_bn_relu(width, width)) if refine else first)
            deep = width
        self.levels = nn.ModuleList(levels)
        self.channels = deep
        self.stride = 2 ** (len(encoder) - len(channels))

    def forward(self, features: list[Tensor]) -> Tensor:
        """Encoder features -> (B, channels, H/stride, W/stride)."""
        *finer, x = features
        for level in self.levels:
            skip = finer.pop()
            # Nearest: the convolution behind it smooths, and every engine agrees on it bit for bit.
            x = F.interpolate(x, scale_factor=2.0, mode="nearest")
            x = level(torch.cat([x, skip], dim=1) if self.skips else x)
        return x


class Head(nn.Module):
    """Features at a stride -> a*, b* at full size: color is low-frequency, detail is not."""

    def __init__(self, channels: int, stride: int) -> None:
        super().__init__()
        self.stride = stride
        self.project = nn.Conv2d(channels, 2, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H/stride, W/stride) -> (B, 2, H, W)."""
        ab = self.project(x) * AB_SCALE
        return F.interpolate(
            ab, scale_factor=float(self.stride), mode="bilinear", align_corners=False
        )


class EncoderDecoder(nn.Module):
    """A network L -> ab: encoder, decoder, head."""

    def __init__(self, encoder: Encoder, decoder: Decoder) -> None:
        super().__init__()
        self.encoder = encoder
        self.decoder = decoder
        self.head = Head(decoder.channels, decoder.stride)

    @property
    def size_multiple(self) -> int:
        """H and W must be multiples of this."""
        return int(2 ** len(self.encoder.channels))

    def forward(self, L: Tensor) -> Tensor:
        """(B, 1, H, W) L* in 0..100 -> (B, 2, H, W) a*, b*; H, W multiples of size_multiple."""
        ab: Tensor = self.head(self.decoder(self.encoder(L)))
        return ab


def predict_any_size(network: EncoderDecoder, L: Tensor) -> Tensor:
    """Run NETWORK on (B, 1, H, W) of any size: pad by repeating the border, then crop."""
    height, width = L.shape[-2:]
    bottom, right = -height % network.size_multiple, -width % network.size_multiple
    padded = F.pad(L, (0, right, 0, bottom), mode="replicate")
    return network(padded)[..., :height, :width]  # type: ignore[no-any-return]  # Module.__call__ is Any


def count_flops(network: EncoderDecoder, side: int = 256) -> int:
    """Return the floating point operations (two a multiply-add) for one SIDE x SIDE picture."""
    with FlopCounterMode(display=False) as counter:
        network(torch.zeros(1, 1, side, side))
    return int(counter.get_total_flops())
