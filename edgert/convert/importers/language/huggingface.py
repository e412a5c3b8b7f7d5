"""Folders as Hugging Face's models have them: config.json, *.safetensors and tokenizer.json.

Families: GPT-2, Llama (SmolLM, TinyLlama), Mistral, Qwen2, Qwen3. Nothing in the folder is executed.
"""

import json
import os
from functools import partial

from edgert.convert.importers.language import safetensors
from edgert.convert.importers.language.settings import Settings
from edgert.convert.language import rope
from edgert.convert.language.build import Source, chosen_context
from edgert.convert.language.decoder import Decoder
from edgert.convert.tokenizers import huggingface as tokenizer_json
from edgert.convert.tokenizers import sentencepiece
from edgert.errors import ConversionError
from edgert.graph import Text

FUNCTIONS = {
    "silu": "silu", "swish": "silu", "gelu": "gelu", "gelu_new": "gelu_tanh", "gelu_pytorch_tanh": "gelu_tanh",
    "gelu_fast": "gelu_tanh",
}  # fmt: skip
MAX_JSON_BYTES = 2**26
_LAYER = {
    "input_layernorm": "norm1", "self_attn.q_proj": "q", "self_attn.k_proj": "k", "self_attn.v_proj": "v",
    "self_attn.o_proj": "out", "post_attention_layernorm": "norm2", "mlp.up_proj": "up", "mlp.gate_proj": "gate",
    "mlp.down_proj": "down", "self_attn.q_norm": "q_norm", "self_attn.k_norm": "k_norm",
}  # fmt: skip
_GPT2_LAYER = {
    "ln_1": "norm1", "attn.c_proj": "out", "ln_2": "norm2", "mlp.c_fc": "up", "mlp.c_proj": "down",
}  # fmt: skip
_ENDS = {"embed_tokens": "embedding", "norm": "norm", "lm_head": "head"}
_GPT2_ENDS = {"wte": "embedding", "wpe": "positions", "ln_f": "norm", "lm_head": "head"}


def load(folder, options):
    """The `Source` in a folder. Raises: ConversionError, InputError."""
    config = Settings(_json(folder, "config.json"), "config.json")
    kind = config.text("model_type")
    if kind not in _FAMILIES:
        known = ", ".join(_FAMILIES)
        raise ConversionError(f"config.json: model_type '{kind}' is not supported; {known} are")
    notes = []
    found = _tensors(folder)
    decoder, weights = _FAMILIES[kind](config, found, options, notes)
    text = _text(folder, config, decoder.context, notes)
    return Source(decoder, weights, text, {"source": os.path.basename(os.path.abspath(folder)), "family": kind}, notes)


def is_model(folder):
    """Whether a folder says that it holds a model."""
    return os.path.isfile(os.path.join(folder, "config.json"))


def _gpt2(config, found, options, notes):
    width, heads = config.count("n_embd"), config.count("n_head")
    _divides(width, heads, "n_embd", "n_head")
    config.must_be("scale_attn_weights", True)
    config.must_be("scale_attn_by_inverse_layer_idx", False)
    most = config.count("n_positions")
    decoder = Decoder(
        vocabulary=config.count("vocab_size"), context=chosen_context(options, most, notes), width=width,
        layers=config.count("n_layer"), heads=heads, kv_heads=heads, head_dim=width // heads,
        hidden=config.count("n_inner", 4 * width), norm="layer_norm",
        epsilon=config.number("layer_norm_epsilon", 1e-5),
        function=config.choice("activation_function", FUNCTIONS, "gelu_new"), gated=False,
    )  # fmt: skip
    tied = config.flag("tie_word_embeddings", True)
    return decoder, gpt2_weights({name.removeprefix("transformer."): a for name, a in found.items()}, decoder, tied)


def gpt2_weights(found, decoder, tied=True, transposed=True):
    """Weights by the names of `Decoder` from GPT-2's. transposed: matrices are (in, out), as its Conv1D has them."""
    weights = {}
    for name, array in found.items():
        stem, _, kind = name.rpartition(".")
        if kind not in ("weight", "bias") or (tied and stem == "lm_head"):
            continue
        if stem in _GPT2_ENDS:
            weights[_named(_GPT2_ENDS[stem], kind)] = array
            continue
        _, layer, part = stem.split(".", 2) if stem.startswith("h.") and stem.count(".") > 1 else ("", "", stem)
        if part == "attn" and kind == "bias":  # the causal mask, in old checkpoints
            continue
        if transposed and len(array.shape) == 2:
            array = array.transposed()
        if part == "attn.c_attn":
            rows = array.shape[0] // 3
            for at, one in enumerate("qkv"):
                weights[_named(f"{layer}.{one}", kind)] = array.part(at * rows, (at + 1) * rows)
        else:
            weights[_named(f"{layer}.{_GPT2_LAYER[part]}" if part in _GPT2_LAYER else name, kind)] = array
    rows = weights.get("positions")
    if rows is not None and rows.shape[0] > decoder.context:
        weights["positions"] = rows.part(0, decoder.context)
    return weights


def _llama(config, found, options, notes):
    width, heads = config.count("hidden_size"), config.count("num_attention_heads")
    kv_heads = config.count("num_key_value_heads", heads)
    _divides(heads, kv_heads, "num_attention_heads", "num_key_value_heads")
    if config.get("head_dim") is None:
        _divides(width, heads, "hidden_size", "num_attention_heads")
    head_dim, layers = config.count("head_dim", width // heads), config.count("num_hidden_layers")
    context = chosen_context(options, config.count("max_position_embeddings"), notes)
    decoder = Decoder(
        vocabulary=config.count("vocab_size"), context=context, width=width, layers=layers, heads=heads,
        kv_heads=kv_heads, head_dim=head_dim, hidden=config.count("intermediate_size"), norm="rms_norm",
        epsilon=config.number("rms_norm_eps", 1e-6), function=config.choice("hidden_act", FUNCTIONS, "silu"),
        gated=True, rope=_rope(config, context, head_dim), windows=_windows(config, layers, context),
    )  # fmt: skip
    return decoder, llama_weights(found, config.flag("tie_word_embeddings", False))


def llama_weights(found, tied):
    """Weights by the names of `Decoder` from those of Llama and its relatives."""
    weights = {}
    for name, array in found.items():
        stem, _, kind = name.removeprefix("model.").rpartition(".")
        if kind not in ("weight", "bias") or (tied and stem == "lm_head"):
            continue  # rotary frequencies, in old checkpoints
        if stem.startswith("layers.") and stem.count(".") > 1:
            _, layer, part = stem.split(".", 2)
            weights[_named(f"{layer}.{_LAYER.get(part, part)}", kind)] = array
        else:
            weights[_named(_ENDS.get(stem, stem), kind)] = array
    return weights


def _named(name, kind):
    return name if kind == "weight" else f"{name}.bias"


def _rope(config, context, head_dim):
    scaling = config.get("rope_parameters") or config.get("rope_scaling") or {}
    if not isinstance(scaling, dict):
        raise ConversionError(f"config.json: rope_scaling is {scaling!r:.60}, not an object")
    base = Settings(scaling, "config.json: rope_parameters").number("rope_theta", config.number("rope_theta", 10_000.0))
    turned = int(head_dim * config.number("partial_rotary_factor", 1.0))
    return partial(rope.table, context, turned, base, scaling)


def _windows(config, layers, context):
    """How far each layer looks back; () where all see everything."""
    window = config.get("sliding_window")
    if not window or not config.flag("use_sliding_window", True) or window >= context:
        return ()
    kinds = config.get("layer_types")
    if kinds is None:
        full = config.get("max_window_layers") if config.get("use_sliding_window") else 0
        kinds = ["full_attention" if layer < (full or 0) else "sliding_attention" for layer in range(layers)]
    if not isinstance(kinds, list) or len(kinds) != layers:
        raise ConversionError(f"config.json: layer_types is not a list of {layers} names")
    return tuple(config.count("sliding_window") if kind == "sliding_attention" else 0 for kind in kinds)


_FAMILIES = {"gpt2": _gpt2, "llama": _llama, "mistral": _llama, "qwen2": _llama, "qwen3": _llama}


def _divides(whole, part, whole_name, part_name):
    if whole % part:
        raise ConversionError(f"config.json: {whole_name} {whole:,} is no multiple of {part_name} {part:,}")


def _tensors(folder):
    """name -> Array over all files of the folder."""
    names = sorted(name for name in os.listdir(folder) if name.endswith(".safetensors"))
    if not names:
        raise ConversionError(
            f"{folder}: no .safetensors file in it (older checkpoints: load them with transformers and save them again)"
        )
    found = {}
    for name in names:
        for key, array in safetensors.tensors(os.path.join(folder, name)).items():
            if key in found:
                raise ConversionError(f"{folder}: tensor '{key}' is in more than one file")
            found[key] = array
    return found


def _text(folder, config, context, notes):
    """The tokenizer and its special tokens."""
    settings = Settings(_json(folder, "tokenizer_config.json", {}), "tokenizer_config.json")
    first = None
    if os.path.isfile(os.path.join(folder, "tokenizer.json")):
        tokenizer, first, said = tokenizer_json.load(_read(folder, "tokenizer.json"))
        notes += said
    elif os.path.isfile(os.path.join(folder, "tokenizer.model")):
        tokenizer = sentencepiece.load_model(_read(folder, "tokenizer.model"))
    else:
        tokenizer = None
        notes.append("no tokenizer.json or tokenizer.model: token ids in, token ids out")
    generation = Settings(_json(folder, "generation_config.json", {}), "generation_config.json")
    ends = generation.get("eos_token_id", config.get("eos_token_id"))
    bos = config.get("bos_token_id")
    add_bos = (
        first is not None if tokenizer is not None and first is not None else settings.flag("add_bos_token", False)
    )
    return Text(
        tokenizer, context, bos if isinstance(bos, int) else -1, add_bos and isinstance(bos, int),
        tuple(i for i in (ends if isinstance(ends, list) else [ends]) if isinstance(i, int)),
        _chat_template(folder, settings),
    )  # fmt: skip


def _chat_template(folder, settings):
    if os.path.isfile(os.path.join(folder, "chat_template.jinja")):
        return _read(folder, "chat_template.jinja").decode(errors="replace")
    template = settings.get("chat_template")
    return template if isinstance(template, str) else ""


def _json(folder, name, default=None):
    if default is not None and not os.path.isfile(os.path.join(folder, name)):
        return default
    try:
        content = json.loads(_read(folder, name))
    except (ValueError, RecursionError) as error:
        raise ConversionError(f"{name}: no JSON ({error})") from None
    if not isinstance(content, dict):
        raise ConversionError(f"{name}: no JSON object")
    return content


def _read(folder, name):
    path = os.path.join(folder, name)
    try:
        if os.path.getsize(path) > MAX_JSON_BYTES:
            raise ConversionError(f"{name}: {os.path.getsize(path):,} bytes; the limit is {MAX_JSON_BYTES:,}")
        with open(path, "rb") as file:
            return file.read()
    except OSError as error:
        raise ConversionError(f"{path}: {error.strerror}") from None
