"""Between element types: cast (words as numbers), quantize and dequantize (words as real numbers)."""

import numpy as np

from edgert.kernels.reference.rounding import scale, zero_point

OPS = ("cast", "quantize", "dequantize")


def cast(x, out):
    """Floats to integers toward zero, out-of-range ones to the nearest, NaN to 0; between integers words wrap."""
    if out.dtype == bool:
        out[...] = x != 0
    elif x.dtype == np.float32 and out.dtype != np.float32:
        out[...] = saturate(np.trunc(np.nan_to_num(x, nan=0.0, posinf=np.inf, neginf=-np.inf)), out.dtype)
    else:
        out[...] = x.astype(out.dtype)


def quantize(x, out, *, scale, zero_point):
    """v = x / scale in float32; rne(v) + zero_point, clamped to the type of out. NaN gives its smallest word."""
    with np.errstate(over="ignore"):  # infinity saturates
        steps = np.rint(x / np.float32(scale))
    out[...] = saturate(np.where(np.isnan(steps), -np.inf, steps).astype(np.float64) + zero_point, out.dtype)


def dequantize(x, out, *, scale, zero_point):
    """float32(q - zero_point) * scale in float32."""
    with np.errstate(over="ignore"):
        out[...] = (x.astype(np.int64) - zero_point).astype(np.float32) * np.float32(scale)


def saturate(v, dtype):
    """Whole numbers in a float type, which may be infinite, to the nearest of an integer type."""
    low, high = int(np.iinfo(dtype).min), int(np.iinfo(dtype).max)
    inside = (v >= low) & (v < high)  # high itself may round up on its way to float
    words = np.where(inside, v, 0).astype(dtype)
    return np.where(inside, words, np.where(v < low, low, high).astype(dtype))


def bind(op, inputs, outputs, attrs):
    (x,), (out,) = inputs, outputs
    if op == "cast":
        return lambda arrays_in, arrays_out: cast(*arrays_in, *arrays_out)
    real, words = (x, out) if op == "quantize" else (out, x)
    if real.dtype != "float32" or words.dtype not in ("int8", "uint8", "int16", "int32"):
        return None
    function = quantize if op == "quantize" else dequantize
    settings = {"scale": scale(words), "zero_point": zero_point(words)}
    return lambda arrays_in, arrays_out: function(*arrays_in, *arrays_out, **settings)
