"""The generation loop on a made-up model, whose logits follow from the tokens that its caches hold."""

import struct

import pytest
from vocabularies import ready, tiny_byte_level

from edgert.convert import tokenizers
from edgert.errors import InputError
from edgert.graph import Text
from edgert.text.generation import Cache, Generation
from edgert.text.language import Language
from edgert.text.streaming import TextStream


class Counting:
    """A model whose next token is a function of all tokens so far; it keeps what it was asked."""

    def __init__(self, vocabulary, rule):
        self.vocabulary, self.rule = vocabulary, rule
        self.held, self.steps = [], []

    def __call__(self, ids, position):
        assert position <= len(self.held)
        self.held[position:] = ids
        self.steps.append((len(ids), position))
        best = self.rule(self.held)
        return memoryview(
            struct.pack(f"<{self.vocabulary}f", *[float(i == best) for i in range(self.vocabulary)])
        ).cast("f")


def language(rule, tokenizer=None, vocabulary=10, context=16, chunk=4, **text):
    model = Counting(vocabulary, rule)
    fields = Text(None, context, **text)
    return Language(fields, tokenizer, Cache(model, context, chunk), vocabulary), model


def count_up(held):
    return (held[-1] + 1) % 10


def tokens(generation):
    list(generation)
    return generation.tokens


def test_it_counts_until_max_tokens_and_prefills_in_chunks():
    counting, model = language(count_up)
    answer = counting.generate([0, 1, 2, 3, 4, 5], max_tokens=3, temperature=0)
    assert tokens(answer) == [6, 7, 8]
    assert answer.finish_reason == "length"
    assert model.steps == [(4, 0), (2, 4), (1, 6), (1, 7)]  # the last token is not computed: nobody asked for more
    assert (answer.prompt_tokens, answer.reused_tokens) == (6, 0)


def test_a_prompt_that_begins_as_the_last_text_is_not_computed_again():
    counting, model = language(count_up)
    tokens(counting.generate([0, 1, 2], max_tokens=3, temperature=0))
    model.steps.clear()
    answer = counting.generate([0, 1, 2, 3, 4, 7], max_tokens=1, temperature=0)
    assert tokens(answer) == [8]
    assert answer.reused_tokens == 5
    assert model.steps == [(1, 5)]
    model.steps.clear()
    assert tokens(counting.generate([0, 1, 2], max_tokens=1, temperature=0)) == [3]
    assert model.steps == [(1, 2)]  # the last token's logits were not kept


def test_two_answers_taken_in_turns_do_not_disturb_each_other():
    counting, _ = language(lambda held: sum(held) % 10)
    alone = [tokens(counting.generate(prompt, max_tokens=5, temperature=0)) for prompt in ([1, 2], [3, 4])]
    one, other = (counting.generate(prompt, max_tokens=5, temperature=0) for prompt in ([1, 2], [3, 4]))
    for _ in zip(one, other):
        pass
    list(other)
    assert [one.tokens, other.tokens] == alone


def test_a_full_context_keeps_the_newer_half_and_the_token_it_began_with():
    counting, model = language(count_up, context=8, bos=9, add_bos=True)
    assert tokens(counting.generate([9, 0, 1], max_tokens=12, temperature=0)) == [2, 3, 4, 5, 6, 7, 8, 9, 0, 1, 2, 3]
    assert max(position + count for count, position in model.steps) == 8
    assert model.held[0] == 9
    counting, model = language(count_up, context=8)
    assert tokens(counting.generate([0, 1, 2], max_tokens=9, temperature=0)) == [3, 4, 5, 6, 7, 8, 9, 0, 1]
    assert model.steps[-4:] == [(1, 7), (4, 0), (1, 4), (1, 5)]


def test_it_ends_with_a_token_that_ends_answers():
    counting, _ = language(count_up, eos=(7,))
    answer = counting.generate([4], temperature=0)
    assert tokens(answer) == [5, 6, 7]
    assert answer.finish_reason == "eos"


def test_cancel_stops_between_two_tokens_and_before_the_first():
    counting, model = language(count_up)
    answer = counting.generate([0], temperature=0)
    next(answer)
    answer.cancel()
    assert list(answer) == []
    assert answer.finish_reason == "cancelled"
    model.steps.clear()
    answer = counting.generate([5] * 12, temperature=0)
    answer.cancel()
    assert list(answer) == []
    assert model.steps == []
    assert tokens(counting.generate([0, 1], max_tokens=1, temperature=0)) == [2]


def test_text_comes_in_whole_characters():
    llama = "🦙 é".encode()
    counting, _ = language(lambda held: llama[(len(held) - 1) % len(llama)], ready(tiny_byte_level()), vocabulary=256)
    pieces = list(counting.generate("x", max_tokens=7, temperature=0))
    assert pieces == ["", "", "", "🦙", " ", "", "é"]
    assert [piece.token for piece in pieces] == list(llama)
    assert {piece.logit for piece in pieces} == {1.0}
    cut = counting.generate("x", max_tokens=2, temperature=0)
    assert cut.text() == "\ufffd"


def test_a_stop_string_ends_the_text_before_it():
    letters = tokenizers.characters("abcdefghij")
    counting, _ = language(count_up, ready(letters))
    answer = counting.generate("a", stop="fg", temperature=0)
    assert answer.text() == "bcde"
    assert (answer.finish_reason, answer.tokens) == ("stop", [1, 2, 3, 4, 5, 6])
    assert counting.generate("a", stop=["efx", "gx"], max_tokens=6, temperature=0).text() == "bcdefg"


def test_held_back_text_is_given_at_the_end():
    stream = TextStream(["abc", "bX"])
    assert [stream.feed(data) for data in (b"xa", b"b", b"ab", b"\xc3")] == ["x", "", "ab", ""]
    assert stream.finish() == "ab\ufffd"
    stream = TextStream(["aab"])
    assert stream.feed(b"aaab") == "a"
    assert stream.stopped
    assert stream.feed(b"more") + stream.finish() == ""


@pytest.mark.parametrize(
    ("field", "arguments"),
    [
        ("prompt", {"prompt": ""}), ("prompt", {"prompt": []}), ("prompt", {"prompt": "é"}), ("prompt", {"prompt": 7}),
        ("prompt", {"prompt": "a" * 16}), ("prompt", {"prompt": "a" * 10_000_000}), ("prompt", {"prompt": "a\udc80"}),
        (r"prompt\[1\]", {"prompt": [0, 10]}), (r"prompt\[0\]", {"prompt": [-1]}),
        (r"prompt\[0\]", {"prompt": [2**80]}),
        (r"prompt\[0\]", {"prompt": ["a"]}), ("max_tokens", {"max_tokens": -1}), ("max_tokens", {"max_tokens": 0}),
        ("max_tokens", {"max_tokens": 2**63}), ("stop", {"stop": [""]}), ("stop", {"stop": "x" * 2000}),
        ("stop", {"stop": ["x"] * 17}), ("stop", {"stop": [3]}), ("temperature", {"temperature": float("nan")}),
        ("top_k", {"top_k": 0}),
    ],
)  # fmt: skip
def test_an_argument_that_is_wrong_is_named(field, arguments):
    counting, model = language(count_up, ready(tokenizers.characters("abcdefghij")))
    with pytest.raises(InputError, match=f"^{field}"):
        counting.generate(**{"prompt": "a"} | arguments)
    assert model.steps == []


def test_an_empty_prompt_is_answered_where_a_text_has_a_first_token():
    letters = tokenizers.characters("abcdefghij")
    counting, _ = language(count_up, ready(letters, bos=4, add_bos=True), bos=4, add_bos=True)
    answer = counting.generate("", max_tokens=2, temperature=0)
    assert isinstance(answer, Generation)
    assert answer.text() == "fg"
