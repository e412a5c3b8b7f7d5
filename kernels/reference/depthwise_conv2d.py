"""Depthwise 2-D convolution: every channel has its own kernels and sees no other channel."""

import numpy as np

from edgert.kernels.reference.conv2d import WINDOW, int8_settings, taps
from edgert.kernels.reference.rounding import all_of, clamp_of, requantise, with_bias


def depthwise_conv2d_int8(
    x, weight, bias, out, *,
    x_zero_point, weight_zero_point, multiplier, out_zero_point, clamp_min, clamp_max, **window,
):  # fmt: skip
    """acc = bias + sum (x - x_zero_point) * (weight - weight_zero_point) in int32, then the rounding rule.

    x (N, H, W, C) int8. weight (KH, KW, C * M) int8: output channel c * M + m reads input channel c. bias (C * M) int32
    or None. out (N, H', W', C * M) int8. multiplier: float32 (C * M) or (1).
    """
    real_x, real_weight = x.astype(np.int32) - x_zero_point, weight.astype(np.int32) - weight_zero_point
    acc = sum_over_taps(real_x, real_weight, out.shape, **window)
    if bias is not None:
        acc += bias
    out[...] = requantise(acc, multiplier, out_zero_point, clamp_min, clamp_max)


def depthwise_conv2d_float32(x, weight, bias, out, *, clamp_min, clamp_max, **window):
    """The same in float32."""
    acc = sum_over_taps(x, weight, out.shape, **window)
    if bias is not None:
        acc += bias
    np.clip(acc, clamp_min, clamp_max, out=out)


def sum_over_taps(x, weight, out_shape, **window):
    """sum over ky, kx of (pixels under the tap) * (its weights), in the type of x. Returns (N, H', W', C * M)."""
    n, h_out, w_out, c_out = out_shape
    kh, kw, _ = weight.shape
    c_in = x.shape[3]
    weight = weight.reshape(kh, kw, c_in, c_out // c_in)
    acc = np.zeros((n, h_out, w_out, *weight.shape[2:]), x.dtype)
    for ky, kx, pixels in taps(x, (kh, kw), (h_out, w_out), **window):
        acc += pixels[..., np.newaxis] * weight[ky, kx]
    return acc.reshape(out_shape)


def bind(op, inputs, outputs, attrs):
    (x, weight, bias), (out,) = with_bias(inputs), outputs
    settings = {name: attrs.get(name, default) for name, default in WINDOW.items()} | clamp_of(out, attrs)
    if all_of("float32", x, weight, bias, out):
        return lambda arrays_in, arrays_out: depthwise_conv2d_float32(*with_bias(arrays_in), *arrays_out, **settings)
    if all_of("int8", x, weight, out):
        settings |= int8_settings(x, weight, out)
        return lambda arrays_in, arrays_out: depthwise_conv2d_int8(*with_bias(arrays_in), *arrays_out, **settings)
    return None
