"""Builders of the operators with weights, and of pooling: Conv, ConvTranspose, Gemm, MatMul, AveragePool and their kin.

Pictures come and go channels-first; each builder works on NHWC between two transposes, which `passes.layout` removes.
(N, C, L) is taken as (N, C, 1, L).
"""

import math

import numpy as np

from edgert.convert.unsupported import Unsupported
from edgert.errors import ConversionError

MAX_TAPS = 1024  # of a dilated pool, which becomes a slice for each
SIDES = ("pad_top", "pad_left", "pad_bottom", "pad_right")


def conv(site):
    x = picture(site)
    weight, words = _weights(site, 1)
    c_out, c_group = weight.shape[:2]
    channels, groups = site.shape(x)[3], site.attr("group", 1)
    if groups < 1 or c_group * groups != channels or c_out % groups:
        raise ConversionError(f"weights {weight.shape} in {groups} groups do not fit {channels} channels")
    attrs = window(site, site.shape(x)[1:3], weight.shape[2:], site.attr("auto_pad", "NOTSET"))
    if groups == channels > 1:
        op, arrange, axis = "depthwise_conv2d", lambda w: w[:, 0].transpose(1, 2, 0), 2
    else:
        op, arrange, axis = "conv2d", lambda w: w.transpose(0, 2, 3, 1), 0
        attrs |= {"groups": groups} if groups > 1 else {}
    weight = constant_weight(site, 1, arrange(weight), words and words.moved(arrange, axis))
    unpicture(site, site.step(op, [x, weight, bias(site, 2, c_out)], attrs))


def picture(site, k=0, dtypes=("float32",)):
    """Input `k` as NHWC."""
    x = site.need_dtype(k, *dtypes)
    shape = site.shape(x)
    if len(shape) == 3:
        x = site.reshape(x, (*shape[:2], 1, shape[2]))
    elif len(shape) != 4:
        raise Unsupported(f"its input '{site.inputs[k]}' has shape {shape}: only 1-D and 2-D windows exist")
    return site.channels_last(x)


def unpicture(site, y):
    """Defines output 0 by NHWC draft tensor `y`, of the rank of input 0."""
    y = site.channels_first(y)
    n, c, _, w = site.shape(y)
    return site.define(y if len(site.spec(0).shape) == 4 else site.reshape(y, (n, c, w)))


def _weights(site, k):
    """(values with two spatial dimensions, their 8-bit words or None)."""
    values, words = site.array(k).astype(np.float32), site.words(k)
    if values.ndim == 3:
        values = values[:, :, None]
        words = words and words.moved(lambda w: w[:, :, None], words.axis)
    if values.ndim != 4:
        raise Unsupported(f"its weights have shape {values.shape}: only 1-D and 2-D windows exist")
    check_finite(site, k, values)
    return values, words


def check_finite(site, k, values):
    if not np.isfinite(values).all():
        raise ConversionError(f"weights '{site.inputs[k]}' hold {int((~np.isfinite(values)).sum())} infinite values")


def constant_weight(site, k, values, words):
    index = site.make(values, site.inputs[k])
    if words:
        site.draft.words[index] = words
    return index


def bias(site, k, c_out):
    """Input `k` as a bias, -1 where there is none."""
    if not site.has(k):
        return -1
    values = site.array(k)
    if values.shape != (c_out,):
        raise ConversionError(f"bias '{site.inputs[k]}' has shape {values.shape}, needs ({c_out},)")
    check_finite(site, k, values)
    return site.make(values, site.inputs[k])


def window(site, size, kernel, auto_pad, ceil_mode=0):
    """Strides, dilations and pads of a window of `kernel` that slides over pictures of `size`; both (height, width)."""
    strides, dilations = _pair(site, "strides", 1), _pair(site, "dilations", 1)
    pads = _given_pads(site) if auto_pad == "NOTSET" else (0, 0, 0, 0)
    sides = []
    for axis in (0, 1):
        span = (kernel[axis] - 1) * dilations[axis] + 1
        low, high = pads[axis], pads[axis + 2]
        if auto_pad in ("SAME_UPPER", "SAME_LOWER"):
            total = max((-(-size[axis] // strides[axis]) - 1) * strides[axis] + span - size[axis], 0)
            less, more = total // 2, total - total // 2
            low, high = (less, more) if auto_pad == "SAME_UPPER" else (more, less)
        elif auto_pad not in ("NOTSET", "VALID"):
            raise ConversionError(f"its auto_pad is '{auto_pad}'")
        if ceil_mode:
            out = -(-(size[axis] + low + high - span) // strides[axis]) + 1
            if (out - 1) * strides[axis] >= size[axis] + low:  # a window that starts in the padding after is left out
                out -= 1
            high = max((out - 1) * strides[axis] + span - size[axis] - low, 0)
        sides.append((low, high))
    (top, bottom), (left, right) = sides
    values = dict(zip(SIDES, (top, left, bottom, right)))
    names = ("stride_h", "stride_w", "dilation_h", "dilation_w")
    steps = {name: v for name, v in zip(names, (*strides, *dilations)) if v != 1}
    return steps | {name: v for name, v in values.items() if v}


def _pair(site, name, default):
    values = [int(v) for v in site.attrs.get(name, ())] or [default] * 2
    values = [1, *values] if len(values) == 1 else values
    if len(values) != 2 or min(values) < 1:
        raise ConversionError(f"attribute '{name}' is {values}")
    return values


def _given_pads(site):
    pads = [int(v) for v in site.attrs.get("pads", ())] or [0] * 4
    pads = [0, pads[0], 0, pads[1]] if len(pads) == 2 else pads
    if len(pads) != 4:
        raise ConversionError(f"attribute 'pads' is {pads}")
    if min(pads) < 0:
        raise Unsupported(f"its pads {pads} are negative")
    return pads


def conv_transpose(site):
    x = picture(site)
    weight, words = _weights(site, 1)  # (C, O / groups, KH, KW)
    groups, (kh, kw) = site.attr("group", 1), weight.shape[2:]
    channels, c_out = site.shape(x)[3], weight.shape[1] * groups
    if groups < 1 or weight.shape[0] != channels or channels % groups:
        raise ConversionError(f"weights {weight.shape} in {groups} groups do not fit {channels} channels")
    dilation_h, dilation_w = _pair(site, "dilations", 1)
    if (dilation_h, dilation_w) != (1, 1):
        site.need_room(*weight.shape[:2], (kh - 1) * dilation_h + 1, (kw - 1) * dilation_w + 1)
        spread = np.zeros((*weight.shape[:2], (kh - 1) * dilation_h + 1, (kw - 1) * dilation_w + 1), np.float32)
        spread[:, :, ::dilation_h, ::dilation_w] = weight
        weight, words, (kh, kw) = spread, None, spread.shape[2:]
    attrs, size = _transposed_window(site, site.shape(x)[1:3], (kh, kw))
    shape = (site.shape(x)[0], *size, c_out // groups)
    offset = bias(site, 2, c_out)
    if groups == 1:
        arrange = lambda w: w.transpose(1, 2, 3, 0)  # noqa: E731
        weight = constant_weight(site, 1, arrange(weight), words and words.moved(arrange, 0))
        return unpicture(site, site.step("transpose_conv2d", [x, weight, offset], attrs, shape=shape))
    offsets = None if offset < 0 else site.draft.value(offset).reshape(groups, -1)
    parts = []
    for g, part in enumerate(np.split(weight, groups)):
        n, h, w, _ = site.shape(x)
        share = channels // groups
        pixels = site.step("slice", [x], {"begin": (0, 0, 0, g * share)}, shape=(n, h, w, share))
        inputs = [pixels, site.make(part.transpose(1, 2, 3, 0)), -1 if offsets is None else site.make(offsets[g])]
        parts.append(site.step("transpose_conv2d", inputs, attrs, shape=shape))
    return unpicture(site, site.step("concat", parts, {"axis": 3}))


def _transposed_window(site, size, kernel):
    """(attributes, output size) of ConvTranspose. kernel: with its dilation."""
    strides, auto_pad = _pair(site, "strides", 1), site.attr("auto_pad", "NOTSET")
    extra = [int(v) for v in site.attrs.get("output_padding", ())] or [0, 0]
    extra = [0, *extra] if len(extra) == 1 else extra
    wanted = [int(v) for v in site.attrs.get("output_shape", ())][-len(size) :]
    wanted = [1, *wanted] if len(wanted) == 1 else wanted
    pads = list(_given_pads(site)) if auto_pad == "NOTSET" else [0] * 4
    out = []
    for axis in (0, 1):
        whole = strides[axis] * (size[axis] - 1) + extra[axis] + kernel[axis]
        if wanted or auto_pad.startswith("SAME"):
            target = wanted[axis] if wanted else size[axis] * strides[axis]
            total = max(whole - target, 0)
            small, large = total // 2, total - total // 2
            pads[axis], pads[axis + 2] = (small, large) if auto_pad == "SAME_UPPER" else (large, small)
        out.append(wanted[axis] if wanted else whole - pads[axis] - pads[axis + 2])
        pads[axis + 2] = max(pads[axis + 2] - extra[axis], 0)
    attrs = {name: v for name, v in zip(("stride_h", "stride_w"), strides) if v != 1}
    return attrs | {name: v for name, v in zip(SIDES, pads) if v}, tuple(out)


def max_pool(site):
    if site.wants(1):
        raise Unsupported("the positions of the maxima are not computed here")
    x = picture(site, dtypes=("float32", "int8"))
    attrs = _pool_window(site, site.shape(x)[1:3])
    if "dilation_h" not in attrs and "dilation_w" not in attrs:
        return unpicture(site, site.step("max_pool2d", [x], attrs))
    site.need_dtype(0, "float32")
    return unpicture(site, _over_taps(site, x, attrs, "maximum", -math.inf))


def average_pool(site):
    x = picture(site)
    attrs = _pool_window(site, site.shape(x)[1:3])
    padded = any(name in attrs for name in SIDES)
    dilated = "dilation_h" in attrs or "dilation_w" in attrs
    if not dilated and not (padded and site.attr("count_include_pad", 0)):
        return unpicture(site, site.step("avg_pool2d", [x], attrs))
    site.need_room(*[side + 2 * max(attrs.get(name, 0) for name in SIDES) for side in site.shape(x)[1:3]])
    counted = np.ones((1, *site.shape(x)[1:3], 1), np.float32)
    inverse = 1.0 / _counts(site, counted, attrs, site.attr("count_include_pad", 0))
    if (inverse == inverse.flat[0]).all():
        return unpicture(site, _window_sums(site, x, attrs, inverse.flat[0]))
    return unpicture(site, site.step("mul", [_window_sums(site, x, attrs), site.make(inverse)]))


def _pool_window(site, size):
    kernel = _pair(site, "kernel_shape", 1)
    attrs = window(site, size, kernel, site.attr("auto_pad", "NOTSET"), site.attr("ceil_mode", 0))
    return {"kh": kernel[0], "kw": kernel[1]} | attrs


def _window_sums(site, x, attrs, factor=1.0):
    """Sums over windows, times a factor: a convolution of each channel by itself."""
    attrs = dict(attrs)
    site.need_room(attrs["kh"], attrs["kw"], site.shape(x)[3])
    weight = np.full((attrs.pop("kh"), attrs.pop("kw"), site.shape(x)[3]), factor, np.float32)
    op = "depthwise_conv2d"
    if site.shape(x)[3] == 1:
        op, weight = "conv2d", weight.transpose(2, 0, 1)[..., None]
    return site.step(op, [x, site.make(weight), -1], attrs)


def _counts(site, counted, attrs, with_pads):
    """How many pixels each window averages (1, H', W', 1). Those that only rounding up added never count."""
    if with_pads:
        top, left, bottom, right = _declared_pads(site, counted.shape[1:3], attrs)
        counted = np.pad(counted, ((0, 0), (top, bottom), (left, right), (0, 0)), constant_values=1)
        low = {"pad_top": top, "pad_left": left, "pad_bottom": bottom, "pad_right": right}
        attrs = attrs | {name: attrs.get(name, 0) - pad for name, pad in low.items()}
    sums = _window_sums(site, site.make(counted), {name: v for name, v in attrs.items() if v})
    return site.draft.value(sums)


def _declared_pads(site, size, attrs):
    plain = window(site, size, (attrs["kh"], attrs["kw"]), site.attr("auto_pad", "NOTSET"))
    return [min(plain.get(name, 0), attrs.get(name, 0)) for name in SIDES]


def _over_taps(site, x, attrs, op, fill):
    """A dilated pooling: `op` over what each tap of the window sees."""
    n, h, w, c = site.shape(x)
    pads = [attrs.get(name, 0) for name in SIDES]
    if any(pads):
        around = {"before": (0, pads[0], pads[1], 0), "after": (0, pads[2], pads[3], 0), "value": fill}
        x = site.step("pad", [x], around)
    if attrs["kh"] * attrs["kw"] > MAX_TAPS:
        raise Unsupported(f"its dilated window has {attrs['kh']} x {attrs['kw']} taps, more than {MAX_TAPS}")
    stride_h, stride_w = attrs.get("stride_h", 1), attrs.get("stride_w", 1)
    dilation_h, dilation_w = attrs.get("dilation_h", 1), attrs.get("dilation_w", 1)
    h_out = (h + pads[0] + pads[2] - (attrs["kh"] - 1) * dilation_h - 1) // stride_h + 1
    w_out = (w + pads[1] + pads[3] - (attrs["kw"] - 1) * dilation_w - 1) // stride_w + 1
    result = None
    for ky in range(attrs["kh"]):
        for kx in range(attrs["kw"]):
            place = {"begin": (0, ky * dilation_h, kx * dilation_w, 0), "step": (1, stride_h, stride_w, 1)}
            seen = site.step("slice", [x], place, shape=(n, h_out, w_out, c))
            result = seen if result is None else site.step(op, [result, seen])
    return result


def lp_pool(site):
    """(sum of |x|^p)^(1/p) over windows."""
    x, p = picture(site), float(site.attr("p", 2))
    if not p > 0:
        raise ConversionError(f"attribute 'p' is {p}")
    powers = site.step("pow", [site.unary("abs", x), site.number(p)])
    total = _window_sums(site, powers, _pool_window(site, site.shape(x)[1:3]))
    unpicture(site, site.step("pow", [total, site.number(1.0 / p)]))


def over_the_picture(function):
    """The builder of GlobalAveragePool and GlobalMaxPool."""

    def build(site):
        x = site.need_dtype(0, "float32")
        axes = tuple(range(2, len(site.shape(x))))
        site.emit("reduce", [x], {"function": function, "axes": axes, "keep_dims": 1})

    return build
