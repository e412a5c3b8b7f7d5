"""A linear layer whose activations become int8 row by row: rows of weights are read where the file holds them."""

import numpy as np
from numba import carray

from edgert.kernels.jit import gemm, simd
from edgert.kernels.jit.compiler import compiled, step
from edgert.kernels.jit.primitives import advance, share
from edgert.kernels.jit.rows import (
    GROUP,
    counts,
    flip_of,
    nibbles_dot,
    quantise_row,
    row_dot_intrinsic,
    whole_vectors,
)

ROWS = 128  # quantised at a time: what scratch has room for


def make_dynamic_linear(isa, depth, outputs, int4, bias_at, groups_at, out_at):
    """bias_at, groups_at, out_at: indices of tensors; 0: absent."""
    isa, row_bytes = gemm.ISAS[isa], words_bytes(depth)
    row_dot, whole, flip = row_dot_intrinsic(isa, depth), whole_vectors(isa, depth), isa.flip
    weight_bytes, groups = (depth // 2 if int4 else depth), depth // GROUP

    def dynamic_linear(params, tensors, scratch, thread, n_threads):
        rows = carray(params, 1, np.int64)[0]
        x, out = carray(tensors[0], (rows, depth), np.float32), carray(tensors[out_at], (rows, outputs), np.float32)
        scale, bias = carray(tensors[2], outputs, np.float32), carray(tensors[bias_at], outputs, np.float32)
        words = carray(scratch, (ROWS, row_bytes), np.int8)
        scales = carray(advance(scratch, ROWS * row_bytes), ROWS, np.float32)
        starts = carray(advance(scratch, ROWS * (row_bytes + 4)), ROWS, np.int32)
        for first in range(0, rows, ROWS):
            count = min(ROWS, rows - first)
            for r in range(count):
                scales[r] = quantise_row(x[first + r], depth, words[r])
                starts[r] = flip_of(words[r], whole, flip)
            for output in range(share(outputs, thread, n_threads), share(outputs, thread + 1, n_threads)):
                weights = advance(tensors[1], output * weight_bytes)
                for r in range(count):
                    row = advance(scratch, r * row_bytes)
                    if int4:
                        acc = nibbles_dot(row, weights, advance(tensors[groups_at], output * groups), groups)
                    else:
                        acc = row_dot(row, weights, starts[r])
                    value = np.float32(acc) * (scales[r] * scale[output])
                    out[first + r, output] = value + bias[output] if bias_at else value

    return dynamic_linear


def words_bytes(depth):
    """Of a quantised row in scratch."""
    return -(-depth // 64) * 64


def bind(op, inputs, outputs, attrs):
    x, weight, _, bias, group_scale = (*inputs, *[None] * (5 - len(inputs)))
    depth, o = x.shape[-1], weight.shape[0]
    rows = x.size // depth
    settings = {
        "isa": simd.vocabulary().name,
        "depth": depth,
        "outputs": o,
        "int4": group_scale is not None,
        "bias_at": 3 if bias is not None else 0,
        "groups_at": 4 if group_scale is not None else 0,
        "out_at": len(inputs),
    }
    scratch_bytes = ROWS * (words_bytes(depth) + 8)
    return step(op, compiled(make_dynamic_linear, settings), counts(rows), rows * depth * o, scratch_bytes)
