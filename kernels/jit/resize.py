"""resize: nearest neighbour, and bilinear interpolation with integer weights."""

import numpy as np
from numba import carray

from edgert.kernels import coordinates
from edgert.kernels.jit.compiler import Constants, compiled, step
from edgert.kernels.jit.primitives import advance, int8_only, requantise, share
from edgert.kernels.requant import float32


def make_nearest(n, h_in, w_in, c, h_out, w_out, rows_at, columns_at):
    def nearest(params, tensors, scratch, thread, n_threads):
        rows = carray(advance(params, rows_at), h_out, np.int32)
        columns = carray(advance(params, columns_at), w_out, np.int32)
        x, out = carray(tensors[0], (n * h_in, w_in, c), np.int8), carray(tensors[1], (n * h_out, w_out, c), np.int8)
        for row in range(share(n * h_out, thread, n_threads), share(n * h_out, thread + 1, n_threads)):
            source = row // h_out * h_in + rows[row % h_out]
            for column in range(w_out):
                for i in range(c):
                    out[row, column, i] = x[source, columns[column], i]

    return nearest


def make_bilinear(n, h_in, w_in, c, h_out, w_out, rows_at, columns_at, x_zero_point, multiplier, zero_point):
    """rows, columns: (lower index, upper index, weight of the upper one in 2048ths) of each output index."""
    one, zero_in, multiplier = np.int32(coordinates.WEIGHT_ONE), np.int32(x_zero_point), np.float32(multiplier)

    def bilinear(params, tensors, scratch, thread, n_threads):
        rows = carray(advance(params, rows_at), (h_out, 3), np.int32)
        columns = carray(advance(params, columns_at), (w_out, 3), np.int32)
        x, out = carray(tensors[0], (n * h_in, w_in, c), np.int8), carray(tensors[1], (n * h_out, w_out, c), np.int8)
        for row in range(share(n * h_out, thread, n_threads), share(n * h_out, thread + 1, n_threads)):
            image, y = row // h_out * h_in, row % h_out
            top, bottom, down = image + rows[y, 0], image + rows[y, 1], rows[y, 2]
            for column in range(w_out):
                left, right, along = columns[column, 0], columns[column, 1], columns[column, 2]
                w00, w01 = np.int32((one - down) * (one - along)), np.int32((one - down) * along)
                w10, w11 = np.int32(down * (one - along)), np.int32(down * along)
                for i in range(c):
                    total = np.int32((np.int32(x[top, left, i]) - zero_in) * w00)
                    total = np.int32(total + (np.int32(x[top, right, i]) - zero_in) * w01)
                    total = np.int32(total + (np.int32(x[bottom, left, i]) - zero_in) * w10)
                    total = np.int32(total + (np.int32(x[bottom, right, i]) - zero_in) * w11)
                    out[row, column, i] = requantise(np.float32(total) * multiplier, -128, 127, zero_point)

    return bilinear


def bind(op, inputs, outputs, attrs):
    (x,), (out,) = inputs, outputs
    if not int8_only(x, out):
        return None
    rule = (bool(attrs.get("align_corners", 0)), bool(attrs.get("half_pixel_centers", 0)))
    nearest = attrs["mode"] == "nearest"
    find = coordinates.nearest if nearest else _weighted
    rows, columns = find(x.shape[1], out.shape[1], *rule), find(x.shape[2], out.shape[2], *rule)
    constants = Constants()
    n, h_in, w_in, c = x.shape
    settings = {"n": n, "h_in": h_in, "w_in": w_in, "c": c, "h_out": out.shape[1], "w_out": out.shape[2]}
    settings |= {"rows_at": constants.add(np.array(rows, np.int32))}
    settings |= {"columns_at": constants.add(np.array(columns, np.int32))}
    if nearest:
        return step(op, compiled(make_nearest, settings), constants, out.size)
    settings |= {"x_zero_point": x.quant.zero_point, "zero_point": out.quant.zero_point}
    settings |= {"multiplier": float32(x.quant.scale[0] / out.quant.scale[0] * 2.0**-22)}
    return step(op, compiled(make_bilinear, settings), constants, out.size * 4)


def _weighted(*sizes_and_rule):
    lines = coordinates.bilinear(*sizes_and_rule)
    return [(lower, upper, coordinates.integer_weight(fraction)) for lower, upper, fraction in lines]
