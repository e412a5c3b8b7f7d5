"""Each op of the int8 graph in PyTorch, on words less their zero point, as the reference kernels define it.

Tensors are NHWC as in the graph; a convolution sees a view of them that is NCHW in channels-last order, at no cost.
An op is `function(sim, node, x...)`; `sim` is the network, asked for scales, zero points and shapes.
"""

import torch
import torch.nn.functional as F

from edgert.convert.qat import parameters
from edgert.convert.qat.rounding import EXACT, Convolve, Round, multiplier, straight
from edgert.kernels import coordinates, requant

NCHW, NHWC = (0, 3, 1, 2), (0, 2, 3, 1)


def weighted(sim, at, node, x):
    """conv2d, depthwise_conv2d, transpose_conv2d, linear: (words of the output, the same before rounding)."""
    weights, scale_in, scale_out = sim.weights[at], sim.scale(node.inputs[0]), sim.scale(node.outputs[0])
    weight, bias = weights.fold()
    scale = parameters.scales(weight, weights.axis, scale_in, bias)
    words = weight / parameters.along(scale.float(), weights.axis, weight.ndim)
    words = Round.apply(words, -127.0, 127.0)
    low, high = sim.clamp(node)
    if sim.measures_batch(weights):
        return Round.apply(_batch_normalised(sim, node, x, words, scale, weights) / scale_out.float(), low, high)
    steps = None if bias is None else straight(*_bias_steps(bias, scale_in * scale))
    acc = _product(sim, node, x, words, steps)
    return Round.apply(acc * multiplier(scale_in * scale / scale_out), low, high)


def _bias_steps(bias, unit):
    smooth = bias.double() / unit
    return smooth.round(), smooth


def _batch_normalised(sim, node, x, words, scale, weights):
    """Real numbers: the convolution less its folded gain, then the norm over the batch.

    Source: Krishnamoorthi 2018, "Quantizing deep convolutional networks for efficient inference", 3.2.2; the words are
    those of the weights with the norm folded, so that training and inference round the same numbers.
    """
    norm, gain = weights.norm, weights.gain().detach()
    gain = torch.where(gain.abs() < 1e-6, torch.full_like(gain, 1e-6), gain)
    acc = _product(sim, node, x, words, None)
    plain = acc * (sim.scale(node.inputs[0]).detach() * scale / gain).float()
    if weights.bias is not None:
        plain = plain + weights.bias
    flat = plain.reshape(-1, plain.shape[-1])
    statistics = norm["running_mean"], norm["running_var"]
    normal = F.batch_norm(flat, *statistics, norm["weight"], norm["bias"], True, sim.momentum, norm["eps"])
    return normal.reshape(plain.shape)


def _product(sim, node, x, weight, bias):
    """int32 accumulators, in float32 or, where those would not be exact in evaluation, in float64."""
    if bias is not None:
        bias = bias.float() if sim.training or _is_exact(sim, node, weight, bias) else bias
    if not sim.training and not _is_exact(sim, node, weight, bias):
        x, weight = x.double(), weight.double()
        bias = None if bias is None else bias.double()
    acc = _PRODUCTS[node.op](sim, node, x, weight)
    return (acc if bias is None else acc + bias).float()


def _is_exact(sim, node, weight, bias):
    axis = 2 if node.op == "depthwise_conv2d" else 0
    others = [i for i in range(weight.ndim) if i != axis]
    largest = max(127 - sim.zero_point(node.inputs[0]), sim.zero_point(node.inputs[0]) + 128)
    bound = weight.detach().abs().sum(others) * largest
    return bool((bound if bias is None else bound + bias.detach().abs()).max() <= EXACT)


def _conv2d(sim, node, x, weight):
    return _convolve(sim, node, x, weight.permute(0, 3, 1, 2), node.attrs.get("groups", 1))


def _depthwise(sim, node, x, weight):
    return _convolve(sim, node, x, weight.permute(2, 0, 1)[:, None], x.shape[3])


def _convolve(sim, node, x, weight, groups):
    attrs = node.attrs
    (top, bottom, left, right) = _pads(attrs)
    if (top, left) != (bottom, right):
        x, top, left = F.pad(x, (0, 0, left, right, top, bottom)), 0, 0
    stride = attrs.get("stride_h", 1), attrs.get("stride_w", 1)
    dilation = attrs.get("dilation_h", 1), attrs.get("dilation_w", 1)
    x, weight = x.permute(NCHW), weight.contiguous(memory_format=torch.channels_last)
    if sim.bf16 and sim.training:
        return Convolve.apply(x, weight, stride, (top, left), dilation, groups).permute(NHWC)
    return F.conv2d(x, weight, None, stride, (top, left), dilation, groups).permute(NHWC)


def _transpose_conv2d(sim, node, x, weight):
    top, _, left, _ = _pads(node.attrs)
    stride = node.attrs.get("stride_h", 1), node.attrs.get("stride_w", 1)
    out = F.conv_transpose2d(x.permute(NCHW), weight.permute(3, 0, 1, 2), None, stride).permute(NHWC)
    h, w = sim.shape(node.outputs[0])[1:3]
    grow = max(top + h - out.shape[1], 0), max(left + w - out.shape[2], 0)  # output_padding of PyTorch
    return F.pad(out, (0, 0, 0, grow[1], 0, grow[0]))[:, top : top + h, left : left + w]


def _linear(sim, node, x, weight):
    return F.linear(x, weight)


_PRODUCTS = {
    "conv2d": _conv2d, "depthwise_conv2d": _depthwise, "transpose_conv2d": _transpose_conv2d, "linear": _linear,
}  # fmt: skip


def _pads(attrs):
    return [attrs.get(name, 0) for name in ("pad_top", "pad_bottom", "pad_left", "pad_right")]


def _scaled(sim, node, k, x, relative=True):
    scale = sim.scale(node.inputs[k])
    return x * multiplier(scale / sim.scale(node.outputs[0]) if relative else scale)


def _binary(function):
    def op(sim, node, a, b):
        return Round.apply(function(_scaled(sim, node, 0, a), _scaled(sim, node, 1, b)), *sim.clamp(node))

    return op


def _mul(sim, node, a, b):
    scale = sim.scale(node.inputs[0]) * sim.scale(node.inputs[1]) / sim.scale(node.outputs[0])
    return Round.apply((a * b) * multiplier(scale), *sim.clamp(node))


def _squared_difference(sim, node, a, b):
    difference = _scaled(sim, node, 0, a, False) - _scaled(sim, node, 1, b, False)
    return Round.apply((difference * difference) * multiplier(1.0 / sim.scale(node.outputs[0])), *sim.clamp(node))


def _batch_matmul(sim, node, a, b):
    a = a.mT if node.attrs.get("transpose_a") else a
    b = b.mT if node.attrs.get("transpose_b") else b
    acc = (a.double() @ b.double()).float()
    scale = sim.scale(node.inputs[0]) * sim.scale(node.inputs[1]) / sim.scale(node.outputs[0])
    return Round.apply(acc * multiplier(scale), *sim.clamp(node))


def _avg_pool2d(sim, node, x):
    attrs, (top, bottom, left, right) = node.attrs, _pads(node.attrs)
    window = (attrs["kh"], attrs["kw"]), (attrs.get("stride_h", 1), attrs.get("stride_w", 1))

    def total(of):
        padded = F.pad(of, (0, 0, left, right, top, bottom)).permute(NCHW)
        return F.avg_pool2d(padded, *window, divisor_override=1).permute(NHWC)

    count = total(torch.ones((1, *x.shape[1:3], 1))).double()
    factor = multiplier(sim.scale(node.inputs[0]) / (sim.scale(node.outputs[0]) * count))
    return Round.apply(total(x) * factor, *sim.clamp(node))


def _max_pool2d(sim, node, x):
    attrs, (top, bottom, left, right) = node.attrs, _pads(node.attrs)
    if any((top, bottom, left, right)):
        x = F.pad(x, (0, 0, left, right, top, bottom), value=-1000.0)  # below every word
    strides = attrs.get("stride_h", 1), attrs.get("stride_w", 1)
    return F.max_pool2d(x.permute(NCHW), (attrs["kh"], attrs["kw"]), strides).permute(NHWC).clamp(*sim.clamp(node))


def _reduce(sim, node, x):
    function, axes, keep = node.attrs["function"], node.attrs["axes"], bool(node.attrs.get("keep_dims", 0))
    if function in ("max", "min"):
        return (x.amax if function == "max" else x.amin)(axes, keep)
    count = 1
    for axis in axes:
        count *= x.shape[axis] if function == "mean" else 1
    factor = multiplier(sim.scale(node.inputs[0]) / (sim.scale(node.outputs[0]) * count))
    return Round.apply(x.sum(axes, keep) * factor, *sim.clamp(node))


def _softmax(sim, node, x):
    """Exact in value: sums of the integer table. The gradient is that of the real softmax."""
    beta, scale_in, scale_out = node.attrs.get("beta", 1.0), sim.scale(node.inputs[0]), sim.scale(node.outputs[0])
    smooth = torch.softmax(x * (scale_in * beta).float(), -1) / scale_out.float()
    with torch.no_grad():
        table = torch.tensor(requant.softmax_table(float(scale_in), beta), dtype=torch.float64)
        exponentials = table[(x.amax(-1, keepdim=True) - x).long()]
        inverse = multiplier(1.0 / scale_out) / exponentials.sum(-1, keepdim=True).float()
        exact = (exponentials.float() * inverse).round()
    return straight(exact, smooth).clamp(*sim.clamp(node))


def _resize(sim, node, x):
    attrs, (h, w) = node.attrs, sim.shape(node.outputs[0])[1:3]
    rule = bool(attrs.get("align_corners", 0)), bool(attrs.get("half_pixel_centers", 0))
    if attrs["mode"] == "nearest":
        rows, columns = coordinates.nearest(x.shape[1], h, *rule), coordinates.nearest(x.shape[2], w, *rule)
        return x.index_select(1, torch.tensor(rows)).index_select(2, torch.tensor(columns))
    x = _interpolated(x.double(), coordinates.bilinear(x.shape[2], w, *rule), 2)
    x = _interpolated(x, coordinates.bilinear(x.shape[1], h, *rule), 1)
    factor = multiplier(sim.scale(node.inputs[0]) / sim.scale(node.outputs[0]) * 2.0**-22)
    return Round.apply(x.float() * factor, *sim.clamp(node))


def _interpolated(x, lines, axis):
    upper = torch.tensor([coordinates.integer_weight(fraction) for _, _, fraction in lines], dtype=torch.float64)
    upper = upper.reshape([-1 if i == axis else 1 for i in range(4)])
    first, second = (x.index_select(axis, torch.tensor([line[k] for line in lines])) for k in (0, 1))
    return first * (coordinates.WEIGHT_ONE - upper) + second * upper


def _concat(sim, node, *parts):
    return torch.cat(parts, node.attrs["axis"])


def _slice(sim, node, x):
    step = node.attrs.get("step") or (1,) * x.ndim
    for axis, (begin, stride, size) in enumerate(zip(node.attrs["begin"], step, sim.shape(node.outputs[0]))):
        if (begin, stride, size) != (0, 1, x.shape[axis]):
            x = (
                x.index_select(axis, begin + stride * torch.arange(size))
                if stride != 1
                else x.narrow(axis, begin, size)
            )
    return x


def _pad(sim, node, x):
    pads = [amount for pair in zip(node.attrs["before"], node.attrs["after"]) for amount in pair]
    flat = [p for k in reversed(range(x.ndim)) for p in pads[2 * k : 2 * k + 2]]
    value = node.attrs.get("value", 0.0)
    if node.attrs.get("mode", "constant") != "constant":
        raise NotImplementedError
    return F.pad(x, flat, value=float(sim.word(value, node.outputs[0])))


def _gather(sim, node, x, index):
    axis = node.attrs.get("axis", 0)
    return x.index_select(axis, index.reshape(-1).long()).reshape(*x.shape[:axis], *index.shape, *x.shape[axis + 1 :])


def _depth_to_space(sim, node, x):
    (n, h, w, c), r = x.shape, node.attrs["block"]
    return x.reshape(n, h, w, r, r, c // r**2).permute(0, 1, 3, 2, 4, 5).reshape(n, h * r, w * r, c // r**2)


def _space_to_depth(sim, node, x):
    (n, h, w, c), r = x.shape, node.attrs["block"]
    return x.reshape(n, h // r, r, w // r, r, c).permute(0, 1, 3, 2, 4, 5).reshape(n, h // r, w // r, c * r**2)


OPS = {
    "add": _binary(torch.add),
    "sub": _binary(torch.sub),
    "minimum": _binary(torch.minimum),
    "maximum": _binary(torch.maximum),
    "mul": _mul,
    "squared_difference": _squared_difference,
    "batch_matmul": _batch_matmul,
    "avg_pool2d": _avg_pool2d,
    "max_pool2d": _max_pool2d,
    "reduce": _reduce,
    "softmax": _softmax,
    "resize": _resize,
    "concat": _concat,
    "slice": _slice,
    "pad": _pad,
    "gather": _gather,
    "reshape": lambda sim, node, x: x.reshape(sim.shape(node.outputs[0])),
    "transpose": lambda sim, node, x: x.permute(node.attrs["perm"]),
    "depth_to_space": _depth_to_space,
    "space_to_depth": _space_to_depth,
}
