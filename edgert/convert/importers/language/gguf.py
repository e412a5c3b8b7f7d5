"""GGUF files, read with the package `gguf`: GPT-2, Llama, Qwen2 and Qwen3 in any type that the package dequantises.

Source: github.com/ggml-org/ggml, docs/gguf.md.
"""

import os
from functools import partial

import numpy as np

from edgert.convert.importers.language.settings import Settings
from edgert.convert.language import rope
from edgert.convert.language.arrays import Array
from edgert.convert.language.build import Source, chosen_context
from edgert.convert.language.decoder import Decoder
from edgert.convert.tokenizers import ADDED, SPECIAL, huggingface, sentencepiece
from edgert.errors import ConversionError
from edgert.graph import Text
from edgert.optional import require

ARCHITECTURES = ("gpt2", "llama", "qwen2", "qwen3")
_INTERLEAVED = ("llama",)  # its converter reorders q and k
_LAYER = {
    "attn_norm": "norm1", "attn_q": "q", "attn_k": "k", "attn_v": "v", "attn_output": "out", "ffn_norm": "norm2",
    "ffn_up": "up", "ffn_gate": "gate", "ffn_down": "down", "attn_q_norm": "q_norm", "attn_k_norm": "k_norm",
}  # fmt: skip
_ENDS = {"token_embd": "embedding", "position_embd": "positions", "output_norm": "norm", "output": "head"}
_SPLITS = {  # tokenizer.ggml.pre -> rules of edgert.text.splitting
    "gpt-2": ("gpt2",), "default": ("gpt2",), "smollm": ("digits", "gpt2"), "llama-bpe": ("llama3",),
    "llama3": ("llama3",), "qwen2": ("qwen2",),
}  # fmt: skip


def load(path, options):
    """The `Source` in a GGUF file. Raises: ConversionError, InputError, EdgertError where the package is missing."""
    package = require("gguf", "reading GGUF files")
    name = os.path.basename(path)
    try:
        reader = package.GGUFReader(path)
        # General keys and those of the tokenizer by their names, those of the architecture without it.
        values = {key: field.contents() for key, field in reader.fields.items()}
        found = {tensor.name: _array(package, tensor) for tensor in reader.tensors}
    except Exception as error:  # the package trusts its files
        raise ConversionError(f"{name}: no GGUF file ({type(error).__name__}: {error})") from None
    kind = Settings(values, name).text("general.architecture")
    if kind not in ARCHITECTURES:
        raise ConversionError(f"{name}: architecture '{kind}' is not supported; {', '.join(ARCHITECTURES)} are")
    notes = []
    settings = Settings({key.removeprefix(f"{kind}."): value for key, value in values.items()}, name)
    weights, factors = _weights(found)
    decoder = _decoder(kind, settings, weights, factors, options, notes)
    if "positions" in weights:
        weights["positions"] = weights["positions"].part(0, decoder.context)
    text = _text(values, name, decoder.context, notes)
    return Source(decoder, weights, text, {"source": name, "family": f"gguf {kind}"}, notes)


def _array(package, tensor):
    """rows (N, bytes) of blocks, or numbers, as an Array that dequantises what it is asked for."""
    shape = tuple(int(dim) for dim in reversed(tensor.shape))
    data, kind = tensor.data, tensor.tensor_type

    def read(start, stop):
        return np.asarray(package.quants.dequantize(data[start:stop], kind), np.float32).reshape(-1, *shape[1:])

    if len(shape) == 1:
        return Array(tensor.name, shape, lambda a, b: package.quants.dequantize(data, kind).reshape(-1)[a:b])
    return Array(tensor.name, shape, read)


def _weights(found):
    """(weights by the names of `Decoder`, the factors that divide rope's frequencies or None)."""
    weights, factors = {}, None
    for name, array in found.items():
        stem, _, kind = name.rpartition(".")
        suffix = ".bias" if kind == "bias" else ""
        block, _, rest = stem.partition(".")
        layer, _, part = rest.partition(".")
        if stem == "rope_freqs":
            factors = array.whole()
        elif block == "blk" and part == "attn_qkv":
            rows = array.shape[0] // 3
            for at, one in enumerate("qkv"):
                weights[f"{layer}.{one}{suffix}"] = array.part(at * rows, (at + 1) * rows)
        elif block == "blk":
            weights[f"{layer}.{_LAYER.get(part, part)}{suffix}"] = array
        else:
            weights[_ENDS.get(stem, stem) + suffix] = array
    return weights, factors


def _decoder(kind, settings, weights, factors, options, notes):
    width, heads = settings.count("embedding_length"), settings.count("attention.head_count")
    head_dim = settings.count("attention.key_length", max(width // heads, 1))
    context = chosen_context(options, settings.count("context_length"), notes)
    gpt2 = kind == "gpt2"
    turned = settings.count("rope.dimension_count", head_dim)
    scaling = {"rope_type": settings.text("rope.scaling.type", "default").replace("none", "default")}
    if scaling["rope_type"] != "default":
        scaling["factor"] = settings.number("rope.scaling.factor")
    angles = partial(rope.table, context, turned, settings.number("rope.freq_base", 10_000.0), scaling, factors)
    return Decoder(
        vocabulary=weights["embedding"].shape[0] if "embedding" in weights else 1, context=context, width=width,
        layers=settings.count("block_count"), heads=heads, kv_heads=settings.count("attention.head_count_kv", heads),
        head_dim=head_dim, hidden=settings.count("feed_forward_length"), norm="layer_norm" if gpt2 else "rms_norm",
        epsilon=settings.number("attention.layer_norm_epsilon" if gpt2 else "attention.layer_norm_rms_epsilon", 1e-5),
        function="gelu_tanh" if gpt2 else "silu", gated=not gpt2, rope=None if gpt2 else angles,
        interleaved=kind in _INTERLEAVED,
    )  # fmt: skip


def _text(values, name, context, notes):
    settings = Settings(values, name)
    model = settings.get("tokenizer.ggml.model")
    try:
        tokenizer = _tokenizer(model, settings, notes)
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise ConversionError(f"{name}: its tokenizer is damaged ({type(error).__name__}: {error})") from None
    bos, eos = (settings.get(f"tokenizer.ggml.{end}_token_id", -1) for end in ("bos", "eos"))
    template = settings.get("tokenizer.chat_template", "")
    add_bos = settings.flag("tokenizer.ggml.add_bos_token", model == "llama") and bos >= 0
    return Text(tokenizer, context, bos, add_bos, (eos,) if eos >= 0 else (), template)


def _tokenizer(model, settings, notes):
    if model is None:
        notes.append("no tokenizer in the file: token ids in, token ids out")
        return None
    tokens, types = settings.get("tokenizer.ggml.tokens"), settings.get("tokenizer.ggml.token_type")
    if model == "llama":
        prefix = "each" if settings.flag("tokenizer.ggml.add_space_prefix", True) else ""
        return sentencepiece.from_pieces(tokens, settings.get("tokenizer.ggml.scores"), types, prefix)
    if model != "gpt2":
        raise ConversionError(f"tokenizer.ggml.model '{model}' is not supported; llama and gpt2 are")
    rules = settings.choice("tokenizer.ggml.pre", _SPLITS, "default")
    kinds = {i: {3: SPECIAL, 4: ADDED}[kind] for i, kind in enumerate(types or ()) if kind in (3, 4)}
    merges = [tuple(pair.split(" ")) for pair in settings.get("tokenizer.ggml.merges")]
    vocabulary = {token: i for i, token in enumerate(tokens)}
    form = "NFC" if rules == ("qwen2",) else ""
    return huggingface.byte_level(vocabulary, merges, kinds, patterns=rules, normal_form=form)
