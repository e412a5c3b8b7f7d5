"""Tokenizers of other formats as the model file's `graph.Tokenizer`: pieces, and the pairs that merge, as arrays."""

import numpy as np

from edgert.errors import ConversionError
from edgert.graph import Tokenizer

TEXT, SPECIAL, ADDED = 0, 1, 2
META_SPACE = "\u2581"  # how SentencePiece writes a space


def build(pieces, kinds, merges=(), **fields):
    """A `Tokenizer` record.

    pieces: bytes of each token. kinds: TEXT, SPECIAL or ADDED for each. merges: (left, right, result, rank) ids, lower
    ranks first. fields: those of `graph.Tokenizer`, lists of ids as they are.
    """
    merges = np.array(sorted({(left << 32 | right, result, rank) for left, right, result, rank in merges}), np.uint64)
    merges = merges.reshape(-1, 3)
    pairs, results, ranks = merges[:, 0], merges[:, 1], merges[:, 2]
    _, first = np.unique(pairs, return_index=True)
    pairs, results, ranks = pairs[first], results[first], ranks[first]
    by_rank, by_result = np.argsort(ranks, kind="stable"), np.argsort(results, kind="stable")
    # Most vocabularies list merges in the order of their results: then ranks say nothing new.
    implied = np.array_equal(by_rank, by_result) and len(np.unique(results)) == len(np.unique(ranks))
    arrays = {name: _array(fields.pop(name)) for name in ("byte_ids", "char_ids") if name in fields}
    return Tokenizer(
        pieces=b"".join(pieces),
        ends=_array(np.cumsum([len(piece) for piece in pieces])),
        kinds=bytes(kinds),
        pairs=pairs.tobytes(),
        results=_array(results),
        ranks=b"" if implied else _array(ranks),
        **arrays,
        **fields,
    )


def _array(ids):
    return np.asarray(ids, np.uint32).tobytes()


def characters(alphabet):
    """A tokenizer whose tokens are the characters of `alphabet`, a string, in its order."""
    if len(set(alphabet)) != len(alphabet) or not alphabet:
        raise ConversionError(f"a character tokenizer needs different characters, got {alphabet!r:.80}")
    pieces = [letter.encode() for letter in alphabet]
    return build(pieces, [TEXT] * len(pieces), char_ids=range(len(pieces)))


def scored(pieces, scores, kinds, byte_ids=(), unknown=-1, space_prefix="each"):
    """A SentencePiece BPE vocabulary: two tokens merge where their text together is a token, the best score first.

    pieces: text of each token, with a plain space for the space. byte_ids: the 256 tokens that stand for a byte.
    Source: SentencePiece, bpe_model.cc; the order of equal scores is left to right.
    """
    taken, usable = set(byte_ids), {}
    for token, piece in enumerate(pieces):
        if kinds[token] != SPECIAL and token not in taken and piece:
            usable.setdefault(piece, token)
    rank_of = {score: rank for rank, score in enumerate(sorted(set(scores), reverse=True))}
    merges = [
        (usable[piece[:cut]], usable[piece[cut:]], token, rank_of[scores[token]])
        for piece, token in usable.items()
        for cut in range(1, len(piece))
        if piece[:cut] in usable and piece[cut:] in usable
    ]
    encoded = [piece.encode() for piece in pieces]
    for byte, token in enumerate(byte_ids):
        encoded[token] = bytes([byte])
    char_ids = sorted(token for piece, token in usable.items() if len(piece) == 1)
    fields = {"char_ids": char_ids, "byte_ids": byte_ids, "unknown": unknown, "space_prefix": space_prefix}
    return build(encoded, kinds, merges, **fields)
