"""Arithmetic on two tensors that broadcast to each other.

int8: both operands become float32 real numbers in steps of the output's scale, in the written order of operations,
each step rounded to float32. int32 and int64: plain integers that wrap. float32: float32.
"""

import numpy as np

from edgert.kernels.reference.rounding import all_of, clamp_of, float_multiplier, scale, to_words, zero_point


def add_int8(a, b, out, *, a_zero_point, b_zero_point, multiplier_a, multiplier_b, **output):
    t, u = _scaled(a, a_zero_point, multiplier_a), _scaled(b, b_zero_point, multiplier_b)
    out[...] = to_words(t + u, **output)


def sub_int8(a, b, out, *, a_zero_point, b_zero_point, multiplier_a, multiplier_b, **output):
    t, u = _scaled(a, a_zero_point, multiplier_a), _scaled(b, b_zero_point, multiplier_b)
    out[...] = to_words(t - u, **output)


def minimum_int8(a, b, out, *, a_zero_point, b_zero_point, multiplier_a, multiplier_b, **output):
    t, u = _scaled(a, a_zero_point, multiplier_a), _scaled(b, b_zero_point, multiplier_b)
    out[...] = to_words(np.minimum(t, u), **output)


def maximum_int8(a, b, out, *, a_zero_point, b_zero_point, multiplier_a, multiplier_b, **output):
    t, u = _scaled(a, a_zero_point, multiplier_a), _scaled(b, b_zero_point, multiplier_b)
    out[...] = to_words(np.maximum(t, u), **output)


def mul_int8(a, b, out, *, a_zero_point, b_zero_point, multiplier, **output):
    product = (a.astype(np.int32) - a_zero_point) * (b.astype(np.int32) - b_zero_point)  # at most 255 * 255
    out[...] = to_words(product.astype(np.float32) * multiplier, **output)


def div_int8(a, b, out, *, a_zero_point, b_zero_point, multiplier, **output):
    """x / 0 saturates by the sign of x; 0 / 0 is 0."""
    dividend = a.astype(np.float32) - np.float32(a_zero_point)
    divisor = b.astype(np.float32) - np.float32(b_zero_point)
    with np.errstate(divide="ignore", invalid="ignore"):
        quotient = dividend / divisor
    quotient[(dividend == 0) & (divisor == 0)] = 0
    out[...] = to_words(quotient * multiplier, **output)


def squared_difference_int8(a, b, out, *, a_zero_point, b_zero_point, scale_a, scale_b, multiplier, **output):
    difference = _scaled(a, a_zero_point, scale_a) - _scaled(b, b_zero_point, scale_b)
    out[...] = to_words((difference * difference) * multiplier, **output)


def _scaled(words, zero_point, multiplier):
    """float32(words - zero_point) * multiplier; the difference is exact in float32."""
    return (words.astype(np.float32) - np.float32(zero_point)) * multiplier


def truncating_divide(a, b):
    """Integer division as C does it, toward zero; x / 0 is 0."""
    quotient = np.floor_divide(a, b)
    inexact = (quotient * b != a) & (b != 0)
    return quotient + (inexact & ((a < 0) != (b < 0)))


PLAIN = {  # on integers and on float32
    "add": (np.add, np.add),
    "sub": (np.subtract, np.subtract),
    "mul": (np.multiply, np.multiply),
    "div": (truncating_divide, np.divide),
    "minimum": (np.minimum, np.minimum),
    "maximum": (np.maximum, np.maximum),
    "floor_div": (np.floor_divide, lambda a, b: np.floor(a / b)),
    "squared_difference": (lambda a, b: (a - b) * (a - b), lambda a, b: (a - b) * (a - b)),
    "pow": (None, np.power),
}
OPS = tuple(PLAIN)
INT8 = {
    "add": add_int8,
    "sub": sub_int8,
    "minimum": minimum_int8,
    "maximum": maximum_int8,
    "mul": mul_int8,
    "div": div_int8,
    "squared_difference": squared_difference_int8,
}


def bind(op, inputs, outputs, attrs):
    (a, b), (out,) = inputs, outputs
    if out.dtype in ("float32", "int32", "int64") and all_of(out.dtype, a, b):
        function = PLAIN[op][out.dtype == "float32"]
        return function and _bind_plain(function, clamp_of(out, attrs))
    if all_of("int8", a, b, out) and op in INT8:
        function, settings = INT8[op], int8_settings(op, a, b, out) | clamp_of(out, attrs)
        # At least one axis: NumPy turns the results of rank 0 into scalars, which cannot be written to.
        return lambda arrays_in, arrays_out: function(*map(np.atleast_1d, (*arrays_in, *arrays_out)), **settings)
    return None


def _bind_plain(function, clamp):
    def run(arrays_in, arrays_out):
        with np.errstate(all="ignore"):  # integers wrap, floats follow IEEE 754
            np.clip(function(*arrays_in), clamp["clamp_min"], clamp["clamp_max"], out=arrays_out[0])

    return run


def int8_settings(op, a, b, out):
    """Zero points and the float32 multipliers, each computed in double and rounded once."""
    s_a, s_b, s_out = scale(a), scale(b), scale(out)
    settings = {"a_zero_point": zero_point(a), "b_zero_point": zero_point(b), "zero_point": zero_point(out)}
    if op == "mul":
        return settings | {"multiplier": float_multiplier(s_a * s_b / s_out)}
    if op == "div":
        return settings | {"multiplier": float_multiplier(s_a / (s_b * s_out))}
    if op == "squared_difference":
        scales = {"scale_a": float_multiplier(s_a), "scale_b": float_multiplier(s_b)}
        return settings | scales | {"multiplier": float_multiplier(1.0 / s_out)}
    return settings | {"multiplier_a": float_multiplier(s_a / s_out), "multiplier_b": float_multiplier(s_b / s_out)}
