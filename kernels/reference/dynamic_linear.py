"""A linear layer on float32 whose weights are int8 or int4 and whose activations become int8 row by row at run time."""

import numpy as np

from edgert.kernels.reference.rounding import wrap_int32

GROUP = 32
BLOCK_WEIGHTS = 2**20  # that are float64 at a time: a head of 50,000 rows need not fit memory so
SMALLEST = np.float32(1e-30)  # rows below it count as zero: 127 / absmax would leave float32


def quantise_rows(x):
    """x (..., K) float32 -> (words (..., K) int8 in -127..127, scale (..., 1) float32), symmetric per row.

    scale = absmax / 127; words = rne(x * (127 / absmax)); a row with an absmax below 1e-30 is zero, with scale 0.
    """
    largest = np.abs(x).max(axis=-1, keepdims=True)
    zero = ~(largest >= SMALLEST)
    with np.errstate(all="ignore"):
        inverse = np.where(zero, np.float32(0), np.float32(127) / largest)
        words = np.clip(np.nan_to_num(np.rint(x * inverse)), -127, 127).astype(np.int8)
    return words, np.where(zero, np.float32(0), largest / np.float32(127))


def integers(weight, group_scale):
    """Quantised weights as integers (float64, exact), still to be multiplied by their row's scale.

    weight (O, K) int8; or (O, K / 2) uint8 with group_scale (O, K / 32) int8: of a group of 32 weights byte j holds the
    j-th in its low four bits and the (j + 16)-th in its high ones, each plus 8.
    """
    if group_scale is None:
        return weight.astype(np.float64)
    groups = weight.reshape(len(weight), -1, GROUP // 2)
    nibbles = np.concatenate([groups & 15, groups >> 4], axis=-1).astype(np.float64) - 8
    return (nibbles * group_scale[..., None]).reshape(len(weight), -1)


def dynamic_linear(x, weight, scale, bias, group_scale, out):
    """out = float32(sum of words * integers) * (row scale of x * scale) + bias, the sum exact in int32.

    x (..., K) float32. scale (O,) float32. bias (O,) float32 or None. out (..., O) float32.
    """
    words, row_scale = quantise_rows(x)
    words, acc = words.astype(np.float64), np.empty(out.shape, np.int32)
    step = max(BLOCK_WEIGHTS // x.shape[-1], 1)
    for first in range(0, len(weight), step):
        rows = np.s_[first : first + step]
        groups = None if group_scale is None else group_scale[rows]
        acc[..., rows] = wrap_int32(words @ integers(weight[rows], groups).T)
    result = acc.astype(np.float32) * (row_scale * scale)
    out[...] = result if bias is None else result + bias


def bind(op, inputs, outputs, attrs):
    if inputs[0].dtype != "float32" or outputs[0].dtype != "float32":
        return None

    def run(arrays_in, arrays_out):
        dynamic_linear(*arrays_in, *[None] * (5 - len(arrays_in)), *arrays_out)

    return run
