"""Builders of PyTorch's operators with weights: convolutions, linear layers, batch norm, matrix products."""

import math

import numpy as np

from edgert.convert.unsupported import Unsupported
from edgert.errors import ConversionError


def conv(site):
    """conv1d, conv2d, convolution: with a batch norm behind it folded in, depthwise ones as such."""
    if site["transposed"]:
        return conv_transpose(site)
    x, weight = site.tensor("input"), site.array("weight")
    flat = weight.ndim == 3  # conv1d: pictures of height 1
    if flat:
        shape = site.shape(x)
        x, weight = site.reshape(x, (*shape[:-1], 1, shape[-1])), weight[:, :, None]
    if weight.ndim != 4:
        raise Unsupported(f"its weights have {weight.ndim} dimensions: only conv1d and conv2d are expressed")
    x = site.nhwc(x)
    groups, c_in = site["groups"] or 1, site.shape(x)[3]
    attrs = _window(site, weight.shape[2:], flat)
    weight, bias, origin = _folded(site, weight, site.array("bias"), axis=0)
    if groups == c_in and c_in > 1 and weight.shape[1] == 1:
        return _emit(site, "depthwise_conv2d", x, weight[:, 0].transpose(1, 2, 0), bias, attrs, origin)
    if groups != 1:
        attrs["groups"] = groups
    return _emit(site, "conv2d", x, weight.transpose(0, 2, 3, 1), bias, attrs, origin)


def conv_transpose(site):
    x, weight = site.nhwc(site.tensor("input")), site.array("weight")
    if weight.ndim != 4 or (site["groups"] or 1) != 1 or site.pair("dilation") != (1, 1):
        raise Unsupported("transposed convolutions have 4 dimensions, one group and no dilation here")
    (top, left), (stride_h, stride_w) = site.pair("padding", 0), site.pair("stride")
    extra_h, extra_w = site.pair("output_padding", 0)
    n, h, w, _ = site.shape(x)
    kh, kw = weight.shape[2:]
    shape = (n, (h - 1) * stride_h - 2 * top + kh + extra_h, (w - 1) * stride_w - 2 * left + kw + extra_w)
    attrs = {"stride_h": stride_h, "stride_w": stride_w, "pad_top": top, "pad_bottom": top}
    attrs |= {"pad_left": left, "pad_right": left}
    weight, bias, origin = _folded(site, weight, site.array("bias"), axis=1)
    weight = weight.transpose(1, 2, 3, 0)
    return _emit(site, "transpose_conv2d", x, weight, bias, attrs, origin, (*shape, weight.shape[0]))


def linear(site):
    x, weight = site.tensor("input"), site.array("weight")
    weight, bias, origin = _folded(site, weight, site.array("bias"), axis=0)
    inputs = [x, *_constants(site, weight, bias, origin)]
    return site.step("linear", inputs)


def addmm(site):
    """bias + a @ b: a linear layer where b is constant."""
    a, b = site.tensor("mat1"), site.tensor("mat2")
    weight, bias = site.draft.value(b), site.draft.value(site.tensor("self"))
    if weight is None or bias is None or bias.ndim != 1 or (site["beta"], site["alpha"]) != (1, 1):
        raise Unsupported("only products with a constant matrix and a constant bias of one dimension are expressed")
    return site.step("linear", [a, *_constants(site, np.ascontiguousarray(weight.T), bias, None)])


def matmul(first="self", second="other"):
    def build(site):
        a, b = site.tensor(first), site.tensor(second)
        weight = site.draft.value(b)
        if weight is not None and weight.ndim == 2 and len(site.shape(a)) >= 1:
            return site.step("linear", [a, *_constants(site, np.ascontiguousarray(weight.T), None, None)])
        if min(len(site.shape(a)), len(site.shape(b))) < 2:
            raise Unsupported("products with a vector that is computed are not expressed")
        return site.step("batch_matmul", [a, b])

    return build


def attention(site):
    """scaled_dot_product_attention: softmax(q @ k^T * scale + mask) @ v."""
    q, k, v = site.tensor("query"), site.tensor("key"), site.tensor("value")
    if site["is_causal"] or site["enable_gqa"] or site["dropout_p"]:
        raise Unsupported("attention with is_causal, enable_gqa or dropout is not expressed")
    scale = site["scale"] or 1.0 / math.sqrt(site.shape(q)[-1])
    scores = site.step("batch_matmul", [q, k], {"transpose_b": 1})
    scores = site.step("mul", [scores, site.constant(np.float32(scale), "scale")])
    if site.has("attn_mask"):
        scores = site.step("add", [scores, site.tensor("attn_mask")])
    return site.step("batch_matmul", [site.step("softmax", [scores]), v])


def batch_norm(site):
    """A batch norm that stands behind no convolution: one product and one sum per channel."""
    x, rank = site.tensor("input"), len(site.shape(site.tensor("input")))
    gain, offset = norm_factors(site)
    shape = (1, -1) + (1,) * (rank - 2)
    x = site.step("mul", [x, site.constant(gain.reshape(shape), "gain")])
    return site.step("add", [x, site.constant(offset.reshape(shape), "offset")])


def norm_factors(site):
    """(gain, offset) float32 (C): y = gain * x + offset, of a batch norm with fixed statistics."""
    if site["training"]:
        raise Unsupported("it was exported in training mode; call module.eval() before torch.export.export")
    mean, var = site.array("running_mean"), site.array("running_var")
    if mean is None or var is None:
        raise Unsupported("it keeps no running statistics, so its result depends on the batch")
    gain = 1.0 / np.sqrt(var.astype(np.float64) + site["eps"])
    gain = gain * site.array("weight") if site.has("weight") else gain
    offset = -mean * gain + (site.array("bias") if site.has("bias") else 0.0)
    return gain.astype(np.float32), offset.astype(np.float32)


def layer_norm(site):
    """Over the last dimensions: (x - mean) / sqrt(var + eps) * weight + bias."""
    x, rank = site.tensor("input"), len(site.shape(site.tensor("input")))
    axes = tuple(range(rank - len(site["normalized_shape"]), rank))
    return _affine(site, _normalised(site, x, axes))


def group_norm(site):
    x, groups = site.tensor("input"), site["num_groups"] or site["group"]
    shape = site.shape(x)
    grouped = site.reshape(x, (shape[0], groups, math.prod(shape[1:]) // groups))
    normal = site.reshape(_normalised(site, grouped, (2,)), shape)
    return _affine(site, normal, (1, -1) + (1,) * (len(shape) - 2))


def _normalised(site, x, axes):
    def mean(of):
        return site.step("reduce", [of], {"function": "mean", "axes": axes, "keep_dims": 1})

    centre = mean(x)
    var = mean(site.step("squared_difference", [x, centre]))
    var = site.step("add", [var, site.constant(np.float32(site["eps"]), "eps")])
    return site.step("mul", [site.step("sub", [x, centre]), site.unary("rsqrt", var)])


def _affine(site, x, shape=None):
    for name, op in (("weight", "mul"), ("bias", "add")):
        if site.has(name):
            array = site.array(name)
            x = site.step(op, [x, site.constant(array.reshape(shape or array.shape), name)])
    return x


def _folded(site, weight, bias, axis):
    """(weight, bias, origin) with the batch norm that alone reads this node drawn in; axis: of output channels.

    origin: the names that the parts have in the module's state dict, for those who train them further.
    """
    bias_of = np.zeros(weight.shape[axis], np.float32) if bias is None else bias
    origin = {"weight": site.parameter("weight"), "bias": site.parameter("bias"), "norm": None}
    norm = site.norm_behind()
    if norm is None:
        return weight, bias, origin
    gain, offset = norm_factors(norm)
    origin["norm"] = {name: norm.parameter(name) for name in ("weight", "bias", "running_mean", "running_var")}
    origin["norm"]["eps"] = norm["eps"]
    shape = [-1 if i == axis else 1 for i in range(weight.ndim)]
    return weight * gain.reshape(shape), bias_of * gain + offset, origin


def _constants(site, weight, bias, origin):
    """[weight, bias] as draft indices, named as in the module."""
    name = (origin or {}).get("weight") or f"{site.name}/weight"
    if name in site.draft.origins:  # weights that the module uses twice, each time with a norm of its own
        name = f"{site.name}/{name}"
    if origin is not None:
        site.draft.origins[name] = origin
    index = site.draft.constant(name, weight)
    return [index, -1 if bias is None else site.draft.constant(name.removesuffix("weight") + "bias", bias)]


def _emit(site, op, x, weight, bias, attrs, origin, shape=None):
    inputs = [x, *_constants(site, weight, bias, origin)]
    return site.nchw(site.step(op, inputs, {name: v for name, v in attrs.items() if v}, shape))


def _window(site, kernel, flat):
    strides, dilations = site.pair("stride"), site.pair("dilation")
    if isinstance(site["padding"], str):
        pads = _named_pads(site["padding"], kernel, strides, dilations)
    else:
        (top, left) = site.pair("padding", 0)
        pads = (top, top, left, left)
    if flat:
        strides, dilations, pads = (1, strides[1]), (1, dilations[1]), (0, 0, *pads[2:])
    attrs = dict(zip(("pad_top", "pad_bottom", "pad_left", "pad_right"), pads))
    attrs |= {"stride_h": strides[0], "stride_w": strides[1]}
    return attrs | {"dilation_h": dilations[0], "dilation_w": dilations[1]}


def _named_pads(word, kernel, strides, dilations):
    if word == "valid":
        return (0, 0, 0, 0)
    if word != "same" or strides != (1, 1):
        raise ConversionError(f"padding '{word}' with strides {strides}")
    pads = []
    for k, dilation in zip(kernel, dilations):
        total = (k - 1) * dilation
        pads += [total // 2, total - total // 2]
    return pads
