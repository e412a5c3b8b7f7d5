"""Softmax and log-softmax along the last axis."""

import numpy as np

from edgert.kernels import requant
from edgert.kernels.reference.rounding import all_of, float_multiplier, scale, to_words, zero_point


def softmax_int8(x, out, *, table, steps_per_one, out_zero_point):
    """Exponentials from a table of int32, an exact integer sum, one float32 multiplication per element.

    x, out (..., C) int8. table (256) int32: rne(exp(-d * scale * beta) * 2**23) for d = max(row) - x.
    steps_per_one: float32(1 / scale_out).
    """
    exponentials = table[x.max(axis=-1, keepdims=True).astype(np.intp) - x]  # intp keeps d = 0..255 from wrapping
    total = exponentials.sum(axis=-1, keepdims=True, dtype=np.int64)  # at least 2**23: the maximum itself
    inverse = steps_per_one / total.astype(np.float32)
    out[...] = to_words(exponentials.astype(np.float32) * inverse, out_zero_point, -128, 127)


def softmax_float32(x, out, *, beta):
    exponentials = np.exp((x - x.max(axis=-1, keepdims=True)) * np.float32(beta))
    np.divide(exponentials, exponentials.sum(axis=-1, keepdims=True), out=out)


def log_softmax_float32(x, out):
    centred = x - x.max(axis=-1, keepdims=True)
    np.subtract(centred, np.log(np.exp(centred).sum(axis=-1, keepdims=True)), out=out)


def bind(op, inputs, outputs, attrs):
    (x,), (out,), beta = inputs, outputs, attrs.get("beta", 1.0)
    if all_of("float32", x, out):
        if op == "log_softmax":
            return lambda arrays_in, arrays_out: log_softmax_float32(*arrays_in, *arrays_out)
        return lambda arrays_in, arrays_out: softmax_float32(*arrays_in, *arrays_out, beta=beta)
    if all_of("int8", x, out) and op == "softmax":
        settings = {
            "table": np.array(requant.softmax_table(scale(x), beta), np.int32),
            "steps_per_one": float_multiplier(1.0 / scale(out)),
            "out_zero_point": zero_point(out),
        }
        return lambda arrays_in, arrays_out: softmax_int8(*arrays_in, *arrays_out, **settings)
    return None
