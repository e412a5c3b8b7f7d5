"""llama2.c checkpoints: seven int32 and then float32 tensors (version 0, 1). The tokenizer lies beside it.

Source: github.com/karpathy/llama2.c, run.c and export.py.
"""

import os
import struct
from functools import partial
from math import prod

from edgert.convert.language import arrays, rope
from edgert.convert.language.build import Source, chosen_context
from edgert.convert.language.decoder import Decoder
from edgert.convert.tokenizers import sentencepiece
from edgert.errors import ConversionError
from edgert.graph import Text

_MAGIC, _HEADER_1 = 0x616B3432, 256  # "ak42" of version 1, and its header's bytes
BOS, EOS = 1, 2


def is_model(path, head):
    """Whether a file of these first bytes can be one: its sizes give the file's size."""
    if head[:4] == struct.pack("<I", _MAGIC):
        return True
    if len(head) < 28:
        return False
    sizes = struct.unpack_from("<7i", head)
    if not all(0 < size < 2**24 for size in (*sizes[:5], abs(sizes[5]), sizes[6])):
        return False
    return 28 + sum(_nbytes(shape) for _, shape in _layout(*sizes)) == os.path.getsize(path)


def load(path, options, tokenizer=None):
    """The `Source` in a checkpoint. tokenizer: path of its tokenizer file, else one is looked for beside it.

    Raises: ConversionError, InputError.
    """
    name = os.path.basename(path)
    with open(path, "rb") as file:
        head = file.read(_HEADER_1)
    sizes, start, order = _header(head, name)
    dim, hidden, layers, heads, kv_heads, vocabulary, most = sizes
    if dim % heads or heads % kv_heads:
        raise ConversionError(f"{name}: {dim} numbers in {heads} heads over {kv_heads} heads of keys do not divide")
    made = start + sum(_nbytes(shape) for _, shape in order)
    if made != os.path.getsize(path):
        raise ConversionError(f"{name}: has {os.path.getsize(path):,} bytes; its sizes make {made:,}")
    notes = []
    context = chosen_context(options, most, notes)
    weights, at = {}, start
    for key, shape in order:
        weights |= _by_layer(key, arrays.in_file(key, shape, path, at, "F32"), layers)
        at += _nbytes(shape)
    decoder = Decoder(
        vocabulary=abs(vocabulary), context=context, width=dim, layers=layers, heads=heads, kv_heads=kv_heads,
        head_dim=dim // heads, hidden=hidden, norm="rms_norm", epsilon=1e-5, function="silu", gated=True,
        rope=partial(rope.table, context, dim // heads), interleaved=True,
    )  # fmt: skip
    text = Text(_tokenizer(path, tokenizer, abs(vocabulary), notes), context, BOS, True, (BOS, EOS))
    return Source(decoder, weights, text, {"source": name, "family": "llama2.c"}, notes)


def _nbytes(shape):
    return 4 * prod(shape)


def _header(head, name):
    """(the seven sizes, where tensors begin, [(name, shape)] in order)."""
    if head[:4] != struct.pack("<I", _MAGIC):
        sizes = struct.unpack_from("<7i", head)
        return sizes, 28, _layout(*sizes)
    version = struct.unpack_from("<i", head, 4)[0] if len(head) >= 8 else 0
    if version != 1 or len(head) < _HEADER_1:
        raise ConversionError(f"{name}: llama2.c format version {version} is not supported; 0 and 1 are")
    sizes = struct.unpack_from("<7i", head, 8)
    if not all(0 < size < 2**24 for size in sizes):
        raise ConversionError(f"{name}: its header's sizes {sizes} are no model's")
    return sizes, _HEADER_1, _layout_1(*sizes, shared=head[36] != 0)


def _layout(dim, hidden, layers, heads, kv_heads, vocabulary, context):
    """Version 0: a negative vocabulary means that the head has weights of its own."""
    kept, rows = dim // heads * kv_heads, abs(vocabulary)
    order = [
        ("embedding", (rows, dim)), ("norm1", (layers, dim)), ("q", (layers * dim, dim)), ("k", (layers * kept, dim)),
        ("v", (layers * kept, dim)), ("out", (layers * dim, dim)), ("norm2", (layers, dim)),
        ("gate", (layers * hidden, dim)), ("down", (layers * dim, hidden)), ("up", (layers * hidden, dim)),
        ("norm", (dim,)), ("frequencies", (context * (dim // heads),)),
    ]  # fmt: skip
    return order + ([("head", (rows, dim))] if vocabulary < 0 else [])


def _layout_1(dim, hidden, layers, heads, kv_heads, vocabulary, context, shared):
    """Version 1: all norms first, and no table of frequencies."""
    shapes = dict(_layout(dim, hidden, layers, heads, kv_heads, vocabulary, context))
    order = ["norm1", "norm2", "norm", "embedding", "q", "k", "v", "out", "gate", "down", "up"]
    return [(key, shapes[key]) for key in order] + ([] if shared else [("head", shapes["embedding"])])


def _by_layer(key, array, layers):
    """The weights of each layer that one tensor of the file holds."""
    if key == "frequencies":
        return {}
    if key in ("embedding", "norm", "head"):
        return {key: array}
    if key in ("norm1", "norm2"):
        width = array.shape[1]
        flat = [arrays.Array(key, (width,), lambda a, b, i=i: array.read(i, i + 1)[0, a:b]) for i in range(layers)]
        return {f"{i}.{key}": one for i, one in enumerate(flat)}
    rows = array.shape[0] // layers
    return {f"{i}.{key}": array.part(i * rows, (i + 1) * rows) for i in range(layers)}


def _tokenizer(path, given, vocabulary, notes):
    """The tokenizer in the file that was named, else in one beside the model; None if there is none."""
    folder = os.path.dirname(path)
    names = [f"tok{vocabulary}.bin", "tokenizer.bin"] + ["tokenizer.model"] * (vocabulary == 32_000)
    candidates = [given] if given else [os.path.join(folder, name) for name in names]
    for candidate in candidates:
        if given or os.path.isfile(candidate):
            with open(candidate, "rb") as file:
                data = file.read()
            if candidate.endswith(".model"):
                return sentencepiece.load_model(data, os.path.basename(candidate))
            return sentencepiece.load_llama2c(data, vocabulary, os.path.basename(candidate))
    notes.append(f"no {' or '.join(names)} beside the model: token ids in, token ids out (--tokenizer)")
    return None
