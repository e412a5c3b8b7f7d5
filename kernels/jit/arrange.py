"""concat, slice, pad, reshape, transpose: words are put elsewhere and none changes. Each is copies between boxes."""

from math import prod

import numpy as np
from numba import carray, njit

from edgert.kernels.jit.cache import rename
from edgert.kernels.jit.compiler import MOVE, compiled, step
from edgert.kernels.jit.primitives import int8_only, share


def make_arrange(copies, sizes_in, size_out, fill):
    """copies: per input (sizes, strides in, first in, strides out, first out) of a box. fill: a word, or None."""
    out_index = len(sizes_in)
    move = _chain([_copier(index, sizes_in[index], size_out, *box) for index, box in enumerate(copies)])
    word = 0 if fill is None else fill
    filled = fill is not None

    def arrange(params, tensors, scratch, thread, n_threads):
        if filled:
            out = carray(tensors[out_index], size_out, np.int8)
            for i in range(size_out):
                out[i] = word
        move(tensors, out_index, thread, n_threads)

    return arrange


def _copier(index, size_in, size_out, sizes, strides_in, first_in, strides_out, first_out):
    """Copies one box; the last of its dimensions is the inner loop."""
    dims, rows, inner = len(sizes) - 1, prod(sizes[:-1]), sizes[-1]
    step_in, step_out = strides_in[-1], strides_out[-1]

    def copy(tensors, out_index, thread, n_threads):
        x, out = carray(tensors[index], size_in, np.int8), carray(tensors[out_index], size_out, np.int8)
        for row in range(share(rows, thread, n_threads), share(rows, thread + 1, n_threads)):
            rest, a, b = row, first_in, first_out
            for k in range(dims):
                d = dims - 1 - k
                at = rest % sizes[d]
                a += at * strides_in[d]
                b += at * strides_out[d]
                rest //= sizes[d]
            for i in range(inner):
                out[b + i * step_out] = x[a + i * step_in]

    box = (index, size_in, size_out, sizes, strides_in, first_in, strides_out, first_out)
    return njit(error_model="numpy")(rename(copy, box))


def _chain(functions):
    """One function that calls all of them."""
    first, *rest = functions
    if not rest:
        return first
    others = _chain(rest)

    def both(tensors, out_index, thread, n_threads):
        first(tensors, out_index, thread, n_threads)
        others(tensors, out_index, thread, n_threads)

    return njit(error_model="numpy")(rename(both, first.py_func.__qualname__, others.py_func.__qualname__))


def strides(shape):
    return tuple([prod(shape[axis + 1 :]) for axis in range(len(shape))])


def box(sizes, strides_in, first_in, strides_out, first_out):
    """The same box with neighbouring dimensions merged where both sides walk them as one."""
    dims = []
    for size, a, b in zip(sizes, strides_in, strides_out):
        if size == 1:
            continue
        if dims and dims[-1][1] == size * a and dims[-1][2] == size * b:
            dims[-1] = [dims[-1][0] * size, a, b]
        else:
            dims.append([size, a, b])
    dims = dims or [[1, 1, 1]]
    sizes, strides_in, strides_out = (tuple(column) for column in zip(*dims))
    return sizes, strides_in, first_in, strides_out, first_out


def concat(inputs, out, attrs):
    """One box per input, one behind the other along the axis."""
    at, out_strides = 0, strides(out.shape)
    for x in inputs:
        yield box(x.shape, strides(x.shape), 0, out_strides, at * out_strides[attrs["axis"]])
        at += x.shape[attrs["axis"]]


def slice_(inputs, out, attrs):
    """out[i, ...] = x[begin + i * step, ...]."""
    from_strides, steps = strides(inputs[0].shape), attrs.get("step") or (1,) * len(out.shape)
    first = sum([begin * stride for begin, stride in zip(attrs["begin"], from_strides)])
    yield box(out.shape, [step * stride for step, stride in zip(steps, from_strides)], first, strides(out.shape), 0)


def pad(inputs, out, attrs):
    (x,), out_strides = inputs, strides(out.shape)
    first = sum([before * stride for before, stride in zip(attrs["before"], out_strides)])
    yield box(x.shape, strides(x.shape), 0, out_strides, first)


def reshape(inputs, out, attrs):
    yield box((out.size,), (1,), 0, (1,), 0)


def transpose(inputs, out, attrs):
    """Axis i of out is axis perm[i] of x."""
    from_strides = strides(inputs[0].shape)
    yield box(out.shape, [from_strides[axis] for axis in attrs["perm"]], 0, strides(out.shape), 0)


OPS = {"concat": concat, "slice": slice_, "pad": pad, "reshape": reshape, "transpose": transpose}
MAX_INPUTS = 16  # each is a loop of its own in the compiled kernel


def bind(op, inputs, outputs, attrs):
    (out,) = outputs
    if not int8_only(*inputs, out) or len(inputs) > MAX_INPUTS or attrs.get("mode", "constant") != "constant":
        return None
    fill = attrs.get("value", inputs[0].quant.zero_point) if op == "pad" else None
    settings = {
        "copies": tuple(OPS[op](inputs, out, attrs)),
        "sizes_in": tuple([x.size for x in inputs]),
        "size_out": out.size,
        "fill": fill,
    }
    work = 0 if fill is not None else out.size * MOVE  # filling and copying do not share out alike
    return step(op, compiled(make_arrange, settings), work=work)
