"""The shipped model as a Hugging Face folder, its weights in float32: a real one to convert without a download.

    python models/shakespeare/unpack.py hf
    edgert convert hf -o model.bin --weights int8
"""

import argparse
import json
import sys
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
sys.path.append(str(HERE.parents[1]))  # at the end: an installed edgert comes first

from edgert.format import reader  # noqa: E402
from edgert.kernels.reference.dynamic_linear import integers  # noqa: E402

ENDS = {"embedding": "model.embed_tokens", "norm": "model.norm", "head": "lm_head"}
LAYER = {
    "norm1": "input_layernorm", "q": "self_attn.q_proj", "k": "self_attn.k_proj", "v": "self_attn.v_proj",
    "out": "self_attn.o_proj", "norm2": "post_attention_layernorm", "gate": "mlp.gate_proj", "up": "mlp.up_proj",
    "down": "mlp.down_proj",
}  # fmt: skip


def weights(graph):
    """Hugging Face's name -> float32 array of every weight."""
    arrays = {t.name: np.frombuffer(t.data, t.dtype).reshape(t.shape) for t in graph.tensors if t.is_constant}
    names = [name.removesuffix(".weight") for name in arrays if name.endswith(".weight")]
    return {f"{_their_name(name)}.weight": _real(arrays, name) for name in names}


def _their_name(name):
    layer, dot, part = name.partition(".")
    return f"model.layers.{layer}.{LAYER[part]}" if dot else ENDS[name]


def _real(arrays, name):
    weight, scale = arrays[f"{name}.weight"], arrays.get(f"{name}.scale")
    if scale is None:
        return weight
    return (integers(weight, arrays.get(f"{name}.group_scale")) * scale[:, None]).astype(np.float32)


def config(graph, tensors):
    """config.json, its numbers read off the shapes."""
    vocabulary, width = tensors["model.embed_tokens.weight"].shape
    head_dim = next(t.shape[-1] - 4 for t in graph.tensors if t.state)  # int8 caches keep a float beside each row
    heads = tensors["model.layers.0.self_attn.q_proj.weight"].shape[0] // head_dim
    return {
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": vocabulary, "hidden_size": width,
        "num_hidden_layers": sum("q_proj" in name for name in tensors), "num_attention_heads": heads,
        "num_key_value_heads": tensors["model.layers.0.self_attn.k_proj.weight"].shape[0] // head_dim,
        "intermediate_size": len(tensors["model.layers.0.mlp.up_proj.weight"]), "hidden_act": "silu",
        "max_position_embeddings": graph.metadata.text.context, "rope_theta": 10000.0,
        "rms_norm_eps": next(node.attrs["epsilon"] for node in graph.nodes if node.op == "rms_norm"),
        "tie_word_embeddings": False,
    }  # fmt: skip


def tokenizer(record):
    """tokenizer.json: BPE without a merge, so that every character is a token."""
    ends = np.frombuffer(record.ends, np.uint32).tolist()
    pieces = [bytes(record.pieces[a:b]).decode() for a, b in zip([0, *ends], ends)]
    model = {"type": "BPE", "vocab": {piece: i for i, piece in enumerate(pieces)}, "merges": []}
    return {"version": "1.0", "added_tokens": [], "model": model, "decoder": {"type": "Fuse"}}


def safetensors(tensors):
    """The file's bytes: the length of a JSON header, the header, the arrays one after the other."""
    entries, end = {"__metadata__": {"format": "pt"}}, 0
    for name, array in tensors.items():
        entries[name] = {"dtype": "F32", "shape": array.shape, "data_offsets": [end, end + array.nbytes]}
        end += array.nbytes
    head = json.dumps(entries).encode()
    return b"".join([len(head).to_bytes(8, "little"), head, *[array.tobytes() for array in tensors.values()]])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    graph = reader.read(str(HERE / "shakespeare_int4.bin")).graph
    tensors = weights(graph)
    folder.mkdir(parents=True, exist_ok=True)
    content = {
        "config.json": json.dumps(config(graph, tensors), indent=1).encode(),
        "model.safetensors": safetensors(tensors),
        "tokenizer.json": json.dumps(tokenizer(graph.metadata.text.tokenizer)).encode(),
    }
    for name, data in content.items():
        (folder / name).write_bytes(data)
        print(f"{folder / name}: {len(data):,} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
