"""Causal attention over a cache of keys and values, and what fills the cache.

An int8 cache has, of each head, `context` rows of words and then as many float32 scales.
"""

import numpy as np
from numba import carray

from edgert.kernels.jit import gemm, simd
from edgert.kernels.jit.compiler import compiled, step
from edgert.kernels.jit.primitives import advance, share
from edgert.kernels.jit.rows import (
    ONE,
    counts,
    dot_floats,
    exp,
    flip_of,
    quantise_row,
    row_dot_intrinsic,
    sum_floats,
    whole_vectors,
)


def make_attention(isa, heads, kv_heads, context, head_dim, scale, window, int8):
    isa, scale, shared = gemm.ISAS[isa], np.float32(scale), heads // kv_heads
    row_dot, whole, flip = row_dot_intrinsic(isa, head_dim), whole_vectors(isa, head_dim), isa.flip
    row_bytes = head_dim if int8 else 4 * head_dim
    plane = context * (head_dim + 4) if int8 else context * row_bytes
    kind = np.int8 if int8 else np.float32

    def attention(params, tensors, scratch, thread, n_threads):
        tokens = carray(params, 1, np.int64)[0]
        position = max(carray(tensors[3], 1, np.int32)[0], 0)
        scores = carray(scratch, context, np.float32)
        words_at = advance(scratch, 4 * context)
        words = carray(words_at, head_dim, np.int8)
        for item in range(share(tokens * heads, thread, n_threads), share(tokens * heads, thread + 1, n_threads)):
            head, token = item // tokens, item % tokens
            last = min(position + token, context - 1)
            first = max(last + 1 - window, 0) if window else 0
            count, here = last + 1 - first, (token * heads + head) * 4 * head_dim
            keys, values = advance(tensors[1], head // shared * plane), advance(tensors[2], head // shared * plane)
            key_scale = carray(advance(keys, context * head_dim), context, np.float32)
            value_scale = carray(advance(values, context * head_dim), context, np.float32)
            q_at = advance(tensors[0], here)
            if int8:
                by = quantise_row(carray(q_at, head_dim, np.float32), head_dim, words) * scale
                start = flip_of(words, whole, flip)
                for c in range(count):
                    dot = row_dot(words_at, advance(keys, (first + c) * row_bytes), start)
                    scores[c] = np.float32(dot) * (by * key_scale[first + c])
            else:
                for c in range(count):
                    scores[c] = dot_floats(q_at, advance(keys, (first + c) * row_bytes), head_dim) * scale
            largest = scores[0]
            for c in range(count):
                largest = max(largest, scores[c])
            for c in range(count):
                scores[c] = exp(scores[c] - largest)
            inverse = ONE / sum_floats(scratch, count)
            out = carray(advance(tensors[4], here), head_dim, np.float32)
            for d in range(head_dim):
                out[d] = np.float32(0)
            for c in range(count):
                weight = scores[c] * value_scale[first + c] if int8 else scores[c]
                row = carray(advance(values, (first + c) * row_bytes), head_dim, kind)
                for d in range(head_dim):
                    out[d] = out[d] + weight * np.float32(row[d])
            for d in range(head_dim):
                out[d] = out[d] * inverse

    return attention


def make_cache_append(kv_heads, context, head_dim, int8):
    row_bytes = head_dim if int8 else 4 * head_dim
    plane = context * (head_dim + 4) if int8 else context * row_bytes

    def cache_append(params, tensors, scratch, thread, n_threads):
        tokens = carray(params, 1, np.int64)[0]
        position = max(carray(tensors[1], 1, np.int32)[0], 0)
        x = carray(tensors[0], (tokens, kv_heads, head_dim), np.float32)
        for token in range(min(tokens, context - position)):
            for head in range(kv_heads):
                cache = advance(tensors[2], head * plane)
                row = advance(cache, (position + token) * row_bytes)
                if int8:
                    scales = carray(advance(cache, context * head_dim), context, np.float32)
                    words = carray(row, head_dim, np.int8)
                    scales[position + token] = quantise_row(x[token, head], head_dim, words)
                else:
                    numbers = carray(row, head_dim, np.float32)
                    for d in range(head_dim):
                        numbers[d] = x[token, head, d]

    return cache_append


def bind(op, inputs, outputs, attrs):
    x, cache = inputs[0], outputs[0] if op == "cache_append" else inputs[1]
    tokens, heads, head_dim = x.shape
    kv_heads, context = cache.shape[:2]
    settings = {"kv_heads": kv_heads, "context": context, "head_dim": head_dim, "int8": cache.dtype == "int8"}
    if op == "cache_append":
        return step(op, compiled(make_cache_append, settings), counts(tokens))
    settings |= {"isa": simd.vocabulary().name, "heads": heads}
    settings |= {"scale": attrs["scale"], "window": attrs.get("window", 0)}
    work = tokens * heads * context * head_dim
    return step(op, compiled(make_attention, settings), counts(tokens), work, 4 * context + head_dim)
