"""Functions of one number, element by element."""

from math import erf as math_erf

import numpy as np


def relu(x):
    return np.maximum(x, 0)


def relu6(x):
    return np.clip(x, 0, 6)


def leaky_relu(x, alpha):
    return np.where(x > 0, x, x * alpha)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def silu(x):
    return x * sigmoid(x)


def gelu(x):
    """The exact form, x * Phi(x)."""
    return x * (1 + erf(x / np.sqrt(x.dtype.type(2)))) / 2


def hard_swish(x):
    return x * np.clip(x + 3, 0, 6) / 6


def elu(x, alpha):
    return np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0)))


def rsqrt(x):
    return 1 / np.sqrt(x)


def erf(x):
    """The error function to double precision, which NumPy lacks."""
    return np.vectorize(math_erf, otypes=[x.dtype])(x)


FUNCTIONS = {
    "relu": relu,
    "relu6": relu6,
    "leaky_relu": leaky_relu,
    "sigmoid": sigmoid,
    "tanh": np.tanh,
    "silu": silu,
    "gelu": gelu,
    "hard_swish": hard_swish,
    "elu": elu,
    "exp": np.exp,
    "log": np.log,
    "sqrt": np.sqrt,
    "rsqrt": rsqrt,
    "square": np.square,
    "abs": np.abs,
    "neg": np.negative,
    "floor": np.floor,
    "ceil": np.ceil,
    "round": np.rint,  # half to even
    "sin": np.sin,
    "cos": np.cos,
}
WITH_ALPHA = ("leaky_relu", "elu")


def apply(function, x, alpha=0.0):
    """`function` of every element, in the float type of x; IEEE 754 decides about division by zero and the like.

    alpha: the slope of leaky_relu for negative x, the limit of elu toward minus infinity.
    """
    with np.errstate(all="ignore"):
        if function in WITH_ALPHA:
            return FUNCTIONS[function](x, alpha)
        return FUNCTIONS[function](x)


def bind(op, inputs, outputs, attrs):
    (x,), (out,), function = inputs, outputs, attrs["function"]
    integer = x.dtype in ("int32", "int64") and function in ("abs", "neg")
    if x.dtype != out.dtype or not (x.dtype == "float32" or integer):
        return None
    alpha = attrs.get("alpha", 0.0)

    def run(arrays_in, arrays_out):
        arrays_out[0][...] = apply(function, arrays_in[0], alpha)

    return run
