"""Golden vectors of language models: a prompt and one token behind it, which every tier answers bit for bit."""

import numpy as np
import pytest

from edgert.convert.language import Options, arrays, build, golden, load, rope
from edgert.convert.language.decoder import Decoder
from edgert.format import writer
from edgert.graph import Text
from edgert.kernels import tiers
from edgert.session import Session


def converted(context=32, **options):
    """(Graph, notes) of a small model of random weights, of the Llama family."""
    decoder = Decoder(
        vocabulary=37, context=context, width=64, layers=2, heads=4, kv_heads=2, head_dim=16, hidden=96,
        norm="rms_norm", epsilon=1e-5, function="silu", gated=True, rope=lambda: rope.table(context, 16),
    )  # fmt: skip
    rng, shapes = np.random.default_rng(0), decoder.shapes()
    weights = {name: arrays.of(name, rng.normal(0, 0.3, shapes[name])) for name in decoder.required()}
    source = build.Source(decoder, weights, Text(context=context), {}, [])
    graph, draft = load(source, "random", Options(**options))
    return graph, draft.notes


@pytest.mark.parametrize("weights", ["int8", "int4"])
@pytest.mark.parametrize("kv", ["int8", "float"])
def test_every_tier_answers_the_golden_prompt_and_the_token_behind_it(weights, kv):
    graph, _ = converted(weights=weights, kv=kv)
    vectors = graph.metadata.golden
    assert [(len(ids) // 4, int.from_bytes(at, "little")) for (ids, at), _ in vectors] == [(19, 0), (1, 19)]
    content = writer.to_bytes(graph)
    for tier in tiers.available():
        if tier != "jit":
            check(Session(content, tier=tier), vectors)


def check(session, vectors):
    for inputs, outputs in vectors:
        assert [bytes(answer) for answer in session.run_buffers(inputs)] == list(outputs)


@pytest.mark.skipif("jit" not in tiers.supported(), reason="Numba is not installed")
def test_the_jit_tier_runs_a_whole_language_model_itself():
    graph, _ = converted(weights="int4")
    session = Session(writer.to_bytes(graph), tier="jit")
    check(session, graph.metadata.golden)
    assert {tier for _, tier, _, _ in session.plan.steps} == {"jit"}


@pytest.mark.parametrize("context", [2, 7])
def test_golden_prompts_fit_a_small_context(context):
    graph, _ = converted(context)
    assert [len(ids) // 4 for (ids, _), _ in graph.metadata.golden] == [context - 1, 1]


def test_float_models_have_no_golden_vectors_and_say_why():
    graph, notes = converted(weights="float")
    assert graph.metadata.golden == ()
    assert notes == ["no golden vectors: float sums may differ in their last bits from processor to processor"]
    assert graph.metadata.report == notes[0]


@pytest.mark.parametrize("limit", ["MAX_WORK", "MAX_BYTES"])
def test_models_too_large_for_the_reference_have_none_and_say_so(limit, monkeypatch):
    monkeypatch.setattr(golden, limit, 200)
    graph, notes = converted()
    assert graph.metadata.golden == ()
    assert notes == ["no golden vectors: the model is too large for them"]


def test_verify_answers_them_in_order_on_one_session(edgert, tmp_path):
    graph, _ = converted()
    writer.write(graph, tmp_path / "model.bin")
    code, out, _ = edgert("verify", tmp_path / "model.bin")
    assert code == 0
    assert "2 of 2 golden answers bit for bit" in out


def test_verify_finds_the_one_that_differs(edgert, tmp_path):
    graph, _ = converted()
    first, (inputs, (logits,)) = graph.metadata.golden
    wrong = bytes([logits[0] ^ 1]) + logits[1:]
    changed = graph.metadata.replace(golden=(first, (inputs, (wrong,))))
    writer.write(graph.replace(metadata=changed), tmp_path / "model.bin")
    code, _, err = edgert("verify", tmp_path / "model.bin")
    assert code == 1
    assert "golden answer 1, output 'head' differs in 1 of 148 bytes" in err


@pytest.mark.parametrize(
    ("tokens", "said"), [(b"\0" * 5, "rows of 4 bytes"), (b"", "rows of 4 bytes"), (b"\xff" * 4, "token")]
)
def test_a_file_whose_golden_tokens_are_none_is_a_wrong_file(edgert, tmp_path, tokens, said):
    graph, _ = converted()
    ((_, position), outputs), _ = graph.metadata.golden
    changed = graph.metadata.replace(golden=(((tokens, position), outputs),))
    writer.write(graph.replace(metadata=changed), tmp_path / "model.bin")
    code, _, err = edgert("verify", tmp_path / "model.bin")
    assert code == 3
    assert "golden answer 0" in err
    assert said in err
