"""`edgert.kernels.requant`'s rule on arrays, and what the ops read from tensor specs."""

import numpy as np

from edgert.kernels import requant


def requantise(acc, multiplier, zero_point, clamp_min, clamp_max):
    """int32 accumulators to int8 words. multiplier: float32, one or one per channel (the last axis of acc)."""
    return to_words(acc.astype(np.float32) * multiplier, zero_point, clamp_min, clamp_max)


def to_words(v, zero_point, clamp_min, clamp_max):
    """v (float32, in steps of the output's scale) to int8 words: round half to even, add the zero point, clamp."""
    assert v.dtype == np.float32  # a stray float64 would round differently
    return (np.clip(np.rint(v), clamp_min - zero_point, clamp_max - zero_point) + zero_point).astype(np.int8)


def wrap_int32(acc):
    """Exact integers held in any wider type, as int32 in two's complement (as every tier's accumulator behaves)."""
    return acc.astype(np.int64).astype(np.int32)


def exact_float(terms, x_zero_point=-128, weight_zero_point=-128):
    """The float type whose matrix product is exact for sums of `terms` products of int8 less their zero points.

    Floats hold every integer up to 2**24 (float32) or 2**53 (float64), so no partial sum is ever rounded, whatever the
    order of the additions; and NumPy multiplies float matrices some twenty times faster than integer ones.
    """
    largest = terms * largest_word(x_zero_point) * largest_word(weight_zero_point)
    return np.float32 if largest <= 2**24 else np.float64


def largest_word(zero_point):
    """The largest |q - zero_point| over int8 words q."""
    return max(127 - zero_point, zero_point + 128)


def float_multiplier(value):
    """A multiplier computed in double, rounded once to float32."""
    return np.float32(value)


def channel_multipliers(x, weight, out):
    """float32 array: the multiplier of each output channel (of length 1 where the weight has one scale)."""
    return np.array(requant.multipliers(scale(x), weight.quant.scale, scale(out)), np.float32)


def scale(spec):
    return spec.quant.scale[0]


def zero_point(spec):
    return spec.quant.zero_point


def all_of(dtype, *specs):
    return all(spec is None or spec.dtype == dtype for spec in specs)


def clamp_of(out, attrs):
    """clamp_min and clamp_max for the output's words, by default the whole range of its dtype."""
    if out.dtype == "float32":
        low, high = -np.inf, np.inf
    else:
        info = np.iinfo(out.dtype)
        low, high = int(info.min), int(info.max)
    return {"clamp_min": attrs.get("clamp_min", low), "clamp_max": attrs.get("clamp_max", high)}


def with_bias(items):
    """x, weight and bias, the last None where it was left out."""
    return items if len(items) == 3 else (*items, None)
