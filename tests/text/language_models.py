"""Small language models with random weights, as graphs: the families that importers make, in every precision."""

import numpy as np

from edgert import opset
from edgert.convert.row_weights import quantise_int4, quantise_int8
from edgert.graph import TOKENS, Graph, Node, Tensor


class Builder:
    """Adds tensors and nodes by name. weights: "float32", "int8" or "int4". cache: "float32" or "int8"."""

    def __init__(self, weights="int8", cache="int8", seed=0):
        self.weights, self.cache = weights, cache
        self.rng = np.random.default_rng(seed)
        self.tensors, self.nodes = [], []

    def tensor(self, name, dtype, shape, data=None, state=False):
        self.tensors.append(Tensor(name, dtype, tuple(shape), None, data, state))
        return len(self.tensors) - 1

    def constant(self, name, array):
        return self.tensor(name, str(array.dtype), array.shape, np.ascontiguousarray(array).tobytes())

    def node(self, op, inputs, name, shape, dtype="float32", **attrs):
        out = self.tensor(name, dtype, shape)
        self.nodes.append(Node(op, tuple(inputs), (out,), attrs, name))
        return out

    def matrix(self, name, rows, columns, std=0.02):
        """(weight, scale or -1, group_scale or -1): indices of a matrix in the builder's precision."""
        values = self.rng.normal(0, std, (rows, columns)).astype(np.float32)
        return self.stored(name, values)

    def stored(self, name, values):
        if self.weights == "float32":
            return self.constant(name, values), -1, -1
        if self.weights == "int8":
            words, scale = quantise_int8(values)
            return self.constant(name, words), self.constant(f"{name}.scale", scale), -1
        packed, scale, group_scale = quantise_int4(values)
        return (
            self.constant(name, packed),
            self.constant(f"{name}.scale", scale),
            self.constant(f"{name}.groups", group_scale),
        )

    def linear(self, x, name, rows, columns, bias=False, matrix=None):
        weight, scale, groups = matrix or self.matrix(f"{name}.weight", rows, columns)
        bias = self.vector(f"{name}.bias", rows) if bias else -1
        lead = self.tensors[x].shape[:-1]
        if scale < 0:
            return self.node("linear", (x, weight, bias), name, (*lead, rows))
        return self.node("dynamic_linear", (x, weight, scale, bias, groups), name, (*lead, rows))

    def vector(self, name, size, mean=0.0):
        return self.constant(name, self.rng.normal(mean, 0.1, size).astype(np.float32))

    def same(self, op, inputs, name, **attrs):
        return self.node(op, inputs, name, self.tensors[inputs[0]].shape, **attrs)

    def append(self, x, name, heads, context, head_dim, position):
        width = head_dim + (4 if self.cache == "int8" else 0)
        state = self.tensor(name, self.cache, (heads, context, width), state=True)
        self.nodes.append(Node("cache_append", (x, position), (state,), {}, name))
        return state


def rope_table(context, rotary, base=10000.0):
    """(context, rotary) float32: cosines, then sines, of every position."""
    angles = np.arange(context)[:, None] * base ** (-np.arange(0, rotary, 2) / rotary)
    return np.concatenate([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)


def language_model(
    family="llama", layers=2, width=64, heads=4, kv_heads=None, hidden=128, vocabulary=97, context=48, window=0,
    interleaved=0, rotary=None, **precision,
):  # fmt: skip
    """A graph with tied heads. family: "gpt2" (learned positions, layer norm, biases, GELU), "llama" (rope, RMS norm,
    SiLU gates), "qwen2" (llama with biases on q, k, v) or "qwen3" (llama with norms of the heads of q and k)."""
    b, gpt2 = Builder(**precision), family == "gpt2"
    kv_heads, head_dim = kv_heads or heads, width // heads
    tokens, position = b.tensor("tokens", "int32", (TOKENS,)), b.tensor("position", "int32", (1,))
    table = b.matrix("embedding.weight", vocabulary, width)
    x = b.node("embedding", (tokens, *table), "embedding", (TOKENS, width))
    if gpt2:
        ids = b.node("positions", (tokens, position), "positions", (TOKENS,), "int32")
        rows = b.constant("positions.weight", b.rng.normal(0, 0.02, (context, width)).astype(np.float32))
        x = b.same("add", (x, b.node("embedding", (ids, rows), "positions.row", (TOKENS, width))), "embedded")
    else:
        angles = b.constant("rope.table", rope_table(context, rotary or head_dim))

    def norm(x, name, size):
        weight = b.vector(f"{name}.weight", size, 1.0)
        if gpt2:
            return b.same("layer_norm", (x, weight, b.vector(f"{name}.bias", size)), name)
        return b.same("rms_norm", (x, weight), name, epsilon=1e-6)

    def heads_of(x, name, count, turned):
        y = b.linear(x, name, count * head_dim, width, bias=family in ("gpt2", "qwen2"))
        y = b.node("reshape", (y,), f"{name}.heads", (TOKENS, count, head_dim))
        if family == "qwen3" and turned:
            y = norm(y, f"{name}.norm", head_dim)
        if turned and not gpt2:
            y = b.same("rope", (y, angles, position), f"{name}.turned", interleaved=interleaved)
        return y

    for layer in range(layers):
        name = f"layer{layer}"
        h = norm(x, f"{name}.norm1", width)
        q, k, v = (
            heads_of(h, f"{name}.{part}", count, part != "v")
            for part, count in (("q", heads), ("k", kv_heads), ("v", kv_heads))
        )
        caches = [
            b.append(y, f"{name}.{part}.cache", kv_heads, context, head_dim, position)
            for y, part in ((k, "k"), (v, "v"))
        ]
        h = b.same("attention", (q, *caches, position), f"{name}.attention", scale=head_dim**-0.5, window=window)
        h = b.node("reshape", (h,), f"{name}.joined", (TOKENS, width))
        x = b.same("add", (x, b.linear(h, f"{name}.out", width, width, bias=gpt2)), f"{name}.residual1")
        h = norm(x, f"{name}.norm2", width)
        up = b.linear(h, f"{name}.up", hidden, width, bias=gpt2)
        if gpt2:
            h = b.same("gate", (up,), f"{name}.gate", function="gelu_tanh")
        else:
            h = b.same("gate", (b.linear(h, f"{name}.gate", hidden, width), up), f"{name}.gated", function="silu")
        x = b.same("add", (x, b.linear(h, f"{name}.down", width, hidden, bias=gpt2)), f"{name}.residual2")
    last = b.node("last_row", (norm(x, "norm", width),), "last_row", (1, width))
    logits = b.linear(last, "logits", vocabulary, width, matrix=table)
    graph = Graph(family, tuple(b.tensors), tuple(b.nodes), (tokens, position), (logits,))
    opset.validate(graph)
    return graph
