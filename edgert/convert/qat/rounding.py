"""The roundings of the int8 kernels, on words less their zero point held in float32, with straight-through gradients.

Float32 holds every integer up to 2**24, products of words are below 2**16 and bfloat16 holds every word exactly.
"""

import numpy as np
import torch
import torch.nn.functional as F

EXACT = 2**24  # sums beyond this are not exact in float32


class Round(torch.autograd.Function):
    """clamp(rne(v), low, high): steps of the output's scale to words. The gradient passes where nothing is clamped.

    Source: Bengio, Leonard and Courville 2013, "Estimating or Propagating Gradients Through Stochastic Neurons".
    """

    @staticmethod
    def forward(ctx, v, low, high):
        rounded = v.round()  # half to even
        words = rounded.clamp(low, high)
        ctx.save_for_backward(rounded == words)
        return words

    @staticmethod
    def backward(ctx, gradient):
        (inside,) = ctx.saved_tensors
        return gradient * inside, None, None


class Convolve(torch.autograd.Function):
    """conv2d of words whose gradients are computed in bfloat16, which holds the words exactly and rounds gradients."""

    @staticmethod
    def forward(ctx, x, weight, stride, padding, dilation, groups):
        ctx.save_for_backward(x.bfloat16(), weight.bfloat16())
        ctx.settings = stride, padding, dilation, False, (0, 0), groups
        return F.conv2d(x, weight, None, stride, padding, dilation, groups)

    @staticmethod
    def backward(ctx, gradient):
        x, weight = ctx.saved_tensors
        wanted = (*ctx.needs_input_grad[:2], False)
        grad_x, grad_weight, _ = torch.ops.aten.convolution_backward(
            gradient.bfloat16(), x, weight, None, *ctx.settings, wanted
        )
        return (*(None if g is None else g.float() for g in (grad_x, grad_weight)), None, None, None, None)


class Gather(torch.autograd.Function):
    """table[x + shift]: a function of one word. slope (256): its derivative, in words per word."""

    @staticmethod
    def forward(ctx, x, table, slope, shift):
        index = (x + shift).to(torch.uint8)
        ctx.save_for_backward(index, slope)
        return table[index.int()]

    @staticmethod
    def backward(ctx, gradient):
        index, slope = ctx.saved_tensors
        index = index.int()
        grad_x = gradient * slope[index] if ctx.needs_input_grad[0] else None
        grad_table = None
        if ctx.needs_input_grad[1]:
            grad_table = torch.bincount(index.reshape(-1), gradient.reshape(-1), 256).to(gradient.dtype)
        return grad_x, grad_table, None, None


class Curve(torch.autograd.Function):
    """A float64 function of numbers, with its derivative by differences."""

    @staticmethod
    def forward(ctx, x, function):
        ctx.save_for_backward(derivative(function, x))
        return torch.from_numpy(_finite(function, x.detach().numpy()))

    @staticmethod
    def backward(ctx, gradient):
        return gradient * ctx.saved_tensors[0], None


def derivative(function, x):
    """df/dx at the float64 numbers x, by central differences."""
    x = x.detach().numpy()
    step = 1e-4 * max(float(np.abs(x).max()), 1e-6) / 4
    return torch.from_numpy((_finite(function, x + step) - _finite(function, x - step)) / (2 * step))


def _finite(function, x):
    with np.errstate(all="ignore"):
        return np.nan_to_num(np.asarray(function(x), np.float64), posinf=1e30, neginf=-1e30)


def straight(exact, smooth):
    """The value of `exact` with the gradient of `smooth`."""
    return smooth + (exact - smooth).detach()


def multiplier(value):
    """A multiplier computed in double, rounded once to float32, as every tier has it."""
    return value.float()
