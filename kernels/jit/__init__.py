"""The int8 ops and those of language models in Numba, compiled for one node's shapes: the reference's names and bits.

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
# On float32, whatever their weights and caches are; compiled for any number of tokens.
TEXT = {
    "dynamic_linear": "dynamic_linear",
    **dict.fromkeys(("layer_norm", "rms_norm"), "norm"),
    **dict.fromkeys(("attention", "cache_append"), "attention"),
    **dict.fromkeys(("positions", "embedding", "rope", "gate", "last_row"), "tokens"),
}


def bind(op, inputs, outputs, attrs):
    """A Step, a function `(arrays_in, arrays_out) -> None`, or None where this tier has no kernel for the case."""
    module = module_of(op, inputs, outputs, attrs)
    return module and import_module(f"edgert.kernels.jit.{module}").bind(op, inputs, outputs, attrs)


def module_of(op, inputs, outputs, attrs):
    """The module that may have a kernel for the case, or None; imports nothing."""
    specs = (*inputs, *outputs)
    if op in TEXT:
        return TEXT[op]
    if all(spec is None or spec.dtype == "int8" for spec in outputs):
        return MODULES.get(op)
    if op == "add" and not attrs and all(spec.dtype == "float32" and spec.shape == specs[0].shape for spec in specs):
        return "tokens"
    return None
