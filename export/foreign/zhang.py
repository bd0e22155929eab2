"""The networks of R. Zhang et al., as their published weights name the layers.

ECCV16: Colorful Image Colorization, arXiv:1603.08511. SIGGRAPH17: Real-Time User-Guided Image
Colorization with Learned Deep Priors, arXiv:1705.02999.
"""

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

AB_SCALE = 110.0  # both were trained on a*, b* divided by this


def _block(
    widths: list[int],
    *,
    stride: int = 1,
    dilation: int = 1,
    norm: bool = True,
    relu_first: bool = False,
) -> nn.Sequential:
    """3x3 convolutions from width to width, a ReLU behind each; the last one has the stride."""
    layers: list[nn.Module] = [nn.ReLU()] if relu_first else []
    for i, (given, made) in enumerate(pairwise(widths)):
        step = stride if i == len(widths) - 2 else 1
        layers += [nn.Conv2d(given, made, 3, step, dilation, dilation), nn.ReLU()]
    return nn.Sequential(*layers, *([nn.BatchNorm2d(widths[-1])] if norm else []))


class ECCV16(nn.Module):
    """A distribution over 313 colors for each place, and their mean."""

    def __init__(self) -> None:
        super().__init__()
        self.model1 = _block([1, 64, 64], stride=2)
        self.model2 = _block([64, 128, 128], stride=2)
        self.model3 = _block([128, 256, 256, 256], stride=2)
        self.model4 = _block([256, 512, 512, 512])
        self.model5 = _block([512, 512, 512, 512], dilation=2)
        self.model6 = _block([512, 512, 512, 512], dilation=2)
        self.model7 = _block([512, 512, 512, 512])
        self.model8 = nn.Sequential(
            nn.ConvTranspose2d(512, 256, 4, 2, 1),
            nn.ReLU(),
            *_block([256, 256, 256], norm=False),
            nn.Conv2d(256, 313, 1),
        )
        self.model_out = nn.Conv2d(313, 2, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(B, 1, H, W) L* in -0.5..0.5 -> (B, 2, H, W) a*, b* over AB_SCALE; sides: n * 8."""
        for i in range(1, 9):
            x = self.get_submodule(f"model{i}")(x)
        ab: Tensor = self.model_out(x.softmax(dim=1))
        return F.interpolate(ab, scale_factor=4, mode="bilinear")


class SIGGRAPH17(nn.Module):
    """A U-Net whose second and third input, the user's hints and where they are, are nought."""

    def __init__(self) -> None:
        super().__init__()
        self.model1 = _block([4, 64, 64])
        self.model2 = _block([64, 128, 128])
        self.model3 = _block([128, 256, 256, 256])
        self.model4 = _block([256, 512, 512, 512])
        self.model5 = _block([512, 512, 512, 512], dilation=2)
        self.model6 = _block([512, 512, 512, 512], dilation=2)
        self.model7 = _block([512, 512, 512, 512])
        self.model8up = nn.Sequential(nn.ConvTranspose2d(512, 256, 4, 2, 1))
        self.model3short8 = nn.Sequential(nn.Conv2d(256, 256, 3, 1, 1))
        self.model8 = _block([256, 256, 256], relu_first=True)
        self.model9up = nn.Sequential(nn.ConvTranspose2d(256, 128, 4, 2, 1))
        self.model2short9 = nn.Sequential(nn.Conv2d(128, 128, 3, 1, 1))
        self.model9 = _block([128, 128], relu_first=True)
        self.model10up = nn.Sequential(nn.ConvTranspose2d(128, 128, 4, 2, 1))
        self.model1short10 = nn.Sequential(nn.Conv2d(64, 128, 3, 1, 1))
        self.model10 = nn.Sequential(nn.ReLU(), nn.Conv2d(128, 128, 3, 1, 1), nn.LeakyReLU(0.2))
        # Trained beside it on colors in classes; only its weights are in the file.
        self.model_class = nn.Sequential(nn.Conv2d(256, 529, 1))
        self.model_out = nn.Sequential(nn.Conv2d(128, 2, 1), nn.Tanh())

    def forward(self, x: Tensor, hints: Tensor) -> Tensor:
        """(B, 1, H, W) L* in -0.5..0.5 -> (B, 2, H, W) a*, b* over AB_SCALE; sides: n * 8.

        HINTS (B, 3, H, W) are a*, b* over AB_SCALE, and 1 where they are hinted, else 0.
        """
        level1 = self.model1(torch.cat([x, hints], dim=1))
        level2 = self.model2(_halved(level1))
        level3 = self.model3(_halved(level2))
        deep = self.model7(self.model6(self.model5(self.model4(_halved(level3)))))
        up3 = self.model8(self.model8up(deep) + self.model3short8(level3))
        up2 = self.model9(self.model9up(up3) + self.model2short9(level2))
        up1 = self.model10(self.model10up(up2) + self.model1short10(level1))
        ab: Tensor = self.model_out(up1)
        return ab


def _halved(x: Tensor) -> Tensor:
    return x[:, :, ::2, ::2]
