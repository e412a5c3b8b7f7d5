"""The loss over a text: every token once, from at least half a context, whatever the sizes."""

import json
import math
from itertools import pairwise

import numpy as np
import pytest

from edgert.text.perplexity import loss


class Recording:
    """A model of 7 tokens that gives token t + 1 the logit 2 after t; it keeps which position predicted which token."""

    def __init__(self):
        self.held, self.steps = [], []

    def __call__(self, ids, position):
        self.held[position:] = ids
        self.steps.append((position, len(ids)))
        rows = np.zeros((len(ids), 7), np.float32)
        rows[np.arange(len(ids)), (np.array(ids) + 1) % 7] = 2.0
        return rows


@pytest.mark.parametrize("bos", [None, 3])
@pytest.mark.parametrize(
    ("count", "context", "chunk"), [(2, 8, 128), (8, 8, 3), (9, 8, 128), (100, 8, 5), (101, 7, 2), (30, 2, 1)]
)
def test_every_token_is_predicted_once_from_the_one_before_it(bos, count, context, chunk):
    ids = np.random.default_rng(0).integers(0, 7, count).tolist()
    found = loss(Recording(), ids, context, nbytes=2 * count, bos=bos, chunk=chunk)
    pairs = list(pairwise(ids)) + ([(bos, ids[0])] if bos is not None else [])
    normal = math.log(6 + math.exp(2))
    if bos is None or context > 2:  # with room for one token beside it, what comes before is the first token
        assert found.nats == pytest.approx(sum(normal - 2.0 * ((a + 1) % 7 == b) for a, b in pairs))
    assert (found.tokens, found.nbytes) == (len(pairs), 2 * count)


def test_windows_overlap_by_half_and_no_more_rows_than_a_chunk_are_asked_for():
    model = Recording()
    progress = []
    found = loss(model, [0] * 40, 16, 40, chunk=6, progress=lambda *at: progress.append(at))
    assert found.windows == 4
    assert progress == [(16, 40), (24, 40), (32, 40), (40, 40)]
    assert max(count for _, count in model.steps) == 6
    assert found.per_byte == found.nats / 40


def test_eval_reports_the_loss_of_a_whole_text(edgert, stories, data_file, tmp_path):
    text = tmp_path / "story.txt"
    text.write_text("Once upon a time, there was a little girl named Lily. She loved to play outside in the park. " * 3)
    code, out, err = edgert("eval", stories, "--perplexity", text, "--json")
    assert (code, err) == (0, "")
    found = json.loads(out)
    assert found["bytes"] == text.stat().st_size
    assert 0.2 < found["nats_per_token"] < 0.6
    assert found["nats_per_byte"] * found["bytes"] == pytest.approx(found["nats_per_token"] * found["tokens"], rel=1e-3)
    code, out, _ = edgert("eval", stories, "--perplexity", text)
    assert "nats per token" in out
    assert "perplexity" in out


def test_what_is_no_text_or_no_language_model_is_refused(edgert, stories, model_files, tmp_path):
    (tmp_path / "x.txt").write_bytes(b"abc\xff")
    (tmp_path / "empty.txt").write_bytes(b"")
    for words, said in (
        ((stories, "--perplexity", tmp_path / "x.txt"), "not UTF-8 at byte 3"),
        ((stories, "--perplexity", tmp_path / "empty.txt"), "0 tokens"),
        ((stories, "--perplexity", tmp_path), "directory"),
        ((stories, "--perplexity", tmp_path / "none.txt"), "No such file"),
        ((model_files / "colours.bin", "--perplexity", tmp_path / "empty.txt"), "not 'generate'"),
        ((stories,), "--perplexity FILE"),
    ):  # fmt: skip
        code, out, err = edgert("eval", *words)
        assert (code, out) == (1, "")
        assert said in err
        assert err.count("\n") == 1


@pytest.fixture(scope="module")
def stories(data_file, tmp_path_factory):
    """stories260K as a model file with a context of 64 tokens."""
    from edgert import convert

    data_file("lm/tok512.bin")
    path = tmp_path_factory.mktemp("stories") / "stories.bin"
    convert.convert(data_file("lm/stories260K.bin"), path, context=64)
    return path
