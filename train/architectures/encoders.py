"""Encoders: one from scratch, torchvision's ResNets, and the smaller EfficientNet-Lites."""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
import torchvision
from torch import Tensor, nn

from ...runtime.errors import ArgumentError
from .blocks import Encoder, ResidualBlock, conv_bn_relu

# Mean and standard deviation of L* over photographs, to one digit: enough to center the input.
_L_MEAN, _L_STD = 50.0, 25.0


class PlainEncoder(Encoder):
    """A strided convolution and residual blocks a level, from scratch."""

    def __init__(self, channels: Sequence[int], blocks: int = 1) -> None:
        super().__init__()
        self.channels = tuple(channels)
        self.stem_channels = self.channels[0]
        self.levels = nn.ModuleList(
            nn.Sequential(
                conv_bn_relu(inputs, outputs, stride=2),
                *(ResidualBlock(outputs) for _ in range(blocks)),
            )
            for inputs, outputs in zip((1, *channels), channels, strict=False)
        )

    def forward(self, L: Tensor, hints: Tensor | None = None) -> list[Tensor]:
        """See Encoder."""
        x = (L - _L_MEAN) / _L_STD
        features = []
        for index, level in enumerate(self.levels):
            x = level(x)
            if index == 0 and hints is not None:
                x = x + hints
            features.append(x)
        return features


class GrayAsRGB(nn.Module):
    """L* as three equal channels in the statistics that a pre-trained RGB encoder was trained on.

    L*/100 stands for the sRGB gray in 0..1, from which it differs by at most 0.04.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(1, 3, 1, 1), persistent=False)

    def forward(self, L: Tensor) -> Tensor:
        """(B, 1, H, W) -> (B, 3, H, W)."""
        return (L / 100 - self.mean) / self.std


class ResNetEncoder(Encoder):
    """The stages of a torchvision ResNet; stage 1 is the stem, each halves the size once more."""

    def __init__(self, name: str, stages: int = 5) -> None:
        super().__init__()
        net = getattr(torchvision.models, name)(weights=None)
        self.normalize = GrayAsRGB((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))  # ImageNet's
        self.conv1, self.bn1 = net.conv1, net.bn1
        self.layers = nn.ModuleList([net.layer1, net.layer2, net.layer3, net.layer4][: stages - 1])
        expansion = net.layer1[-1].expansion
        self.stem_channels = 64
        self.channels = (64, *(width * expansion for width in (64, 128, 256, 512)))[:stages]

    def forward(self, L: Tensor, hints: Tensor | None = None) -> list[Tensor]:
        """See Encoder."""
        x = F.relu(self.bn1(self.conv1(self.normalize(L))))
        if hints is not None:
            x = x + hints
        features = [x]
        x = F.max_pool2d(x, 3, stride=2, padding=1)
        for layer in self.layers:
            x = layer(x)
            features.append(x)
        return features

    def load_pretrained(self, state: dict[str, Tensor]) -> None:
        """Load a torchvision ResNet's state dict; stages that are not used here are left out."""
        self.conv1.load_state_dict(part_of(state, "conv1."))
        self.bn1.load_state_dict(part_of(state, "bn1."))
        for number, layer in enumerate(self.layers, start=1):
            layer.load_state_dict(part_of(state, f"layer{number}."))


class _DepthwiseConv2d(nn.Conv2d):
    """A convolution of each channel by itself, trained in float32 on CPUs.

    oneDNN has no fast bfloat16 gradient for strides of 2 and kernels of 5: measured on AVX512-BF16,
    it takes 4 to 18 times as long as that of float32.
    """

    def __init__(self, channels: int, kernel: int, stride: int) -> None:
        super().__init__(channels, channels, kernel, stride, groups=channels, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, h, w) -> (B, C, h', w')."""
        if not (self.training and x.device.type == "cpu" and torch.is_autocast_enabled("cpu")):
            return super().forward(x)
        with torch.autocast("cpu", enabled=False):
            return super().forward(x.float())


class _ConvBN(nn.Module):
    """Convolution and batch norm with the settings of TensorFlow's published weights.

    "SAME" padding: where a stride of 2 leaves an odd amount, the extra row and column lie at the
    bottom and at the right.
    """

    def __init__(
        self, inputs: int, outputs: int, kernel: int, stride: int = 1, *, depthwise: bool = False
    ) -> None:
        super().__init__()
        total = max(kernel - stride, 0)
        before, after = total // 2, total - total // 2
        self.pad = nn.ZeroPad2d((before, after, before, after))
        self.conv: nn.Conv2d = (
            nn.Conv2d(inputs, outputs, kernel, stride, bias=False)
            if not depthwise
            else _DepthwiseConv2d(outputs, kernel, stride)
        )
        self.norm = nn.BatchNorm2d(outputs, eps=1e-3, momentum=0.01)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.norm(self.conv(self.pad(x)))
        return out


class _InvertedResidual(nn.Module):
    """Expand, depthwise, project (Sandler et al. 2018, arXiv:1801.04381), with ReLU6."""

    def __init__(self, inputs: int, outputs: int, expand: int, kernel: int, stride: int) -> None:
        super().__init__()
        hidden = inputs * expand
        self.expand = _ConvBN(inputs, hidden, 1) if expand > 1 else nn.Identity()
        self.depthwise = _ConvBN(hidden, hidden, kernel, stride, depthwise=True)
        self.project = _ConvBN(hidden, outputs, 1)
        self.residual = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        hidden = F.relu6(self.expand(x)) if isinstance(self.expand, _ConvBN) else x
        out: Tensor = self.project(F.relu6(self.depthwise(hidden)))
        return x + out if self.residual else out


class EfficientNetLiteEncoder(Encoder):
    """An EfficientNet-Lite (Tan & Le 2019, arXiv:1905.11946, in TensorFlow's Lite variant).

    The last stage (320 channels in Lite0) and the classifier are left out: a sixth of the weights
    for features that are as coarse as those of the stage before.
    """

    # expand, outputs, repeats, kernel, stride of the first; in Lite0
    _STAGES = (
        (1, 16, 1, 3, 1),
        (6, 24, 2, 3, 2),
        (6, 40, 2, 5, 2),
        (6, 80, 3, 3, 2),
        (6, 112, 3, 5, 1),
        (6, 192, 4, 5, 2),
    )
    _TAPS = (0, 1, 2, 4, 5)  # the last stage at each stride

    def __init__(self, name: str = "efficientnet_lite0", stages: int = 5) -> None:
        super().__init__()
        width, depth = EFFICIENTNET_LITES[name]
        self.normalize = GrayAsRGB([127 / 255] * 3, [128 / 255] * 3)  # (x*255 - 127) / 128
        self.stem_channels = 32  # in each of them, as the first stage has one block
        self.stem = _ConvBN(3, self.stem_channels, 3, 2)
        inputs, parts, channels = self.stem_channels, [], []
        for expand, least, repeats, kernel, stride in self._STAGES[: self._TAPS[stages - 1] + 1]:
            outputs = int(least * width + 4) // 8 * 8
            blocks = [_InvertedResidual(inputs, outputs, expand, kernel, stride)]
            for _ in range(math.ceil(repeats * depth) - 1 if repeats > 1 else 0):
                blocks.append(_InvertedResidual(outputs, outputs, expand, kernel, 1))
            parts.append(nn.Sequential(*blocks))
            channels.append(outputs)
            inputs = outputs
        self.stages = nn.ModuleList(parts)
        self.channels = tuple(channels[tap] for tap in self._TAPS[:stages])

    def forward(self, L: Tensor, hints: Tensor | None = None) -> list[Tensor]:
        """See Encoder."""
        x = F.relu6(self.stem(self.normalize(L)))
        if hints is not None:
            x = x + hints
        features = []
        for index, stage in enumerate(self.stages):
            x = stage(x)
            if index in self._TAPS:
                features.append(x)
        return features

    def load_pretrained(self, state: dict[str, Tensor]) -> None:
        """Load a PyTorch port of the published weights (names such as _blocks.0._bn1.weight)."""
        pairs = [("_conv_stem", "_bn0", self.stem)]
        blocks = (each for each in self.stages.modules() if isinstance(each, _InvertedResidual))
        for index, block in enumerate(blocks):
            name = f"_blocks.{index}"
            if isinstance(block.expand, _ConvBN):
                pairs.append((f"{name}._expand_conv", f"{name}._bn0", block.expand))
            pairs.append((f"{name}._depthwise_conv", f"{name}._bn1", block.depthwise))
            pairs.append((f"{name}._project_conv", f"{name}._bn2", block.project))
        for conv, norm, part in pairs:
            part.conv.load_state_dict(part_of(state, f"{conv}."))
            part.norm.load_state_dict(part_of(state, f"{norm}."))


def part_of(state: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Return the tensors of STATE whose names begin with PREFIX, without it."""
    return {key[len(prefix) :]: value for key, value in state.items() if key.startswith(prefix)}


PretrainedEncoder = ResNetEncoder | EfficientNetLiteEncoder

RESNETS = ("resnet18", "resnet34", "resnet50", "resnet101", "resnet152")
EFFICIENTNET_LITES = {
    "efficientnet_lite0": (1.0, 1.0),
    "efficientnet_lite1": (1.0, 1.1),
    "efficientnet_lite2": (1.1, 1.2),
}
"""Their multipliers of width and depth."""
PRETRAINED = (*RESNETS, *EFFICIENTNET_LITES)
"""The encoders that `--encoder-weights` can fill."""

PACKAGED = tuple(EFFICIENTNET_LITES)
"""Those that begin with their published weights, which are packages."""


def pretrained_encoder(
    name: str, stages: int = 5, others: tuple[str, ...] = ()
) -> PretrainedEncoder:
    """Return the encoder called NAME with random weights.

    ArgumentError lists the names, and OTHERS that the architecture knows besides.
    """
    if name in RESNETS:
        return ResNetEncoder(name, stages)
    if name in EFFICIENTNET_LITES:
        return EfficientNetLiteEncoder(name, stages)
    known = ", ".join((*others, *PRETRAINED))
    raise ArgumentError(f"unknown encoder {name!r}; choose one of {known}")
