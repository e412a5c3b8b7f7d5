"""Every native tier against the reference on shapes nobody thought of."""

import cases_elementwise
import cases_weights
import conformance
import pytest
from case import Builder
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from test_conformance import NATIVE, check_equal

from edgert.errors import ModelFormatError

pytestmark = pytest.mark.skipif(not NATIVE, reason="no native tier is built here")
words = st.integers(-128, 127)
channels = st.one_of(st.integers(1, 20), st.sampled_from([24, 31, 32, 33, 48, 63, 64, 65, 96, 100, 128, 130]))


def agree_in_every_tier(make):
    """make: builds the case, or raises ModelFormatError for a combination that no graph may have."""
    try:
        case = make()
    except ModelFormatError:
        assume(False)
    for tier in NATIVE:
        bound = conformance.bind(tier, case)
        if bound is not None:
            check_equal(case, conformance.run(bound, case))


@st.composite
def windows(draw, dilated=True):
    """(height, width, kh, kw, attributes) of something that slides over a picture."""
    h, w, kh, kw = (draw(st.integers(1, 12)) for _ in range(4))
    kh, kw = min(kh, 7), min(kw, 7)
    attrs = {name: draw(st.integers(1, 3)) for name in ("stride_h", "stride_w")}
    attrs |= {name: draw(st.integers(0, 3)) for name in ("pad_top", "pad_bottom", "pad_left", "pad_right")}
    if dilated and draw(st.booleans()):
        attrs |= {"dilation_h": draw(st.integers(1, 3)), "dilation_w": draw(st.integers(1, 3))}
    return h, w, kh, kw, attrs


@st.composite
def numbers(draw):
    """Zero points, bias, fill and per-channel scales of something with weights."""
    return {
        "x_zero_point": draw(words),
        "out_zero_point": draw(words),
        "weight_zero_point": draw(st.one_of(st.just(0), words)),
        "bias": draw(st.sampled_from(["random", None])),
        "per_channel": draw(st.booleans()),
        "fill": draw(st.sampled_from(["random", "extremes", "lowest", "highest"])),
        "weights": draw(st.sampled_from(["random", "extremes", "lowest", "highest"])),
    }


@settings(max_examples=150, deadline=None, derandomize=True)
@given(windows(), st.integers(1, 2), channels, channels, st.integers(1, 3), numbers())
def test_any_conv2d(window, n, c_in, c_out, groups, options):
    h, w, kh, kw, attrs = window
    x, weight = (n, h, w, c_in * groups), (c_out * groups, kh, kw, c_in)
    attrs = {**attrs, "groups": groups}
    agree_in_every_tier(lambda: cases_weights.weighted("random", "conv2d", x, weight, attrs, **options))


@settings(max_examples=200, deadline=None, derandomize=True)
@given(windows(), st.integers(1, 2), channels, st.integers(1, 3), numbers())
def test_any_depthwise_conv2d(window, n, c_in, multiplier, options):
    h, w, kh, kw, attrs = window
    x, weight = (n, h, w, c_in), (kh, kw, c_in * multiplier)
    agree_in_every_tier(lambda: cases_weights.weighted("random", "depthwise_conv2d", x, weight, attrs, **options))


@settings(max_examples=150, deadline=None, derandomize=True)
@given(st.integers(1, 40), st.integers(1, 300), st.integers(1, 150), numbers())
def test_any_linear(rows, c_in, c_out, options):
    agree_in_every_tier(lambda: cases_weights.weighted("random", "linear", (rows, c_in), (c_out, c_in), {}, **options))


@settings(max_examples=100, deadline=None, derandomize=True)
@given(windows(dilated=False), st.sampled_from(["avg_pool2d", "max_pool2d"]), st.integers(1, 2), channels, words)
def test_any_pool(window, op, n, c, zero_point):
    h, w, kh, kw, attrs = window
    attrs = {**attrs, "kh": kh, "kw": kw}
    agree_in_every_tier(lambda: cases_elementwise.pool("random", op, (n, h, w, c), attrs, zero_point=zero_point))


@settings(max_examples=150, deadline=None, derandomize=True)
@given(
    st.sampled_from(cases_elementwise.INT8_BINARY),
    st.lists(st.tuples(st.integers(1, 9), st.sampled_from("=ab")), max_size=4),
    st.integers(1, 70),
    st.tuples(words, words, words),
    st.tuples(*[st.sampled_from([0.001, 0.02, 0.1, 0.5, 1.0, 3.7])] * 3),
)
def test_any_broadcast(op, dims, last, zero_points, scales):
    a = (*[1 if kind == "b" else dim for dim, kind in dims], last)
    b = (*[1 if kind == "a" else dim for dim, kind in dims], last)
    agree_in_every_tier(lambda: cases_elementwise.binary("random", op, a, b, scales, zero_points))


@settings(max_examples=100, deadline=None, derandomize=True)
@given(st.data())
def test_any_arrangement(data):
    shape = tuple(data.draw(st.lists(st.integers(1, 9), min_size=1, max_size=5)))
    op = data.draw(st.sampled_from(["transpose", "slice", "pad", "concat"]))
    each = {name: [data.draw(st.integers(0, dim - 1)) for dim in shape] for name in ("begin", "low", "high")}

    def make():
        b = Builder("random")
        x = b.input(shape)
        if op == "transpose":
            return b.case(op, {"perm": tuple(data.draw(st.permutations(range(len(shape)))))}, like=x)
        if op == "concat":
            b.input(shape)
            return b.case(op, {"axis": data.draw(st.integers(0, len(shape) - 1))}, like=x)
        if op == "pad":
            mode = data.draw(st.sampled_from(["constant", "reflect", "symmetric"]))
            return b.case(op, {"before": tuple(each["low"]), "after": tuple(each["high"]), "mode": mode}, like=x)
        size = tuple(data.draw(st.integers(1, dim - first)) for dim, first in zip(shape, each["begin"]))
        return b.case(op, {"begin": tuple(each["begin"])}, size, like=x)

    agree_in_every_tier(make)
