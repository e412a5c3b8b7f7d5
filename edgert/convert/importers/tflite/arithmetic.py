"""Builders of the operators that compute element by element or along axes: ADD, LOGISTIC, MEAN, SOFTMAX, CAST, ..."""

import numpy as np

from edgert.convert import tables
from edgert.convert.importers.tflite.convolutions import clamps, dequantised
from edgert.convert.unsupported import Unsupported
from edgert.graph import Quant

WORDS_AS_THEY_ARE = {"int8": Quant((1.0,), 0), "uint8": Quant((1.0,), -128)}


def binary(op, dtypes=("int8", "float32", "int32", "int64")):
    """The builder of an operator on two operands that broadcast."""

    def build(site):
        a, b = site.spec(0), site.spec(1)
        if a.dtype != b.dtype or a.dtype != site.declared().dtype or a.dtype not in dtypes:
            raise Unsupported(f"operands are {a.dtype} and {b.dtype}, the result {site.declared().dtype}")
        activation = site.options.fused_activation_function if site.options else 0
        site.emit(op, [site.input(0), site.input(1)], clamps(site.declared(), activation))

    return build


def add_n(site):
    """The sum of many: a chain of ADDs, which needs floats or integers (in int8 each step would round)."""
    if site.spec(0).dtype == "int8":
        raise Unsupported("operands are int8")
    total = site.input(0)
    for k in range(1, len(site.inputs)):
        total = site.step("add", [total, site.input(k)])
    site.define(total)


def unary(function, alpha=None):
    """The builder of a function of one operand: a table for int8, the op `unary` for float.

    alpha: the function's parameter: a number, or the name of the option that holds it.
    """

    def build(site):
        x, slope = site.spec(0), float(getattr(site.options, alpha) if isinstance(alpha, str) else alpha or 0.0)
        if x.dtype != site.declared().dtype:
            raise Unsupported(f"the operand is {x.dtype}, the result {site.declared().dtype}")
        if x.dtype == "int8":
            return _table(site, tables.function(function, slope))
        if x.dtype != "float32" and not (x.dtype in ("int32", "int64") and function in ("abs", "neg")):
            raise Unsupported(f"the operand is {x.dtype}")
        attrs = {"function": function} | ({"alpha": slope} if alpha is not None else {})
        return site.emit("unary", [site.input(0)], attrs)

    return build


def clip(low, high):
    """The builder of a ReLU with its own bounds."""

    def build(site):
        x = site.spec(0)
        if x.dtype == "int8":
            return _table(site, lambda real: np.clip(real, low, high))
        if x.dtype != "float32":
            raise Unsupported(f"the operand is {x.dtype}")
        bounds = [site.draft.constant(f"{x.name}/{v:g}", np.float32(v)) for v in (low, high)]
        return site.emit("minimum", [site.step("maximum", [site.input(0), bounds[0]]), bounds[1]])

    return build


def gelu(site):
    unary("gelu_tanh" if site.options.approximate else "gelu")(site)


def _table(site, function):
    x, quant = site.spec(0), site.declared().quant
    if site.declared().dtype != "int8":
        raise Unsupported(f"the operand is int8, the result {site.declared().dtype}")
    site.define(site.lookup(site.input(0), tables.build([function], x.quant, quant), quant))


def softmax(site):
    x, beta = site.spec(0), site.options.beta
    if x.dtype not in ("int8", "float32") or x.dtype != site.declared().dtype:
        raise Unsupported(f"the operand is {x.dtype}, the result {site.declared().dtype}")
    site.emit("softmax", [site.input(0)], {} if beta == 1.0 else {"beta": beta})


def log_softmax(site):
    """Defined on floats only; int8 goes through them."""
    x, out = site.spec(0), site.declared()
    if x.dtype == "float32":
        return site.emit("log_softmax", [site.input(0)])
    if x.dtype != "int8" or out.dtype != "int8":
        raise Unsupported(f"the operand is {x.dtype}")
    real = site.draft.derive("dequantize", [site.input(0)], {}, x.name, "float32", None)
    return site.emit("quantize", [site.draft.derive("log_softmax", [real], {}, out.name, "float32", None)])


def reduce(function):
    """The builder of MEAN, SUM, REDUCE_MAX, ..."""

    def build(site):
        x = site.spec(0)
        axes = tuple(sorted({site.axis(a, len(x.shape)) for a in site.integers(1)}))
        attrs = {"function": function, "axes": axes, "keep_dims": int(site.options.keep_dims)}
        if x.dtype not in ("int8", "float32", "int32", "int64") or (x.dtype == "int8" and function == "prod"):
            raise Unsupported(f"the operand is {x.dtype}")
        if x.dtype != site.declared().dtype or (x.dtype in ("int32", "int64") and function == "mean"):
            raise Unsupported(f"the operand is {x.dtype}, the result {site.declared().dtype}")
        if function in ("max", "min"):
            return site.copy("reduce", [site.input(0)], attrs)
        return site.emit("reduce", [site.input(0)], attrs)

    return build


def arg(op):
    """The builder of ARG_MAX and ARG_MIN."""

    def build(site):
        x = site.spec(0)
        if x.dtype not in ("int8", "float32", "int32", "int64") or site.declared().dtype not in ("int32", "int64"):
            raise Unsupported(f"the operand is {x.dtype}, the result {site.declared().dtype}")
        site.emit(op, [site.input(0)], {"axis": site.axis(site.integer(1), len(x.shape))})

    return build


def quantize(site):
    x, out = site.spec(0), site.declared()
    if x.dtype == out.dtype == "int8":
        return site.define(site.requantised(site.input(0), out.quant))
    if x.dtype != "float32" or out.dtype not in ("int8", "int16") or out.quant is None:
        raise Unsupported(f"from {x.dtype} to {out.dtype}")
    return site.emit("quantize", [site.input(0)])


def dequantize(site):
    x, draft = site.spec(0), site.draft
    if x.dtype == "float32":  # float16 in the file, widened when read
        return site.define(site.input(0))
    if x.is_constant and x.dtype == "int8":
        return site.define(draft.constant(x.name, dequantised(draft.value(site.input(0)), x.quant)))
    if x.quant is None or site.declared().dtype != "float32":
        raise Unsupported(f"from {x.dtype} to {site.declared().dtype}")
    return site.emit("dequantize", [site.input(0)])


def cast(site):
    """Words are converted as they are; those of uint8 lie 128 below what they count, since they were shifted."""
    x, out = site.spec(0), site.declared()
    source, target = site.file_tensors.type_name(site.inputs[0]), site.file_tensors.type_name(site.outputs[0])
    if "uint8" not in (source, target):
        if x.dtype == out.dtype:
            return site.define(site.requantised(site.input(0), out.quant))
        return site.emit("cast", [site.input(0)])
    if source == "uint8" and out.dtype in ("float32", "int32", "int64"):
        return _cast_from_uint8(site, x)
    if target == "uint8" and x.dtype in ("float32", "int32", "int64") and out.quant == WORDS_AS_THEY_ARE["uint8"]:
        return _cast_to_uint8(site, x)
    raise Unsupported(f"from {source} to {target}")


def _cast_from_uint8(site, x):
    draft, index, name = site.draft, site.input(0), site.declared().name
    if x.quant == WORDS_AS_THEY_ARE["uint8"]:
        count = draft.derive("dequantize", [index], {}, name, "float32", None)
    else:
        words = draft.derive("cast", [index], {}, name, "float32", None)
        count = draft.derive("add", [words, draft.constant(f"{name}/128", np.float32(128))], {}, name, "float32", None)
    if site.declared().dtype == "float32":
        site.define(count)
    else:
        site.emit("cast", [count])


def _cast_to_uint8(site, x):
    """Truncates and saturates: below zero everything becomes 0, above it the floor is the truncation."""
    draft, index, name = site.draft, site.input(0), site.declared().name
    if x.dtype != "float32":
        index = draft.derive("cast", [index], {}, name, "float32", None)
    else:
        index = draft.derive("unary", [index], {"function": "floor"}, name, "float32", None)
    site.emit("quantize", [index])
