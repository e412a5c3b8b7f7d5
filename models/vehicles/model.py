"""A MobileNet of depthwise-separable blocks for 64 x 64 crops of a street: 57k parameters, 4 million multiply-adds."""

from torch import nn


class ConvNormReLU6(nn.Sequential):
    """Convolution, batch norm, ReLU6; the norm is folded and the ReLU6 a clamp when the network is quantised."""

    def __init__(self, c_in, c_out, kernel, stride=1, groups=1):
        super().__init__(
            nn.Conv2d(c_in, c_out, kernel, stride, kernel // 2, groups=groups, bias=False),
            nn.BatchNorm2d(c_out),
            nn.ReLU6(),
        )


class Separable(nn.Sequential):
    """A 3x3 convolution per channel, then a 1x1 across channels."""

    def __init__(self, c_in, c_out, stride):
        super().__init__(ConvNormReLU6(c_in, c_in, 3, stride, groups=c_in), ConvNormReLU6(c_in, c_out, 1))


class MobileNet(nn.Module):
    """Stem, separable blocks (width, stride), mean over the picture, one linear layer."""

    def __init__(self, classes=6, stem=16, blocks=((32, 1), (48, 2), (64, 1), (96, 2), (96, 1), (128, 2), (128, 1))):
        super().__init__()
        self.stem = ConvNormReLU6(3, stem, 3, 2)
        widths = [stem] + [width for width, _ in blocks]
        self.blocks = nn.Sequential(
            *(Separable(c_in, c_out, stride) for c_in, (c_out, stride) in zip(widths, blocks, strict=False))
        )
        self.dropout = nn.Dropout(0.2)
        self.head = nn.Linear(widths[-1], classes)

    def forward(self, x):  # x (N, 3, 64, 64)
        x = self.blocks(self.stem(x))  # (N, 128, 4, 4)
        return self.head(self.dropout(x.mean((2, 3))))  # (N, classes)
