"""What a valid graph may ask beyond any model: giant tensors, blocks and bands; and what happens after a fork."""

import os
import signal
import time

import cases_weights
import conformance
import numpy as np
import pytest
from case import Builder, one_node_graph
from test_conformance import NATIVE, check_equal

from edgert import plan
from edgert.errors import ModelFormatError
from edgert.graph import Quant, Tensor
from edgert.kernels import tiers

pytestmark = pytest.mark.skipif(not NATIVE, reason="no native tier is built here")
QUANT = Quant((0.5,), 0)


@pytest.mark.parametrize("tier", NATIVE)
def test_tensors_that_int_cannot_count_are_left_to_another_tier(tier):
    x, out = (Tensor(name, "int8", (1, 2**16, 2**15, 1), QUANT) for name in ("x", "out"))
    weight = Tensor("w", "int8", (1, 1), QUANT, bytes(1))
    assert tiers.bind(tier, "linear", (x, weight, None), (out,), {}) is None
    pool = {"kh": 1, "kw": 1}
    assert tiers.bind(tier, "max_pool2d", (x,), (out,), pool) is None
    assert tiers.bind(tier, "reshape", (x,), (out,), {}) is not None  # counts in Py_ssize_t


@pytest.mark.parametrize("tier", NATIVE)
@pytest.mark.parametrize("op", ["space_to_batch", "batch_to_space"])
def test_a_block_with_a_place_for_every_byte_is_left_to_another_tier(tier, op):
    image, many = (1, 2**12, 2**12, 1), (2**24, 1, 1, 1)
    shapes = (image, many) if op == "space_to_batch" else (many, image)
    x, out = (Tensor(name, "int8", shape, QUANT) for name, shape in zip(("x", "out"), shapes))
    attrs = {"block": (2**12, 2**12), "before": (0, 0), "after": (0, 0)}
    assert tiers.bind(tier, op, (x,), (out,), attrs) is None


def test_a_pad_value_beyond_float32_is_infinity():
    b = Builder("pad")
    x = b.input((2, 3), "float32")
    case = b.case("pad", {"before": (1, 0), "after": (0, 1), "value": 1e300}, like=x)
    assert np.isinf(conformance.expected(case)).sum() == 6
    for tier in NATIVE:
        check_equal(case, conformance.run(conformance.bind(tier, case), case))


def test_a_band_larger_than_memory_is_refused():
    """One pixel and four weights: the kernel's rows lie 65,535 apart, and so much padding is copied."""
    window = {f"pad_{side}": 65_535 for side in ("top", "bottom", "left", "right")}
    window |= {"dilation_h": 65_535, "dilation_w": 65_535, "stride_h": 65_535, "stride_w": 65_535}
    case = cases_weights.weighted("band", "conv2d", (1, 1, 1, 4096), (1, 2, 2, 4096), window)
    with pytest.raises(ModelFormatError, match="more memory than there is"):
        plan.make(one_node_graph(case), tier=NATIVE[0])


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_program_with_threads_survives_a_fork():
    case = cases_weights.weighted("fork", "linear", (64, 256), (64, 256), {})
    made = plan.make(one_node_graph(case), threads=3)
    made.program.run()
    child = os.fork()
    if child == 0:
        try:
            made.program.run()
            del made  # must not wait for threads that this process never had
        finally:
            os._exit(0)
    deadline = time.monotonic() + 10
    while os.waitpid(child, os.WNOHANG) == (0, 0):
        if time.monotonic() > deadline:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            pytest.fail("the child hangs")
        time.sleep(0.01)
    made.program.run()
