"""reduce: mean and sum over axes. Sums are kept in scratch, one int32 per output."""

from math import prod

import numpy as np
from numba import carray

from edgert.kernels.jit.compiler import compiled, step
from edgert.kernels.jit.primitives import int8_only, requantise
from edgert.kernels.requant import float32


def make_reduce(sizes, strides, inner, inner_kept, size, x_zero_point, count, multiplier, zero_point):
    """sizes, strides: of the input's dimensions outside the last, and how far the output moves along each (0: reduced).
    inner: the last dimension, whose words are all kept or all added up."""
    rows, dims, multiplier = prod(sizes), len(sizes), np.float32(multiplier)
    sizes, strides = (*sizes, 1), (*strides, 0)
    zero = np.int32(np.int64(count * x_zero_point).astype(np.int32))

    def reduce(params, tensors, scratch, thread, n_threads):
        x, out = carray(tensors[0], (rows, inner), np.int8), carray(tensors[1], size, np.int8)
        sums = carray(scratch, size, np.int32)
        for i in range(size):
            sums[i] = 0
        for row in range(rows):
            rest, at = row, 0
            for k in range(dims):
                d = dims - 1 - k
                at += rest % sizes[d] * strides[d]
                rest //= sizes[d]
            if inner_kept:
                for i in range(inner):
                    sums[at + i] += np.int32(x[row, i])
            else:
                total = np.int32(0)
                for i in range(inner):
                    total = np.int32(total + np.int32(x[row, i]))
                sums[at] += total
        for i in range(size):
            value = np.float32(np.int32(sums[i] - zero)) * multiplier
            out[i] = requantise(value, -128, 127, zero_point)

    return reduce


def grouped(shape, axes):
    """[size, kept] of the input's dimensions; neighbours of one kind are one."""
    groups = []
    for axis, size in enumerate(shape):
        kept = axis not in axes
        if size != 1 and groups and groups[-1][1] == kept:
            groups[-1][0] *= size
        elif size != 1:
            groups.append([size, kept])
    return groups or [[1, True]]


def bind(op, inputs, outputs, attrs):
    (x,), (out,) = inputs, outputs
    if not int8_only(x, out) or attrs["function"] not in ("mean", "sum"):
        return None
    groups = grouped(x.shape, attrs["axes"])
    strides, step_out = [], 1
    for size, kept in reversed(groups):
        strides.append(step_out if kept else 0)
        step_out *= size if kept else 1
    count = x.size // out.size
    parts = count if attrs["function"] == "mean" else 1
    settings = {
        "sizes": tuple([size for size, _ in groups[:-1]]),
        "strides": tuple(reversed(strides[1:])),
        "inner": groups[-1][0],
        "inner_kept": groups[-1][1],
        "size": out.size,
        "x_zero_point": x.quant.zero_point,
        "count": count,
        "multiplier": float32(x.quant.scale[0] / (out.quant.scale[0] * parts)),
        "zero_point": out.quant.zero_point,
    }
    return step(op, compiled(make_reduce, settings), scratch_bytes=4 * out.size)
