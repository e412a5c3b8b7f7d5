"""Linear layer (fully connected): every output is a weighted sum of the last axis."""

import numpy as np

from edgert.kernels.reference.conv2d import int8_settings
from edgert.kernels.reference.rounding import all_of, clamp_of, exact_float, requantise, with_bias, wrap_int32


def linear_int8(
    x, weight, bias, out, *, x_zero_point, weight_zero_point, multiplier, out_zero_point, clamp_min, clamp_max
):
    """acc = bias + sum (x - x_zero_point) * (weight - weight_zero_point) in int32, then the rounding rule.

    x (..., I) int8. weight (O, I) int8. bias (O) int32 or None. out (..., O) int8. multiplier: float32 (O) or (1).
    """
    exact = exact_float(weight.shape[1], x_zero_point, weight_zero_point)
    real_x, real_weight = x.astype(exact) - exact(x_zero_point), weight.astype(exact) - exact(weight_zero_point)
    acc = wrap_int32(real_x @ real_weight.T)
    if bias is not None:
        acc += bias
    out[...] = requantise(acc, multiplier, out_zero_point, clamp_min, clamp_max)


def linear_float32(x, weight, bias, out, *, clamp_min, clamp_max):
    """The same in float32: x (..., I), weight (O, I), out (..., O)."""
    acc = x @ weight.T
    if bias is not None:
        acc += bias
    np.clip(acc, clamp_min, clamp_max, out=out)


def bind(op, inputs, outputs, attrs):
    (x, weight, bias), (out,) = with_bias(inputs), outputs
    settings = clamp_of(out, attrs)
    if all_of("float32", x, weight, bias, out):
        return lambda arrays_in, arrays_out: linear_float32(*with_bias(arrays_in), *arrays_out, **settings)
    if all_of("int8", x, weight, out):
        settings |= int8_settings(x, weight, out)
        return lambda arrays_in, arrays_out: linear_int8(*with_bias(arrays_in), *arrays_out, **settings)
    return None
