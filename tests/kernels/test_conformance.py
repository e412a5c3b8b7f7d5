"""Every tier against the reference, on every case, word by word.

A tier may decline a case, which then falls to another tier; but what is in `REQUIRED` it must do itself.
"""

import subprocess
import sys
from pathlib import Path

import conformance
import numpy as np
import pytest
from cases import CASES, build

from edgert.kernels import tiers

# int8 ops (and the ones that leave or enter int8) that no native tier may decline.
REQUIRED = {
    *("conv2d", "depthwise_conv2d", "transpose_conv2d", "linear", "batch_matmul"),
    *("add", "sub", "mul", "minimum", "maximum", "lookup", "avg_pool2d", "max_pool2d", "softmax"),
    *("concat", "slice", "pad", "resize", "reshape", "transpose", "gather", "gather_nd", "arg_max"),
    *("space_to_batch", "batch_to_space", "space_to_depth", "depth_to_space"),
}
# The ops of language models, whatever their types: a step falls to Python otherwise.
TEXT = {
    *("positions", "embedding", "dynamic_linear", "layer_norm", "rms_norm", "gate", "rope", "cache_append"),
    *("attention", "last_row"),
}
NATIVE = [tier for tier in tiers.available() if tier not in ("jit", "reference")]  # for jit see test_jit.py

pytestmark = pytest.mark.skipif(not NATIVE, reason="only the reference tier is installed here")


def is_required(case):
    first, out = case.inputs[0].dtype, case.output.dtype
    if case.op == "reduce":
        return first == "int8" and case.attrs["function"] in ("mean", "sum")
    if case.op in ("cast", "quantize", "dequantize"):
        return {first, out} == {"int8", "float32"}
    return case.op in TEXT or (case.op in REQUIRED and first == "int8")


@pytest.mark.parametrize("tier", NATIVE)
@pytest.mark.parametrize("name", CASES)
def test_tier_agrees_with_the_reference(name, tier):
    case = build(name)
    bound = conformance.bind(tier, case)
    if bound is None:
        assert not is_required(case), f"{tier} must implement this case"
        pytest.skip(f"{tier} leaves this to another tier")
    check_equal(case, conformance.run(bound, case))


@pytest.mark.parametrize("tier", NATIVE)
@pytest.mark.parametrize("threads", [2, 3, 5])
def test_threads_share_the_work_without_gaps(tier, threads):
    for name in CASES:
        case = build(name)
        bound = conformance.bind(tier, case)
        if bound is not None and bound[0] == "native" and bound[1].parallel:
            check_equal(case, conformance.run(bound, case, threads))


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="fences memory with Linux's mprotect")
@pytest.mark.parametrize("tier", NATIVE)
def test_no_kernel_leaves_its_buffers(tier):
    script = Path(__file__).with_name("guard_pages.py")
    run = subprocess.run([sys.executable, script, tier], capture_output=True, text=True)
    lines = run.stdout.splitlines()
    assert run.returncode == 0, f"{tier} ended the process ({run.returncode}) in case {lines[-1]}: {run.stderr[-500:]}"
    assert lines[-1].endswith("stayed within their buffers")


def check_equal(case, result):
    reference = conformance.expected(case)
    assert result.shape == reference.shape
    if reference.dtype == np.float32 and case.inputs[0].dtype == "float32" and case.op not in EXACT_FLOAT:
        # A tier may sum float products in another order: some ulps of the largest partial sum.
        np.testing.assert_allclose(result, reference, rtol=2e-5, atol=2e-5, err_msg=case.name)
        return
    different = np.flatnonzero((result != reference) & ~(is_nan(result) & is_nan(reference)))
    if different.size:
        first = different[0]
        where = tuple(int(i) for i in np.unravel_index(first, result.shape))
        words = f"{result.flat[first]} for {reference.flat[first]}"
        pytest.fail(f"{case.name}: {different.size} of {result.size} words differ, the first at {where}: {words}")


# Ops on float32 that move words, do one IEEE operation per element or have a written order: no freedom, no tolerance.
EXACT_FLOAT = {
    *("add", "sub", "mul", "div", "minimum", "maximum", "max_pool2d", "concat", "slice", "pad", "reshape", "transpose"),
    *("gather", "gather_nd", "space_to_batch", "batch_to_space", "space_to_depth", "depth_to_space", "cast"),
    *TEXT,
}


def is_nan(array):
    return np.isnan(array) if array.dtype == np.float32 else np.zeros(array.shape, bool)
