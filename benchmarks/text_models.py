"""Language models of known shapes with seeded random weights, for speed and memory only, in every runtime's format.

    EDGERT_DATA=... python benchmarks/text_models.py FOLDER [--only gpt2,smollm,char]

Makes FOLDER/NAME/ as Hugging Face has it (config.json, model.safetensors, tokenizer.json), then NAME.int8.bin and
NAME.int4.bin, NAME.q8_0.gguf and NAME.q4_0.gguf (package gguf), and NAME.ct2/ (ctranslate2, transformers). The
tokenizer is GPT-2's, cut to the model's vocabulary.
"""

import argparse
import json
import os
import sys
from pathlib import Path

import numpy as np

SHAPES = {
    "gpt2": {"model_type": "gpt2", "architectures": ["GPT2LMHeadModel"], "vocab_size": 50257, "n_embd": 768,
             "n_layer": 12, "n_head": 12, "n_positions": 1024, "activation_function": "gelu_new",
             "layer_norm_epsilon": 1e-5},
    "smollm": {"model_type": "llama", "architectures": ["LlamaForCausalLM"], "vocab_size": 49152, "hidden_size": 576,
               "num_hidden_layers": 30, "num_attention_heads": 9, "num_key_value_heads": 3, "intermediate_size": 1536,
               "max_position_embeddings": 2048, "rms_norm_eps": 1e-5, "rope_theta": 10000.0, "hidden_act": "silu",
               "tie_word_embeddings": True},
    "char": {"model_type": "gpt2", "architectures": ["GPT2LMHeadModel"], "vocab_size": 65, "n_embd": 384, "n_layer": 6,
             "n_head": 6, "n_positions": 256, "activation_function": "gelu_new", "layer_norm_epsilon": 1e-5},
}  # fmt: skip
FORMATS = ("int8.bin", "int4.bin", "q8_0.gguf", "q4_0.gguf", "ct2")
_GPT2_NAMES = {
    "wte": "token_embd", "wpe": "position_embd", "ln_f": "output_norm", "ln_1": "attn_norm", "attn.c_attn": "attn_qkv",
    "attn.c_proj": "attn_output", "ln_2": "ffn_norm", "mlp.c_fc": "ffn_up", "mlp.c_proj": "ffn_down",
}  # fmt: skip
_LLAMA_NAMES = {
    "embed_tokens": "token_embd", "norm": "output_norm", "input_layernorm": "attn_norm", "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output",
    "post_attention_layernorm": "ffn_norm", "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}  # fmt: skip


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--only", type=lambda text: text.split(","), default=list(SHAPES), help=", ".join(SHAPES))
    args = parser.parse_args()
    for name in args.only:
        make(args.folder, name)


def make(folder, name):
    """All formats of one model that are not there yet; a runtime that is not installed is told and left out."""
    source = folder / name
    if not (source / "model.safetensors").exists():
        huggingface(source, SHAPES[name])
    for kind, maker in zip(FORMATS, (edgert, edgert, gguf, gguf, ctranslate2)):
        out = folder / f"{name}.{kind}"
        if not out.exists():
            print(out, file=sys.stderr)
            try:
                maker(source, out, kind.partition(".")[0])
            except ImportError as error:
                print(f"{out}: left out: {error}", file=sys.stderr)


def huggingface(folder, config):
    """config.json, model.safetensors and tokenizer.json."""
    folder.mkdir(parents=True, exist_ok=True)
    tensors = gpt2_shapes(config) if config["model_type"] == "gpt2" else llama_shapes(config)
    (folder / "config.json").write_text(json.dumps(config, indent=1))
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer(config["vocab_size"])))
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": "!", "eos_token": "!", "unk_token": "!"}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    entries, end = {"__metadata__": {"format": "pt"}}, 0
    for key, shape in tensors.items():
        nbytes = 4 * int(np.prod(shape))
        entries[key] = {"dtype": "F32", "shape": shape, "data_offsets": [end, end + nbytes]}
        end += nbytes
    head, rng = json.dumps(entries).encode(), np.random.default_rng(0)
    head += b" " * (-len(head) % 8)
    with open(folder / "model.safetensors", "wb") as file:
        file.write(len(head).to_bytes(8, "little") + head)
        for key, shape in tensors.items():
            file.write(values(rng, key, shape).tobytes())


def values(rng, key, shape):
    """Norms around 1, biases small, matrices so that activations keep their size."""
    if len(shape) == 1:
        return rng.normal(0.0 if key.endswith("bias") else 1.0, 0.02, shape).astype(np.float32)
    return rng.standard_normal(shape, np.float32) * np.float32(0.02)


def gpt2_shapes(config):
    width, shapes = config["n_embd"], {}
    shapes["wte.weight"], shapes["wpe.weight"] = (config["vocab_size"], width), (config["n_positions"], width)
    matrices = {"attn.c_attn": (width, 3 * width), "attn.c_proj": (width, width)}
    matrices |= {"mlp.c_fc": (width, 4 * width), "mlp.c_proj": (4 * width, width)}
    for layer in range(config["n_layer"]):
        for part, shape in ({"ln_1": (width,), "ln_2": (width,)} | matrices).items():
            shapes[f"h.{layer}.{part}.weight"], shapes[f"h.{layer}.{part}.bias"] = shape, shape[-1:]
    return shapes | {"ln_f.weight": (width,), "ln_f.bias": (width,)}


def llama_shapes(config):
    width, hidden = config["hidden_size"], config["intermediate_size"]
    kept = width // config["num_attention_heads"] * config["num_key_value_heads"]
    layer = {
        "input_layernorm": (width,), "self_attn.q_proj": (width, width), "self_attn.k_proj": (kept, width),
        "self_attn.v_proj": (kept, width), "self_attn.o_proj": (width, width), "post_attention_layernorm": (width,),
        "mlp.gate_proj": (hidden, width), "mlp.up_proj": (hidden, width), "mlp.down_proj": (width, hidden),
    }  # fmt: skip
    shapes = {"model.embed_tokens.weight": (config["vocab_size"], width), "model.norm.weight": (width,)}
    for index in range(config["num_hidden_layers"]):
        shapes |= {f"model.layers.{index}.{part}.weight": shape for part, shape in layer.items()}
    return shapes


def tokenizer(size):
    """GPT-2's byte-level BPE, its first `size` tokens; fewer than 256: characters from the space on."""
    if size < 256:
        vocabulary = {chr(32 + i): i for i in range(size)}
        return {"version": "1.0", "added_tokens": [], "model": {"type": "BPE", "vocab": vocabulary, "merges": []}}
    folder = Path(os.environ["EDGERT_DATA"]) / "tokenizers"
    vocabulary = json.loads((folder / "gpt2_encoder.json").read_bytes())
    vocabulary = {token: i for token, i in vocabulary.items() if i < size}
    lines = (folder / "gpt2_vocab.bpe").read_text(encoding="utf-8").split("\n")[1:-1]
    merges = [line for line in lines if line.replace(" ", "") in vocabulary]
    by_bytes = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    model = {"type": "BPE", "vocab": vocabulary, "merges": merges}
    return {"version": "1.0", "added_tokens": [], "pre_tokenizer": by_bytes, "decoder": by_bytes, "model": model}


def edgert(source, out, kind):
    from edgert import convert

    convert.convert(source, out, weights=kind, kv="int8")


def gguf(source, out, kind):
    """All matrices in blocks of `kind`, all else in float32."""
    import gguf as package

    from edgert.convert.importers.language import safetensors

    config = json.loads((source / "config.json").read_text())
    gpt2 = config["model_type"] == "gpt2"
    writer = package.GGUFWriter(out, "gpt2" if gpt2 else "llama")
    if gpt2:
        width, heads, kept, layers = config["n_embd"], config["n_head"], config["n_head"], config["n_layer"]
        writer.add_context_length(config["n_positions"])
        writer.add_feed_forward_length(4 * width)
        writer.add_layer_norm_eps(config["layer_norm_epsilon"])
    else:
        width, heads, layers = config["hidden_size"], config["num_attention_heads"], config["num_hidden_layers"]
        kept = config["num_key_value_heads"]
        writer.add_context_length(config["max_position_embeddings"])
        writer.add_feed_forward_length(config["intermediate_size"])
        writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
        writer.add_rope_dimension_count(width // heads)
        writer.add_rope_freq_base(config["rope_theta"])
        writer.add_vocab_size(config["vocab_size"])
    writer.add_embedding_length(width)
    writer.add_block_count(layers)
    writer.add_head_count(heads)
    writer.add_head_count_kv(kept)
    _gguf_vocabulary(writer, package, json.loads((source / "tokenizer.json").read_text())["model"])
    wanted = getattr(package.GGMLQuantizationType, kind.upper())
    for key, array in safetensors.tensors(source / "model.safetensors").items():
        data = array.whole()
        if gpt2 and data.ndim == 2 and key.startswith("h."):
            data = np.ascontiguousarray(data.T)
        name = _gguf_name(key, _GPT2_NAMES if gpt2 else _LLAMA_NAMES)
        if data.ndim == 2 and "wpe" not in key:
            if not gpt2 and ("q_proj" in key or "k_proj" in key):  # llama.cpp turns neighbours, not halves
                count = heads if "q_proj" in key else kept
                data = data.reshape(count, 2, -1, width).swapaxes(1, 2).reshape(data.shape)
            writer.add_tensor(name, package.quants.quantize(np.ascontiguousarray(data), wanted), raw_dtype=wanted)
        else:
            writer.add_tensor(name, data)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _gguf_name(key, names):
    stem, _, kind = key.removeprefix("model.").rpartition(".")
    for prefix in ("h.", "layers."):
        if stem.startswith(prefix):
            layer, _, part = stem.removeprefix(prefix).partition(".")
            return f"blk.{layer}.{names[part]}.{kind}"
    return f"{names[stem]}.{kind}"


def _gguf_vocabulary(writer, package, model):
    tokens = sorted(model["vocab"], key=model["vocab"].get)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(tokens)
    writer.add_token_types([package.TokenType.NORMAL] * len(tokens))
    writer.add_token_merges(model["merges"] or ["a b"])
    for add in (writer.add_bos_token_id, writer.add_eos_token_id, writer.add_unk_token_id):
        add(0)


def ctranslate2(source, out, kind):
    from ctranslate2.converters import TransformersConverter

    TransformersConverter(str(source)).convert(str(out), quantization="int8")


if __name__ == "__main__":
    main()
