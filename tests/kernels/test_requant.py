"""The rounding rule against exact rational arithmetic, and its array form against its scalar form."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgert.kernels import coordinates, requant
from edgert.kernels.reference import rounding

int32 = st.integers(-(2**31), 2**31 - 1)
scales = st.floats(2.0**-40, 2.0**20, width=32)


def exact_float32(value):
    """The nearest float32 of a rational, half to even, by integer arithmetic alone (no denormals)."""
    if value == 0:
        return Fraction(0)
    magnitude, exponent = abs(value), 0
    while magnitude * Fraction(2) ** exponent < 2**23:
        exponent += 1
    while magnitude * Fraction(2) ** exponent >= 2**24:
        exponent -= 1
    rounded = Fraction(round(magnitude * Fraction(2) ** exponent)) / Fraction(2) ** exponent
    return rounded if value > 0 else -rounded


@given(int32, scales, st.integers(-128, 127), st.integers(-128, 127), st.integers(-128, 127))
def test_requantise_is_two_roundings_to_float32_and_one_to_an_integer(acc, multiplier, zero_point, a, b):
    low, high = min(a, b), max(a, b)
    product = exact_float32(exact_float32(Fraction(acc)) * Fraction(multiplier))
    expected = min(max(round(product) + zero_point, low), high)
    assert requant.requantise(acc, multiplier, zero_point, low, high) == expected


@given(st.lists(int32, min_size=1, max_size=50), scales, st.integers(-128, 127))
def test_array_form_agrees_with_the_scalar_rule(accumulators, multiplier, zero_point):
    result = rounding.requantise(np.array(accumulators, np.int32), np.float32(multiplier), zero_point, -128, 127)
    assert result.tolist() == [requant.requantise(acc, multiplier, zero_point) for acc in accumulators]


def test_halves_round_to_even():
    assert [requant.requantise(acc, 0.5, 0) for acc in (-5, -3, -1, 1, 3, 5)] == [-2, -2, 0, 0, 2, 2]


@given(scales, st.lists(scales, min_size=1, max_size=5), scales)
def test_multipliers_are_rounded_once(scale_in, weight_scales, scale_out):
    expected = [float(np.float32(scale_in * scale / scale_out)) for scale in weight_scales]
    assert requant.multipliers(scale_in, weight_scales, scale_out) == expected


def test_float32_saturates_to_infinity():
    assert requant.float32(1e300) == float("inf")
    assert requant.float32(-1e300) == float("-inf")


def test_softmax_table_starts_at_one_and_falls():
    table = requant.softmax_table(0.1)
    assert table[0] == 2**23
    assert table == sorted(table, reverse=True)
    assert len(table) == 256


@pytest.mark.parametrize("rule", [(False, False), (True, False), (False, True)])
@pytest.mark.parametrize("sizes", [(1, 1), (1, 5), (5, 1), (4, 8), (8, 4), (7, 13), (13, 7), (224, 320)])
def test_resize_reads_inside_the_picture(sizes, rule):
    size_in, size_out = sizes
    for index in coordinates.nearest(size_in, size_out, *rule):
        assert 0 <= index < size_in
    for lower, upper, fraction in coordinates.bilinear(size_in, size_out, *rule):
        assert 0 <= lower <= upper < size_in
        assert upper - lower <= 1
        assert 0 <= fraction < 1
        assert 0 <= coordinates.integer_weight(fraction) <= coordinates.WEIGHT_ONE
