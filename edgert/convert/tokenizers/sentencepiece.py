"""SentencePiece vocabularies: tokenizer.model (a protocol buffer) and llama2.c's flat tokenizer.bin."""

import struct

from edgert.convert.tokenizers import ADDED, META_SPACE, SPECIAL, TEXT, scored
from edgert.errors import ConversionError

_NORMAL, _UNKNOWN, _CONTROL, _USER_DEFINED, _UNUSED, _BYTE = 1, 2, 3, 4, 5, 6  # sentencepiece_model.proto
_KINDS = {_UNKNOWN: SPECIAL, _CONTROL: SPECIAL, _UNUSED: SPECIAL, _USER_DEFINED: ADDED}
_BPE = 2


def load_model(data, name="tokenizer.model"):
    """The Tokenizer of a SentencePiece BPE model's bytes. Raises: ConversionError."""
    try:
        fields = list(_fields(data))
        entries = [dict(_fields(value)) for number, value in fields if number == 1]
        trainer = dict(_fields(b"".join([value for number, value in fields if number == 2])))
        normalizer = dict(_fields(b"".join([value for number, value in fields if number == 3])))
        if trainer.get(3, 1) != _BPE:
            raise ConversionError(f"{name}: a SentencePiece model that is not BPE; only BPE is supported")
        pieces = [entry[1].decode() for entry in entries]
        scores = [struct.unpack("<f", entry.get(2, bytes(4)))[0] for entry in entries]
        types = [entry.get(3, _NORMAL) for entry in entries]
        return from_pieces(pieces, scores, types, "each" if normalizer.get(3, 1) else "")
    except (ValueError, KeyError, IndexError, TypeError, struct.error) as error:
        raise ConversionError(f"{name}: no SentencePiece model ({type(error).__name__}: {error})") from None


def from_pieces(pieces, scores, types, space_prefix="each"):
    """The Tokenizer of SentencePiece's own pieces, scores and types (NORMAL 1, UNKNOWN 2, CONTROL 3, BYTE 6 ...)."""
    byte_ids = _byte_ids(pieces)
    kinds = [_KINDS.get(kind, TEXT) for kind in types]
    unknown = types.index(_UNKNOWN) if _UNKNOWN in types else -1
    spaced = [piece if kind == SPECIAL else piece.replace(META_SPACE, " ") for piece, kind in zip(pieces, kinds)]
    return scored(spaced, scores, kinds, byte_ids, unknown, space_prefix)


def load_llama2c(data, vocabulary, name="tokenizer.bin"):
    """The Tokenizer of a llama2.c file: int32 longest, then (float32 score, int32 bytes, text) for each token.

    Raises: ConversionError.
    """
    pieces, scores, at = [], [], 4
    try:
        for _ in range(vocabulary):
            score, nbytes = struct.unpack_from("<fi", data, at)
            if nbytes < 0 or at + 8 + nbytes > len(data):
                raise ValueError(f"token {len(pieces)} has {nbytes:,} bytes at byte {at:,} of {len(data):,}")
            pieces.append(data[at + 8 : at + 8 + nbytes].decode())
            scores.append(score)
            at += 8 + nbytes
    except (ValueError, struct.error) as error:
        raise ConversionError(f"{name}: no llama2.c tokenizer of {vocabulary:,} tokens ({error})") from None
    if at != len(data):
        raise ConversionError(f"{name}: holds more than the model's {vocabulary:,} tokens")
    pieces[1:3] = "<s>", "</s>"  # written with line feeds around them
    types = [_UNKNOWN, _CONTROL, _CONTROL] + [_NORMAL] * (vocabulary - 3)
    return from_pieces(pieces, scores, types)


def _byte_ids(pieces):
    """The tokens <0x00> to <0xFF>; () if any is missing."""
    places = {piece: token for token, piece in enumerate(pieces)}
    found = [places.get(f"<0x{byte:02X}>", -1) for byte in range(256)]
    return () if -1 in found else found


def _fields(data):
    """(field number, value) of a protocol buffer's message: ints, and bytes for what has a length or is fixed."""
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        wire = key & 7
        if wire == 0:
            value, at = _varint(data, at)
        else:
            nbytes, at = _varint(data, at) if wire == 2 else ({5: 4, 1: 8}[wire], at)
            value, at = data[at : at + nbytes], at + nbytes
            if at > len(data):
                raise ValueError(f"field {key >> 3} ends at byte {at:,} of {len(data):,}")
        yield key >> 3, value


def _varint(data, at):
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            return value, at
        if shift > 63:
            raise ValueError(f"a number at byte {at:,} does not end")
