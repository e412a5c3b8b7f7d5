"""Tokenizers: llama.cpp's cases exactly, the package `tokenizers` on random text, and what must be refused."""

import json
import random
import struct

import pytest
from vocabularies import cases, gpt2, gpt2_merges, llama, llama2c, ready, tiny_byte_level

from edgert.convert import tokenizers
from edgert.convert.tokenizers import huggingface, sentencepiece
from edgert.errors import ConversionError, EdgertError, InputError, ModelFormatError
from edgert.graph import Text
from edgert.text.tokenizer import Tokenizer

HARD = [
    "a b",
    "  \n\t x",
    "don't",
    "12 345",
    "½ ²",
    "e\u0301",
    "日本語",
    "🦙🚀",
    "\u00a0x\u3000y",
    "\x1c\x85",
    "ſ",
    "▁a",
    "\x00",
]


def random_texts(count, seed):
    rng = random.Random(seed)
    for _ in range(count):
        parts = [rng.choice(HARD) if rng.random() < 0.5 else chr(rng.randrange(32, 0x3000)) for _ in range(12)]
        yield "".join(parts)


@pytest.mark.parametrize(("record", "name"), [(gpt2, "gpt-2"), (llama, "llama-spm"), (llama2c, "llama-spm")])
def test_all_47_cases_give_the_expected_ids_and_come_back(record, name, data_file):
    tokenizer = ready(record(data_file))
    checked = cases(data_file, name)
    assert len(checked) == 47
    for text, ids in checked:
        assert tokenizer.encode(text) == ids, text
        assert tokenizer.decode(ids) == text


def test_gpt2_tokens_of_random_text_are_those_of_the_tokenizers_package(data_file):
    package = pytest.importorskip("tokenizers")
    vocabulary = json.loads(data_file("tokenizers/gpt2_encoder.json").read_bytes())
    theirs = package.Tokenizer(package.models.BPE(vocabulary, gpt2_merges(data_file)))
    theirs.pre_tokenizer = package.pre_tokenizers.ByteLevel(add_prefix_space=False)
    theirs.decoder = package.decoders.ByteLevel()
    record, first, notes = huggingface.load(theirs.to_str().encode())
    assert (first, notes) == (None, [])
    ours = ready(record)
    for text in random_texts(300, seed=0):
        assert ours.encode(text) == theirs.encode(text).ids, text


@pytest.mark.parametrize("split", ["llama3", "qwen2", "smollm"])
def test_other_byte_level_rules_are_those_of_the_tokenizers_package(split):
    package = pytest.importorskip("tokenizers")
    pre, patterns = package.pre_tokenizers, {rule: pattern for pattern, rule in huggingface._SPLITS.items()}
    theirs = package.Tokenizer(package.models.BPE())
    if split == "smollm":
        steps = [pre.Digits(individual_digits=True), pre.ByteLevel(add_prefix_space=False)]
    else:
        steps = [
            pre.Split(package.Regex(patterns[split]), "isolated"),
            pre.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
        theirs.normalizer = package.normalizers.NFC()
    theirs.pre_tokenizer = pre.Sequence(steps)
    trainer = package.trainers.BpeTrainer(
        vocab_size=600, initial_alphabet=pre.ByteLevel.alphabet(), special_tokens=["<|end|>", "<|im_start|>"],
        show_progress=False,
    )  # fmt: skip
    theirs.train_from_iterator(list(random_texts(400, seed=1)), trainer)
    record, _, notes = huggingface.load(theirs.to_str().encode())
    assert notes == []
    ours = ready(record)
    for text in [*random_texts(200, seed=2), "a<|end|> b<|im_start|><|end|>"]:
        assert ours.encode(text) == theirs.encode(text).ids, text


@pytest.mark.parametrize("metaspace", [None, "always", "first"])
def test_sentencepiece_style_json_is_read_as_the_tokenizers_package_reads_it(metaspace):
    package = pytest.importorskip("tokenizers")
    letters = ["▁", "a", "b", "c", "▁a", "ab", "▁ab", "bc"]
    vocabulary = {f"<0x{byte:02X}>": byte + 3 for byte in range(256)} | {"<unk>": 0, "<s>": 1, "</s>": 2}
    vocabulary |= {text: 259 + i for i, text in enumerate(letters)}
    merges = [("▁", "a"), ("a", "b"), ("▁a", "b"), ("▁", "ab"), ("b", "c")]
    theirs = package.Tokenizer(
        package.models.BPE(vocabulary, merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True)
    )
    theirs.add_special_tokens(["<unk>", "<s>", "</s>"])
    normalizers = package.normalizers
    if metaspace is None:
        theirs.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    else:
        theirs.pre_tokenizer = package.pre_tokenizers.Metaspace(prepend_scheme=metaspace, split=False)
    template = [("<s>", 1)]
    theirs.post_processor = package.processors.TemplateProcessing("<s> $A", special_tokens=template)
    record, first, notes = huggingface.load(theirs.to_str().encode())
    assert (first, notes) == ("<s>", [])
    ours = ready(record, bos=1, add_bos=True)
    for text in ["ab", " ab", "  abc ab", "é▁ab", "<s>ab</s> ab", "", "a\nb"]:
        assert ours.encode(text) == theirs.encode(text, add_special_tokens=False).ids, text
        assert ours.encode(text, start=True) == theirs.encode(text).ids, text


def test_what_the_arrays_cannot_say_is_left_to_the_tokenizers_package():
    package = pytest.importorskip("tokenizers")
    from edgert.text.library import LibraryTokenizer

    theirs = package.Tokenizer(
        package.models.WordPiece({"[UNK]": 0, "play": 1, "##ing": 2, "[CLS]": 3}, unk_token="[UNK]")
    )
    theirs.add_special_tokens(["[CLS]"])
    theirs.pre_tokenizer, theirs.decoder = package.pre_tokenizers.Whitespace(), package.decoders.WordPiece()
    record, _, notes = huggingface.load(theirs.to_str().encode())
    assert "needs the package tokenizers" in notes[0]
    ours = LibraryTokenizer(Text(record, context=8, bos=3, add_bos=True))
    assert ours.encode("playing play", start=True) == [3, 1, 2, 1]
    piece = ours.pieces()
    assert b"".join([piece(token) for token in (3, 1, 2, 1)]) == b"playing play"
    assert ours.size == 4
    with pytest.raises(ModelFormatError, match="cannot read"):
        LibraryTokenizer(Text(record.replace(library=b"{}"), context=8))


def test_a_character_tokenizer_names_the_character_it_does_not_know():
    tokenizer = ready(tokenizers.characters("\n ab"))
    assert tokenizer.encode("ab a\n") == [2, 3, 1, 2, 0]
    with pytest.raises(InputError, match=r"'é' \(U\+00E9\), its character 1"):
        tokenizer.encode("aé")


def test_llama2c_vocabulary_of_512_tokens_encodes_and_decodes(data_file):
    record = sentencepiece.load_llama2c(data_file("lm/tok512.bin").read_bytes(), 512)
    tokenizer = ready(record, bos=1, add_bos=True)
    ids = tokenizer.encode("Once upon a time, 🦙", start=True)
    assert ids[0] == 1
    assert tokenizer.decode(ids) == "Once upon a time, 🦙"


def test_a_long_word_takes_time_in_proportion():
    tokenizer = ready(tiny_byte_level([("a", "a"), ("aa", "aa")], patterns=("gpt2",)))
    assert tokenizer.encode("a" * 200_001) == [257] * 50_000 + [97]


def test_merges_of_equal_rank_go_from_left_to_right():
    pieces = ["a", "b", "ab", "ba"]
    tokenizer = ready(tokenizers.scored(pieces, [0.0, 0.0, -1.0, -1.0], [0] * 4, space_prefix=""))
    assert tokenizer.encode("aba") == [2, 0]
    assert tokenizer.encode("bab") == [3, 1]


def words(*values):
    return struct.pack(f"<{len(values)}I", *values)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("ends", b"abc"), ("ends", b""), ("ends", words(2, 1, 4, 7)), ("ends", words(1, 2, 4, 8)), ("kinds", b"\0"),
        ("char_ids", words(0, 4)), ("byte_ids", words(0, 1)), ("results", words(4)), ("results", b""),
        ("ranks", words(1, 2)), ("pairs", b"1234567"), ("patterns", ("(a+)+b",)), ("unknown", 4),
    ],
)  # fmt: skip
def test_arrays_that_do_not_fit_each_other_are_refused_by_name(field, value):
    tokenizer = {
        "pieces": b"abab<s>", "ends": words(1, 2, 4, 7), "kinds": bytes([0, 0, 0, 1]), "char_ids": words(0, 1),
        "pairs": struct.pack("<Q", 1), "results": words(2),
    }  # fmt: skip
    record = tokenizers.Tokenizer(**tokenizer)
    assert Tokenizer(Text(record, context=8)).encode("abab<s>") == [2, 2, 3]
    with pytest.raises(ModelFormatError, match="tokenizer"):
        Tokenizer(Text(record.replace(**{field: value}), context=8))


@pytest.mark.parametrize(
    "data",
    [b"", b"{}", b"[]", b'{"model": {"vocab": 3}}', b'{"model": {"vocab": {"a": 0}, "merges": ["a b"]}}', b"\xff",
     b"[" * 100_000],
    ids=lambda data: repr(data[:40]),
)  # fmt: skip
def test_a_damaged_tokenizer_json_is_one_named_error(data):
    with pytest.raises(ConversionError, match=r"tokenizer\.json"):
        huggingface.load(data)


def test_damaged_sentencepiece_files_are_named_errors(data_file):
    model = data_file("tokenizers/llama2_tokenizer.model").read_bytes()
    flat = data_file("lm/tok512.bin").read_bytes()
    for n in range(0, 3_000, 7):
        with pytest.raises(EdgertError):
            sentencepiece.load_model(model[:n])
        with pytest.raises(EdgertError):
            sentencepiece.load_llama2c(flat[:n], 512)
    with pytest.raises(ConversionError, match="more than"):
        sentencepiece.load_llama2c(flat + b"\0", 512)
