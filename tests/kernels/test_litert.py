"""Single ops against LiteRT: words that are computed differ by at most one, words that are copied by nothing."""

import conformance
import litert
import numpy as np
import pytest
from cases import CASES, build

pytest.importorskip("ai_edge_litert", reason="LiteRT, the peer to compare with, is not installed (ai-edge-litert)")

COMPUTED = ("conv2d", "depthwise_conv2d", "transpose_conv2d", "linear", "batch_matmul", "add", "sub", "mul",
            "squared_difference", "avg_pool2d", "reduce", "softmax", "quantize")  # fmt: skip
# LiteRT interpolates int8 with weights in 1024ths, twice rounded: across a step of 255 words that is up to two.
ALLOWED = {**dict.fromkeys(COMPUTED, 1), "resize": 2}


def why_unlike(case):
    """Why LiteRT does something else here; None where it must agree."""
    name, first = case.name.split("/")[1], case.inputs[0].dtype
    if case.op == "div" and first == "int8":
        return "LiteRT's int8 division refuses x / 0 and saturates small negative quotients"
    if case.op in ("div", "floor_div") and first != "float32" and not case.arrays[1].all():
        return "LiteRT refuses to divide by 0"
    if case.op in ("minimum", "maximum", "avg_pool2d", "resize") and first == "int8" and requantises(case):
        return "LiteRT takes equal quantisation of inputs and output for granted here"
    if name in ("huge_multiplier", "output_saturates"):
        return "LiteRT's fixed-point multipliers overflow above 1"
    if case.op in ("depthwise_conv2d", "transpose_conv2d") and case.inputs[1].quant and case.inputs[1].quant.zero_point:
        return "LiteRT ignores the weights' zero point here"
    if case.op in ("div", "squared_difference") and first == "int64":
        return "LiteRT computes nothing for int64 here"
    if name in ("outside", "nan") or "hard" in name:
        return "LiteRT leaves indices outside, NaN and infinity undefined"
    return None


def requantises(case):
    return any(tensor.quant != case.output.quant for tensor in case.inputs)


@pytest.mark.parametrize("name", CASES)
def test_single_op_is_within_one_word_of_litert(name):
    case = build(name)
    reason = why_unlike(case)
    if reason:
        pytest.skip(reason)
    try:
        theirs = litert.run(case)
    except NotImplementedError as reason:
        pytest.skip(str(reason))
    ours = conformance.expected(case)
    assert ours.shape == theirs.shape
    if ours.dtype == np.float32:
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-4)  # sums of up to 600 products in another order
        return
    difference, allowed = np.abs(ours.astype(np.int64) - theirs.astype(np.int64)), ALLOWED.get(case.op, 0)
    if case.inputs[0].dtype != "int8" and case.op != "quantize":
        allowed = 0
    assert difference.max() <= allowed, f"{(difference > allowed).sum()} of {ours.size} differ by {difference.max()}"
