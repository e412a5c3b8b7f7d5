"""tokenizer.json of the package `tokenizers`: BPE over bytes, or over characters with byte fallback.

What this cannot express exactly is kept whole and run by that package on the device.
"""

import json

from edgert.convert.tokenizers import ADDED, META_SPACE, SPECIAL, TEXT, build
from edgert.errors import ConversionError
from edgert.graph import Tokenizer

_SPLITS = {
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|"
    "\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+": "llama3",
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|"
    "\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+": "qwen2",
    "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+": "gpt2",
}


class _Foreign(Exception):
    """The tokenizer does something that the arrays of `graph.Tokenizer` cannot say."""


def load(data, name="tokenizer.json"):
    """(Tokenizer, the text of the token that a text begins with or None, notes) of a tokenizer.json's bytes.

    Raises: ConversionError.
    """
    try:
        content, notes = json.loads(data), []
        try:
            tokenizer = _expressed(content)
        except _Foreign as why:
            tokenizer = _kept_whole(content, data)
            notes.append(f"tokenizer: {why}; the device needs the package tokenizers")
        return tokenizer, _first_token(content), notes
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ConversionError(
            f"{name}: no tokenizer that is understood here ({type(error).__name__}: {error})"
        ) from None


def byte_letters():
    """The 256 characters that stand for bytes in a byte-level vocabulary, in the order of bytes.

    Source: GPT-2, encoder.py: printable bytes stand for themselves, the others are numbered from 256 on.
    """
    printable = {*range(33, 127), *range(161, 173), *range(174, 256)}
    others = iter(range(256, 512))
    return "".join([chr(byte) if byte in printable else chr(next(others)) for byte in range(256)])


def byte_level(vocabulary, merges, kinds=None, **fields):
    """A byte-level BPE tokenizer. vocabulary: token -> id, in byte letters. merges: pairs of tokens, best first.

    kinds: id -> kind of those that are not plain text; such a token's text is meant as it stands.
    """
    kinds, letters = kinds or {}, byte_letters()
    byte_of = {letter: byte for byte, letter in enumerate(letters)}
    pieces = _pieces(vocabulary, lambda t, i: t.encode() if i in kinds else bytes([byte_of[letter] for letter in t]))
    numbered = [(vocabulary[a], vocabulary[b], vocabulary[a + b], rank) for rank, (a, b) in enumerate(merges)]
    byte_ids = [vocabulary[letter] for letter in letters]
    return build(pieces, [kinds.get(i, TEXT) for i in range(len(pieces))], numbered, byte_ids=byte_ids, **fields)


def _expressed(content):
    model = content["model"]
    if model.get("type", "BPE") != "BPE":
        raise _Foreign(f"its model is {model['type']}, not BPE")
    if model.get("dropout") or model.get("continuing_subword_prefix") or model.get("end_of_word_suffix"):
        raise _Foreign("it uses dropout, a subword prefix or a word suffix")
    added = content.get("added_tokens") or []
    if any(token.get("lstrip") or token.get("rstrip") or token.get("single_word") for token in added):
        raise _Foreign("an added token takes the spaces beside it, or must be a word")
    vocabulary = model["vocab"] | {token["content"]: token["id"] for token in added}
    kinds = {token["id"]: SPECIAL if token["special"] else ADDED for token in added}
    merges = [tuple(pair.split(" ")) if isinstance(pair, str) else tuple(pair) for pair in model["merges"]]
    cut = _cut(content.get("pre_tokenizer"))
    normal_form, prefix = _normalizer(content.get("normalizer"))
    fields = {"normal_form": normal_form, "whole_pieces": bool(model.get("ignore_merges"))}
    if cut["bytes"]:
        if prefix or cut["prefix"]:
            raise _Foreign("it puts a space in front of bytes")
        return byte_level(vocabulary, merges, kinds, patterns=cut["patterns"], **fields)
    if cut["patterns"]:
        raise _Foreign("it cuts text before merging characters")
    return _over_characters(model, vocabulary, merges, kinds, prefix or cut["prefix"], **fields)


def _over_characters(model, vocabulary, merges, kinds, space_prefix, **fields):
    """BPE over the characters of the whole text; spaces are U+2581 where `space_prefix`."""
    if fields["whole_pieces"]:
        raise _Foreign("it is BPE over characters that leaves whole words alone")
    byte_ids = [vocabulary[f"<0x{byte:02X}>"] for byte in range(256)] if model.get("byte_fallback") else []
    byte_of = {token: byte for byte, token in enumerate(byte_ids)}
    texts = {i: text.replace(META_SPACE, " ") if space_prefix else text for text, i in vocabulary.items()}
    pieces = _pieces(vocabulary, lambda text, i: bytes([byte_of[i]]) if i in byte_of else texts[i].encode())
    numbered = [(vocabulary[a], vocabulary[b], vocabulary[a + b], rank) for rank, (a, b) in enumerate(merges)]
    char_ids = sorted(i for i, text in texts.items() if len(text) == 1 and i not in byte_of and i not in kinds)
    unknown = vocabulary.get(model.get("unk_token"), -1)
    kinds = [kinds.get(i, TEXT) for i in range(len(pieces))]
    fields |= {"byte_ids": byte_ids, "char_ids": char_ids, "unknown": unknown, "space_prefix": space_prefix}
    return build(pieces, kinds, numbered, **fields)


def _pieces(vocabulary, encode):
    """The bytes of each id from 0 on; ids that nothing has stand for nothing."""
    pieces = [b""] * (max(vocabulary.values()) + 1)
    for text, token in vocabulary.items():
        pieces[token] = encode(text, token)
    return pieces


def _parts(step, what):
    """The steps of a normalizer or pre-tokenizer, a Sequence taken apart."""
    if step is None:
        return []
    return step[what] if step["type"] == "Sequence" else [step]


def _cut(pre_tokenizer):
    """{"patterns", "bytes", "prefix"} of a pre_tokenizer."""
    patterns, by_bytes, prefix = [], False, ""
    for step in _parts(pre_tokenizer, "pretokenizers"):
        kind = step["type"]
        if kind == "ByteLevel":
            by_bytes = True
            prefix = "first" if step.get("add_prefix_space") else prefix
            patterns += ["gpt2"] if step.get("use_regex", True) else []
        elif kind == "Digits" and step["individual_digits"]:
            patterns.append("digits")
        elif kind == "Split" and step["behavior"] == "Isolated" and step["pattern"].get("Regex") in _SPLITS:
            patterns.append(_SPLITS[step["pattern"]["Regex"]])
        elif kind == "Metaspace" and step["replacement"] == META_SPACE and step.get("split") is False:
            prefix = {"always": "missing", "first": "first", "never": ""}[step.get("prepend_scheme", "always")]
        else:
            raise _Foreign(f"its pre_tokenizer {kind} has rules that are not known here")
    return {"patterns": tuple(patterns), "bytes": by_bytes, "prefix": prefix}


def _normalizer(normalizer):
    """(normal form, space prefix) of a normalizer."""
    form, prefix, replaced = "", "", False
    for step in _parts(normalizer, "normalizers"):
        if step["type"] == "NFC" and not prefix:
            form = "NFC"
        elif step["type"] == "Prepend" and step["prepend"] == META_SPACE:
            prefix = "each"
        elif step["type"] == "Replace" and step["pattern"] == {"String": " "} and step["content"] == META_SPACE:
            replaced = True
        else:
            raise _Foreign(f"its normalizer {step['type']} is not known here")
    if bool(prefix) != replaced:
        raise _Foreign("its normalizer replaces spaces without putting one in front, or the reverse")
    return form, prefix


def _first_token(content):
    """The special token that the post-processor puts in front of a text, None if there is none."""
    steps = _parts(content.get("post_processor"), "processors")
    for step in steps:
        if step["type"] == "TemplateProcessing" and step["single"] and "SpecialToken" in step["single"][0]:
            return step["single"][0]["SpecialToken"]["id"]
    return None


def _kept_whole(content, data):
    """The record of a tokenizer that the package `tokenizers` runs: only what its tokens are is taken from it."""
    vocabulary = content["model"]["vocab"]
    if isinstance(vocabulary, list):  # Unigram: [text, score] in the order of ids
        vocabulary = {text: i for i, (text, _) in enumerate(vocabulary)}
    added = {token["id"]: token for token in content.get("added_tokens") or []}
    size = max([*vocabulary.values(), *added]) + 1
    kinds = [(SPECIAL if added[i]["special"] else ADDED) if i in added else TEXT for i in range(size)]
    empty = build([b""] * size, kinds)
    return Tokenizer(**{name: getattr(empty, name) for name in empty.__slots__} | {"library": bytes(data)})
