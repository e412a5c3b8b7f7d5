"""lookup: a function of one int8 word, given as its 256 results; one for all words, or one for each channel."""

import numpy as np
from numba import carray

from edgert.kernels.jit.compiler import MOVE, Constants, compiled, step
from edgert.kernels.jit.primitives import int8_only, share


def make_lookup(size):
    def lookup(params, tensors, scratch, thread, n_threads):
        table = carray(params, 256, np.int8)  # a byte's bits are its place
        x, out = carray(tensors[0], size, np.uint8), carray(tensors[2], size, np.int8)
        for i in range(share(size, thread, n_threads), share(size, thread + 1, n_threads)):
            out[i] = table[x[i]]

    return lookup


def make_channel_lookup(rows, channels):
    def channel_lookup(params, tensors, scratch, thread, n_threads):
        tables = carray(params, (channels, 256), np.int8)
        x, out = carray(tensors[0], (rows, channels), np.uint8), carray(tensors[2], (rows, channels), np.int8)
        for row in range(share(rows, thread, n_threads), share(rows, thread + 1, n_threads)):
            for c in range(channels):
                out[row, c] = tables[c, x[row, c]]

    return channel_lookup


def bind(op, inputs, outputs, attrs):
    (x, table), (out,) = inputs, outputs
    if not int8_only(x, out) or table.data is None:
        return None
    constants = Constants()
    by_bits = np.roll(np.frombuffer(table.data, np.int8).reshape(table.shape), 128, axis=-1)
    constants.add(by_bits)
    if by_bits.ndim == 2:
        shape = {"rows": x.size // len(by_bits), "channels": len(by_bits)}
        return step(op, compiled(make_channel_lookup, shape), constants, x.size * MOVE)
    return step(op, compiled(make_lookup, {"size": x.size}), constants, x.size * MOVE)
