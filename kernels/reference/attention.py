"""Causal attention of new tokens over a cache of keys and values that already holds them."""

import numpy as np

from edgert.kernels.reference.dynamic_linear import quantise_rows
from edgert.kernels.reference.float_order import exp, ordered_sum
from edgert.kernels.reference.tokens import cache_views


def attention(q, k_cache, v_cache, position, out, *, scale, window):
    """For token i, at p = position + i, softmax over rows c of (q . k[c]) * scale, and the sum of v[c] by its weights.

    q, out (T, H, D) float32. Caches as `cache_append` leaves them, (K, C, ...): head h reads head h // (H / K) of them.
    Rows c <= p count, and c > p - window where window is not 0.

    Float caches: q . k by `ordered_sum` of the products, times scale. Int8 caches: q is quantised per token and head,
    the dot product is an exact integer; its float32 times ((scale of q * scale) * scale of k[c]).
    Then e[c] = exp(score - largest score) and total = ordered_sum(e), c counted from the first row that counts; the
    result is (sum over c, one after another, of e[c] * v[c]) * (1 / total); in int8 (e[c] * scale of v[c]) * words.
    """
    tokens, heads, _ = q.shape
    shared = heads // k_cache.shape[0]
    for i in range(tokens):
        last = min(max(int(position[0]), 0) + i, k_cache.shape[1] - 1)
        first = max(last + 1 - window, 0) if window else 0
        rows = np.s_[first : last + 1]
        if k_cache.dtype == np.float32:
            keys, values = (np.repeat(cache[:, rows], shared, axis=0) for cache in (k_cache, v_cache))
            scores = ordered_sum(q[i, :, None, :] * keys) * np.float32(scale)
        else:
            scores, values, value_scale = _int8_scores(q[i], k_cache, v_cache, rows, shared, np.float32(scale))
        weights = exp(scores - scores.max(axis=-1, keepdims=True))
        inverse = np.float32(1) / ordered_sum(weights)
        if k_cache.dtype != np.float32:
            weights = weights * value_scale
        total = np.zeros_like(q[i])
        for c in range(weights.shape[1]):
            total += weights[:, c, None] * values[:, c]
        out[i] = total * inverse[:, None]


def _int8_scores(q, k_cache, v_cache, rows, shared, scale):
    (keys, key_scale), (values, value_scale) = cache_views(k_cache), cache_views(v_cache)
    spread = [np.repeat(part[:, rows], shared, axis=0) for part in (keys, key_scale, values, value_scale)]
    words, row_scale = quantise_rows(q)
    dots = np.einsum("hd,hcd->hc", words.astype(np.int32), spread[0].astype(np.int32))
    scores = dots.astype(np.float32) * ((row_scale * scale) * spread[1])
    return scores, spread[2].astype(np.float32), spread[3]


def bind(op, inputs, outputs, attrs):
    scale, window = attrs["scale"], attrs.get("window", 0)
    return lambda arrays_in, arrays_out: attention(*arrays_in, *arrays_out, scale=scale, window=window)
