"""Transposed 2-D convolution: every input pixel adds its kernel, scaled, into the output."""

import numpy as np

from edgert.kernels.reference.conv2d import int8_settings
from edgert.kernels.reference.rounding import all_of, clamp_of, exact_float, requantise, with_bias, wrap_int32


def transpose_conv2d_int8(
    x, weight, bias, out, *,
    x_zero_point, weight_zero_point, multiplier, out_zero_point, clamp_min, clamp_max, **window,
):  # fmt: skip
    """acc = bias + sum (x - x_zero_point) * (weight - weight_zero_point) in int32, then the rounding rule.

    x (N, H, W, C) int8. weight (O, KH, KW, C) int8. bias (O) int32 or None. out (N, H', W', O) int8: pixel (i, j) of x
    reaches rows i * stride_h - pad_top + 0..KH-1 of it, and columns likewise.
    """
    exact = exact_float(weight[0].size, x_zero_point, weight_zero_point)
    real_x, real_weight = x.astype(exact) - exact(x_zero_point), weight.astype(exact) - exact(weight_zero_point)
    acc = wrap_int32(scatter_taps(real_x, real_weight, out.shape, **window))
    if bias is not None:
        acc += bias
    out[...] = requantise(acc, multiplier, out_zero_point, clamp_min, clamp_max)


def transpose_conv2d_float32(x, weight, bias, out, *, clamp_min, clamp_max, **window):
    """The same in float32."""
    acc = scatter_taps(x, weight, out.shape, **window)
    if bias is not None:
        acc += bias
    np.clip(acc, clamp_min, clamp_max, out=out)


def scatter_taps(x, weight, out_shape, *, stride_h, stride_w, pad_top, pad_left):
    """Adds `x @ weights of the tap` where each tap (ky, kx) lands. Returns (N, H', W', O) in the float type of x."""
    n, h, w, _ = x.shape
    _, kh, kw, _ = weight.shape
    _, h_out, w_out, c_out = out_shape
    # Room for all that is added, then the part that the output shows.
    h_all = max((h - 1) * stride_h + kh, pad_top + h_out)
    w_all = max((w - 1) * stride_w + kw, pad_left + w_out)
    acc = np.zeros((n, h_all, w_all, c_out), x.dtype)
    for ky in range(kh):
        for kx in range(kw):
            rows = np.s_[ky : ky + (h - 1) * stride_h + 1 : stride_h]
            columns = np.s_[kx : kx + (w - 1) * stride_w + 1 : stride_w]
            acc[:, rows, columns] += x @ weight[:, ky, kx, :].T
    return acc[:, pad_top : pad_top + h_out, pad_left : pad_left + w_out]


def bind(op, inputs, outputs, attrs):
    (x, weight, bias), (out,) = with_bias(inputs), outputs
    settings = {"stride_h": attrs.get("stride_h", 1), "stride_w": attrs.get("stride_w", 1)}
    settings |= {"pad_top": attrs.get("pad_top", 0), "pad_left": attrs.get("pad_left", 0)} | clamp_of(out, attrs)
    if all_of("float32", x, weight, bias, out):
        return lambda arrays_in, arrays_out: transpose_conv2d_float32(*with_bias(arrays_in), *arrays_out, **settings)
    if all_of("int8", x, weight, out):
        settings |= int8_settings(x, weight, out)
        return lambda arrays_in, arrays_out: transpose_conv2d_int8(*with_bias(arrays_in), *arrays_out, **settings)
    return None
