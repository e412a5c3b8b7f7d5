"""Builders of PyTorch's elementwise operators, reductions, pools and resizes."""

import math

import numpy as np

from edgert.convert.unsupported import Unsupported


def unary(function, alpha=None):
    """A function of each element; alpha: a number, or the name of the argument that holds it."""

    def build(site):
        return site.unary(function, site.tensor(), site[alpha] if isinstance(alpha, str) else alpha)

    return build


def binary(op):
    def build(site):
        a, b = site.operand("self"), site.operand("other")
        if op == "div" and site["rounding_mode"]:
            raise Unsupported(f"rounding_mode '{site['rounding_mode']}'")
        factor = site["alpha"]
        if factor is not None and factor != 1:  # add and sub take b times alpha
            b = site.step("mul", [b, site.constant(np.array(factor, site.spec(b).dtype), "alpha")])
        return site.step(op, list(_promoted(site, a, b)))

    return build


def reversed_sub(site):
    """rsub: other - self."""
    return site.step("sub", list(_promoted(site, site.operand("other"), site.tensor())))


def _promoted(site, a, b):
    """Both operands in the type that PyTorch computes in."""
    dtype = site.declared()[1]
    return [x if site.spec(x).dtype == dtype else site.step("cast", [x], dtype=dtype) for x in (a, b)]


def gelu(site):
    """The exact form is one function; the tanh form is written out."""
    x = site.tensor()
    if site["approximate"] in (None, "none"):
        return site.unary("gelu", x)
    cubic = site.step("mul", [x, _plus(site, _times(site, site.unary("square", x), 0.044715), 1.0)])
    tanh = site.unary("tanh", _times(site, cubic, math.sqrt(2.0 / math.pi)))
    return _times(site, site.step("mul", [x, _plus(site, tanh, 1.0)]), 0.5)


def hardsigmoid(site):
    return _times(site, site.unary("relu6", _plus(site, site.tensor(), 3.0)), 1.0 / 6.0)


def mish(site):
    """x * tanh(log(1 + exp(x)))"""
    x = site.tensor()
    return site.step("mul", [x, site.unary("tanh", _softplus(site, x))])


def softplus(site):
    if site["beta"] not in (None, 1, 1.0):
        raise Unsupported(f"beta {site['beta']}")
    return _softplus(site, site.tensor())


def _softplus(site, x):
    """log(1 + exp(x)) as max(x, 0) + log(1 + exp(-|x|)), which never overflows."""
    small = _log1p(site, site.unary("exp", site.unary("neg", site.unary("abs", x))))
    return site.step("add", [site.unary("relu", x), small])


def log1p(site):
    return _log1p(site, site.tensor())


def _log1p(site, x):
    return site.unary("log", _plus(site, x, 1.0))


def prelu(site):
    """max(x, 0) + slope * min(x, 0), one slope per channel."""
    x, slope = site.tensor(), site.array("weight")
    rank = len(site.shape(x))
    if slope.size == 1:
        return site.unary("leaky_relu", x, float(slope.reshape(-1)[0]))
    slope = site.constant(slope.reshape((1, -1) + (1,) * (rank - 2)), "slope")
    negative = site.step("minimum", [x, site.constant(np.float32(0.0), "zero")])
    return site.step("add", [site.unary("relu", x), site.step("mul", [negative, slope])])


def clamp(low="min", high="max"):
    """low, high: names of the arguments that hold the bounds."""

    def build(site):
        x = site.tensor()
        for name, op in ((low, "maximum"), (high, "minimum")):
            if site[name] is not None:
                x = site.step(op, [x, site.constant(np.array(site[name], site.spec(x).dtype), name)])
        return x

    return build


def power(site):
    x, exponent = site.tensor(), site["exponent"]
    names = {2: "square", 0.5: "sqrt", -0.5: "rsqrt"}
    if exponent == 1:
        return x
    if exponent == 3:
        return site.step("mul", [x, site.unary("square", x)])
    if exponent == -1:
        return site.step("div", [site.constant(np.float32(1.0)), x])
    if exponent not in names:
        raise Unsupported(f"exponent {exponent} (known: -1, -0.5, 0.5, 1, 2, 3)")
    return site.unary(names[exponent], x)


def reciprocal(site):
    return site.step("div", [site.constant(np.float32(1.0)), site.tensor()])


def reduce(function):
    """mean, sum, amax, amin over `dim`, over everything where it is left out."""

    def build(site):
        x = site.tensor()
        rank, dims = len(site.shape(x)), site["dim"]
        dims = range(rank) if dims in (None, ()) else dims if isinstance(dims, tuple) else (dims,)
        axes = tuple(sorted({site.axis(dim, rank) for dim in dims}))
        attrs = {"function": function, "axes": axes, "keep_dims": int(bool(site["keepdim"]))}
        return site.step("reduce", [x], attrs) if axes else x

    return build


def max_of_axis(function, position):
    """max.dim and min.dim: (values, indices)."""

    def build(site):
        values = reduce(function)(site)
        return [values, arg(position)(site)] if len(site.node.users) > 1 or _reads(site, 1) else [values, None]

    return build


def _reads(site, k):
    return any(len(user.args) > 1 and user.args[1] == k for user in site.node.users)


def arg(op):
    def build(site):
        x = site.tensor()
        rank = len(site.shape(x))
        if site["dim"] is None:
            raise Unsupported("without a dimension it counts through the flattened tensor, which is not expressed")
        axis = site.axis(site["dim"], rank)
        index = site.step(op, [x], {"axis": axis}, dtype="int64")
        kept = tuple(1 if i == axis else dim for i, dim in enumerate(site.shape(x)))
        return site.reshape(index, kept) if site["keepdim"] else index

    return build


def softmax(op):
    """Along any axis: the last one is edgert's, others are moved there and back."""

    def build(site):
        x = site.tensor()
        rank = len(site.shape(x))
        axis = site.axis(site["dim"], rank)
        swap = [rank - 1 if i == axis else axis if i == rank - 1 else i for i in range(rank)]
        return site.transpose(site.step(op, [site.transpose(x, swap)]), swap)

    return build


def max_pool2d(site):
    if site.pair("dilation") != (1, 1):
        raise Unsupported(f"dilation {site.pair('dilation')}")
    x = site.nhwc(site.tensor())
    return site.nchw(site.step("max_pool2d", [x], _pool(site, x, site.pair("padding", 0))))


def max_pool2d_with_indices(site):
    if _reads(site, 1):
        raise Unsupported("its indices are read (return_indices)")
    return [max_pool2d(site), None]


def avg_pool2d(site):
    """With count_include_pad, PyTorch's default, the padding counts: it becomes pixels of value 0 first."""
    if site["divisor_override"]:
        raise Unsupported("divisor_override")
    x, (top, left) = site.nhwc(site.tensor()), site.pair("padding", 0)
    if site["count_include_pad"] is not False and (top or left):
        pads = (0, top, left, 0)
        x = site.step("pad", [x], {"before": pads, "after": pads})
        top = left = 0
    return site.nchw(site.step("avg_pool2d", [x], _pool(site, x, (top, left))))


def _pool(site, x, pads):
    kernel = site.pair("kernel_size")
    strides = kernel if site["stride"] in (None, ()) else site.pair("stride")
    out = site.declared()[0][-2:]
    attrs = {"kh": kernel[0], "kw": kernel[1], "stride_h": strides[0], "stride_w": strides[1]}
    for axis, (before, after) in enumerate((("pad_top", "pad_bottom"), ("pad_left", "pad_right"))):
        need = (out[axis] - 1) * strides[axis] + kernel[axis] - site.shape(x)[1 + axis] - pads[axis]
        attrs |= {before: pads[axis], after: max(need, 0)}  # ceil_mode may want more at the end than at the start
    return attrs


def adaptive_pool2d(op, function):
    def build(site):
        x = site.nhwc(site.tensor())
        h, w = site.shape(x)[1:3]
        h_out, w_out = site.declared()[0][-2:]
        if (h_out, w_out) == (1, 1):
            attrs = {"function": function, "axes": (1, 2), "keep_dims": 1}
            return site.nchw(site.step("reduce", [x], attrs))
        if h % h_out or w % w_out:
            raise Unsupported(f"{h} x {w} is not divided evenly into {h_out} x {w_out}")
        kh, kw = h // h_out, w // w_out
        return site.nchw(site.step(op, [x], {"kh": kh, "kw": kw, "stride_h": kh, "stride_w": kw}))

    return build


def resize(mode, **rule):
    def build(site):
        x = site.nhwc(site.tensor("input") if "input" in site.arguments else site.tensor())
        n, h, w, c = site.shape(x)
        h_out, w_out = site.declared()[0][-2:]
        factors = site["scale_factors"] or (site["scales_h"], site["scales_w"])
        for size, out, factor in zip((h, w), (h_out, w_out), factors):
            if factor and abs(size * factor - out) > 1e-6:
                raise Unsupported(f"scale factor {factor} takes {size} to {out}: give the size instead")
        flags = dict(rule)
        if mode == "bilinear":
            flags = {"align_corners": 1} if site["align_corners"] else {"half_pixel_centers": 1}
        return site.nchw(site.step("resize", [x], {"mode": mode} | flags, (n, h_out, w_out, c)))

    return build


def _times(site, x, factor):
    return site.step("mul", [x, site.constant(np.float32(factor))])


def _plus(site, x, term):
    return site.step("add", [x, site.constant(np.float32(term))])
