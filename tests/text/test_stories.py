"""llama2.c's stories260K, a real trained model: the same text as a plain forward pass, and every way to run it."""

import struct

import numpy as np
import pytest

import edgert
from edgert import convert
from edgert.format import writer

PROMPT = "Once upon a time"


@pytest.fixture(scope="module")
def checkpoint(data_file):
    data_file("lm/tok512.bin")
    return data_file("lm/stories260K.bin")


def model(checkpoint, **options):
    return edgert.load(writer.to_bytes(convert.load(checkpoint, **options)[0]))


class Plain:
    """The forward pass of llama2.c's run.c in NumPy, one token at a time, everything computed anew."""

    def __init__(self, path):
        content = path.read_bytes()
        sizes = struct.unpack_from("<7i", content)
        self.dim, self.hidden, self.layers, self.heads, self.kv_heads, self.vocabulary, _ = sizes
        kept = self.dim // self.heads * self.kv_heads
        n, at, self.w = self.layers, 28, {}
        for name, shape in (
            ("embedding", (self.vocabulary, self.dim)), ("norm1", (n, self.dim)), ("q", (n, self.dim, self.dim)),
            ("k", (n, kept, self.dim)), ("v", (n, kept, self.dim)), ("o", (n, self.dim, self.dim)),
            ("norm2", (n, self.dim)),
            ("w1", (n, self.hidden, self.dim)), ("w2", (n, self.dim, self.hidden)), ("w3", (n, self.hidden, self.dim)),
            ("norm", (self.dim,)),
        ):  # fmt: skip
            self.w[name] = np.frombuffer(content, "<f4", int(np.prod(shape)), at).reshape(shape)
            at += self.w[name].nbytes
        self.keys, self.values = [[] for _ in range(n)], [[] for _ in range(n)]

    def logits(self, token, position):
        w, size = self.w, self.dim // self.heads
        x = w["embedding"][token]
        for i in range(self.layers):
            h = self.normed(x, w["norm1"][i])
            q, k, v = (np.reshape(w[name][i] @ h, (-1, size)) for name in "qkv")
            self.keys[i].append(self.turned(k, position))
            self.values[i].append(v)
            heads = []
            for head, query in enumerate(self.turned(q, position)):
                shared = head // (self.heads // self.kv_heads)
                scores = np.array([query @ key[shared] for key in self.keys[i]]) / np.sqrt(np.float32(size))
                weights = np.exp(scores - scores.max())
                heads.append((weights / weights.sum()) @ np.array([value[shared] for value in self.values[i]]))
            x = x + w["o"][i] @ np.concatenate(heads)
            h = self.normed(x, w["norm2"][i])
            gate = w["w1"][i] @ h
            x = x + w["w2"][i] @ (gate / (1 + np.exp(-gate)) * (w["w3"][i] @ h))
        return w["embedding"] @ self.normed(x, w["norm"])

    @staticmethod
    def normed(x, weight):
        return x / np.sqrt(np.square(x).mean() + np.float32(1e-5)) * weight

    @staticmethod
    def turned(x, position):
        """Neighbouring numbers of each head are a pair."""
        angles = position * 10000.0 ** (-np.arange(0, x.shape[1], 2) / x.shape[1])
        pairs = (x[:, 0::2] + 1j * x[:, 1::2]) * np.exp(1j * angles)
        return np.stack([pairs.real, pairs.imag], -1).reshape(x.shape).astype(np.float32)


def test_100_greedy_tokens_are_those_of_a_plain_forward_pass(checkpoint):
    stories, plain = model(checkpoint, weights="float", kv="float"), Plain(checkpoint)
    ids = stories.language.prompt_ids(PROMPT)
    wanted = list(ids)
    for position in range(len(ids) + 99):
        row = plain.logits(wanted[position], position)
        if position >= len(ids) - 1:
            wanted.append(int(row.argmax()))
    answer = stories.generate(PROMPT, max_tokens=100, temperature=0)
    assert answer.text().startswith(", there was a little girl named Lily.")
    assert answer.tokens == wanted[len(ids) :]


@pytest.mark.parametrize(("weights", "kv"), [("int8", "int8"), ("int4", "int8"), ("int4", "float")])
def test_quantised_stories_are_english_too(checkpoint, weights, kv):
    text = model(checkpoint, weights=weights, kv=kv).generate(PROMPT, max_tokens=30, temperature=0).text()
    assert text.startswith(", there was a little girl named Lily. She loved to play")


def test_a_second_prompt_reuses_the_first_and_says_the_same(checkpoint):
    stories = model(checkpoint)
    first = stories.generate(PROMPT, max_tokens=20, temperature=0)
    text = first.text()
    again = stories.generate(PROMPT + text, max_tokens=10, temperature=0)
    alone = model(checkpoint).generate(PROMPT + text, max_tokens=10, temperature=0)
    assert again.text() == alone.text()
    assert again.reused_tokens > 20
    assert alone.reused_tokens == 0


def test_a_text_longer_than_the_context_goes_on(checkpoint):
    stories = model(checkpoint, context=24)
    answer = stories.generate(PROMPT, max_tokens=60, temperature=0)
    assert len(answer.text()) > 100
    assert len(answer.tokens) == 60
    assert answer.finish_reason == "length"


def test_weights_may_be_larger_than_what_is_read_at_a_time(checkpoint, monkeypatch):
    whole = writer.to_bytes(convert.load(checkpoint, weights="int4")[0])
    monkeypatch.setattr("edgert.convert.language.arrays.BLOCK_NUMBERS", 1000)
    assert writer.to_bytes(convert.load(checkpoint, weights="int4")[0]) == whole


def test_a_tokenizer_elsewhere_is_named_and_none_gives_ids(checkpoint, data_file, tmp_path):
    alone = tmp_path / "model.bin"
    alone.write_bytes(checkpoint.read_bytes())
    graph, draft = convert.load(alone)
    assert "no tok512.bin" in draft.notes[0]
    ids = edgert.load(writer.to_bytes(graph)).generate([1, 403], max_tokens=3, temperature=0)
    assert (ids.text(), len(ids.tokens)) == ("", 3)
    graph, draft = convert.load(alone, tokenizer=str(data_file("lm/tok512.bin")))
    assert draft.notes == []
    assert graph.metadata.text.tokenizer is not None
