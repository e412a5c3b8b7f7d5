"""The reference against real arithmetic: a word is at most half a step from what the dequantised operands give."""

import conformance
import numpy as np
import pytest
from cases import CASES, build
from meaning import MEANING, real, reals

# Steps of the output beyond one half that float32 arithmetic may cost: results are below 256 steps and each operation
# errs by 2**-24 of its result.
SLACK = 1e-3
MORE_SLACK = {
    "squared_difference": 5e-3,  # cancellation: the difference of two rounded products, then squared
}
# Its int32 accumulators wrap, on purpose.
WITHOUT_MEANING = {"conv2d/bias_at_int32_limits"}


def has_meaning(name):
    op, rest = name.split("/")
    nearest = rest.startswith("nearest")  # copies whole pixels: compared with LiteRT
    other_type = rest.rsplit("_", 1)[-1] in ("int16", "int32", "int64", "bool") and op not in ("quantize", "dequantize")
    return op in MEANING and not nearest and not other_type and name not in WITHOUT_MEANING


@pytest.mark.parametrize("name", [name for name in CASES if has_meaning(name)])
def test_reference_means_what_real_arithmetic_says(name):
    case = build(name)
    result = conformance.expected(case)
    with np.errstate(all="ignore"):
        meant = MEANING[case.op](case, *reals(case))
    assert result.shape == meant.shape
    if case.output.dtype == "bool":
        assert (result == meant).all()
    elif case.output.dtype == "float32":
        check_float(case, result, meant)
    else:
        check_words(case, result, meant)


def check_float(case, result, meant):
    meant = np.clip(meant, case.attrs.get("clamp_min", -np.inf), case.attrs.get("clamp_max", np.inf))
    np.testing.assert_allclose(result, meant, rtol=2e-5, atol=2e-5)


def check_words(case, result, meant):
    info, scale = np.iinfo(case.output.dtype), case.output.quant.scale[0]
    ends = [case.attrs.get("clamp_min", info.min), case.attrs.get("clamp_max", info.max)]
    low, high = real(case.output, np.array(ends))
    if np.isnan(meant).any():  # quantize gives NaN the smallest word
        assert (result[np.isnan(meant)] == info.min).all()
    steps = np.abs(real(case.output, result) - np.clip(np.nan_to_num(meant, nan=low), low, high)) / scale
    slack = SLACK + MORE_SLACK.get(case.op, 0.0)
    if case.op == "resize":  # weights in 2048ths: each axis errs by half of one, times up to 255 steps of the input
        slack += 255 / 2048 * case.inputs[0].quant.scale[0] / scale
    assert steps.max() <= 0.5 + slack, f"{steps.max()} steps from the real result"
