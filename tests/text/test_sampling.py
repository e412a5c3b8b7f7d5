"""Choosing tokens: what each rule keeps, compiled and in Python alike, and which arguments are refused."""

import numpy as np
import pytest

from edgert.errors import InputError, ModelFormatError
from edgert.text import sampling
from edgert.text.sampling import PythonChooser, Sampler, Sampling

RULES = [
    {"temperature": 0},
    {"temperature": 0.8},
    {"temperature": 1.3, "top_k": 5},
    {"top_p": 0.7},
    {"top_k": 40, "top_p": 0.95, "min_p": 0.02},
    {"min_p": 0.2},
    {"temperature": 0, "repetition_penalty": 1.5},
    {"top_k": 1_000_000, "repetition_penalty": 0.7},
]


def logits(n, seed=0):
    return np.random.default_rng(seed).normal(0, 3, n).astype(np.float32)


def draws(row, count, chooser=None, history=(), **fields):
    sampler = Sampler(Sampling(seed=1, **fields), len(row))
    if chooser:
        sampler._chooser = chooser(len(row))
    return [sampler.choose(memoryview(row), list(history)) for _ in range(count)]


@pytest.mark.parametrize("rules", RULES, ids=str)
@pytest.mark.parametrize("n", [1, 3, 65, 1000])
def test_compiled_and_python_choosers_draw_the_same(n, rules):
    if sampling.Chooser is None:
        pytest.skip("kernels.native.choose is not built")
    row, history = logits(n), [0, n // 2, n // 2, 7 * n]
    assert draws(row, 100, history=history, **rules) == draws(row, 100, PythonChooser, history, **rules)


@pytest.mark.parametrize("chooser", [None, PythonChooser])
def test_each_rule_keeps_the_tokens_it_should(chooser):
    row = np.log(np.array([0.4, 0.3, 0.2, 0.06, 0.04], np.float32))

    def kept(**fields):
        return {token for token, _ in draws(row, 400, chooser, **({"temperature": 1.0} | fields))}

    assert kept() == {0, 1, 2, 3, 4}
    assert kept(temperature=0) == {0}
    assert kept(top_k=2) == {0, 1}
    assert kept(top_p=0.65) == {0, 1}
    assert kept(top_p=0.75) == {0, 1, 2}
    assert kept(top_k=2, top_p=0.5) == {0}  # of the two's 0.7, the first holds 0.57
    assert kept(min_p=0.45) == {0, 1, 2}
    assert kept(top_p=0.95, min_p=0.6) == {0, 1}
    assert kept(temperature=0.01) == {0}


def test_draws_follow_the_probabilities():
    row = np.log(np.array([0.5, 0.25, 0.25], np.float32))
    counts = np.bincount([token for token, _ in draws(row, 4000, temperature=1.0)])
    np.testing.assert_allclose(counts / 4000, [0.5, 0.25, 0.25], atol=0.03)


def test_repetition_penalty_lowers_what_the_text_has_whatever_its_sign():
    row = np.array([2.0, 1.9, -1.0], np.float32)
    assert draws(row, 1, history=[0], temperature=0, repetition_penalty=1.2)[0] == (1, pytest.approx(1.9))
    assert draws(-row, 1, history=[2, 9, -5], temperature=0, repetition_penalty=4)[0][0] == 2
    assert draws(np.float32([-1, -1.1]), 1, history=[0], temperature=0, repetition_penalty=1.2)[0][0] == 1


def test_the_logit_given_is_the_models_own():
    row = np.array([2.0, 1.0], np.float32)
    assert draws(row, 1, history=[0], temperature=0, repetition_penalty=1.5)[0] == (0, 2.0)


def test_the_lowest_of_equal_logits_wins_and_nan_is_passed_over():
    assert draws(np.float32([1, 3, 3]), 1, temperature=0)[0][0] == 1
    assert draws(np.float32([np.nan, 1, np.nan, 2]), 1, temperature=0)[0][0] == 3


@pytest.mark.parametrize("rules", [{"top_k": 2}, {"top_p": 0.5}, {"top_k": 9, "top_p": 0.9, "min_p": 0.1}], ids=str)
def test_a_nan_among_the_logits_draws_no_token_that_is_none(rules):
    row = np.float32([np.nan, 1, -np.nan, 2, 0.5])
    assert {token for token, _ in draws(row, 50, temperature=1.0, **rules)} <= set(range(5))


def test_equal_weights_are_kept_lowest_index_first_in_a_large_vocabulary():
    row = np.zeros(5000, np.float32)
    row[4000] = 1
    assert {token for token, _ in draws(row, 300, temperature=1.0, top_k=3)} == {4000, 0, 1}


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("chooser", [None, PythonChooser])
def test_logits_that_are_no_numbers_are_an_error(value, chooser):
    with pytest.raises(ModelFormatError, match="finite"):
        draws(np.full(9, value, np.float32), 1, chooser)


def test_a_seed_repeats_and_none_does_not():
    row = logits(1000)
    assert draws(row, 20) == draws(row, 20)
    one, other = ([Sampler(Sampling(), 1000).choose(memoryview(row), [])[0] for _ in range(8)] for _ in range(2))
    assert one != other


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("temperature", float("nan")), ("temperature", -0.1), ("temperature", float("inf")), ("temperature", "hot"),
        ("temperature", True), ("top_k", 0), ("top_k", -1), ("top_k", 2**63), ("top_k", 1.5),
        ("top_p", 0.0), ("top_p", 1.1), ("top_p", float("nan")), ("min_p", -0.1), ("min_p", 2),
        ("repetition_penalty", 0), ("repetition_penalty", float("nan")),
        ("seed", -1), ("seed", 2**64), ("seed", 1 << 40_000),
    ],
    ids=lambda value: f"{value}"[:20] if not isinstance(value, int) or value < 2**70 else "huge",
)  # fmt: skip
def test_a_field_out_of_range_is_refused_by_its_name(field, value):
    with pytest.raises(InputError, match=f"^{field} is "):
        Sampling(**{field: value})
