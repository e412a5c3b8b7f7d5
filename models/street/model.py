"""A small anchor-free detector in the manner of YOLO: dense 3x3 convolutions, three levels, no parts of its own.

Each level gives two maps: the distances from the middle of a cell to the four sides of a box, in lengths of the cell,
and one score per class. That is the head "yolo" of edgert.convert.heads with one number a side.

Source: the pyramid up and down is that of Liu et al. 2018, "Path Aggregation Network", with sums in place of joins.
"""

import torch.nn.functional as F
from torch import nn

CLASSES = ("bus", "car", "motorbike", "person", "truck")
SIZE = 224  # of the square picture, in pixels
STRIDES = (8, 16, 32)
START_SCORE = -4.6  # what an untrained class score is: about 1 %, so that the many empty cells do not drown the rest
START_SIDE = 2.0  # cells from the middle to each side, before anything is learnt


class ConvNormReLU(nn.Sequential):
    """Convolution, batch norm, ReLU; norm and ReLU cost nothing once quantised."""

    def __init__(self, c_in, c_out, kernel=3, stride=1):
        super().__init__(
            nn.Conv2d(c_in, c_out, kernel, stride, kernel // 2, bias=False), nn.BatchNorm2d(c_out), nn.ReLU()
        )


class Residual(nn.Module):
    """Two 3x3 convolutions through half the channels, added to what went in."""

    def __init__(self, channels):
        super().__init__()
        self.first = ConvNormReLU(channels, channels // 2)
        self.second = ConvNormReLU(channels // 2, channels)

    def forward(self, x):
        return x + self.second(self.first(x))


class Head(nn.Module):
    """Of one level: a convolution, then boxes (4 channels) and scores (one a class)."""

    def __init__(self, c_in, c_out):
        super().__init__()
        self.stem = ConvNormReLU(c_in, c_out)
        self.box = nn.Conv2d(c_out, 4, 1)
        self.scores = nn.Conv2d(c_out, len(CLASSES), 1)
        self.start()

    def start(self):
        """The biases that training begins with."""
        nn.init.constant_(self.box.bias, START_SIDE)
        nn.init.constant_(self.scores.bias, START_SCORE)

    def forward(self, x):
        x = self.stem(x)
        return self.box(x), self.scores(x)


class Detector(nn.Module):
    """widths: channels at 1/2 to 1/32 of the picture. neck: channels of the three levels. head: of their heads."""

    def __init__(self, widths=(16, 32, 64, 128, 256), neck=(64, 96, 128), head=64):
        super().__init__()
        w1, w2, w3, w4, w5 = widths
        n3, n4, n5 = neck
        self.stem = nn.Sequential(ConvNormReLU(3, w1, 3, 2), ConvNormReLU(w1, w2, 3, 2))
        self.down3 = nn.Sequential(ConvNormReLU(w2, w3, 3, 2), Residual(w3))
        self.down4 = nn.Sequential(ConvNormReLU(w3, w4, 3, 2), Residual(w4))
        self.down5 = nn.Sequential(ConvNormReLU(w4, w5, 3, 2), Residual(w5))
        self.side3, self.side4, self.side5 = (ConvNormReLU(w, n, 1) for w, n in ((w3, n3), (w4, n4), (w5, n5)))
        self.up4, self.up3 = ConvNormReLU(n5, n4, 1), ConvNormReLU(n4, n3, 1)
        self.smooth4, self.smooth3 = ConvNormReLU(n4, n4), ConvNormReLU(n3, n3)
        self.on4, self.on5 = ConvNormReLU(n3, n4, 3, 2), ConvNormReLU(n4, n5, 3, 2)
        self.join4, self.join5 = ConvNormReLU(n4, n4), ConvNormReLU(n5, n5)
        self.heads = nn.ModuleList(Head(n, head) for n in neck)

    def levels(self, x):
        """What the three heads see: maps at 1/8, 1/16 and 1/32 of x (N, 3, H, W)."""
        c3 = self.down3(self.stem(x))
        c4 = self.down4(c3)
        p5 = self.side5(self.down5(c4))
        p4 = self.smooth4(self.side4(c4) + F.interpolate(self.up4(p5), scale_factor=2.0))
        p3 = self.smooth3(self.side3(c3) + F.interpolate(self.up3(p4), scale_factor=2.0))
        p4 = self.join4(p4 + self.on4(p3))
        p5 = self.join5(p5 + self.on5(p4))
        return p3, p4, p5

    def answers(self, levels):
        """(boxes, scores) of each level, one after the other: (N, 4, h, w), (N, 5, h, w), ..."""
        return tuple(part for head, level in zip(self.heads, levels) for part in head(level))

    def forward(self, x):
        return self.answers(self.levels(x))
