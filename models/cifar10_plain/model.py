"""A small residual network for 32 x 32 pictures: 80k parameters, 21 million multiply-adds."""

from torch import nn


class ConvNorm(nn.Sequential):
    """Convolution and batch norm; the norm is folded away when the network is quantised."""

    def __init__(self, c_in, c_out, kernel=3, stride=1):
        super().__init__(
            nn.Conv2d(c_in, c_out, kernel, stride, kernel // 2, bias=False),
            nn.BatchNorm2d(c_out),
        )


class Block(nn.Module):
    """Two 3x3 convolutions beside a shortcut; the shortcut is a 1x1 convolution where the shape changes."""

    def __init__(self, c_in, c_out, stride):
        super().__init__()
        self.first = ConvNorm(c_in, c_out, 3, stride)
        self.second = ConvNorm(c_out, c_out)
        self.shortcut = ConvNorm(c_in, c_out, 1, stride) if stride != 1 or c_in != c_out else nn.Identity()
        self.relu = nn.ReLU()

    def forward(self, x):
        return self.relu(self.second(self.relu(self.first(x))) + self.shortcut(x))


class ResNet(nn.Module):
    """Stem, stages of blocks (width, how many, stride of the first), mean over the picture, one linear layer."""

    def __init__(self, classes=10, stem=16, stages=((16, 2, 1), (32, 2, 2), (48, 1, 2))):
        super().__init__()
        self.stem = ConvNorm(3, stem)
        self.relu = nn.ReLU()
        blocks, width = [], stem
        for stage_width, count, stride in stages:
            for i in range(count):
                blocks.append(Block(width, stage_width, stride if i == 0 else 1))
                width = stage_width
        self.blocks = nn.Sequential(*blocks)
        self.head = nn.Linear(width, classes)

    def forward(self, x):  # x (N, 3, 32, 32)
        x = self.blocks(self.relu(self.stem(x)))  # (N, 48, 8, 8)
        return self.head(x.mean((2, 3)))  # (N, classes)
