"""Reductions over axes: mean, sum, max, min, prod, the position of the largest or smallest element; running sums."""

from math import prod

import numpy as np

from edgert.kernels.reference.rounding import all_of, float_multiplier, requantise, scale, zero_point

PLAIN = {"mean": np.mean, "sum": np.sum, "max": np.max, "min": np.min, "prod": np.prod}


def sum_int8(x, out, *, axes, x_zero_point, multiplier, out_zero_point):
    """acc = sum of (x - x_zero_point) in int32, then the rounding rule. A mean has 1 / count in its multiplier."""
    acc = np.sum(x.astype(np.int32) - x_zero_point, axis=axes, dtype=np.int32)
    out[...] = requantise(acc, multiplier, out_zero_point, -128, 127).reshape(out.shape)


def reduce_plain(x, out, *, function, axes):
    """In the type of x: float32, integers that wrap, and the maximum or minimum of any words."""
    if not axes:
        out[...] = x
    elif function in ("max", "min"):
        out[...] = PLAIN[function](x, axis=axes).reshape(out.shape)
    else:
        out[...] = PLAIN[function](x, axis=axes, dtype=x.dtype).reshape(out.shape)


def arg_reduce(x, out, *, function, axis):
    """The first position along `axis`, as int32 or int64."""
    out[...] = function(x, axis=axis)


def cumulative_sum(x, out, *, axis, exclusive, reverse):
    """out: the sum of x up to each position along `axis`, in the type of x, added one after the other.

    exclusive: without the position itself. reverse: from the end.
    """
    x, result = np.moveaxis(x, axis, 0), np.moveaxis(out, axis, 0)  # a view of out
    if reverse:
        x, result = x[::-1], result[::-1]
    if exclusive:
        result[0] = 0
        np.cumsum(x[:-1], axis=0, dtype=x.dtype, out=result[1:])
    else:
        np.cumsum(x, axis=0, dtype=x.dtype, out=result)


def bind(op, inputs, outputs, attrs):
    (x,), (out,) = inputs, outputs
    if op == "cumulative_sum":
        if x.dtype != out.dtype:
            return None
        settings = {"axis": attrs["axis"]} | {name: attrs.get(name, 0) for name in ("exclusive", "reverse")}
        return lambda arrays_in, arrays_out: cumulative_sum(*arrays_in, *arrays_out, **settings)
    if op in ("arg_max", "arg_min"):
        settings = {"function": np.argmax if op == "arg_max" else np.argmin, "axis": attrs["axis"]}
        return lambda arrays_in, arrays_out: arg_reduce(*arrays_in, *arrays_out, **settings)
    function, axes = attrs["function"], tuple(attrs["axes"])
    if all_of("int8", x, out) and function in ("mean", "sum"):
        count = prod([x.shape[axis] for axis in axes]) if function == "mean" else 1
        settings = {"axes": axes, "x_zero_point": zero_point(x), "out_zero_point": zero_point(out)}
        settings["multiplier"] = float_multiplier(scale(x) / (scale(out) * count))
        return lambda arrays_in, arrays_out: sum_int8(*arrays_in, *arrays_out, **settings)
    if x.dtype != out.dtype or not (x.dtype in ("float32", "int32", "int64") or function in ("max", "min")):
        return None
    return lambda arrays_in, arrays_out: reduce_plain(*arrays_in, *arrays_out, function=function, axes=axes)
