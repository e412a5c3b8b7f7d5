"""A function of one int8 word, given as its 256 results: every unary activation in int8, and requantisation.

Channels may have a table each, so that they can have a scale each before and behind the function.
"""

import numpy as np

from edgert.kernels.reference import unary
from edgert.kernels.reference.rounding import all_of


def lookup_int8(x, table, out):
    """out = table[x + 128]. x, out: int8 (..., C). table (256) int8, or (C, 256): one for each channel."""
    words = x.astype(np.intp) + 128
    out[...] = table[words] if table.ndim == 1 else table[np.arange(len(table)), words]


def build_table(function, in_quant, out_quant, alpha=0.0, clamp_min=-128, clamp_max=127):
    """The table (256) int8 of a real function between two quantisations, computed in float64.

    function: a name of `unary.FUNCTIONS`, "identity" (requantisation), or a callable on float64 arrays.
    table[q + 128] = clamp(rne(f(s_in * (q - z_in)) / s_out) + z_out); where f is NaN, as for 0.
    """
    real = in_quant.scale[0] * (np.arange(-128, 128, dtype=np.float64) - in_quant.zero_point)
    if callable(function):
        result = function(real)
    else:
        result = real if function == "identity" else unary.apply(function, real, alpha)
    steps = np.nan_to_num(np.asarray(result, np.float64) / out_quant.scale[0], nan=0.0)
    return np.clip(np.rint(steps) + out_quant.zero_point, clamp_min, clamp_max).astype(np.int8)


def bind(op, inputs, outputs, attrs):
    if not all_of("int8", *inputs, *outputs):
        return None
    return lambda arrays_in, arrays_out: lookup_int8(*arrays_in, *arrays_out)
