"""2-D convolution: each output pixel is a weighted sum of the input pixels under the kernel.

Written as one matrix product per kernel tap (ky, kx): the input pixels that this tap sees, times the tap's weights.
"""

import numpy as np

from edgert.kernels.reference.rounding import (
    all_of,
    channel_multipliers,
    clamp_of,
    exact_float,
    requantise,
    with_bias,
    wrap_int32,
    zero_point,
)

WINDOW = {
    "stride_h": 1,
    "stride_w": 1,
    "dilation_h": 1,
    "dilation_w": 1,
    "pad_top": 0,
    "pad_bottom": 0,
    "pad_left": 0,
    "pad_right": 0,
}


def conv2d_int8(
    x, weight, bias, out, *,
    x_zero_point, weight_zero_point, multiplier, out_zero_point, clamp_min, clamp_max, groups, **window,
):  # fmt: skip
    """acc = bias + sum (x - x_zero_point) * (weight - weight_zero_point) in int32, then the rounding rule.

    x (N, H, W, C) int8. weight (O, KH, KW, C / groups) int8. bias (O) int32 or None. out (N, H', W', O) int8.
    multiplier: float32 (O) or (1). window: strides, dilations and pads. Padding is real zero: x == x_zero_point.
    """
    exact = exact_float(weight[0].size, x_zero_point, weight_zero_point)
    real_x = x.astype(exact) - exact(x_zero_point)
    real_weight = weight.astype(exact) - exact(weight_zero_point)
    acc = wrap_int32(sum_over_taps(real_x, real_weight, out.shape, groups, **window))
    if bias is not None:
        acc += bias
    out[...] = requantise(acc, multiplier, out_zero_point, clamp_min, clamp_max)


def conv2d_float32(x, weight, bias, out, *, clamp_min, clamp_max, groups, **window):
    """The same in float32: x (N, H, W, C), weight (O, KH, KW, C / groups), out (N, H', W', O)."""
    acc = sum_over_taps(x, weight, out.shape, groups, **window)
    if bias is not None:
        acc += bias
    np.clip(acc, clamp_min, clamp_max, out=out)


def sum_over_taps(x, weight, out_shape, groups, **window):
    """sum over ky, kx of (pixels under the tap) @ (its weights), in the float type of x. Returns (N, H', W', O)."""
    n, h_out, w_out, c_out = out_shape
    group_in, group_out = weight.shape[3], c_out // groups
    acc = np.zeros((n * h_out * w_out, c_out), x.dtype)
    for ky, kx, pixels in taps(x, weight.shape[1:3], (h_out, w_out), **window):
        pixels = pixels.reshape(-1, x.shape[3])  # (N * H' * W', C)
        for g in range(groups):
            inputs, outputs = np.s_[g * group_in : (g + 1) * group_in], np.s_[g * group_out : (g + 1) * group_out]
            acc[:, outputs] += pixels[:, inputs] @ weight[outputs, ky, kx, :].T
    return acc.reshape(out_shape)


def taps(
    x, kernel, out_size, *, stride_h, stride_w, dilation_h, dilation_w, pad_top, pad_bottom, pad_left, pad_right, fill=0
):
    """For each tap (ky, kx) of the kernel, the pixel of x that it sees at every output position.

    x (N, H, W, C). kernel: (KH, KW). out_size: (H', W'). fill: what padding reads. Yields ky, kx, (N, H', W', C).
    """
    padded = np.pad(x, ((0, 0), (pad_top, pad_bottom), (pad_left, pad_right), (0, 0)), constant_values=fill)
    h_span, w_span = (out_size[0] - 1) * stride_h + 1, (out_size[1] - 1) * stride_w + 1
    for ky in range(kernel[0]):
        top = ky * dilation_h
        for kx in range(kernel[1]):
            left = kx * dilation_w
            yield ky, kx, padded[:, top : top + h_span : stride_h, left : left + w_span : stride_w]


def bind(op, inputs, outputs, attrs):
    (x, weight, bias), (out,) = with_bias(inputs), outputs
    settings = {name: attrs.get(name, default) for name, default in WINDOW.items()} | clamp_of(out, attrs)
    settings["groups"] = attrs.get("groups", 1)
    if all_of("float32", x, weight, bias, out):
        return lambda arrays_in, arrays_out: conv2d_float32(*with_bias(arrays_in), *arrays_out, **settings)
    if all_of("int8", x, weight, out):
        settings |= int8_settings(x, weight, out)
        return lambda arrays_in, arrays_out: conv2d_int8(*with_bias(arrays_in), *arrays_out, **settings)
    return None


def int8_settings(x, weight, out):
    """What every int8 op with weights needs to know about scales and zero points."""
    return {
        "x_zero_point": zero_point(x),
        "weight_zero_point": zero_point(weight),
        "multiplier": channel_multipliers(x, weight, out),
        "out_zero_point": zero_point(out),
    }
