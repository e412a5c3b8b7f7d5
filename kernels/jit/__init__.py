"""The int8 ops in Numba, compiled for one node's shapes: same names as the reference, same bits.

`bind(op, inputs, outputs, attrs)` gives a step of the executor (where that is not compiled, a function of two lists of
arrays), or None for a case this tier leaves to the next. Numba is imported when the first kernel is asked for.
"""

from importlib import import_module

BINARY = ("add", "sub", "mul", "minimum", "maximum", "squared_difference")
ARRANGE = ("concat", "slice", "pad", "reshape", "transpose")
MODULES = {
    "conv2d": "conv2d",
    "depthwise_conv2d": "depthwise_conv2d",
    "linear": "linear",
    **dict.fromkeys(BINARY, "binary"),
    "lookup": "lookup",
    "avg_pool2d": "pool2d",
    "max_pool2d": "pool2d",
    "reduce": "reduce",
    "softmax": "softmax",
    **dict.fromkeys(ARRANGE, "arrange"),
    "resize": "resize",
}


def bind(op, inputs, outputs, attrs):
    """A Step, a function `(arrays_in, arrays_out) -> None`, or None where this tier has no kernel for the case."""
    if op not in MODULES or outputs[0].dtype != "int8":
        return None
    return import_module(f"edgert.kernels.jit.{MODULES[op]}").bind(op, inputs, outputs, attrs)
