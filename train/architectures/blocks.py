"""The pieces that the architectures are composed of: encoder, decoder, head.

All layers are ones that TensorRT and OpenVINO fuse well: convolution, batch norm, ReLU, nearest and
bilinear enlarge, concatenation. Shapes: B batch, C channels, H and W of the input, s stride.
"""

from collections.abc import Sequence
from typing import NamedTuple, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

AB_SCALE = 110.0
"""The head's answer of 1 stands for this much a* or b*, so that its weights stay near 1."""

HINT_AB_SCALE = 30.0
"""Hinted a* and b* are divided by this, the size of a vivid color, to weigh as L* does."""

_HALF_SURE = 0.02
"""The hinted share of a cell at which its mean color counts half."""

_HALF_SPREAD = 0.05
"""The summed weight of alike and near cells at which their mean color counts half."""

_SPREAD_LEVEL = 4
"""Hints are spread between the cells of stride 2^4."""


def conv_bn_relu(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    """Return a 3x3 convolution, batch norm, ReLU."""
    conv = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
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

    `channels[i]` belongs to stride 2^(i+1), `stem_channels` to the first convolution, at stride 2.
    """

    channels: tuple[int, ...]
    stem_channels: int

    def forward(self, L: Tensor, hints: Tensor | None = None) -> list[Tensor]:
        """(B, 1, H, W) -> [(B, channels[i], H/2^(i+1), W/2^(i+1)) for each i].

        HINTS (B, stem_channels, H/2, W/2) are added to what the stem answers.
        """
        raise NotImplementedError


class HintFeatures(NamedTuple):
    """What hints add to the decoder's features: a sum each, zero where nothing is hinted."""

    deepest: Tensor
    levels: list[Tensor]  # deepest first


class HintSpread(nn.Module):
    """Hinted colors, spread over the whole picture to what looks alike and is near.

    Kernel regression (Nadaraya 1964, Watson 1964) between the cells of one stride; in what they
    have to be alike is learned.
    """

    def __init__(self, features: int, outputs: int) -> None:
        super().__init__()
        self.embed = nn.Conv2d(features, 16, 1, bias=False)
        self.sharpness = nn.Parameter(torch.tensor(6.0))  # cosine of -1: a weight of exp(-12)
        self.nearness = nn.Parameter(torch.tensor(0.25))  # 4 cells apart: a weight of exp(-1)
        self.project = _silent_conv(outputs)

    def forward(self, features: Tensor, cells: Tensor) -> Tensor:
        """(B, features, h, w), (B, 3, h, w) of `HintInputs` -> (B, outputs, h, w)."""
        if self.training and torch.is_autocast_enabled(features.device.type):
            # exp() turns rounding into factors.
            with torch.autocast(features.device.type, enabled=False):
                return self._spread(features.float(), cells.float())
        return self._spread(features, cells)

    def _spread(self, features: Tensor, cells: Tensor) -> Tensor:
        alike = self.embed(features)
        norm = (alike.square().sum(1, keepdim=True) + 1e-4).sqrt()
        alike = (alike / norm * self.sharpness.sqrt()).flatten(2)
        # exp(sharpness * (cosine - 1) - (nearness * distance)^2), passing little over all pairs
        pairs = torch.exp(alike.transpose(1, 2) @ alike)
        ones = torch.ones_like(cells[:1, 0])
        rows = self._near(ones.cumsum(1)[0, :, 0]) * torch.exp(-self.sharpness)
        columns = self._near(ones.cumsum(2)[0, 0])
        near = rows[:, None, :, None] * columns[None, :, None, :]
        pairs = pairs * near.flatten(2).flatten(0, 1)
        sums = (cells.flatten(2) @ pairs).view(cells.shape)
        return self.project(sums / (sums[:, 2:] + _HALF_SPREAD))  # type: ignore[no-any-return]

    def _near(self, places: Tensor) -> Tensor:
        """(n,) -> (n, n)."""
        return torch.exp(-(self.nearness * (places[:, None] - places)).square())


class HintInputs(nn.Module):
    """Hints (a*, b*, confidence) -> what they add at the stem and at every level of the decoder.

    Weights start at zero and there is no bias, so that a network which learned without hints
    answers as before, and where none are given they add nothing. The decoder gets the means of the
    hinted pixels at its own strides: one stroke must reach what lies far from it.
    """

    def __init__(self, encoder: Encoder, decoder: "Decoder") -> None:
        super().__init__()
        self.strides = len(encoder.channels)
        self.stem = _silent_conv(encoder.stem_channels, stride=2)
        self.deepest = _silent_conv(encoder.channels[-1])
        self.levels = nn.ModuleList(_silent_conv(width) for width in decoder.widths)
        # At stride 16, which is the deepest or the first of the decoder's: a dozen cells a side.
        self.spread: HintSpread | None = None
        if self.strides >= _SPREAD_LEVEL:
            outputs = (encoder.channels[-1], *decoder.widths)[self.strides - _SPREAD_LEVEL]
            self.spread = HintSpread(encoder.channels[_SPREAD_LEVEL - 1], outputs)

    def at_stem(self, hints: Tensor) -> Tensor:
        """(B, 3, H, W) -> (B, stem_channels, H/2, W/2)."""
        added: Tensor = self.stem(_planes(hints))
        return added

    def forward(self, features: list[Tensor], hints: Tensor) -> HintFeatures:
        """Encoder features, and (B, 3, H, W): a*, b*, and confidence in 0..1."""
        pooled, pyramid = _planes(hints), []
        for _ in range(self.strides):
            pooled = F.avg_pool2d(pooled, 2)
            pyramid.append(pooled / (pooled[:, 2:] + _HALF_SURE))
        added = [self.deepest(pyramid[-1])]
        added += [conv(pyramid[-2 - index]) for index, conv in enumerate(self.levels)]
        if self.spread is not None:
            level, index = self.strides - _SPREAD_LEVEL, _SPREAD_LEVEL - 1
            added[level] = added[level] + self.spread(features[index], pyramid[index])
        return HintFeatures(added[0], added[1:])


def _planes(hints: Tensor) -> Tensor:
    """Weigh a* and b* by the confidence; all three of a size like that of L*."""
    confidence = hints[:, 2:]
    return torch.cat([hints[:, :2] * confidence / HINT_AB_SCALE, confidence], dim=1)


def _silent_conv(outputs: int, stride: int = 1) -> nn.Conv2d:
    conv = nn.Conv2d(3, outputs, 3, stride, padding=1, bias=False)
    nn.init.zeros_(conv.weight)
    return conv


class Decoder(nn.Module):
    """Features, deepest first to finest last, to one map at stride 2^(levels left).

    With skips, a U-Net's decoder (Ronneberger et al. 2015, arXiv:1505.04597); without, a plain one.
    """

    def __init__(self, encoder: Sequence[int], channels: Sequence[int], *, skips: bool) -> None:
        super().__init__()
        if len(channels) >= len(encoder):
            raise ValueError("the decoder has more levels than the encoder below its deepest")
        self.skips = skips
        self.widths = tuple(channels)
        deep = encoder[-1]
        levels: list[nn.Module] = []
        for skip, width in zip(reversed(encoder[:-1]), channels, strict=False):
            first = conv_bn_relu(deep + skip * skips, width)
            levels.append(nn.Sequential(first, conv_bn_relu(width, width)))
            deep = width
        self.levels = nn.ModuleList(levels)
        self.channels = deep
        self.stride = 2 ** (len(encoder) - len(channels))

    def forward(self, features: list[Tensor], hints: HintFeatures | None = None) -> Tensor:
        """Encoder features -> (B, channels, H/stride, W/stride)."""
        *finer, x = features
        if hints is not None:
            x = x + hints.deepest
        for index, level in enumerate(self.levels):
            skip = finer.pop()
            # Nearest: the convolution behind it smooths, and every engine agrees on it bit for bit.
            x = F.interpolate(x, scale_factor=2.0, mode="nearest")
            first, second = cast(nn.Sequential, level)
            x = first(torch.cat([x, skip], dim=1) if self.skips else x)
            x = second(x if hints is None else x + hints.levels[index])
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
    """A network L -> ab: encoder, decoder, head; with HINTS it listens to those too."""

    def __init__(self, encoder: Encoder, decoder: Decoder, *, hints: bool = False) -> None:
        super().__init__()
        self.encoder = encoder
        self.decoder = decoder
        self.head = Head(decoder.channels, decoder.stride)
        self.hints = HintInputs(encoder, decoder) if hints else None

    @property
    def size_multiple(self) -> int:
        """H and W must be multiples of this."""
        return int(2 ** len(self.encoder.channels))

    def forward(self, L: Tensor, hints: Tensor | None = None) -> Tensor:
        """(B, 1, H, W) L* in 0..100 -> (B, 2, H, W) a*, b*; H, W multiples of size_multiple.

        HINTS (B, 3, H, W) are a*, b* and confidence in 0..1; None: nothing is hinted.
        """
        if self.hints is None and isinstance(hints, Tensor):  # no Tensor: torch.fx follows the code
            raise ValueError("this network takes no hints")
        if self.hints is None or hints is None:
            return self.head(self.decoder(self.encoder(L)))  # type: ignore[no-any-return]
        features = self.encoder(L, self.hints.at_stem(hints))
        ab: Tensor = self.head(self.decoder(features, self.hints(features, hints)))
        return ab


def count_flops(network: EncoderDecoder, side: int = 256) -> int:
    """Return the floating point operations (two a multiply-add) for one SIDE x SIDE picture."""
    with FlopCounterMode(display=False) as counter:
        network(torch.zeros(1, 1, side, side))
    return int(counter.get_total_flops())
