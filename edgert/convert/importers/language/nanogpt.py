"""Checkpoints of nanoGPT's train.py: `model`, a state dict, and `model_args`. Tensors are all that is unpickled.

Source: github.com/karpathy/nanoGPT, model.py and train.py.
"""

import os
import pickle
import warnings

from edgert.convert import tokenizers
from edgert.convert.importers.language.huggingface import gpt2_weights
from edgert.convert.importers.language.settings import Settings
from edgert.convert.language.arrays import Array
from edgert.convert.language.build import Source, chosen_context
from edgert.convert.language.decoder import Decoder
from edgert.convert.tokenizers import huggingface as tokenizer_json
from edgert.errors import ConversionError
from edgert.graph import Text
from edgert.optional import require

MAX_PICKLE_BYTES = 2**24


def is_model(path, head):
    """Whether a torch.save archive names what nanoGPT's training script writes."""
    if head[:4] != b"PK\x03\x04":
        return False
    with open(path, "rb") as file:
        return b"model_args" in file.read(2**20)  # the pickle comes first


def load(path, options, tokenizer=None):
    """The `Source` in a checkpoint. tokenizer: a tokenizer.json or nanoGPT's meta.pkl, else one beside the checkpoint.

    Raises: ConversionError, InputError, EdgertError where torch is missing.
    """
    name = os.path.basename(path)
    content = _checkpoint(path, name)
    args, notes = Settings(content["model_args"], f"{name}: model_args"), []
    width, heads = args.count("n_embd"), args.count("n_head")
    if width % heads:
        raise ConversionError(f"{name}: n_embd {width:,} is no multiple of n_head {heads:,}")
    context = chosen_context(options, args.count("block_size"), notes)
    decoder = Decoder(
        vocabulary=args.count("vocab_size"), context=context, width=width, layers=args.count("n_layer"), heads=heads,
        kv_heads=heads, head_dim=width // heads, hidden=4 * width, norm="layer_norm", epsilon=1e-5, function="gelu",
        gated=False,
    )  # fmt: skip
    prefixes = "_orig_mod.", "transformer."  # of torch.compile and of the model
    found = {}
    for key, tensor in content["model"].items():
        for prefix in prefixes:
            key = key.removeprefix(prefix)
        found[key] = _array(key, tensor)
    weights = gpt2_weights(found, decoder, transposed=False)
    text = Text(_tokenizer(path, tokenizer, notes), context)
    return Source(decoder, weights, text, {"source": name, "family": "nanoGPT"}, notes)


def _checkpoint(path, name):
    torch = require("torch", "reading PyTorch's checkpoints")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            content = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        model, args = content["model"], content["model_args"]
    except Exception as error:  # a damaged archive fails in many ways
        reason = str(error).strip().split("\n")[0][:200]
        raise ConversionError(f"{name}: no checkpoint of nanoGPT ({reason})") from None
    if not isinstance(args, dict) or not isinstance(model, dict):
        raise ConversionError(f"{name}: model and model_args are not dictionaries")
    return content


def _array(key, tensor):
    if not hasattr(tensor, "detach") or tensor.ndim < 1:
        raise ConversionError(f"tensor '{key}' is {type(tensor).__name__}")
    return Array(key, tensor.shape, lambda a, b: tensor[a:b].detach().float().contiguous().numpy())


def _tokenizer(path, given, notes):
    folder = os.path.dirname(path)
    names = [given] if given else [os.path.join(folder, name) for name in ("meta.pkl", "tokenizer.json")]
    for candidate in names:
        if given or os.path.isfile(candidate):
            with open(candidate, "rb") as file:
                data = file.read(MAX_PICKLE_BYTES)
            if candidate.endswith(".json"):
                return tokenizer_json.load(data, os.path.basename(candidate))[0]
            return characters_of_meta(data, os.path.basename(candidate))
    notes.append("no meta.pkl or tokenizer.json beside the model: token ids in, token ids out (--tokenizer)")
    return None


def characters_of_meta(data, name="meta.pkl"):
    """The character tokenizer in the meta.pkl of a nanoGPT data set. Nothing in it but plain values is unpickled."""
    import io

    try:
        letters = _Plain(io.BytesIO(data)).load()["itos"]
        return tokenizers.characters("".join([letters[i] for i in range(len(letters))]))
    except ConversionError:
        raise
    except Exception as error:  # a damaged pickle fails in many ways
        raise ConversionError(f"{name}: no character table ({type(error).__name__}: {error})") from None


class _Plain(pickle.Unpickler):
    """Numbers, texts, lists and dictionaries need no class, so none is ever looked up."""

    def find_class(self, module, name):
        raise pickle.UnpicklingError(f"asks for {module}.{name}; only plain values are read")
