"""Layer norm and RMS norm along the last axis."""

import numpy as np

from edgert.kernels.reference.float_order import ordered_sum


def layer_norm(x, weight, bias, out, *, epsilon):
    """out = (x - mean) * (1 / sqrt(variance + epsilon)) * weight + bias, both means by `ordered_sum`.

    x, out (..., C) float32. weight (C,). bias (C,) or None.
    """
    count = np.float32(x.shape[-1])
    centred = x - (ordered_sum(x) / count)[..., None]
    result = centred * _inverse_root(centred, count, epsilon) * weight
    out[...] = result if bias is None else result + bias


def rms_norm(x, weight, out, *, epsilon):
    """out = x * (1 / sqrt(mean of squares + epsilon)) * weight."""
    out[...] = x * _inverse_root(x, np.float32(x.shape[-1]), epsilon) * weight


def _inverse_root(x, count, epsilon):
    return (np.float32(1) / np.sqrt(ordered_sum(x * x) / count + np.float32(epsilon)))[..., None]


def bind(op, inputs, outputs, attrs):
    epsilon = attrs.get("epsilon", 1e-5)
    if op == "rms_norm":
        return lambda arrays_in, arrays_out: rms_norm(*arrays_in, *arrays_out, epsilon=epsilon)

    def run(arrays_in, arrays_out):
        layer_norm(*arrays_in, *[None] * (3 - len(arrays_in)), *arrays_out, epsilon=epsilon)

    return run
