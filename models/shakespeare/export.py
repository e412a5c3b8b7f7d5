"""Writes the trained model as a Hugging Face folder, which `edgert convert` and transformers read.

    python models/shakespeare/export.py
    edgert convert models/shakespeare/build/hf -o models/shakespeare/shakespeare_int8.bin --name shakespeare
"""

import argparse
import json
import os
import sys
from pathlib import Path

import torch

HERE = Path(__file__).resolve().parent
sys.path.append(str(HERE.parents[1]))  # at the end: an installed edgert comes first

from models.shakespeare.model import Config  # noqa: E402
from models.shakespeare.train import load  # noqa: E402


def config_of(config):
    """config.json: what the family calls the numbers of the network."""
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "vocab_size": config.vocab,
        "hidden_size": config.width,
        "num_hidden_layers": config.layers,
        "num_attention_heads": config.heads,
        "num_key_value_heads": config.heads,
        "intermediate_size": config.hidden,
        "max_position_embeddings": config.context,
        "rms_norm_eps": config.eps,
        "rope_theta": config.rope_theta,
        "hidden_act": "silu",
        "tie_word_embeddings": False,
        "torch_dtype": "float32",
    }


def tokenizer_of(characters):
    """tokenizer.json: BPE without a merge, so that every character is a token."""
    numbers = {character: i for i, character in enumerate(characters)}
    model = {"type": "BPE", "vocab": numbers, "merges": [], "fuse_unk": False, "byte_fallback": False}
    return {"version": "1.0", "added_tokens": [], "model": model, "decoder": {"type": "Fuse"}}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    data = Path(os.environ.get("EDGERT_DATA") or HERE.parents[1] / "data")
    parser.add_argument("--text", type=Path, default=data / "text" / "tinyshakespeare.txt")
    parser.add_argument("--checkpoint", type=Path, default=HERE / "build" / "checkpoint.pt")
    parser.add_argument("--output", type=Path, default=HERE / "build" / "hf")
    args = parser.parse_args()
    from safetensors.torch import save_file

    state = torch.load(args.checkpoint, map_location="cpu", weights_only=True)
    args.output.mkdir(parents=True, exist_ok=True)
    save_file(state["model"], args.output / "model.safetensors", metadata={"format": "pt"})
    characters = load(args.text)[2]
    for name, content in (("config", config_of(Config())), ("tokenizer", tokenizer_of(characters))):
        (args.output / f"{name}.json").write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n")
    print(f"{args.output}: step {state['step']}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
