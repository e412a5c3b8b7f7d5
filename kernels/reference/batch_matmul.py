"""Matrix product of two computed tensors, over broadcast leading dimensions."""

import numpy as np

from edgert.kernels.reference.rounding import (
    all_of,
    exact_float,
    float_multiplier,
    requantise,
    scale,
    wrap_int32,
    zero_point,
)


def batch_matmul_int8(a, b, out, *, transpose_a, transpose_b, a_zero_point, b_zero_point, multiplier, out_zero_point):
    """acc = sum (a - a_zero_point) * (b - b_zero_point) in int32, then the rounding rule.

    a (..., M, K) int8 or (..., K, M) with transpose_a. b (..., K, N) or (..., N, K) with transpose_b. out (..., M, N).
    """
    exact = exact_float(a.shape[-2 if transpose_a else -1], a_zero_point, b_zero_point)
    real_a, real_b = a.astype(exact) - exact(a_zero_point), b.astype(exact) - exact(b_zero_point)
    acc = wrap_int32(_oriented(real_a, transpose_a) @ _oriented(real_b, transpose_b))
    out[...] = requantise(acc, multiplier, out_zero_point, -128, 127)


def batch_matmul_float32(a, b, out, *, transpose_a, transpose_b):
    """The same in float32."""
    np.matmul(_oriented(a, transpose_a), _oriented(b, transpose_b), out=out)


def _oriented(matrix, transposed):
    return matrix.swapaxes(-1, -2) if transposed else matrix


def bind(op, inputs, outputs, attrs):
    (a, b), (out,) = inputs, outputs
    settings = {"transpose_a": attrs.get("transpose_a", 0), "transpose_b": attrs.get("transpose_b", 0)}
    if all_of("float32", a, b, out):
        return lambda arrays_in, arrays_out: batch_matmul_float32(*arrays_in, *arrays_out, **settings)
    if all_of("int8", a, b, out):
        settings |= {
            "a_zero_point": zero_point(a),
            "b_zero_point": zero_point(b),
            "multiplier": float_multiplier(scale(a) * scale(b) / scale(out)),
            "out_zero_point": zero_point(out),
        }
        return lambda arrays_in, arrays_out: batch_matmul_int8(*arrays_in, *arrays_out, **settings)
    return None
