"""avg_pool2d and max_pool2d: a window slides over the picture; padding takes part in neither."""

import numpy as np
from numba import carray

from edgert.kernels.jit.compiler import compiled, step
from edgert.kernels.jit.primitives import int8_only, requantise, share


def make_pool2d(
    average, shape, out_shape, kernel, stride, pad, x_zero_point, scale_in, scale_out, zero_point, clamp_min, clamp_max
):
    """The kernel of one node: the words under a window are added up, or compared, in scratch, all channels at once."""
    n, h_in, w_in, c = shape
    _, h_out, w_out, _ = out_shape
    (kh, kw), (stride_h, stride_w), (pad_top, pad_left) = kernel, stride, pad

    def pool2d(params, tensors, scratch, thread, n_threads):
        x, out = carray(tensors[0], (n * h_in, w_in, c), np.int8), carray(tensors[1], (n * h_out, w_out, c), np.int8)
        best = carray(scratch, c, np.int32)
        for row in range(share(n * h_out, thread, n_threads), share(n * h_out, thread + 1, n_threads)):
            image, top = row // h_out * h_in, row % h_out * stride_h - pad_top
            for column in range(w_out):
                left = column * stride_w - pad_left
                y0, y1, x0, x1 = max(top, 0), min(top + kh, h_in), max(left, 0), min(left + kw, w_in)
                for i in range(c):
                    best[i] = 0 if average else -128
                for y in range(y0, y1):
                    for z in range(x0, x1):
                        for i in range(c):
                            word = np.int32(x[image + y, z, i])
                            best[i] = best[i] + word if average else max(best[i], word)
                if average:
                    count = (y1 - y0) * (x1 - x0)
                    multiplier = np.float32(scale_in / (scale_out * count))
                    zero = np.int32(count * x_zero_point)
                    for i in range(c):
                        value = np.float32(np.int32(best[i] - zero)) * multiplier
                        out[row, column, i] = requantise(value, clamp_min, clamp_max, zero_point)
                else:
                    for i in range(c):
                        out[row, column, i] = min(max(best[i], np.int32(clamp_min)), np.int32(clamp_max))

    return pool2d


def bind(op, inputs, outputs, attrs):
    (x,), (out,) = inputs, outputs
    if not int8_only(x, out):
        return None
    settings = {
        "average": op == "avg_pool2d",
        "shape": x.shape,
        "out_shape": out.shape,
        "kernel": (attrs["kh"], attrs["kw"]),
        "stride": (attrs.get("stride_h", 1), attrs.get("stride_w", 1)),
        "pad": (attrs.get("pad_top", 0), attrs.get("pad_left", 0)),
        "x_zero_point": x.quant.zero_point,
        "scale_in": x.quant.scale[0],
        "scale_out": out.quant.scale[0],
        "zero_point": out.quant.zero_point,
        "clamp_min": attrs.get("clamp_min", -128),
        "clamp_max": attrs.get("clamp_max", 127),
    }
    work = out.size * attrs["kh"] * attrs["kw"]
    return step(op, compiled(make_pool2d, settings), work=work, scratch_bytes=4 * x.shape[3])
