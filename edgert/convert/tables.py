"""Lookup tables: every function of one int8 tensor is 256 bytes, `y = table[q + 128]`, built here in float64."""

import numpy as np

from edgert.kernels.reference import unary

WORDS = np.arange(-128, 128)


def function(function, alpha=0.0, beta=0.0):
    """A float64 function of one array: one of the op `unary`'s."""
    return lambda x: unary.apply(function, x, alpha, beta)


def build(steps, quant_in, quant_out, channels=None):
    """The table of a chain of functions between two quantisations.

    steps: float64 functions of one array, applied in order to `real = scale * (q - zero_point)`; none: requantises.
    channels: of functions that differ from channel to channel, which are given (256, C).
    Returns (256) int8, or (C, 256): clamp(rne(y / s_out) + z_out); what is not a number becomes the smallest word.
    """
    with np.errstate(all="ignore"):
        y = quant_in.scale[0] * (WORDS - quant_in.zero_point).astype(np.float64)
        if channels is not None:
            y = np.repeat(y[:, np.newaxis], channels, axis=1)
        for step in steps:
            y = step(y)
        words = (np.rint(y / quant_out.scale[0]) + quant_out.zero_point).T
    return np.clip(np.where(np.isnan(words), -128.0, words), -128.0, 127.0).astype(np.int8)


def identity():
    """The table that changes nothing."""
    return WORDS.astype(np.int8)


def compose(first, second):
    """The table of `second` applied to what `first` gives; either may be one for each channel, (C, 256)."""
    words = first.astype(np.int64) + 128
    return second[words] if second.ndim == 1 else second[np.arange(len(second))[:, np.newaxis], words]


def as_clamp(table):
    """(low, high) when the table only clamps its words to that range, else None."""
    low, high = int(table.min()), int(table.max())
    return (low, high) if np.array_equal(table, np.clip(WORDS, low, high)) else None
