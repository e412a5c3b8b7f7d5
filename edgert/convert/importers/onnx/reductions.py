"""Builders of reductions and normalisations: ReduceMean, ArgMax, BatchNormalization, LayerNormalization, LRN, ..."""

import math

import numpy as np

from edgert.convert.importers.onnx.arithmetic import NUMBERS, along_last, as_type, compare
from edgert.convert.importers.onnx.file import DTYPES
from edgert.convert.unsupported import Unsupported
from edgert.errors import ConversionError


def reduce(function, before=None, after=None):
    """The builder of ReduceSum and its kin. before, after: functions around the reduction."""

    def build(site):
        x = site.need_dtype(0, *NUMBERS, *(("bool",) if function in ("max", "min") else ()))
        dtype = site.spec(0).dtype
        if dtype != "float32" and (before or after or function == "mean"):
            raise Unsupported(f"the operand is {dtype}")
        axes = _axes(site, x)
        x = as_type(site, x, "int32") if dtype == "bool" else x
        x = site.unary(before, x) if before else x
        if axes is not None:
            x = site.step("reduce", [x], {"function": function, "axes": axes, "keep_dims": site.attr("keepdims", 1)})
        x = compare(site, "not_equal", x, site.number(0, "int32")) if dtype == "bool" else x
        site.define(site.unary(after, x) if after else x)

    return build


def _axes(site, x):
    """The axes to reduce; None where the operator then changes nothing."""
    rank = len(site.shape(x))
    given = site.ints_of("axes", 1, ())
    if not given:
        return None if site.attr("noop_with_empty_axes", 0) else tuple(range(rank))
    return tuple(sorted({site.axis(axis, rank) for axis in given}))


def log_sum_exp(site):
    """log(sum(exp(x))), with the maximum taken out so that nothing overflows."""
    x = site.need_dtype(0, "float32")
    axes = _axes(site, x)
    if axes is None:
        return site.define(x)
    attrs = {"function": "max", "axes": axes, "keep_dims": 1}
    largest = site.step("reduce", [x], attrs)
    sums = site.step("reduce", [site.unary("exp", site.step("sub", [x, largest]))], attrs | {"function": "sum"})
    result = site.step("add", [site.unary("log", sums), largest])
    if not site.attr("keepdims", 1):
        result = site.reshape(result, [dim for i, dim in enumerate(site.shape(result)) if i not in axes])
    return site.define(result)


def arg(op):
    """The builder of ArgMax and ArgMin."""

    def build(site):
        x = site.need_dtype(0, *NUMBERS)
        shape = site.shape(x)
        axis = site.axis(site.attr("axis", 0), len(shape))
        if site.attr("select_last_index", 0):
            begin = tuple([dim - 1 if i == axis else 0 for i, dim in enumerate(shape)])
            step = tuple([-1 if i == axis else 1 for i in range(len(shape))])
            x = site.step("slice", [x], {"begin": begin, "step": step}, shape=shape)
        found = site.step(op, [x], {"axis": axis}, dtype="int64")
        if site.attr("select_last_index", 0):
            found = site.step("sub", [site.number(shape[axis] - 1, "int64"), found])
        kept = (*shape[:axis], 1, *shape[axis + 1 :])
        site.define(site.reshape(found, kept) if site.attr("keepdims", 1) else found)

    return build


def batch_normalization(site):
    """x * scale / sqrt(var + epsilon) + ...: one factor and one term for each channel."""
    x = site.need_dtype(0, "float32")
    site.need_one_output()
    if site.attr("training_mode", 0):
        raise Unsupported("it is in training mode")
    channels = site.shape(x)[1] if len(site.shape(x)) > 1 else 1
    scale, offset, mean, variance = (site.array(k).astype(np.float64) for k in range(1, 5))
    if any(a.shape != (channels,) for a in (scale, offset, mean, variance)):
        raise ConversionError(f"its scale, bias, mean and variance need shape ({channels},)")
    with np.errstate(all="ignore"):
        factor = scale / np.sqrt(variance + site.attr("epsilon", 1e-5))
    if not np.isfinite(factor).all():
        raise ConversionError(f"a variance of {variance.min():g} gives no finite scale")
    site.define(scaled(site, x, factor, offset - mean * factor, 1))


def scaled(site, x, factor, term, axis):
    """x * factor + term, both along `axis`."""
    shape = [-1 if i == axis else 1 for i in range(len(site.shape(x)))]
    product = site.step("mul", [x, site.make(np.reshape(factor, shape), f"{site.name}/scale")])
    return site.step("add", [product, site.make(np.reshape(term, shape), f"{site.name}/offset")])


def normalised(site, x, axes, epsilon):
    """(x - mean) / sqrt(variance + epsilon) over `axes`; also the mean and the inverse deviation."""
    attrs = {"function": "mean", "axes": tuple(axes), "keep_dims": 1}
    mean = site.step("reduce", [x], attrs)
    variance = site.step("reduce", [site.step("squared_difference", [x, mean])], attrs)
    inverse = site.unary("rsqrt", site.step("add", [variance, site.number(epsilon)]))
    return site.step("mul", [site.step("sub", [x, mean]), inverse]), mean, inverse


def instance_normalization(site):
    x = site.need_dtype(0, "float32")
    rank = len(site.shape(x))
    y, _, _ = normalised(site, x, range(2, rank), site.attr("epsilon", 1e-5))
    _scale_and_shift(site, y, 1, 2)


def _scale_and_shift(site, y, *inputs):
    """Output 0 is y * scale + bias, each given for the channels."""
    shape = [1, -1] + [1] * (len(site.shape(y)) - 2)
    for op, k in zip(("mul", "add"), inputs):
        operand = site.need_dtype(k, "float32")
        y = site.step(op, [y, site.reshape(operand, [site.spec(k).size if dim == -1 else dim for dim in shape])])
    site.define(y)


def group_normalization(site):
    x, groups = site.need_dtype(0, "float32"), site.attr("num_groups")
    shape = site.shape(x)
    if groups < 1 or shape[1] % groups:
        raise ConversionError(f"{shape[1]} channels are no {groups} groups")
    if site.opset < 21 and groups != shape[1]:
        raise Unsupported(f"of operator set {site.opset}, which scales each group")
    rows = site.reshape(x, (shape[0], groups, math.prod(shape[1:]) // groups))
    y, _, _ = normalised(site, rows, (2,), site.attr("epsilon", 1e-5))
    _scale_and_shift(site, site.reshape(y, shape), 1, 2)


def layer_normalization(site):
    x = site.need_dtype(0, "float32")
    rank = len(site.shape(x))
    axes = range(site.axis(site.attr("axis", -1), rank), rank)
    y, mean, inverse = normalised(site, x, axes, site.attr("epsilon", 1e-5))
    y = site.step("mul", [y, site.need_dtype(1, "float32")])
    site.define(site.step("add", [y, site.need_dtype(2, "float32")]) if site.has(2) else y)
    site.define(mean, 1)
    site.define(inverse, 2)


def rms_normalization(site):
    x = site.need_dtype(0, "float32")
    rank = len(site.shape(x))
    axes = tuple(range(site.axis(site.attr("axis", -1), rank), rank))
    power = site.step("reduce", [site.unary("square", x)], {"function": "mean", "axes": axes, "keep_dims": 1})
    inverse = site.unary("rsqrt", site.step("add", [power, site.number(site.attr("epsilon", 1e-5))]))
    site.emit("mul", [site.step("mul", [x, inverse]), site.need_dtype(1, "float32")])


def mean_variance_normalization(site):
    """(x - mean) / (sqrt(variance) + 1e-9)."""
    x = site.need_dtype(0, "float32")
    axes = tuple(sorted({site.axis(a, len(site.shape(x))) for a in site.attr("axes", (0, 2, 3))}))
    attrs = {"function": "mean", "axes": axes, "keep_dims": 1}
    centred = site.step("sub", [x, site.step("reduce", [x], attrs)])
    deviation = site.unary("sqrt", site.step("reduce", [site.unary("square", centred)], attrs))
    site.emit("div", [centred, site.step("add", [deviation, site.number(1e-9)])])


def lp_normalization(site):
    """x / (its norm along `axis`); 0 where that is 0."""
    x = site.need_dtype(0, "float32")
    axis, p = site.axis(site.attr("axis", -1), len(site.shape(x))), site.attr("p", 2)
    if p not in (1, 2):
        raise Unsupported(f"p is {p}, neither 1 nor 2")
    attrs = {"function": "sum", "axes": (axis,), "keep_dims": 1}
    norm = site.step("reduce", [site.unary("abs" if p == 1 else "square", x)], attrs)
    norm = norm if p == 1 else site.unary("sqrt", norm)
    smallest = site.number(float(np.finfo(np.float32).tiny))
    site.emit("div", [x, site.step("maximum", [norm, smallest])])


def local_response(site):
    """x / (bias + alpha / size * sum of squares over `size` channels) ** beta: the sum is a matrix product."""
    x, size = site.need_dtype(0, "float32"), site.attr("size")
    channels = site.shape(x)[1]
    site.need_room(channels, channels)
    distance = np.arange(channels)[None] - np.arange(channels)[:, None]
    band = (distance >= -((size - 1) // 2)) & (distance <= size // 2)
    weight = site.make(band.astype(np.float32) * np.float32(site.attr("alpha", 1e-4) / size))
    squares = along_last(site, site.unary("square", x), 1, lambda y: site.step("linear", [y, weight, -1]))
    base = site.step("add", [squares, site.number(site.attr("bias", 1.0))])
    site.emit("div", [x, site.step("pow", [base, site.number(site.attr("beta", 0.75))])])


def trilu(site):
    """The upper or lower triangle of the last two dimensions."""
    x = site.input(0)
    rows, columns = site.shape(x)[-2:]
    k = site.ints(1)[0] if site.has(1) and site.array(1).size == 1 else 0
    k = min(max(k, -rows - 1), columns + 1)
    site.need_room(rows, columns)
    mask = np.tri(rows, columns, k - 1 if site.attr("upper", 1) else k, dtype=bool)
    zero = site.number(0, site.spec(0).dtype)
    chosen = [zero, x] if site.attr("upper", 1) else [x, zero]
    site.define(site.step("select", [site.make(mask), *chosen], dtype=site.spec(0).dtype))


def eye_like(site):
    """Ones on a diagonal, of the shape of input 0."""
    dtype = DTYPES.get(site.attr("dtype", 0), site.spec(0).dtype)
    site.need_room(*site.spec(0).shape)
    site.define(np.eye(*site.spec(0).shape, k=site.attr("k", 0), dtype=dtype))


def size_of(site):
    site.define(np.array(site.spec(0).size, np.int64))
