"""The shape of every op's output: one function per op, from input shapes and attributes to the declared output's shape.

Each takes `(shapes, attrs, declared)`: the input shapes (None where an optional input is absent), the attributes with
their defaults filled in, and the output shape the graph declares. Most compute the output; an op whose output shape is
a free choice (reshape, slice, resize, transpose_conv2d) proves that the declared one is possible and returns it.
All arithmetic is on Python integers, so nothing a file claims can overflow.
"""

from edgert.errors import ModelFormatError


def conv2d(shapes, attrs, declared):
    x, weight, bias = shapes
    n, h, w, c = _of_rank(x, 4, "x")
    c_out, kh, kw, c_group = _of_rank(weight, 4, "weight")
    groups = attrs["groups"]
    if c_group * groups != c or c_out % groups:
        raise ModelFormatError(f"weight {weight} in {groups} groups does not fit the {c} channels of x {x}")
    _check_bias(bias, c_out)
    return (n, *_windows(h, w, kh, kw, attrs, attrs["dilation_h"], attrs["dilation_w"]), c_out)


def depthwise_conv2d(shapes, attrs, declared):
    x, weight, bias = shapes
    n, h, w, c = _of_rank(x, 4, "x")
    kh, kw, c_out = _of_rank(weight, 3, "weight")
    if c_out % c:
        raise ModelFormatError(f"the {c_out} channels of weight {weight} are no multiple of the {c} channels of x {x}")
    _check_bias(bias, c_out)
    return (n, *_windows(h, w, kh, kw, attrs, attrs["dilation_h"], attrs["dilation_w"]), c_out)


def transpose_conv2d(shapes, attrs, declared):
    x, weight, bias = shapes
    n, h, w, c = _of_rank(x, 4, "x")
    c_out, kh, kw, c_in = _of_rank(weight, 4, "weight")
    if c_in != c:
        raise ModelFormatError(f"weight {weight} does not fit the {c} channels of x {x}")
    _check_bias(bias, c_out)
    _, h_out, w_out, _ = _of_rank(declared, 4, "the output")
    _check_transposed(h, h_out, kh, attrs["stride_h"], attrs["pad_top"] + attrs["pad_bottom"], "height")
    _check_transposed(w, w_out, kw, attrs["stride_w"], attrs["pad_left"] + attrs["pad_right"], "width")
    return (n, h_out, w_out, c_out)


def linear(shapes, attrs, declared):
    x, weight, bias = shapes
    c_out, c_in = _of_rank(weight, 2, "weight")
    if not x or x[-1] != c_in:
        raise ModelFormatError(f"weight {weight} does not fit the last dimension of x {x}")
    _check_bias(bias, c_out)
    return (*x[:-1], c_out)


def batch_matmul(shapes, attrs, declared):
    a, b = shapes
    if len(a) < 2 or len(b) < 2:
        raise ModelFormatError(f"a {a} and b {b} need at least 2 dimensions")
    m, k = (a[-1], a[-2]) if attrs["transpose_a"] else (a[-2], a[-1])
    k_b, n = (b[-1], b[-2]) if attrs["transpose_b"] else (b[-2], b[-1])
    if k != k_b:
        raise ModelFormatError(f"a {a} gives {k} terms to each sum and b {b} gives {k_b}")
    return (*broadcast(a[:-2], b[:-2]), m, n)


def binary(shapes, attrs, declared):
    return broadcast(*shapes)


def broadcast(a, b):
    """The shape that `a` and `b` stretch to under NumPy's rule."""
    if a == b:
        return a
    rank = max(len(a), len(b))
    long_a, long_b = (1,) * (rank - len(a)) + a, (1,) * (rank - len(b)) + b
    for dim_a, dim_b in zip(long_a, long_b):
        if dim_a != dim_b and dim_a != 1 and dim_b != 1:
            raise ModelFormatError(f"a {a} and b {b} do not broadcast: {dim_a} against {dim_b}")
    return tuple([max(pair) for pair in zip(long_a, long_b)])


def same(shapes, attrs, declared):
    return shapes[0]


def select(shapes, attrs, declared):
    condition, a, b = shapes
    return broadcast(condition, broadcast(a, b))


def along_axis(shapes, attrs, declared):
    _check_axis(attrs["axis"], shapes[0], "axis")
    return shapes[0]


def along_last_axis(shapes, attrs, declared):
    if not shapes[0]:
        raise ModelFormatError("x is a scalar and has no last axis")
    return shapes[0]


def lookup(shapes, attrs, declared):
    """One table for all words, or one for each channel."""
    own = (shapes[0][-1], 256) if shapes[0] else None
    if shapes[1] not in ((256,), own):
        also = f" or {own}" if own else ""
        raise ModelFormatError(f"the table has shape {shapes[1]}, not (256,){also}")
    return shapes[0]


def pool2d(shapes, attrs, declared):
    n, h, w, c = _of_rank(shapes[0], 4, "x")
    kh, kw = attrs["kh"], attrs["kw"]
    h_out, w_out = _windows(h, w, kh, kw, attrs, 1, 1)
    _check_never_empty(h, h_out, kh, attrs["stride_h"], attrs["pad_top"], "row")
    _check_never_empty(w, w_out, kw, attrs["stride_w"], attrs["pad_left"], "column")
    return (n, h_out, w_out, c)


def reduce(shapes, attrs, declared):
    x, axes = shapes[0], attrs["axes"]
    if list(axes) != sorted(set(axes)):
        raise ModelFormatError(f"axes {axes} are not ascending and distinct")
    for axis in axes:
        _check_axis(axis, x, "axes")
    if attrs["keep_dims"]:
        return tuple([1 if i in axes else dim for i, dim in enumerate(x)])
    return tuple([dim for i, dim in enumerate(x) if i not in axes])


def concat(shapes, attrs, declared):
    first, axis = shapes[0], attrs["axis"]
    _check_axis(axis, first, "axis")
    for shape in shapes:
        if shape[:axis] != first[:axis] or shape[axis + 1 :] != first[axis + 1 :] or len(shape) != len(first):
            raise ModelFormatError(f"{shape} cannot be joined to {first} along axis {axis}")
    return (*first[:axis], sum([shape[axis] for shape in shapes]), *first[axis + 1 :])


def slice(shapes, attrs, declared):
    x, begin = shapes[0], attrs["begin"]
    step = attrs["step"] or (1,) * len(x)
    if not len(x) == len(begin) == len(step) == len(declared):
        raise ModelFormatError(f"x {x}, begin {begin}, step {step} and the output {declared} differ in rank")
    for axis, (dim, start, stride, size) in enumerate(zip(x, begin, step, declared)):
        last = start + (size - 1) * stride
        if not stride or not 0 <= start < dim or not 0 <= last < dim:
            raise ModelFormatError(f"axis {axis} of x {x} is read from {start} to {last} in steps of {stride}")
    return declared


def pad(shapes, attrs, declared):
    x, before, after, mode = shapes[0], attrs["before"], attrs["after"], attrs["mode"]
    if not len(before) == len(after) == len(x):
        raise ModelFormatError(f"x {x} needs {len(x)} pads, before {before} and after {after} are given")
    for dim, low, high in zip(x, before, after):
        limit = dim - 1 if mode == "reflect" else dim if mode == "symmetric" else None
        if low < 0 or high < 0 or (limit is not None and max(low, high) > limit):
            raise ModelFormatError(f"x {x} cannot be padded ({mode}) by {before} before and {after} after")
    return tuple([low + dim + high for low, dim, high in zip(before, x, after)])


def resize(shapes, attrs, declared):
    n, _, _, c = _of_rank(shapes[0], 4, "x")
    _, h_out, w_out, _ = _of_rank(declared, 4, "the output")
    if attrs["align_corners"] and attrs["half_pixel_centers"]:
        raise ModelFormatError("align_corners and half_pixel_centers exclude each other")
    if max(*shapes[0][1:3], h_out, w_out) > 2**20:  # coordinates are float32: beyond 2**24 they would skip pixels
        raise ModelFormatError(f"x {shapes[0]} to {declared} has a side above {2**20}")
    return (n, h_out, w_out, c)


def reshape(shapes, attrs, declared):
    if size(shapes[0]) != size(declared):
        raise ModelFormatError(f"x {shapes[0]} has {size(shapes[0])} elements, the output {declared} {size(declared)}")
    return declared


def transpose(shapes, attrs, declared):
    x, perm = shapes[0], attrs["perm"]
    if sorted(perm) != list(range(len(x))):
        raise ModelFormatError(f"perm {perm} is no permutation of the axes of x {x}")
    return tuple([x[axis] for axis in perm])


def gather(shapes, attrs, declared):
    x, indices = shapes
    axis, batch_dims = attrs["axis"], attrs["batch_dims"]
    _check_axis(axis, x, "axis")
    if batch_dims > min(axis, len(indices)) or x[:batch_dims] != indices[:batch_dims]:
        raise ModelFormatError(f"x {x} and indices {indices} share no {batch_dims} dimensions before axis {axis}")
    return (*x[:axis], *indices[batch_dims:], *x[axis + 1 :])


def gather_nd(shapes, attrs, declared):
    x, indices = shapes
    if not indices or indices[-1] > len(x):
        raise ModelFormatError(f"indices {indices} do not index x {x}")
    return (*indices[:-1], *x[indices[-1] :])


def arg_reduce(shapes, attrs, declared):
    x, axis = shapes[0], attrs["axis"]
    _check_axis(axis, x, "axis")
    if x[axis] > 2**31 - 1:
        raise ModelFormatError(f"axis {axis} of x {x} is too long for an int32 index")
    return x[:axis] + x[axis + 1 :]


def space_to_batch(shapes, attrs, declared):
    n, h, w, c = _of_rank(shapes[0], 4, "x")
    (bh, bw), (top, left), (bottom, right) = _pairs(attrs)
    if bh < 1 or bw < 1 or min(top, left, bottom, right) < 0 or (h + top + bottom) % bh or (w + left + right) % bw:
        raise ModelFormatError(
            f"x {shapes[0]} is not cut by block {(bh, bw)} after pads {(top, left)}, {(bottom, right)}"
        )
    return (n * bh * bw, (h + top + bottom) // bh, (w + left + right) // bw, c)


def batch_to_space(shapes, attrs, declared):
    n, h, w, c = _of_rank(shapes[0], 4, "x")
    (bh, bw), (top, left), (bottom, right) = _pairs(attrs)
    out = (h * bh - top - bottom, w * bw - left - right)
    if bh < 1 or bw < 1 or n % (bh * bw) or min(top, left, bottom, right) < 0 or min(out) < 1:
        raise ModelFormatError(
            f"x {shapes[0]} with block {(bh, bw)} and crops {(top, left)}, {(bottom, right)} leaves no whole picture"
        )
    return (n // (bh * bw), *out, c)


def space_to_depth(shapes, attrs, declared):
    (n, h, w, c), block = _of_rank(shapes[0], 4, "x"), attrs["block"]
    if h % block or w % block:
        raise ModelFormatError(f"x {shapes[0]} is not cut by block {block}")
    return (n, h // block, w // block, c * block * block)


def depth_to_space(shapes, attrs, declared):
    (n, h, w, c), block = _of_rank(shapes[0], 4, "x"), attrs["block"]
    if c % (block * block):
        raise ModelFormatError(f"the {c} channels of x {shapes[0]} are not cut by block {block}")
    return (n, h * block, w * block, c // (block * block))


def size(shape):
    """Number of elements."""
    n = 1
    for dim in shape:
        n *= dim
    return n


def _of_rank(shape, rank, name):
    if len(shape) != rank:
        raise ModelFormatError(f"{name} has shape {shape}, needs {rank} dimensions")
    return shape


def _check_bias(bias, c_out):
    if bias is not None and bias != (c_out,):
        raise ModelFormatError(f"bias has shape {bias}, needs ({c_out},)")


def _check_axis(axis, shape, name):
    if not 0 <= axis < len(shape):
        raise ModelFormatError(f"{name} {axis} is outside x {shape}")


def _windows(h, w, kh, kw, attrs, dilation_h, dilation_w):
    """Output height and width of a window that slides over a padded picture."""
    return (
        _window(h, kh, attrs["stride_h"], dilation_h, attrs["pad_top"] + attrs["pad_bottom"], "height"),
        _window(w, kw, attrs["stride_w"], dilation_w, attrs["pad_left"] + attrs["pad_right"], "width"),
    )


def _window(dim, k, stride, dilation, pads, side):
    span = (k - 1) * dilation + 1
    if span > dim + pads:
        raise ModelFormatError(f"the window spans {span} but the padded {side} is {dim + pads}")
    return (dim + pads - span) // stride + 1


def _check_never_empty(dim, out, k, stride, pad, line):
    """A pooling window that lies in padding only has no average and no maximum."""
    last = (out - 1) * stride - pad
    if pad >= k or last >= dim:
        raise ModelFormatError(f"a window of {k} starts at {line} {-pad if pad >= k else last} and sees padding only")


def _check_transposed(dim, out, k, stride, pads, side):
    smallest = (dim - 1) * stride + k - pads
    if not smallest <= out < smallest + stride:
        raise ModelFormatError(f"output {side} {out} is not in {smallest}..{smallest + stride - 1}")


def _pairs(attrs):
    pairs = attrs["block"], attrs["before"], attrs["after"]
    if any(len(pair) != 2 for pair in pairs):
        raise ModelFormatError(f"block, before and after {pairs} need two entries each")
    return pairs
