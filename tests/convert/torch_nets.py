"""Small PyTorch networks, one or more of every family of operators: (name, module, shapes of its inputs)."""

import torch
import torch.nn.functional as F
from torch import nn

torch.set_num_threads(1)  # networks of this size are slower with more


class Fn(nn.Module):
    """A module that calls a function; parts: modules that it uses."""

    def __init__(self, function, *parts):
        super().__init__()
        self.function, self.parts = function, nn.ModuleList(parts)

    def forward(self, *x):
        return self.function(*self.parts, *x)


class SqueezeExcite(nn.Module):
    def __init__(self, channels, inner):
        super().__init__()
        self.down, self.up = nn.Conv2d(channels, inner, 1), nn.Conv2d(inner, channels, 1)

    def forward(self, x):
        gate = F.adaptive_avg_pool2d(x, 1)
        return x * torch.sigmoid(self.up(F.silu(self.down(gate))))


class MobileBlock(nn.Module):
    """Expand, depthwise, squeeze and excite, project, shortcut: EfficientNet's block."""

    def __init__(self, channels=8, wide=24, activation=nn.SiLU):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(channels, wide, 1, bias=False), nn.BatchNorm2d(wide), activation(),
            nn.Conv2d(wide, wide, 3, 1, 1, groups=wide, bias=False), nn.BatchNorm2d(wide), activation(),
            SqueezeExcite(wide, 6),
            nn.Conv2d(wide, channels, 1, bias=False), nn.BatchNorm2d(channels),
        )  # fmt: skip

    def forward(self, x):
        return x + self.body(x)


class Shuffle(nn.Module):
    """ShuffleNetV2's unit: half of the channels pass, the halves are joined and interleaved."""

    def __init__(self, channels=8):
        super().__init__()
        half = channels // 2
        self.branch = nn.Sequential(nn.Conv2d(half, half, 1), nn.BatchNorm2d(half), nn.ReLU())

    def forward(self, x):
        a, b = x.chunk(2, 1)
        x = torch.cat([a, self.branch(b)], 1)
        n, c, h, w = x.shape
        return x.view(n, 2, c // 2, h, w).transpose(1, 2).contiguous().view(n, c, h, w)


class Neck(nn.Module):
    """A detector's neck and head: two scales, upsampled and joined, each with an output."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.BatchNorm2d(8), nn.LeakyReLU(0.1))
        self.down = nn.Sequential(nn.Conv2d(8, 16, 3, 2, 1), nn.BatchNorm2d(16), nn.ReLU6())
        self.spp = nn.MaxPool2d(5, 1, 2)
        self.lateral, self.head_a, self.head_b = nn.Conv2d(16, 8, 1), nn.Conv2d(16, 5, 1), nn.Conv2d(16, 5, 1)

    def forward(self, x):
        a = self.stem(x)
        b = self.down(a)
        b = b + self.spp(b)
        up = F.interpolate(self.lateral(b), scale_factor=2, mode="nearest")
        return self.head_a(torch.cat([a, up], 1)), self.head_b(b).flatten(2).permute(0, 2, 1)


def _conv(*args, **options):
    return nn.Conv2d(*args, **options)


PICTURE = (1, 4, 9, 10)

CASES = [
    ("conv", _conv(4, 6, 3), PICTURE),
    ("conv_stride_pad", _conv(4, 6, 3, 2, 1), PICTURE),
    ("conv_dilation", _conv(4, 6, 3, 1, 2, 2), PICTURE),
    ("conv_groups", _conv(4, 6, (3, 1), 1, (1, 0), groups=2), PICTURE),
    ("conv_same", _conv(4, 6, 4, padding="same"), PICTURE),
    ("conv_no_batch", _conv(4, 6, 3), (4, 9, 10)),
    ("conv1d", nn.Sequential(nn.Conv1d(4, 6, 3, 1, 1), nn.BatchNorm1d(6), nn.ReLU()), (1, 4, 12)),
    ("conv_norm_relu", nn.Sequential(_conv(4, 6, 3, bias=False), nn.BatchNorm2d(6), nn.ReLU()), PICTURE),
    ("conv_transpose", nn.Sequential(nn.ConvTranspose2d(4, 6, 3, 2, 1, 1), nn.BatchNorm2d(6)), PICTURE),
    ("depthwise", nn.Sequential(_conv(4, 8, 3, 2, 1, groups=4), nn.BatchNorm2d(8), nn.Hardswish()), PICTURE),
    ("norm_alone", nn.Sequential(nn.BatchNorm2d(4), nn.ReLU()), PICTURE),
    ("norm_after_two_readers", Fn(lambda c, n, x: c(x) + n(c(x)), _conv(4, 4, 1), nn.BatchNorm2d(4)), PICTURE),
    ("norm_of_shared_conv", Fn(lambda c, n, x: n(y := c(x)) + y, _conv(4, 4, 1), nn.BatchNorm2d(4)), PICTURE),
    ("linear", nn.Sequential(nn.Flatten(), nn.Linear(360, 7), nn.ReLU(), nn.Linear(7, 3)), PICTURE),
    ("linear_rows", nn.Linear(5, 6), (2, 3, 5)),
    ("matmul", Fn(torch.matmul), (2, 3, 4), (2, 4, 5)),
    ("attention", Fn(F.scaled_dot_product_attention), (1, 2, 5, 4), (1, 2, 5, 4), (1, 2, 5, 4)),
    ("layer_norm", nn.LayerNorm(6), (2, 5, 6)),
    ("group_norm", nn.GroupNorm(2, 4), PICTURE),
    ("activations", Fn(lambda x: F.hardsigmoid(x) + F.softplus(x) * F.mish(x) - F.elu(x)), PICTURE),
    ("gelus", Fn(lambda x: F.gelu(x) + F.gelu(x, approximate="tanh")), (3, 7)),
    ("clamps", Fn(lambda x: x.clamp(-0.5, 0.75) + F.hardtanh(x) + x.clamp(min=0.1)), PICTURE),
    ("prelu", nn.PReLU(4, 0.1), PICTURE),
    ("numbers", Fn(lambda x: (2 - x) / 3 + 1.5 * x - 1 + x**2 + torch.add(x, x, alpha=0.5)), PICTURE),
    ("roots", Fn(lambda x: torch.sqrt(x.abs() + 1) + 1 / (x.abs() + 2) + (x.abs() + 1) ** -0.5), PICTURE),
    ("extremes", Fn(lambda a, b: torch.maximum(a, b) - torch.minimum(a, -b)), PICTURE, PICTURE),
    ("broadcast", Fn(lambda x, y: x * y + y), PICTURE, (1, 4, 1, 1)),
    ("softmax_channels", Fn(lambda x: x.softmax(1)), PICTURE),
    ("log_softmax", Fn(lambda x: F.log_softmax(x, -1)), (3, 8)),
    ("reduce", Fn(lambda x: (x.mean((2, 3)), x.sum(1), x.amax((2, 3), keepdim=True), x.mean())), PICTURE),
    ("max_dim", Fn(lambda x: x.max(1)[0]), PICTURE),
    ("argmax", Fn(lambda x: x.argmax(1)), PICTURE),
    ("max_pool", nn.MaxPool2d(3, 2, 1), PICTURE),
    ("max_pool_ceil", nn.MaxPool2d(2, 2, ceil_mode=True), PICTURE),
    ("avg_pool", nn.AvgPool2d(2), PICTURE),
    ("avg_pool_counts_pad", nn.AvgPool2d(3, 2, 1), PICTURE),
    ("avg_pool_excludes_pad", nn.AvgPool2d(3, 2, 1, count_include_pad=False), PICTURE),
    ("adaptive", Fn(lambda x: (F.adaptive_avg_pool2d(x, (3, 5)), F.adaptive_max_pool2d(x, 1))), PICTURE),
    ("nearest", nn.Upsample(scale_factor=2), PICTURE),
    ("nearest_exact", nn.Upsample((13, 7), mode="nearest-exact"), PICTURE),
    ("bilinear", nn.Upsample((17, 21), mode="bilinear"), PICTURE),
    ("bilinear_corners", nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True), PICTURE),
    ("pads", Fn(lambda x: (F.pad(x, (1, 2, 0, 1), value=0.5), F.pad(x, (1, 2, 2, 1), mode="reflect"))), PICTURE),
    ("pads_cut", Fn(lambda x: F.pad(x, (-1, 2, 1, -2))), PICTURE),
    ("slices", Fn(lambda x: (x[:, 1:3, ::2, -4:-1], x[:, -1], x[..., 2])), PICTURE),
    ("parts", Fn(lambda x: torch.cat([*reversed(x.split(1, 1)), *x.chunk(3, 1)], 1)), PICTURE),
    ("stack", Fn(lambda x: torch.stack(x.unbind(1)[:2], 2)), PICTURE),
    ("views", Fn(lambda x: x.flatten(1).unflatten(1, (12, 30)).unsqueeze(1).squeeze(0).transpose(0, 2)), PICTURE),
    ("index", Fn(lambda x: x[:, torch.tensor([2, 0, -1])] + x.index_select(1, torch.tensor([0, 1, 1]))), PICTURE),
    ("flip_repeat", Fn(lambda x: x.flip(2, 3).repeat(1, 2, 1, 1)), PICTURE),
    ("expand", Fn(lambda x: x[:, :1].expand(1, 4, 9, 10) - x), PICTURE),
    ("constants", Fn(lambda x: x + torch.arange(10) * 0.5 + torch.ones(9, 1) + torch.full((1,), 2.0)), PICTURE),
    ("pixel_shuffle", nn.PixelShuffle(2), (1, 12, 3, 5)),
    ("pixel_unshuffle", nn.PixelUnshuffle(2), (1, 3, 6, 4)),
    ("dropout", nn.Sequential(nn.Dropout(0.5), nn.Conv2d(4, 2, 1)), PICTURE),
    ("mobile_silu", MobileBlock(), (1, 8, 7, 9)),
    ("mobile_hardswish", MobileBlock(activation=nn.Hardswish), (1, 8, 7, 9)),
    ("shuffle", Shuffle(), (1, 8, 5, 6)),
    ("neck", Neck(), (1, 3, 16, 24)),
]


def prepared(module, seed=0):
    """The module in eval mode, with statistics and gains of its batch norms that are not those of a new one."""
    generator = torch.Generator().manual_seed(seed)
    for part in module.modules():
        if isinstance(part, (nn.BatchNorm1d, nn.BatchNorm2d)):
            part.running_mean.normal_(generator=generator)
            part.running_var.uniform_(0.5, 2.0, generator=generator)
            part.weight.data.uniform_(0.5, 1.5, generator=generator)
            part.bias.data.normal_(generator=generator)
    return module.eval()
