"""Hard cases of the ops that language models are made of."""

import numpy as np
from case import Builder

from edgert.convert.row_weights import quantise_int4, quantise_int8

SPREAD = np.array([1e-35, 1e-3, 1.0, 50.0, 1e6])  # magnitudes of rows: one that counts as zero, ordinary ones, a large

# rows, depth, outputs
PRODUCTS = {
    "one_by_one": (1, 1, 1),
    "depth_below_a_vector": (1, 3, 5),
    "depth_of_a_vector": (1, 64, 16),
    "depth_prime": (3, 67, 17),
    "depth_four_vectors": (1, 256, 33),
    "depth_five_vectors": (2, 320, 31),
    "depth_behind_vectors": (4, 319, 19),
    "rows_4": (4, 96, 16),
    "rows_5": (5, 129, 15),
    "rows_7": (7, 64, 47),
    "rows_8": (8, 256, 32),
    "rows_13_behind_vectors": (13, 319, 35),
    "rows_130": (130, 33, 18),
    "wide": (1, 128, 300),
    "threaded": (9, 512, 130),
}
INT4_PRODUCTS = {
    "one_group": (1, 32, 1),
    "two_groups": (1, 64, 5),
    "three_groups": (3, 96, 17),
    "four_groups": (1, 128, 16),
    "five_groups": (5, 160, 19),
    "eight_groups": (4, 256, 33),
    "thirteen_groups": (6, 416, 31),
    "rows_8_one_group": (8, 32, 5),
    "rows_13_five_groups": (13, 160, 35),
    "rows_130": (130, 64, 18),
    "threaded": (9, 512, 130),
}


def product(name, rows, depth, outputs, int4=False, bias=True, words=None):
    b = Builder(name)
    magnitudes = SPREAD[np.arange(rows) % len(SPREAD)][:, None]
    b.input((rows, depth), "float32", fill=(b.rng.normal(0, 1, (rows, depth)) * magnitudes).astype(np.float32))
    values = b.rng.normal(0, 0.1, (outputs, depth)).astype(np.float32)
    weight, scale, *groups = quantise_int4(values) if int4 else quantise_int8(values)
    if words is not None:
        weight = np.full_like(weight, words)
        groups = [np.full_like(group, -128) for group in groups]
    b.constant(weight, str(weight.dtype))
    b.constant(scale, "float32")
    if bias:
        b.constant(b.rng.normal(0, 1, outputs), "float32")
    elif int4:
        b.absent()
    for group in groups:
        b.constant(group, "int8")
    return b.case("dynamic_linear", dtype="float32")


def product_cases():
    for key, shape in PRODUCTS.items():
        yield f"dynamic_linear/{key}", lambda n, s=shape: product(n, *s)
        yield f"dynamic_linear/{key}_no_bias", lambda n, s=shape: product(n, *s, bias=False)
    for key, shape in INT4_PRODUCTS.items():
        yield f"dynamic_linear/int4_{key}", lambda n, s=shape: product(n, *s, int4=True)
        yield f"dynamic_linear/int4_{key}_no_bias", lambda n, s=shape: product(n, *s, int4=True, bias=False)
    for word in (-128, -127, 127):
        yield f"dynamic_linear/words_{word}", lambda n, w=word: product(n, 5, 203, 9, words=w)
        yield f"dynamic_linear/many_rows_of_{word}", lambda n, w=word: product(n, 13, 203, 9, words=w)
    for byte in (0x00, 0xFF):
        yield f"dynamic_linear/int4_bytes_{byte}", lambda n, w=byte: product(n, 5, 160, 9, int4=True, words=w)
        yield f"dynamic_linear/int4_many_rows_of_{byte}", lambda n, w=byte: product(n, 13, 160, 9, int4=True, words=w)


def embedding(name, tokens, vocabulary, width, kind):
    b = Builder(name)
    b.input((tokens,), "int32", None, fill=b.rng.integers(-3, vocabulary + 3, tokens))  # those outside are clamped
    values = b.rng.normal(0, 1, (vocabulary, width)).astype(np.float32)
    stored = {"float32": lambda v: (v,), "int8": quantise_int8, "int4": quantise_int4}[kind](values)
    for array in stored:
        b.constant(array, str(array.dtype))
    return b.case("embedding", dtype="float32")


def norm(name, op, shape, bias=False, epsilon=1e-5, offset=0.0):
    b = Builder(name)
    b.input(shape, "float32", fill=(b.rng.normal(offset, 2, shape)).astype(np.float32))
    b.constant(b.rng.normal(1, 0.3, shape[-1]), "float32")
    if bias:
        b.constant(b.rng.normal(0, 1, shape[-1]), "float32")
    return b.case(op, {"epsilon": epsilon}, dtype="float32")


def gate(name, function, size, both):
    b = Builder(name)
    x = np.concatenate([[0.0, -0.0, 1e-30, -1e-30, 100.0, -100.0, 1e30, -1e30], b.rng.normal(0, 4, size)])
    b.input((size,), "float32", fill=x[:size].astype(np.float32))
    if both:
        b.input((size,), "float32")
    return b.case("gate", {"function": function}, dtype="float32")


def rope(name, tokens, heads, head_dim, turned, position, interleaved):
    b = Builder(name)
    b.input((tokens, heads, head_dim), "float32")
    b.constant(b.rng.normal(0, 1, (13, turned)), "float32")
    b.input((1,), "int32", None, fill=[position])
    return b.case("rope", {"interleaved": interleaved}, dtype="float32")


def append(name, tokens, heads, context, head_dim, position, words):
    b = Builder(name)
    b.input((tokens, heads, head_dim), "float32")
    b.input((1,), "int32", None, fill=[position])
    shape = (heads, context, head_dim + 4 * words)
    return b.case("cache_append", shape=shape, dtype="int8" if words else "float32", scale=None, state=True)


def attention(name, tokens, heads, kv_heads, context, head_dim, position, words, window=0):
    b = Builder(name)
    b.input((tokens, heads, head_dim), "float32")
    shape = (kv_heads, context, head_dim)
    for _ in range(2):
        if words:
            planes = b.rng.integers(-127, 128, (kv_heads, context * head_dim)).astype(np.int8)
            scales = b.rng.uniform(0.001, 0.05, (kv_heads, context)).astype(np.float32)
            cache = np.concatenate([planes, scales.view(np.int8)], axis=1).reshape(kv_heads, context, head_dim + 4)
            b.state(cache)
        else:
            b.state(b.rng.normal(0, 1, shape).astype(np.float32))
    b.input((1,), "int32", None, fill=[position])
    return b.case("attention", {"scale": head_dim**-0.5, "window": window}, dtype="float32")


ATTENTION = {  # tokens, heads, kv_heads, context, head_dim, position
    "one": (1, 1, 1, 1, 4, 0),
    "first_of_many": (1, 2, 2, 19, 8, 0),
    "grouped": (3, 6, 2, 21, 12, 5),
    "head_64": (2, 3, 3, 40, 64, 30),
    "head_80": (5, 2, 1, 33, 80, 28),
    "head_128": (1, 2, 1, 17, 128, 16),
    "head_68": (1, 2, 2, 50, 68, 33),
    "full": (7, 2, 2, 16, 16, 9),
    "beyond": (4, 2, 2, 9, 16, 7),
    "negative": (2, 2, 1, 9, 16, -5),
    "threaded": (40, 8, 4, 64, 32, 10),
}


def cases():
    yield from product_cases()
    for kind in ("float32", "int8", "int4"):
        for key, size in {"one": (1, 1, 32), "many": (9, 37, 96), "wide": (3, 5, 416)}.items():
            yield f"embedding/{key}_{kind}", lambda n, s=size, k=kind: embedding(n, *s, k)
    yield "embedding/odd_float32", lambda n: embedding(n, 5, 7, 13, "float32")
    yield "embedding/odd_int8", lambda n: embedding(n, 5, 7, 13, "int8")
    for shape in ((1, 1), (3, 7), (2, 16), (2, 3, 17), (4, 31), (1, 48), (5, 768)):
        label = "x".join(map(str, shape))
        for bias in (False, True):
            key = f"layer_norm/{label}" + "_bias" * bias
            yield key, lambda n, s=shape, b=bias: norm(n, "layer_norm", s, b)
        yield f"rms_norm/{label}", lambda n, s=shape: norm(n, "rms_norm", s)
    yield "layer_norm/offset", lambda n: norm(n, "layer_norm", (3, 65), True, offset=1000.0)
    yield "rms_norm/no_epsilon", lambda n: norm(n, "rms_norm", (3, 65), epsilon=0.0)
    for function in ("silu", "gelu", "gelu_tanh"):
        for size in (8, 15, 17, 64, 1031):
            for both in (False, True):
                key = f"gate/{function}_{size}" + "_both" * both
                yield key, lambda n, f=function, s=size, b=both: gate(n, f, s, b)
    for interleaved in (0, 1):
        for key, shape in {"one": (1, 1, 2, 2, 0), "part": (3, 2, 12, 6, 4), "clamped": (4, 3, 64, 64, 11)}.items():
            label = f"rope/{key}" + "_interleaved" * interleaved
            yield label, lambda n, s=shape, i=interleaved: rope(n, *s, i)
        yield f"rope/negative_{interleaved}", lambda n, i=interleaved: rope(n, 2, 1, 8, 8, -3, i)
    for words in (0, 1):
        kind = "int8" if words else "float32"
        for key, shape in ATTENTION.items():
            yield f"attention/{key}_{kind}", lambda n, s=shape, w=words: attention(n, *s, w)
        for window in (1, 5, 16, 1000):
            yield (
                f"attention/window_{window}_{kind}",
                lambda n, w=words, size=window: attention(n, 3, 4, 2, 40, 16, 20, w, size),
            )
            yield (
                f"attention/window_{window}_of_many_{kind}",
                lambda n, w=words, size=window: attention(n, 11, 4, 2, 37, 20, 15, w, size),
            )
        for key, shape in {"one": (1, 1, 1, 4, 0), "some": (3, 2, 9, 12, 4), "full": (5, 2, 9, 64, 7)}.items():
            yield f"cache_append/{key}_{kind}", lambda n, s=shape, w=words: append(n, *s, w)
        yield f"cache_append/outside_{kind}", lambda n, w=words: append(n, 2, 1, 5, 8, 2**31 - 1, w)
        yield f"cache_append/negative_{kind}", lambda n, w=words: append(n, 2, 1, 5, 8, -7, w)
    for tokens, position in ((1, 0), (5, 9), (4, 2**31 - 3), (3, -1)):
        yield f"positions/{tokens}_from_{position}", lambda n, t=tokens, p=position: positions(n, t, p)
    yield "last_row/one", lambda n: last_row(n, (1, 5))
    yield "last_row/many", lambda n: last_row(n, (7, 33))
    yield "add/residual", lambda n: residual(n, (5, 67))


def positions(name, tokens, position):
    b = Builder(name)
    b.input((tokens,), "int32", None)
    b.input((1,), "int32", None, fill=[position])
    return b.case("positions", dtype="int32")


def residual(name, shape):
    b = Builder(name)
    b.input(shape, "float32")
    b.input(shape, "float32")
    return b.case("add", dtype="float32")


def last_row(name, shape):
    b = Builder(name)
    b.input(shape, "float32")
    return b.case("last_row", dtype="float32")
