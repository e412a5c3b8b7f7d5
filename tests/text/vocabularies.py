"""Tokenizers for the tests: those of the data folder, and small ones that need no data."""

import json

from edgert.convert.tokenizers import huggingface, sentencepiece
from edgert.graph import Text
from edgert.text.tokenizer import Tokenizer

SEPARATOR = "\n__ggml_vocab_test__\n"


def gpt2(data_file):
    """The record of GPT-2's tokenizer."""
    vocabulary = json.loads(data_file("tokenizers/gpt2_encoder.json").read_bytes())
    return huggingface.byte_level(vocabulary, gpt2_merges(data_file), patterns=("gpt2",))


def gpt2_merges(data_file):
    lines = data_file("tokenizers/gpt2_vocab.bpe").read_text(encoding="utf-8").split("\n")
    return [tuple(line.split(" ")) for line in lines[1:-1]]


def llama(data_file):
    """The record of Llama 2's tokenizer, from SentencePiece's own file."""
    return sentencepiece.load_model(data_file("tokenizers/llama2_tokenizer.model").read_bytes())


def llama2c(data_file):
    """The same from llama2.c's flat file."""
    return sentencepiece.load_llama2c(data_file("tokenizers/llama2_tokenizer.bin").read_bytes(), 32_000)


def cases(data_file, name):
    """[(text, the ids it must give)]."""
    with open(data_file(f"tokenizers/llamacpp_{name}.inp"), encoding="utf-8", newline="") as file:
        texts = file.read().split(SEPARATOR)
    lines = data_file(f"tokenizers/llamacpp_{name}.out").read_text().split("\n")
    return list(zip(texts, [[int(word) for word in line.split()] for line in lines], strict=True))


def ready(record, **fields):
    """The Tokenizer that runs a record."""
    return Tokenizer(Text(record, context=64, **fields))


def tiny_byte_level(merges=(), special=(), **fields):
    """256 bytes, then the results of `merges` (pairs of byte-letter strings), then the special tokens."""
    vocabulary = {letter: byte for byte, letter in enumerate(huggingface.byte_letters())}
    for left, right in merges:
        vocabulary.setdefault(left + right, len(vocabulary))
    kinds = {}
    for text in special:
        kinds[len(vocabulary)] = 1
        vocabulary[text] = len(vocabulary)
    return huggingface.byte_level(vocabulary, merges, kinds, **fields)
