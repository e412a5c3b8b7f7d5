"""Whole language models of every family: chunks, precisions, limits."""

import numpy as np
import pytest
from language_models import language_model

from edgert.errors import InputError
from edgert.format import writer
from edgert.session import Session

FAMILIES = ["gpt2", "llama", "qwen2", "qwen3"]


def session(graph, **options):
    return Session(writer.to_bytes(graph), **options)


def logits(model, tokens, position=0):
    return model.run([np.array(tokens, np.int32), np.array([position], np.int32)])[0]


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("weights", ["float32", "int8", "int4"])
def test_chunks_and_single_tokens_give_what_one_run_gives(family, weights):
    graph = language_model(family, kv_heads=2, weights=weights, cache="float32" if weights == "float32" else "int8")
    tokens = np.random.default_rng(1).integers(0, 97, 11)
    whole = logits(session(graph, all_rows=True), tokens)
    assert whole.shape == (11, 97)
    model, rows = session(graph), []
    for start, stop in ((0, 4), (4, 5), (5, 6), (6, 11)):
        rows.append(logits(model, tokens[start:stop], start)[0])
    tolerance = 2e-5 if weights == "float32" else 0  # BLAS sums in an order that depends on the number of rows
    np.testing.assert_allclose(rows, whole[[3, 4, 5, 10]], atol=tolerance, rtol=0)


@pytest.mark.parametrize("family", FAMILIES)
def test_quantised_models_stay_close_to_float_ones(family):
    tokens = np.random.default_rng(2).integers(0, 97, 24)
    exact, int8, int4 = (
        logits(session(language_model(family, weights=weights, cache=cache), all_rows=True), tokens)
        for weights, cache in (("float32", "float32"), ("int8", "int8"), ("int4", "int8"))
    )
    spread = exact.std()
    assert np.abs(int8 - exact).mean() < 0.03 * spread
    assert np.abs(int4 - exact).mean() < 0.2 * spread


@pytest.mark.parametrize(
    ("tokens", "position", "message"),
    [
        ([97], 0, r"tokens: id 97 is outside the vocabulary 0..96"),
        ([3, -1], 0, r"tokens: id -1 is outside"),
        ([1], 48, r"position: 48 and 1 tokens from there leave the context of 48"),
        ([1] * 40, 9, r"leave the context of 48"),
        ([1], -1, r"position: -1"),
        ([1] * 2_000_000, 0, r"2000000 tokens"),
    ],
)
@pytest.mark.parametrize("family", ["gpt2", "llama"])
def test_inputs_beyond_vocabulary_and_context_are_refused(family, tokens, position, message):
    with pytest.raises(InputError, match=message):
        logits(session(language_model(family)), tokens, position)
