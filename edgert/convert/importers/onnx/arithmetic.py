"""Builders of the operators that compute element by element: Add, Clip, Sigmoid, Where, Cast, ..."""

import math

import numpy as np

from edgert.convert.importers.onnx.file import DTYPES
from edgert.convert.unsupported import Unsupported
from edgert.errors import ConversionError

NUMBERS = ("float32", "int32", "int64")


def binary(op, dtypes=NUMBERS):
    """The builder of an operator on two operands that broadcast."""

    def build(site):
        site.emit(op, list(operands(site, dtypes)))

    return build


def operands(site, dtypes=NUMBERS):
    """Inputs 0 and 1, which must be of one type."""
    a, b = site.need_dtype(0, *dtypes), site.need_dtype(1, *dtypes)
    if site.spec(0).dtype != site.spec(1).dtype:
        raise Unsupported(f"operands are {site.spec(0).dtype} and {site.spec(1).dtype}")
    return a, b


def variadic(op):
    """The builder of Sum, Max, Min: a chain."""

    def build(site):
        site.define(chain(site, op))

    return build


def chain(site, op):
    total = site.need_dtype(0, *NUMBERS)
    for k in range(1, len(site.inputs)):
        total = site.step(op, [total, site.need_dtype(k, site.spec(0).dtype)])
    return total


def mean(site):
    site.need_dtype(0, "float32")
    site.emit("mul", [chain(site, "add"), site.number(1.0 / len(site.inputs))])


def unary(function, dtypes=("float32",), **parameters):
    """The builder of a function of one operand. parameters: of the function, each (ONNX's attribute, its default)."""

    def build(site):
        x = site.need_dtype(0, *dtypes)
        given = {key: float(site.attr(name, default)) for key, (name, default) in parameters.items()}
        site.define(site.unary(function, x, **given))

    return build


def clip(site):
    """Bounds are attributes before operator set 11, then inputs."""
    x = site.need_dtype(0, *NUMBERS)
    for k, (name, op) in enumerate((("min", "maximum"), ("max", "minimum")), 1):
        if name in site.attrs:
            x = site.step(op, [x, site.number(site.attrs[name])])
        elif site.has(k):
            x = site.step(op, [x, site.need_dtype(k, site.spec(0).dtype)])
    site.define(x)


def gelu(site):
    site.define(site.unary("gelu" if site.attr("approximate", "none") == "none" else "gelu_tanh", site.input(0)))


def swish(site):
    """x * sigmoid(alpha * x)."""
    x, alpha = site.need_dtype(0, "float32"), site.attr("alpha", 1.0)
    if alpha == 1.0:
        return site.define(site.unary("silu", x))
    return site.emit("mul", [x, site.unary("sigmoid", site.step("mul", [x, site.number(alpha)]))])


def prelu(site):
    """max(x, 0) + slope * min(x, 0)."""
    x, slope = operands(site, ("float32",))
    values = site.constant(1)
    if values is not None and values.size and (values == values.flat[0]).all() and 0 <= values.flat[0] <= 1:
        return site.define(site.unary("leaky_relu", x, alpha=float(values.flat[0])))
    zero = site.number(0.0)
    below = site.step("mul", [site.step("minimum", [x, zero]), slope])
    return site.emit("add", [site.step("maximum", [x, zero]), below])


def shrink(site):
    """x - bias above lambd, x + bias below -lambd, else 0."""
    x, bias, limit = site.need_dtype(0, "float32"), site.attr("bias", 0.0), site.attr("lambd", 0.5)
    zero, limits = site.number(0.0), (site.number(limit), site.number(-limit))
    above = site.step("sub", [x, site.number(bias)])
    below = site.step("add", [x, site.number(bias)])
    inner = select(site, compare(site, "less", x, limits[1]), below, zero)
    site.define(select(site, compare(site, "greater", x, limits[0]), above, inner))


def comparison(function):
    """The builder of Equal, Less, ... which give bool."""

    def build(site):
        dtypes = (*NUMBERS, "bool") if function == "equal" else NUMBERS
        site.define(compare(site, function, *operands(site, dtypes)))

    return build


def compare(site, function, a, b):
    return site.step("compare", [a, b], {"function": function}, dtype="bool")


def select(site, condition, a, b):
    return site.step("select", [condition, a, b], dtype=site.draft.tensors[a].dtype)


def logical(function):
    """The builder of And, Or, Xor: comparisons and choices among bools."""

    def build(site):
        a, b = operands(site, ("bool",))
        if function == "xor":
            return site.define(compare(site, "not_equal", a, b))
        known = site.number(function == "or", "bool")
        return site.define(select(site, a, known, b) if function == "or" else select(site, a, b, known))

    return build


def not_(site):
    site.define(compare(site, "equal", site.need_dtype(0, "bool"), site.number(False, "bool")))


def is_nan(site):
    x = site.need_dtype(0, "float32")
    site.define(compare(site, "not_equal", x, x))


def is_inf(site):
    x, infinite = site.need_dtype(0, "float32"), site.number(math.inf)
    signs = (site.attr("detect_negative", 1), site.attr("detect_positive", 1))
    if not any(signs):
        raise Unsupported("it looks for no infinity")
    seen = {(1, 1): lambda: site.unary("abs", x), (1, 0): lambda: site.unary("neg", x), (0, 1): lambda: x}[signs]()
    site.define(compare(site, "equal", seen, infinite))


def where(site):
    condition = site.need_dtype(0, "bool")
    if site.spec(1).dtype != site.spec(2).dtype:
        raise Unsupported(f"it chooses among {site.spec(1).dtype} and {site.spec(2).dtype}")
    site.define(select(site, condition, site.input(1), site.input(2)))


def modulo(site):
    """fmod: the sign of the dividend, else that of the divisor."""
    a, b = operands(site)
    if not site.attr("fmod", 0):
        return site.emit("sub", [a, site.step("mul", [site.step("floor_div", [a, b]), b])])
    quotient = site.step("div", [a, b])
    if site.spec(0).dtype == "float32":
        quotient = site.step("mul", [site.unary("floor", site.unary("abs", quotient)), site.unary("sign", quotient)])
    return site.emit("sub", [a, site.step("mul", [quotient, b])])


def power(site):
    """Exponents 2, 0.5 and -1 have functions of their own."""
    x = site.need_dtype(0, "float32", "int32", "int64")
    exponent = site.constant(1)
    if exponent is not None and exponent.size == 1 and site.spec(0).dtype == "float32" and exponent.ndim < 2:
        function = {2.0: "square", 0.5: "sqrt", -1.0: "reciprocal", -0.5: "rsqrt"}.get(float(exponent.flat[0]))
        if function and len(site.spec(0).shape) >= exponent.ndim:
            return site.define(site.unary(function, x))
    result = site.step("pow", [as_float(site, x), as_float(site, site.input(1))])
    return site.define(as_type(site, result, site.spec(0).dtype))


def as_float(site, x):
    return as_type(site, x, "float32")


def as_type(site, x, dtype):
    return x if site.draft.tensors[x].dtype == dtype else site.step("cast", [x], dtype=dtype)


def cast(site):
    """Cast names a type, CastLike shows one."""
    target = site.attr("to", 0) if site.op_type == "Cast" else None
    if target is not None and target not in DTYPES:
        raise Unsupported(f"to {site.importer.file.type_name(target)}")
    dtype = DTYPES[target] if target else site.spec(1).dtype
    if dtype == "bool" and site.spec(0).dtype == "float32":
        return site.define(compare(site, "not_equal", site.input(0), site.number(0.0)))
    return site.define(as_type(site, site.input(0), dtype))


def softmax(op):
    """The builder of Softmax, LogSoftmax: along one axis, or before operator set 13 over all from `axis` on."""

    def build(site):
        x = site.need_dtype(0, "float32")
        shape = site.shape(x)
        axis = site.axis(site.attr("axis", -1 if site.opset >= 13 else 1), len(shape))
        if site.opset < 13 and math.prod(shape[axis + 1 :]) > 1:
            flat = site.reshape(x, (math.prod(shape[:axis]), math.prod(shape[axis:])))
            return site.define(site.reshape(site.step(op, [flat]), shape))
        return site.define(along_last(site, x, axis, lambda y: site.step(op, [y])))

    return build


def along_last(site, x, axis, function):
    """`function` of a draft tensor whose last axis is x's `axis`, back in x's order."""
    perm = [i for i in range(len(site.shape(x))) if i != axis] + [axis]
    return site.transpose(function(site.transpose(x, perm)), np.argsort(perm).tolist())


def hardmax(site):
    """1 at the first maximum along `axis`."""
    x = site.need_dtype(0, "float32")
    shape = site.shape(x)
    axis = site.axis(site.attr("axis", -1 if site.opset >= 13 else 1), len(shape))
    if site.opset < 13:
        raise Unsupported(f"of operator set {site.opset}: only from 13 on")
    first = site.step("arg_max", [x], {"axis": axis}, dtype="int64")
    site.define(one_hot_at(site, first, axis, shape[axis], site.number(1.0), site.number(0.0)))


def one_hot_at(site, indices, axis, depth, on, off):
    """`on` where the new axis's index is the one named, else `off`."""
    shape = site.shape(indices)
    site.need_room(depth)
    places = np.arange(depth).reshape([depth if i == axis else 1 for i in range(len(shape) + 1)])
    named = site.reshape(as_type(site, indices, "int64"), (*shape[:axis], 1, *shape[axis:]))
    return select(site, compare(site, "equal", named, site.make(places)), on, off)


def one_hot(site):
    indices, depth, values = site.need_dtype(0, "float32", "int32", "int64"), site.array(1), site.array(2)
    depth = int(depth.reshape(-1)[0])
    if depth < 1 or values.shape != (2,):
        raise ConversionError(f"it makes vectors of {depth} from values {values.shape}")
    whole = as_type(site, indices, "int64")
    wrapped = site.step("sub", [whole, site.step("mul", [site.step("floor_div", [whole, site.number(depth, "int64")]),
                                                         site.number(depth, "int64")])])  # fmt: skip
    inside = select(site, compare(site, "less", whole, site.number(-depth, "int64")), whole, wrapped)
    inside = select(site, compare(site, "less", whole, site.number(depth, "int64")), inside, whole)
    axis = site.axis(site.attr("axis", -1), len(site.shape(indices)) + 1)
    off, on = (site.make(value.reshape(()), f"{site.name}/{k}") for k, value in enumerate(values))
    site.define(one_hot_at(site, inside, axis, depth, on, off))


def cumulative_sum(site):
    x = site.need_dtype(0, *NUMBERS)
    (axis,) = site.ints(1)
    attrs = {"axis": site.axis(axis, len(site.shape(x)))}
    attrs |= {name: 1 for name in ("exclusive", "reverse") if site.attr(name, 0)}
    site.emit("cumulative_sum", [x], attrs)
