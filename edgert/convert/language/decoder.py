"""The graph of a decoder-only transformer, for every family: what differs between them is in `Decoder` and in which
weights there are. docs/text.md has the operators.
"""

from dataclasses import dataclass

import numpy as np

from edgert.convert.row_weights import GROUP, quantise_int4, quantise_int8
from edgert.errors import ConversionError
from edgert.graph import TOKENS, Node, Tensor


@dataclass(frozen=True)
class Decoder:
    """The sizes of a model. kv_heads: heads of keys and values, each shared by heads // kv_heads.

    norm: "layer_norm" or "rms_norm". function: "silu", "gelu" or "gelu_tanh"; gated: times another projection.
    rope: function giving the table of positions, or None for learned ones; interleaved: pairs are neighbours.
    windows: for each layer, how many tokens it looks back, 0 for all.

    Weights by name, (rows out, columns in): embedding, positions, norm, head (absent: the embedding), and of layer i
    "i.norm1", "i.q", "i.k", "i.v", "i.out", "i.norm2", "i.up", "i.gate", "i.down", "i.q_norm", "i.k_norm"; each may
    have a bias, "i.q.bias".
    """

    vocabulary: int
    context: int
    width: int
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    hidden: int
    norm: str
    epsilon: float
    function: str
    gated: bool
    rope: object = None
    interleaved: bool = False
    windows: tuple = ()

    def shapes(self):
        """The shape that each weight must have if it is there."""
        width, attended, kept = self.width, self.heads * self.head_dim, self.kv_heads * self.head_dim
        matrices = {
            "q": (attended, width), "k": (kept, width), "v": (kept, width), "out": (width, attended),
            "up": (self.hidden, width), "down": (width, self.hidden),
        }  # fmt: skip
        if self.gated:
            matrices["gate"] = (self.hidden, width)
        norms = {"norm1": (width,), "norm2": (width,), "q_norm": (self.head_dim,), "k_norm": (self.head_dim,)}
        biased = {"head": (self.vocabulary, width)}
        biased |= {f"{layer}.{name}": shape for layer in range(self.layers) for name, shape in matrices.items()}
        plain = {"norm": (width,)}
        plain |= {f"{layer}.{name}": shape for layer in range(self.layers) for name, shape in norms.items()}
        if self.norm == "layer_norm":
            biased, plain = biased | plain, {}
        plain["embedding"] = (self.vocabulary, width)
        if self.rope is None:
            plain["positions"] = (self.context, width)
        return biased | plain | {f"{name}.bias": shape[:1] for name, shape in biased.items()}

    def required(self):
        """The weights that no model of this kind is without."""
        names = ["norm1", "q", "k", "v", "out", "norm2", "up", "down"] + ["gate"] * self.gated
        ends = ["embedding", "norm"] + ["positions"] * (self.rope is None)
        return ends + [f"{layer}.{name}" for layer in range(self.layers) for name in names]


def check(decoder, weights):
    """Raises: ConversionError unless `weights` has what it must, in the right shapes, and nothing else."""
    if decoder.layers > len(weights):  # before anything is listed for each of them
        raise ConversionError(f"{decoder.layers:,} layers, but only {len(weights):,} weights")
    shapes = decoder.shapes()
    for name in decoder.required():
        if name not in weights:
            raise ConversionError(f"the weight {name!r} is missing")
    for name, array in weights.items():
        if name not in shapes:
            raise ConversionError(f"tensor '{array.name}' has no place in this architecture")
        if array.shape != shapes[name]:
            found, wanted = (" x ".join(map(str, shape)) for shape in (array.shape, shapes[name]))
            raise ConversionError(f"tensor '{array.name}' is {found}; the configuration says {wanted}")


class Assembler:
    """Puts the graph of `decoder` into `draft`, its weights through `spool`.

    weights_type: "float", "int8" or "int4"; head_type: the same for the embedding and the head. kv_type: "float" or
    "int8", of the caches.
    """

    def __init__(self, draft, spool, decoder, weights, weights_type, head_type, kv_type):
        self.draft, self.spool, self.decoder, self.weights = draft, spool, decoder, weights
        self.weights_type, self.head_type, self.kv_type = weights_type, head_type, kv_type
        self.stored, self.kept_int8 = [], []  # [(tensor index, extent)]; names of those int4 could not hold

    def build(self):
        d = self.decoder
        self.tokens = self._tensor("tokens", "int32", (TOKENS,))
        self.position = self._tensor("position", "int32", (1,))
        self.draft.inputs += [self.tokens, self.position]
        embedding = self._matrix("embedding", self.head_type)
        x = self._node("embedding", (self.tokens, *embedding), "embedding", (TOKENS, d.width))
        if d.rope is None:
            ids = self._node("positions", (self.tokens, self.position), "positions", (TOKENS,), "int32")
            row = (ids, *self._matrix("positions", "float"))
            x = self._same("add", (x, self._node("embedding", row, "positions.row", (TOKENS, d.width))), "embedded")
        else:
            self.rope = self._constant("rope", d.rope())
        for layer in range(d.layers):
            x = self._layer(x, f"{layer}.", d.windows[layer] if d.windows else 0)
        last = self._node("last_row", (self._norm(x, "norm"),), "last_row", (1, d.width))
        head = self._matrix("head", self.head_type) if "head" in self.weights else embedding
        self.draft.outputs.append(self._linear(last, "head", d.vocabulary, head))
        self._settle()

    def _layer(self, x, at, window):
        d = self.decoder
        h = self._norm(x, f"{at}norm1")
        q = self._heads(h, f"{at}q", d.heads)
        k, v = (self._append(self._heads(h, at + part, d.kv_heads), at + part) for part in "kv")
        attrs = {"scale": d.head_dim**-0.5, "window": window}
        h = self._same("attention", (q, k, v, self.position), f"{at}attention", **attrs)
        h = self._node("reshape", (h,), f"{at}joined", (TOKENS, d.heads * d.head_dim))
        x = self._same("add", (x, self._linear(h, f"{at}out", d.width)), f"{at}attended")
        h = self._norm(x, f"{at}norm2")
        up = self._linear(h, f"{at}up", d.hidden)
        gated = (self._linear(h, f"{at}gate", d.hidden), up) if d.gated else (up,)
        h = self._same("gate", gated, f"{at}gated", function=d.function)
        return self._same("add", (x, self._linear(h, f"{at}down", d.width)), f"{at}left")

    def _heads(self, x, name, count):
        """A projection cut into heads; queries and keys normed and turned where the model does so."""
        d = self.decoder
        y = self._linear(x, name, count * d.head_dim)
        y = self._node("reshape", (y,), f"{name}.heads", (TOKENS, count, d.head_dim))
        if f"{name}_norm" in self.weights:
            y = self._norm(y, f"{name}_norm")
        if d.rope is not None and not name.endswith("v"):
            y = self._same("rope", (y, self.rope, self.position), f"{name}.turned", interleaved=int(d.interleaved))
        return y

    def _append(self, x, name):
        d, dtype = self.decoder, "int8" if self.kv_type == "int8" else "float32"
        shape = (d.kv_heads, d.context, d.head_dim + (4 if dtype == "int8" else 0))
        state = self.draft.add(Tensor(f"{name}.cache", dtype, shape, state=True))
        self.draft.nodes.append(Node("cache_append", (x, self.position), (state,), {}, f"{name}.append"))
        return state

    def _norm(self, x, name):
        """Qwen3's norms of heads are of the same kind as the others."""
        inputs = (x, self._vector(name))
        if self.decoder.norm == "layer_norm":
            inputs += (self._bias(name),)
        return self._same(self.decoder.norm, inputs, name, epsilon=self.decoder.epsilon)

    def _linear(self, x, name, rows, matrix=None):
        weight, scale, groups = matrix or self._matrix(name, self.weights_type)
        shape = (*self.draft.tensors[x].shape[:-1], rows)
        if scale < 0:
            return self._node("linear", (x, weight, self._bias(name)), name, shape)
        return self._node("dynamic_linear", (x, weight, scale, self._bias(name), groups), name, shape)

    def _matrix(self, name, kind):
        """(weight, scale or -1, group scale or -1): tensors of a matrix, stored as `kind`."""
        array = self.weights[name]
        rows, columns = array.shape
        if kind == "int4" and columns % GROUP:
            self.kept_int8.append(name)
            kind = "int8"
        if kind == "float":
            return self._store(f"{name}.weight", "float32", array.shape, (rows for _, rows in array.blocks())), -1, -1
        quantise = quantise_int8 if kind == "int8" else quantise_int4
        beside = []

        def words():
            for _, rows in array.blocks():
                stored, *others = quantise(rows)
                beside.append(others)
                yield stored

        dtype, shape = ("int8", (rows, columns)) if kind == "int8" else ("uint8", (rows, columns // 2))
        weight = self._store(f"{name}.weight", dtype, shape, words())
        scales = [np.concatenate(parts) for parts in zip(*beside)]
        groups = self._constant(f"{name}.group_scale", scales[1]) if kind == "int4" else -1
        return weight, self._constant(f"{name}.scale", scales[0]), groups

    def _vector(self, name):
        array = self.weights[name]
        return self._store(f"{name}.weight", "float32", array.shape, (part for _, part in array.blocks()))

    def _bias(self, name):
        array = self.weights.get(f"{name}.bias")
        return -1 if array is None else self._constant(f"{name}.bias", np.concatenate([x for _, x in array.blocks()]))

    def _constant(self, name, array):
        return self._store(name, array.dtype.name, array.shape, [array])

    def _store(self, name, dtype, shape, blocks):
        index = self.draft.add(Tensor(name, dtype, shape))
        self.stored.append((index, self.spool.add(blocks)))
        return index

    def _settle(self):
        """Gives the constants their bytes, now that the spool has all of them."""
        views = self.spool.views([extent for _, extent in self.stored])
        for (index, _), view in zip(self.stored, views):
            self.draft.tensors[index] = self.draft.tensors[index].replace(data=view)

    def _tensor(self, name, dtype, shape):
        return self.draft.add(Tensor(name, dtype, shape))

    def _node(self, op, inputs, name, shape, dtype="float32", **attrs):
        out = self._tensor(name, dtype, shape)
        self.draft.nodes.append(Node(op, tuple(inputs), (out,), attrs, name))
        return out

    def _same(self, op, inputs, name, **attrs):
        return self._node(op, inputs, name, self.draft.tensors[inputs[0]].shape, **attrs)
