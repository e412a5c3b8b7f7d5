"""Average and maximum over a window that slides over the picture. Padding takes part in neither."""

import numpy as np

from edgert.kernels.reference.conv2d import taps
from edgert.kernels.reference.rounding import all_of, clamp_of, scale, to_words, zero_point


def avg_pool2d_int8(
    x, out, *, kernel, x_zero_point, scale_in, scale_out, out_zero_point, clamp_min, clamp_max, **window
):
    """acc = sum of (x - x_zero_point) over the valid window; v = float32(acc) * float32(s_in / (s_out * count)).

    x (N, H, W, C) int8. out (N, H', W', C) int8. count: valid positions of the window.
    """
    acc = np.zeros(out.shape, np.int32)
    for _, _, pixels in taps(x.astype(np.int32) - x_zero_point, kernel, out.shape[1:3], **window):
        acc += pixels
    count = valid_count(x.shape, kernel, out.shape[1:3], window)
    multiplier = (scale_in / (scale_out * count.astype(np.float64))).astype(np.float32)
    out[...] = to_words(acc.astype(np.float32) * multiplier, out_zero_point, clamp_min, clamp_max)


def avg_pool2d_float32(x, out, *, kernel, clamp_min, clamp_max, **window):
    acc = np.zeros(out.shape, np.float32)
    for _, _, pixels in taps(x, kernel, out.shape[1:3], **window):
        acc += pixels
    count = valid_count(x.shape, kernel, out.shape[1:3], window)
    np.clip(acc / count.astype(np.float32), clamp_min, clamp_max, out=out)


def max_pool2d(x, out, *, kernel, clamp_min, clamp_max, **window):
    """x, out: any one type; words are compared as they are."""
    lowest = -np.inf if x.dtype == np.float32 else np.iinfo(x.dtype).min
    best = np.full(out.shape, lowest, x.dtype)
    for _, _, pixels in taps(x, kernel, out.shape[1:3], **window, fill=lowest):
        np.maximum(best, pixels, out=best)
    np.clip(best, clamp_min, clamp_max, out=out)


def valid_count(x_shape, kernel, out_size, window):
    """How many pixels of the picture each window holds: (1, H', W', 1)."""
    count = np.zeros((1, *out_size, 1), np.int32)
    for _, _, pixels in taps(np.ones((1, *x_shape[1:3], 1), np.int32), kernel, out_size, **window):
        count += pixels
    return count


def bind(op, inputs, outputs, attrs):
    (x,), (out,) = inputs, outputs
    settings = {name: attrs.get(name, 1) for name in ("stride_h", "stride_w", "dilation_h", "dilation_w")}
    settings |= {name: attrs.get(name, 0) for name in ("pad_top", "pad_bottom", "pad_left", "pad_right")}
    settings |= {"kernel": (attrs["kh"], attrs["kw"])} | clamp_of(out, attrs)
    if op == "max_pool2d" and x.dtype == out.dtype:
        return lambda arrays_in, arrays_out: max_pool2d(*arrays_in, *arrays_out, **settings)
    if all_of("float32", x, out):
        return lambda arrays_in, arrays_out: avg_pool2d_float32(*arrays_in, *arrays_out, **settings)
    if all_of("int8", x, out):
        settings |= {"x_zero_point": zero_point(x), "out_zero_point": zero_point(out)}
        settings |= {"scale_in": scale(x), "scale_out": scale(out)}
        return lambda arrays_in, arrays_out: avg_pool2d_int8(*arrays_in, *arrays_out, **settings)
    return None
