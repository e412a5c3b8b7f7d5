"""Which importer of language models a path is for: by what is in it, not by its name."""

import os
import stat

from edgert.convert.importers.language import gguf, huggingface, llama2c, nanogpt
from edgert.convert.language.build import Options
from edgert.convert.language.build import load as build
from edgert.errors import ConversionError, InputError

_HEAD_BYTES = 256
_TOKENIZER_BESIDE = (llama2c, nanogpt)  # formats that do not hold their own


def importer_for(path):
    """The importer module for a file or folder, None if it holds no language model that is known here."""
    if os.path.isdir(path):
        if not huggingface.is_model(path):
            raise ConversionError(f"{path}: this is a directory without a config.json")
        return huggingface
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            return None
        with open(path, "rb") as file:
            head = file.read(_HEAD_BYTES)
    except OSError:
        return None  # who reads it next says why
    if head[:4] == b"GGUF":
        return gguf
    for importer in (llama2c, nanogpt):
        if importer.is_model(path, head):
            return importer
    return None


def load(importer, path, name=None, tokenizer=None, **options):
    """(Graph, Draft) of a language model. options: fields of `language.Options`, None for its default.

    Raises: ConversionError, InputError.
    """
    chosen = Options(name=name, **{key: value for key, value in options.items() if value is not None})
    if tokenizer is not None and importer not in _TOKENIZER_BESIDE:
        raise InputError(f"tokenizer does not apply: {os.path.basename(path)} holds its own")
    beside = (tokenizer,) if importer in _TOKENIZER_BESIDE else ()
    source = importer.load(path, chosen, *beside)
    return build(source, os.path.splitext(os.path.basename(os.path.abspath(path)))[0], chosen)
