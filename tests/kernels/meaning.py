"""What every op means on real numbers: the slow, obvious way, in float64 and plain loops, sharing no code with edgert.

`MEANING[op](case, *reals)` takes what the words of the inputs stand for and gives what those of the output should.
"""

import math
from itertools import product

import numpy as np


def real(tensor, words, scale=None):
    """What words stand for, in float64. scale: overrides the tensor's (for a bias, which has none of its own)."""
    words = words.astype(np.float64)
    if scale is not None:
        return words * scale
    if tensor.quant is None:
        return words
    scale = tensor.quant.scale[0]
    if tensor.quant.axis is not None:
        scale = np.array(tensor.quant.scale).reshape([-1 if i == tensor.quant.axis else 1 for i in range(words.ndim)])
    return scale * (words - tensor.quant.zero_point)


def reals(case):
    """The real numbers of all inputs; a bias counts in steps of input scale times weight scale."""
    values = [None if t is None else real(t, a) for t, a in zip(case.inputs, case.arrays)]
    if case.op in ("conv2d", "depthwise_conv2d", "transpose_conv2d", "linear") and case.inputs[0].quant:
        x, weight, bias = case.inputs
        if bias is not None:
            values[2] = real(bias, case.arrays[2], np.array(weight.quant.scale) * x.quant.scale[0])
    return values


def conv2d(case, x, weight, bias):
    out, a = np.zeros(case.output.shape), case.attrs
    group_in, group_out = weight.shape[3], out.shape[3] // a.get("groups", 1)
    for n, y, x_out, ky, kx in np.ndindex(*out.shape[:3], *weight.shape[1:3]):
        row, column = source(y, ky, "h", "top", a), source(x_out, kx, "w", "left", a)
        if 0 <= row < x.shape[1] and 0 <= column < x.shape[2]:
            for o in range(out.shape[3]):
                first = o // group_out * group_in
                out[n, y, x_out, o] += x[n, row, column, first : first + group_in] @ weight[o, ky, kx]
    return out if bias is None else out + bias


def depthwise_conv2d(case, x, weight, bias):
    out, a = np.zeros(case.output.shape), case.attrs
    multiplier = out.shape[3] // x.shape[3]
    for n, y, x_out, ky, kx in np.ndindex(*out.shape[:3], *weight.shape[:2]):
        row, column = source(y, ky, "h", "top", a), source(x_out, kx, "w", "left", a)
        if 0 <= row < x.shape[1] and 0 <= column < x.shape[2]:
            out[n, y, x_out] += [x[n, row, column, o // multiplier] * w for o, w in enumerate(weight[ky, kx])]
    return out if bias is None else out + bias


def source(out_index, k, side, pad, attrs):
    stride, dilation = attrs.get(f"stride_{side}", 1), attrs.get(f"dilation_{side}", 1)
    return out_index * stride - attrs.get(f"pad_{pad}", 0) + k * dilation


def transpose_conv2d(case, x, weight, bias):
    out, a = np.zeros(case.output.shape), case.attrs
    for n, y, x_in, ky, kx in np.ndindex(*x.shape[:3], *weight.shape[1:3]):
        row = y * a.get("stride_h", 1) + ky - a.get("pad_top", 0)
        column = x_in * a.get("stride_w", 1) + kx - a.get("pad_left", 0)
        if 0 <= row < out.shape[1] and 0 <= column < out.shape[2]:
            out[n, row, column] += weight[:, ky, kx] @ x[n, y, x_in]
    return out if bias is None else out + bias


def linear(case, x, weight, bias):
    out = np.einsum("...i,oi->...o", x, weight)
    return out if bias is None else out + bias


def batch_matmul(case, a, b):
    a = np.moveaxis(a, -1, -2) if case.attrs.get("transpose_a") else a
    b = np.moveaxis(b, -1, -2) if case.attrs.get("transpose_b") else b
    return np.einsum("...mk,...kn->...mn", a, b)


def div(case, a, b):
    a, b = np.broadcast_arrays(a, b)
    out = [p / q if q else math.copysign(math.inf, p) if p else 0.0 for p, q in zip(a.flat, b.flat)]
    return np.array(out).reshape(a.shape)


UNARY = {
    "relu": lambda x, a: max(x, 0),
    "relu6": lambda x, a: min(max(x, 0), 6),
    "leaky_relu": lambda x, a: x if x > 0 else a * x,
    "sigmoid": lambda x, a: 1 / (1 + math.exp(-x)),
    "tanh": lambda x, a: math.tanh(x),
    "silu": lambda x, a: x / (1 + math.exp(-x)),
    "gelu": lambda x, a: x * (1 + math.erf(x / math.sqrt(2))) / 2,
    "hard_swish": lambda x, a: x * min(max(x / 6 + 0.5, 0), 1),
    "elu": lambda x, a: x if x > 0 else a * (math.exp(x) - 1),
    "exp": lambda x, a: math.exp(x),
    "log": lambda x, a: math.log(x),
    "sqrt": lambda x, a: math.sqrt(x),
    "rsqrt": lambda x, a: 1 / math.sqrt(x),
    "square": lambda x, a: x * x,
    "abs": lambda x, a: abs(x),
    "neg": lambda x, a: -x,
    "floor": lambda x, a: math.floor(x),
    "ceil": lambda x, a: math.ceil(x),
    "round": lambda x, a: round(x),
    "sin": lambda x, a: math.sin(x),
    "cos": lambda x, a: math.cos(x),
    "gelu_tanh": lambda x, a: x / (1 + math.exp(-2 * math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))),
    "hard_sigmoid": lambda x, a, b: min(max(a * x + b, 0), 1),
    "mish": lambda x, a: x * math.tanh(math.log(1 + math.exp(x))),
    "softplus": lambda x, a: math.log(1 + math.exp(x)),
    "softsign": lambda x, a: x / (1 + abs(x)),
    "celu": lambda x, a: x if x > 0 else a * (math.exp(x / a) - 1),
    "selu": lambda x, a, b: b * x if x > 0 else b * a * (math.exp(x) - 1),
    "thresholded_relu": lambda x, a: x if x > a else 0,
    "reciprocal": lambda x, a: 1 / x,
    "sign": lambda x, a: math.copysign(1, x) if x else 0,
}
for name in ("erf", "tan", "asin", "acos", "atan", "sinh", "cosh", "asinh", "acosh", "atanh"):
    UNARY[name] = lambda x, a, name=name: getattr(math, name)(x)


def unary(case, x):
    function, alpha = UNARY[case.attrs["function"]], case.attrs.get("alpha", 0.0)
    more = [case.attrs["beta"]] if "beta" in case.attrs else []
    return np.array([function(v, alpha, *more) for v in x.flat]).reshape(x.shape)


COMPARE = {
    "equal": lambda p, q: p == q,
    "not_equal": lambda p, q: p != q,
    "less": lambda p, q: p < q,
    "less_equal": lambda p, q: p <= q,
    "greater": lambda p, q: p > q,
    "greater_equal": lambda p, q: p >= q,
}


def compare(case, a, b):
    a, b = np.broadcast_arrays(a, b)
    return np.array([COMPARE[case.attrs["function"]](p, q) for p, q in zip(a.flat, b.flat)]).reshape(a.shape)


def select(case, condition, a, b):
    condition, a, b = np.broadcast_arrays(condition, a, b)
    return np.array([p if c else q for c, p, q in zip(condition.flat, a.flat, b.flat)]).reshape(a.shape)


def cumulative_sum(case, x):
    out, a = np.zeros(x.shape), case.attrs
    for index in np.ndindex(*x.shape):
        at, size = index[a["axis"]], x.shape[a["axis"]]
        places = range(at, size) if a.get("reverse") else range(at + 1)
        summed = [k for k in places if k != at or not a.get("exclusive")]
        out[index] = sum(x[(*index[: a["axis"]], k, *index[a["axis"] + 1 :])] for k in summed)
    return out


def pool(function):
    def run(case, x):
        out, a = np.zeros(case.output.shape), case.attrs
        for n, y, x_out in np.ndindex(*out.shape[:3]):
            top, left = source(y, 0, "h", "top", a), source(x_out, 0, "w", "left", a)
            seen = x[n, max(top, 0) : top + a["kh"], max(left, 0) : left + a["kw"]]
            out[n, y, x_out] = function(seen, axis=(0, 1))
        return out

    return run


def reduce(case, x):
    functions = {"mean": np.mean, "sum": np.sum, "max": np.max, "min": np.min, "prod": np.prod}
    return functions[case.attrs["function"]](x, axis=case.attrs["axes"]).reshape(case.output.shape)


def softmax(case, x):
    rows, beta = [], case.attrs.get("beta", 1.0)
    for row in x.reshape(-1, x.shape[-1]).tolist():
        highest = max(row)
        exponentials = [math.exp((v - highest) * beta) for v in row]
        total = math.fsum(exponentials)
        rows.append([e / total for e in exponentials])
    return np.array(rows).reshape(x.shape)


def log_softmax(case, x):
    return np.log(softmax(case, x))


def bilinear(case, x):
    rows, columns = list(positions(case, 1)), list(positions(case, 2))
    out = np.zeros(case.output.shape)
    for (i, (y0, y1, fy)), (j, (x0, x1, fx)) in product(enumerate(rows), enumerate(columns)):
        upper = x[:, y0, x0] * (1 - fx) + x[:, y0, x1] * fx
        lower = x[:, y1, x0] * (1 - fx) + x[:, y1, x1] * fx
        out[:, i, j] = upper * (1 - fy) + lower * fy
    return out


def positions(case, axis):
    """Where each output row (or column) lies between two rows of the input: (lower, upper, fraction)."""
    size_in, size_out = case.inputs[0].shape[axis], case.output.shape[axis]
    for i in range(size_out):
        if case.attrs.get("align_corners") and size_out > 1:
            position = i * (size_in - 1) / (size_out - 1)
        elif case.attrs.get("half_pixel_centers"):
            position = (i + 0.5) * size_in / size_out - 0.5
        else:
            position = i * size_in / size_out
        position = min(max(position, 0), size_in - 1)
        lower = math.floor(position)
        yield lower, min(lower + 1, size_in - 1), position - lower


def moved(find):
    """Meaning of an op that copies words: `find(case, index of the output)` is an index of x, or None for padding."""

    def run(case, x, *rest):
        out, fill = np.zeros(case.output.shape), case.attrs.get("value")
        if fill is not None:
            fill = real(case.output, np.array(fill))
        for index in np.ndindex(*out.shape):
            where = find(case, index, *rest)
            out[index] = (fill or 0.0) if where is None else x[where]
        return out

    return run


def slice_(case, index):
    step = case.attrs.get("step") or (1,) * len(index)
    return tuple(b + i * s for b, i, s in zip(case.attrs["begin"], index, step))


def pad(case, index):
    where = []
    for i, before, size in zip(index, case.attrs["before"], case.inputs[0].shape):
        i -= before
        mode = case.attrs.get("mode", "constant")
        if not 0 <= i < size and mode == "constant":
            return None
        edge = 1 if mode == "symmetric" else 0
        where.append(-i - edge if i < 0 else 2 * (size - 1) - i + edge if i >= size else i)
    return tuple(where)


def transpose(case, index):
    where = [0] * len(index)
    for i, axis in zip(index, case.attrs["perm"]):
        where[axis] = i
    return tuple(where)


def space_to_batch(case, index):
    batches, height, width, _ = case.inputs[0].shape
    (b, y, x, c), (bh, bw) = index, case.attrs["block"]
    position, n = divmod(b, batches)
    y, x = y * bh + position // bw - case.attrs["before"][0], x * bw + position % bw - case.attrs["before"][1]
    return (n, y, x, c) if 0 <= y < height and 0 <= x < width else None


def batch_to_space(case, index):
    (n, y, x, c), (bh, bw) = index, case.attrs["block"]
    y, x = y + case.attrs["before"][0], x + case.attrs["before"][1]
    return ((y % bh * bw + x % bw) * case.output.shape[0] + n, y // bh, x // bw, c)


def space_to_depth(case, index):
    (n, y, x, d), block = index, case.attrs["block"]
    position, c = divmod(d, case.inputs[0].shape[3])
    return (n, y * block + position // block, x * block + position % block, c)


def depth_to_space(case, index):
    (n, y, x, c), block = index, case.attrs["block"]
    return (n, y // block, x // block, (y % block * block + x % block) * case.output.shape[3] + c)


def gather(case, index, indices):
    axis, batch_dims = case.attrs.get("axis", 0), case.attrs.get("batch_dims", 0)
    last = axis + indices.ndim - batch_dims
    picked = indices[(*index[:batch_dims], *index[axis:last])]
    return (*index[:axis], inside(picked, case.inputs[0].shape[axis]), *index[last:])


def gather_nd(case, index, indices):
    row = indices[index[: indices.ndim - 1]]
    return (*[inside(i, dim) for i, dim in zip(row, case.inputs[0].shape)], *index[indices.ndim - 1 :])


def inside(i, size):
    return min(max(int(i), 0), size - 1)


def concat(case, *inputs):
    axis = case.attrs["axis"]
    pieces = [piece for array in inputs for piece in np.moveaxis(array, axis, 0)]
    return np.moveaxis(np.array(pieces), 0, axis)


MEANING = {
    "conv2d": conv2d,
    "depthwise_conv2d": depthwise_conv2d,
    "transpose_conv2d": transpose_conv2d,
    "linear": linear,
    "batch_matmul": batch_matmul,
    "add": lambda case, a, b: a + b,
    "sub": lambda case, a, b: a - b,
    "mul": lambda case, a, b: a * b,
    "div": div,
    "minimum": lambda case, a, b: np.minimum(a, b),
    "maximum": lambda case, a, b: np.maximum(a, b),
    "squared_difference": lambda case, a, b: (a - b) ** 2,
    "unary": unary,
    "pow": lambda case, a, b: a**b,
    "compare": compare,
    "select": select,
    "cumulative_sum": cumulative_sum,
    "avg_pool2d": pool(np.mean),
    "max_pool2d": pool(np.max),
    "reduce": reduce,
    "softmax": softmax,
    "log_softmax": log_softmax,
    "resize": bilinear,
    "slice": moved(slice_),
    "pad": moved(pad),
    "transpose": moved(transpose),
    "reshape": lambda case, x: np.array(list(x.flat)).reshape(case.output.shape),
    "space_to_batch": moved(space_to_batch),
    "batch_to_space": moved(batch_to_space),
    "space_to_depth": moved(space_to_depth),
    "depth_to_space": moved(depth_to_space),
    "gather": moved(gather),
    "gather_nd": moved(gather_nd),
    "concat": concat,
    "quantize": lambda case, x: x,
    "dequantize": lambda case, x: x,
}
