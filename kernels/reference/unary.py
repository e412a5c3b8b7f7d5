"""Functions of one number, element by element. Some have parameters: alpha, and a few beta."""

from math import erf as math_erf
from math import pi, sqrt

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


def celu(x, alpha):
    """ELU whose slope is 1 on both sides of 0."""
    return np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0) / alpha))


def selu(x, alpha, beta):
    return beta * elu(x, alpha)


def thresholded_relu(x, alpha):
    return np.where(x > alpha, x, 0)


def hard_sigmoid(x, alpha, beta):
    return np.clip(x * alpha + beta, 0, 1)


def softplus(x):
    """log(1 + exp(x)), written so that exp never overflows."""
    return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))


def softsign(x):
    return x / (1 + np.abs(x))


def mish(x):
    return x * np.tanh(softplus(x))


def gelu_tanh(x):
    """The approximation by tanh."""
    return x * (1 + np.tanh(sqrt(2 / pi) * (x + 0.044715 * x**3))) / 2


def reciprocal(x):
    return 1 / x


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
    "gelu_tanh": gelu_tanh,
    "hard_sigmoid": hard_sigmoid,
    "mish": mish,
    "softplus": softplus,
    "softsign": softsign,
    "celu": celu,
    "selu": selu,
    "thresholded_relu": thresholded_relu,
    "erf": erf,
    "reciprocal": reciprocal,
    "sign": np.sign,
    "tan": np.tan,
    "asin": np.arcsin,
    "acos": np.arccos,
    "atan": np.arctan,
    "sinh": np.sinh,
    "cosh": np.cosh,
    "asinh": np.arcsinh,
    "acosh": np.arccosh,
    "atanh": np.arctanh,
}
PARAMETERS = dict.fromkeys(("leaky_relu", "elu", "celu", "thresholded_relu"), 1) | {"selu": 2, "hard_sigmoid": 2}


def apply(function, x, alpha=0.0, beta=0.0):
    """`function` of every element, in the float type of x; IEEE 754 decides about division by zero and the like.

    alpha: the slope of leaky_relu for negative x, the limit of elu, celu and selu toward minus infinity (of selu before
    its factor, beta), the threshold of thresholded_relu, the slope of hard_sigmoid, whose offset is beta.
    """
    with np.errstate(all="ignore"):
        return FUNCTIONS[function](x, *(alpha, beta)[: PARAMETERS.get(function, 0)])


def bind(op, inputs, outputs, attrs):
    (x,), (out,), function = inputs, outputs, attrs["function"]
    integer = x.dtype in ("int32", "int64") and function in ("abs", "neg")
    if x.dtype != out.dtype or not (x.dtype == "float32" or integer):
        return None
    alpha, beta = attrs.get("alpha", 0.0), attrs.get("beta", 0.0)

    def run(arrays_in, arrays_out):
        arrays_out[0][...] = apply(function, arrays_in[0], alpha, beta)

    return run
