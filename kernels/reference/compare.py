"""Comparing two tensors, and choosing between two by a third; all broadcast to each other."""

import numpy as np

FUNCTIONS = {
    "equal": np.equal,
    "not_equal": np.not_equal,
    "less": np.less,
    "less_equal": np.less_equal,
    "greater": np.greater,
    "greater_equal": np.greater_equal,
}


def compare(a, b, out, *, function):
    """out (bool): whether `a function b`. Nothing compares with NaN, but NaN is not_equal to everything."""
    FUNCTIONS[function](a, b, out=out)


def select(condition, a, b, out):
    """out, of the type of a and b: a where condition (bool) holds, else b. Words are copied."""
    out[...] = np.where(condition, a, b)


def bind(op, inputs, outputs, attrs):
    if op == "select":
        if inputs[0].dtype != "bool" or not inputs[1].dtype == inputs[2].dtype == outputs[0].dtype:
            return None
        return lambda arrays_in, arrays_out: select(*arrays_in, *arrays_out)
    if inputs[0].dtype != inputs[1].dtype or outputs[0].dtype != "bool":
        return None
    function = attrs["function"]
    return lambda arrays_in, arrays_out: compare(*arrays_in, *arrays_out, function=function)
