"""THE rounding rule, on plain Python numbers, and the constants that every tier derives from scales in the same way.

An int8 kernel adds products exactly in int32 and comes back to 8 bits once:

    q = clamp(rne(float32(acc) * multiplier) + zero_point, clamp_min, clamp_max)

`float32(acc)` and the product are each rounded to float32, `rne` rounds half to even. IEEE 754 fixes every step, so
NumPy, compiled C, AVX and NEON agree bit for bit as long as nobody fuses the product into an addition.
Multipliers are computed in double from float32 scales and rounded once. No NumPy here: the native tier lives without.
"""

from math import exp
from struct import pack, unpack


def float32(value):
    """`value` rounded to the nearest float32, half to even; beyond its range, infinity."""
    try:
        return unpack("f", pack("f", value))[0]
    except OverflowError:
        return float("inf") if value > 0 else float("-inf")


def multipliers(scale_in, scale_weight, scale_out):
    """float32((s_in * s_w[c]) / s_out) for each output channel c (one, where weights have one scale)."""
    return [float32(scale_in * scale / scale_out) for scale in scale_weight]


def requantise(acc, multiplier, zero_point, clamp_min=-128, clamp_max=127):
    """The rule itself, for one accumulator. acc: int32. multiplier: a float32 value."""
    # The product of two float32 has 48 bits: exact in double, so float32() below rounds it once, as hardware does.
    v = float32(float32(acc) * multiplier)
    return round(min(max(v, clamp_min - zero_point), clamp_max - zero_point)) + zero_point


def softmax_table(scale, beta=1.0):
    """T[d] = rne(exp(-d * scale * beta) * 2**23) for d = max(row) - x in 0..255: 256 ints that fit int32."""
    return [round(exp(-d * scale * beta) * 2.0**23) for d in range(256)]
