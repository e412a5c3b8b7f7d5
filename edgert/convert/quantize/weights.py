"""Weights to int8 words, one scale per output channel; biases to int32 at input scale * weight scale."""

import numpy as np

from edgert.graph import Quant

CHANNEL_AXIS = {"conv2d": 0, "transpose_conv2d": 0, "linear": 0, "depthwise_conv2d": 2}
LARGEST = 127  # symmetric: -128 is left out, as the dot product of two instruction sets cannot take it
MAX_BIAS = 2**30  # of an int32 accumulator, the other half is for the products


def scales(weight, axis, scale_in, bias=None):
    """One float32 scale per output channel: its largest weight is 127 words, and its bias fits an int32.

    weight: float32, any layout. scale_in: of the activations. bias: float32, one per channel, or None.
    """
    others = tuple([i for i in range(weight.ndim) if i != axis])
    spans = np.abs(weight).max(others).astype(np.float64) / LARGEST
    if bias is not None:
        spans = np.maximum(spans, np.abs(bias).astype(np.float64) / (scale_in * MAX_BIAS))
    return np.maximum(spans, np.finfo(np.float32).tiny * 2.0**30).astype(np.float32)


def words(weight, axis, scale):
    """The nearest words of `weight` at `scale` (one per index of `axis`): int8 in -127..127."""
    return np.clip(np.rint(weight / along(scale, axis, weight.ndim)), -LARGEST, LARGEST).astype(np.int8)


def along(values, axis, ndim):
    """values (C) shaped so that they broadcast along `axis` of an array of `ndim` dimensions."""
    return np.asarray(values).reshape([-1 if i == axis else 1 for i in range(ndim)])


def bias_words(bias, scale_in, scale):
    """(int32 words of a float bias, their Quant): what an accumulator of inputs times weights counts in."""
    steps = (scale_in * scale.astype(np.float64)).astype(np.float32)
    steps = np.maximum(steps, np.finfo(np.float32).tiny)
    rounded = np.rint(bias.astype(np.float64) / (scale_in * scale.astype(np.float64)))
    return np.clip(rounded, -(2**31), 2**31 - 1).astype(np.int32), Quant(floats(steps), 0, 0)


def floats(array):
    """A tuple of Python floats that float32 holds exactly."""
    return tuple([float(value) for value in np.asarray(array, np.float32).ravel()])
