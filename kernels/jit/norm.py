"""Layer norm and RMS norm along the last axis."""

from math import sqrt

import numpy as np
from numba import carray

from edgert.kernels.jit.compiler import MOVE, compiled, step
from edgert.kernels.jit.primitives import advance, share
from edgert.kernels.jit.rows import ONE, counts, dot_floats, sum_floats


def make_norm(depth, epsilon, centred, bias_at, out_at):
    """centred: layer_norm, else rms_norm. bias_at, out_at: indices of tensors; bias_at 0: absent."""
    epsilon, size = np.float32(epsilon), np.float32(depth)

    def norm(params, tensors, scratch, thread, n_threads):
        rows = carray(params, 1, np.int64)[0]
        weight, bias = carray(tensors[1], depth, np.float32), carray(tensors[bias_at], depth, np.float32)
        for row in range(share(rows, thread, n_threads), share(rows, thread + 1, n_threads)):
            x_at, out_address = advance(tensors[0], row * depth * 4), advance(tensors[out_at], row * depth * 4)
            x, out = carray(x_at, depth, np.float32), carray(out_address, depth, np.float32)
            mean = sum_floats(x_at, depth) / size if centred else np.float32(0)
            for i in range(depth):
                out[i] = x[i] - mean if centred else x[i]
            variance = dot_floats(out_address, out_address, depth) / size
            inverse = ONE / np.float32(sqrt(variance + epsilon))
            for i in range(depth):
                value = out[i] * inverse * weight[i]
                out[i] = value + bias[i] if bias_at else value

    return norm


def bind(op, inputs, outputs, attrs):
    depth = inputs[0].shape[-1]
    settings = {
        "depth": depth,
        "epsilon": attrs.get("epsilon", 1e-5),
        "centred": op == "layer_norm",
        "bias_at": 2 if len(inputs) > 2 and inputs[2] is not None else 0,
        "out_at": len(inputs),
    }
    return step(op, compiled(make_norm, settings), counts(inputs[0].size // depth), inputs[0].size * MOVE)
