"""Residual networks for 32 x 32 pictures in two sizes, named after the size of their int8 file."""

import torch
from torch import nn

# stages of (width, convolutions); each halves the picture, and more than two convolutions stand beside a shortcut
SIZES = {
    "250kb": ((48, 3), (72, 3), (80, 1)),  # 229,226 parameters, 33 million multiply-adds
    "1mb": ((64, 3), (128, 3), (176, 2)),  # 941,666 parameters, 74 million multiply-adds
}
STEM = 24  # twice the 12 numbers of a 2x2 patch


class Unit(nn.Module):
    """3x3 convolution, pooling if asked, batch norm, SiLU.

    Source of the order: Jordan 2024, 94% on CIFAR-10 in 3.29 seconds (norm and activation see a quarter of the pixels).

    The norm has no gain of its own: its factor is then positive and may be folded into the convolution through the
    pooling, whose maximum it does not change.
    """

    def __init__(self, c_in, c_out, pool=False):
        super().__init__()
        self.conv = nn.Conv2d(c_in, c_out, 3, padding=1, bias=False)
        self.pool = nn.MaxPool2d(2) if pool else nn.Identity()
        self.norm = nn.BatchNorm2d(c_out)
        self.norm.weight.requires_grad_(False)
        self.act = nn.SiLU()

    def forward(self, x):
        return self.act(self.norm(self.pool(self.conv(x))))

    @torch.no_grad()
    def fold(self):
        """Draws the norm into the convolution, for good: what a converter wants."""
        gain = (self.norm.running_var + self.norm.eps).rsqrt()
        folded = nn.Conv2d(self.conv.in_channels, self.conv.out_channels, 3, padding=1)
        folded.weight.copy_(self.conv.weight * gain[:, None, None, None])
        folded.bias.copy_(self.norm.bias - self.norm.running_mean * gain)
        self.conv, self.norm = folded, nn.Identity()


class Stage(nn.Module):
    """One unit that changes width and halves the picture, then others at that width."""

    def __init__(self, c_in, width, convs):
        super().__init__()
        self.first = Unit(c_in, width, pool=True)
        self.rest = nn.Sequential(*(Unit(width, width) for _ in range(convs - 1)))
        self.residual = convs > 2

    def forward(self, x):
        x = self.first(x)
        return x + self.rest(x) if self.residual else self.rest(x)


class Network(nn.Module):
    """Stem, stages, maximum over the picture, one linear layer.

    The stem is a 2x2 convolution that starts, and stays, as the whitening of the training pictures' patches: `whiten`.
    """

    def __init__(self, size, classes=10):
        super().__init__()
        self.stem = nn.Conv2d(3, STEM, 2)
        self.stem.weight.requires_grad_(False)
        self.act = nn.SiLU()
        widths = [STEM, *(width for width, _ in SIZES[size])]
        self.stages = nn.Sequential(*(Stage(c_in, *stage) for c_in, stage in zip(widths, SIZES[size], strict=False)))
        self.head = nn.Linear(widths[-1], classes)

    def forward(self, x):  # x (N, 3, 32, 32)
        x = self.stages(self.act(self.stem(x)))  # (N, 176, 3, 3) in the 1 MB network
        return self.head(x.amax((2, 3)))  # (N, classes)

    def fold(self):
        """Draws every norm into its convolution."""
        for module in self.modules():
            if isinstance(module, Unit):
                module.fold()
        return self

    @torch.no_grad()
    def begin(self, x):
        """The state that training starts from: inner convolutions that pass their input on, a whitening stem.

        x (N, 3, 32, 32): normalised pictures whose patches the stem whitens.
        """
        for module in self.stages.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.dirac_(module.weight[: module.in_channels])
        self.whiten(x)
        return self

    @torch.no_grad()
    def whiten(self, x, eps=5e-4):
        """Sets the stem to the 12 eigenvectors of the 2x2 patches of pictures x (N, 3, 32, 32), with both signs."""
        patches = x.unfold(2, 2, 1).unfold(3, 2, 1).permute(0, 2, 3, 1, 4, 5).reshape(-1, 12)
        values, vectors = torch.linalg.eigh(patches.T @ patches / len(patches))
        filters = vectors.T / torch.sqrt(values[:, None] + eps)
        self.stem.weight.copy_(torch.cat([filters, -filters]).reshape(STEM, 3, 2, 2))
        self.stem.bias.zero_()
