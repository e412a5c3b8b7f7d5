"""What a language model does with rows of tokens outside its products: look up, turn, gate, remember, select."""

import numpy as np

from edgert.kernels.reference.dynamic_linear import integers, quantise_rows
from edgert.kernels.reference.float_order import GATES

SCALE_BYTES = 4


def positions(tokens, position, out):
    """out[i] = position + i (T,) int32; a negative position counts as 0."""
    out[...] = max(int(position[0]), 0) + np.arange(len(tokens))


def embedding(ids, table, scale, group_scale, out):
    """out[i] = row ids[i] of the table, ids clamped to its rows; float32, or int8 and int4 as weights are."""
    ids = np.clip(ids, 0, len(table) - 1)
    if scale is None:
        out[...] = table[ids]
    else:
        rows = integers(table[ids], None if group_scale is None else group_scale[ids])
        out[...] = rows.astype(np.float32) * scale[ids, None]


def rope(x, table, position, out, *, interleaved):
    """Turn pairs (a, b) of every head by the angle of its row: a * cos - b * sin, b * cos + a * sin.

    x, out (T, H, D) float32. table (C, R) float32: of each position R / 2 cosines, then R / 2 sines. Pairs are numbers
    2i and 2i + 1 of a head (interleaved) or i and i + R / 2; what lies behind the first R passes. Positions beyond the
    table are clamped. Source: Su et al., RoFormer, 2021, section 3.4.
    """
    at = np.clip(int(position[0]) + np.arange(len(x)), 0, len(table) - 1)
    half = table.shape[1] // 2
    cos, sin = table[at, None, :half], table[at, None, half:]
    first, second = np.s_[: 2 * half : 2], np.s_[1 : 2 * half : 2]
    if not interleaved:
        first, second = np.s_[:half], np.s_[half : 2 * half]
    a, b = x[..., first], x[..., second]
    turned = x.copy()
    turned[..., first], turned[..., second] = a * cos - b * sin, b * cos + a * sin
    out[...] = turned


def cache_append(x, position, cache):
    """Put the heads of token i into row position + i of the cache; what does not fit is dropped.

    x (T, H, D) float32. cache (H, C, D) float32; or (H, C, D + 4) int8: of each head C rows of D words, quantised per
    token and head by `quantise_rows`, and then C float32 scales.
    """
    context = cache.shape[1]
    first = max(int(position[0]), 0)
    count = max(min(len(x), context - first), 0)
    rows = np.s_[:, first : first + count]
    if cache.dtype == np.float32:
        cache[rows] = x[:count].transpose(1, 0, 2)
        return
    words, scales = cache_views(cache)
    new, scale = quantise_rows(x[:count].transpose(1, 0, 2))
    words[rows], scales[rows] = new, scale[..., 0]


def cache_views(cache):
    """Words (H, C, D) int8 and scales (H, C) float32 of an int8 cache, as views."""
    heads, context, width = cache.shape
    flat = cache.reshape(heads, -1)
    words = flat[:, : context * (width - SCALE_BYTES)].reshape(heads, context, width - SCALE_BYTES)
    return words, flat[:, context * (width - SCALE_BYTES) :].view(np.float32)


def gate(x, other, out, *, function):
    """out = function(x), times the second operand where there is one; float32, functions of `float_order`."""
    with np.errstate(all="ignore"):
        result = GATES[function](x)
        out[...] = result if other is None else result * other


def bind(op, inputs, outputs, attrs):
    def run(arrays_in, arrays_out):
        (out,) = arrays_out
        if op == "positions":
            positions(*arrays_in, out)
        elif op == "embedding":
            embedding(*arrays_in, *[None] * (4 - len(arrays_in)), out)
        elif op == "rope":
            rope(*arrays_in, out, interleaved=attrs.get("interleaved", 0))
        elif op == "cache_append":
            cache_append(*arrays_in, out)
        elif op == "gate":
            gate(*arrays_in, *[None] * (2 - len(arrays_in)), out, function=attrs["function"])
        else:
            out[...] = arrays_in[0][-1:]

    return run


OPS = ("positions", "embedding", "rope", "cache_append", "gate", "last_row")
