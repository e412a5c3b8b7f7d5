"""Resizing pictures: nearest neighbour, and bilinear interpolation."""

import numpy as np

from edgert.kernels import coordinates
from edgert.kernels.reference.rounding import all_of, float_multiplier, scale, to_words, zero_point


def resize_nearest(x, out, *, rows, columns):
    """x (N, H, W, C), out (N, H', W', C), any one type. rows (H'), columns (W'): input indices."""
    out[...] = x[:, rows][:, :, columns]


def resize_bilinear_int8(x, out, *, rows, columns, x_zero_point, multiplier, out_zero_point):
    """acc = sum over four neighbours of (x - x_zero_point) * wy * wx in int32, weights in 2048ths.

    x (N, H, W, C) int8, out (N, H', W', C) int8. multiplier: float32(s_in / s_out / 2**22).
    """
    acc = interpolate(x.astype(np.int32) - x_zero_point, rows, columns, _integer_weights)  # at most 255 * 2**22
    out[...] = to_words(acc.astype(np.float32) * multiplier, out_zero_point, -128, 127)


def resize_bilinear_float32(x, out, *, rows, columns):
    out[...] = interpolate(x, rows, columns, _float_weights)


def interpolate(x, rows, columns, weights):
    """Along columns, then along rows, in the type of x. rows, columns: of `coordinates.bilinear`."""
    left, right, (w_left, w_right) = [r[0] for r in columns], [r[1] for r in columns], weights(columns)
    x = x[:, :, left] * w_left[:, np.newaxis] + x[:, :, right] * w_right[:, np.newaxis]
    top, bottom, (w_top, w_bottom) = [r[0] for r in rows], [r[1] for r in rows], weights(rows)
    return x[:, top] * w_top[:, np.newaxis, np.newaxis] + x[:, bottom] * w_bottom[:, np.newaxis, np.newaxis]


def _integer_weights(lines):
    upper = np.array([coordinates.integer_weight(fraction) for _, _, fraction in lines], np.int32)
    return coordinates.WEIGHT_ONE - upper, upper


def _float_weights(lines):
    upper = np.array([fraction for _, _, fraction in lines], np.float32)
    return 1 - upper, upper


def bind(op, inputs, outputs, attrs):
    (x,), (out,) = inputs, outputs
    find = coordinates.nearest if attrs["mode"] == "nearest" else coordinates.bilinear
    rule = (bool(attrs.get("align_corners", 0)), bool(attrs.get("half_pixel_centers", 0)))
    settings = {"rows": find(x.shape[1], out.shape[1], *rule), "columns": find(x.shape[2], out.shape[2], *rule)}
    if attrs["mode"] == "nearest" and x.dtype == out.dtype:
        return lambda arrays_in, arrays_out: resize_nearest(*arrays_in, *arrays_out, **settings)
    if all_of("float32", x, out):
        return lambda arrays_in, arrays_out: resize_bilinear_float32(*arrays_in, *arrays_out, **settings)
    if all_of("int8", x, out):
        settings |= {"x_zero_point": zero_point(x), "out_zero_point": zero_point(out)}
        settings["multiplier"] = float_multiplier(scale(x) / scale(out) * 2.0**-22)
        return lambda arrays_in, arrays_out: resize_bilinear_int8(*arrays_in, *arrays_out, **settings)
    return None
