"""Builders of the operators with weights, and of pooling: CONV_2D, FULLY_CONNECTED, AVERAGE_POOL_2D and their kin."""

import math

import numpy as np

from edgert.convert.unsupported import Unsupported
from edgert.errors import ConversionError
from edgert.graph import Quant

SAME, VALID = 0, 1
INT8_RANGE = (-128, 127)
ACTIVATIONS = {1: (0.0, math.inf), 2: (-1.0, 1.0), 3: (0.0, 6.0)}  # RELU, RELU_N1_TO_1, RELU6
UNFUSED = {4: "TANH", 5: "SIGN_BIT"}


def conv2d(site):
    x, options = _activations(site, 0), site.options
    weight = _weights(site, 1, rank=4, axis=0)
    c_out, kh, kw, c_group = site.draft.tensors[weight].shape
    channels = _channels(site, 0)
    if c_group < 1 or channels % c_group:
        raise ConversionError(f"weights of {c_group} channels do not divide the {channels} of its input")
    attrs = _window(site, options, kh, kw, options.dilation_h_factor, options.dilation_w_factor)
    if channels != c_group:
        attrs["groups"] = channels // c_group
    inputs = [x, weight, *_bias(site, 2, weight, c_out)]
    site.emit("conv2d", inputs, attrs | clamps(site.declared(), options.fused_activation_function))


def depthwise_conv2d(site):
    """With one input channel it is an ordinary convolution, and becomes one: kernels are faster at that."""
    x, options = _activations(site, 0), site.options
    one, kh, kw, c_out = _constant_of_rank(site, 1, 4).shape
    if one != 1:
        raise ConversionError(f"its weights have shape {site.spec(1).shape}, the first dimension must be 1")
    attrs = _window(site, options, kh, kw, options.dilation_h_factor, options.dilation_w_factor)
    if _channels(site, 0) == 1:
        op, weight = "conv2d", _weights(site, 1, rank=4, axis=3, perm=(3, 1, 2, 0), new_axis=0)
    else:
        op, weight = "depthwise_conv2d", _weights(site, 1, rank=4, axis=3, shape=(kh, kw, c_out), new_axis=2)
    inputs = [x, weight, *_bias(site, 2, weight, c_out)]
    site.emit(op, inputs, attrs | clamps(site.declared(), options.fused_activation_function))


def transpose_conv2d(site):
    x, options = _activations(site, 2), site.options
    weight = _weights(site, 1, rank=4, axis=0, x=2)
    shape = site.integers(0)
    if len(shape) != 4 or min(shape) < 1:
        raise ConversionError(f"its output shape is {shape}")
    c_out, kh, kw, _ = site.draft.tensors[weight].shape
    stride_h, stride_w = _strides(options)
    top, bottom = _pads(shape[1], kh, stride_h, 1, options.padding)
    left, right = _pads(shape[2], kw, stride_w, 1, options.padding)
    attrs = {"stride_h": stride_h, "stride_w": stride_w} | _nonzero(top, bottom, left, right)
    inputs = [x, weight, *_bias(site, 3, weight, c_out, x=2)]
    attrs |= clamps(site.declared(), options.fused_activation_function)
    site.emit("transpose_conv2d", inputs, attrs, shape=shape)


def fully_connected(site):
    x, options = _activations(site, 0), site.options
    if options.weights_format != 0:
        raise Unsupported(f"its weights have the shuffled format {options.weights_format}")
    if not site.spec(1).is_constant:
        return _computed_weights(site, x)
    weight = _weights(site, 1, rank=2, axis=0)
    c_out, c_in = site.draft.tensors[weight].shape
    shape = site.spec(0).shape
    if not options.keep_num_dims or not shape or shape[-1] != c_in:
        x = _rows(site, x, c_in)
    inputs = [x, weight, *_bias(site, 2, weight, c_out)]
    site.emit("linear", inputs, clamps(site.declared(), options.fused_activation_function))


def _computed_weights(site, x):
    """Weights that the graph computes: a matrix product."""
    if site.has(2) or site.options.fused_activation_function:
        raise Unsupported("its weights are computed and it has a bias or an activation")
    shape = site.spec(1).shape
    if len(shape) != 2 or site.spec(1).dtype != site.spec(0).dtype:
        raise Unsupported(f"its weights are computed, {site.spec(1).dtype} {shape}")
    site.emit("batch_matmul", [_rows(site, x, shape[1]), site.input(1)], {"transpose_b": 1})


def batch_matmul(site):
    options = site.options
    a, b = site.spec(0), site.spec(1)
    if b.is_constant and len(b.shape) == 2 and not options.adj_x and a.shape and not a.is_constant:
        x = _activations(site, 0)
        perm = None if options.adj_y else (1, 0)
        weight = _weights(site, 1, rank=2, axis=0 if options.adj_y else 1, perm=perm, new_axis=0)
        return site.emit("linear", [x, weight, -1])
    if a.dtype != b.dtype or a.dtype not in ("int8", "float32"):
        raise Unsupported(f"operands are {a.dtype} and {b.dtype}")
    attrs = {"transpose_a": int(options.adj_x), "transpose_b": int(options.adj_y)}
    return site.emit("batch_matmul", [site.input(0), site.input(1)], attrs)


def average_pool2d(site):
    x, options = _activations(site, 0), site.options
    attrs = _pool(site, options) | clamps(site.declared(), options.fused_activation_function)
    site.emit("avg_pool2d", [x], attrs)


def max_pool2d(site):
    x, options = _activations(site, 0), site.options
    attrs = _pool(site, options) | clamps(site.declared(), options.fused_activation_function)
    site.copy("max_pool2d", [x], attrs)


def clamps(out, activation):
    """clamp_min and clamp_max for a fused activation, in the words of output tensor `out`.

    Source: tensorflow/lite/kernels/kernel_util.cc, CalculateActivationRangeQuantized (rounds half away from zero).
    """
    if activation == 0:
        return {}
    if activation not in ACTIVATIONS:
        raise Unsupported(f"its fused activation is {UNFUSED.get(activation, activation)}")
    bounds = ACTIVATIONS[activation]
    if out.dtype == "float32":
        return {name: v for name, v in zip(("clamp_min", "clamp_max"), bounds) if math.isfinite(v)}
    if out.dtype != "int8":
        raise Unsupported(f"it gives {out.dtype} and has a fused activation")
    return {
        name: word
        for name, word, widest in zip(("clamp_min", "clamp_max"), [_word(v, out.quant) for v in bounds], INT8_RANGE)
        if word != widest
    }


def _word(value, quant):
    if not math.isfinite(value):
        return INT8_RANGE[1]
    steps = float(np.float32(value) / np.float32(quant.scale[0]))
    word = math.copysign(math.floor(min(abs(steps), 1e6) + 0.5), steps) + quant.zero_point
    return int(min(max(word, INT8_RANGE[0]), INT8_RANGE[1]))


def _activations(site, k):
    """Input `k`, which must be of a type that the kernels with weights take."""
    tensor = site.spec(k)
    if tensor.dtype not in ("int8", "float32"):
        raise Unsupported(f"its input '{tensor.name}' is {tensor.dtype}")
    if tensor.dtype != site.declared().dtype:
        raise Unsupported(f"its input is {tensor.dtype} and its output {site.declared().dtype}")
    return site.input(k)


def _channels(site, k):
    shape = site.spec(k).shape
    if len(shape) != 4:
        raise ConversionError(f"its input has shape {shape}, needs 4 dimensions")
    return shape[3]


def _constant_of_rank(site, k, rank):
    tensor = site.spec(k)
    if not tensor.is_constant:
        raise Unsupported(f"its weights '{tensor.name}' are computed")
    if len(tensor.shape) != rank:
        raise ConversionError(f"its weights '{tensor.name}' have shape {tensor.shape}, need {rank} dimensions")
    return tensor


def _weights(site, k, *, rank, axis, shape=None, perm=None, new_axis=None, x=0):
    """Constant input `k` as the weights for activations `x`, in our layout; returns a draft tensor index.

    axis: the file's dimension that scales per channel must run along; new_axis: where `shape` or `perm` moves it.
    Weights in int8 beside float activations are made float: edgert does not quantise activations on the fly.
    """
    tensor, dtype = _constant_of_rank(site, k, rank), site.spec(x).dtype
    quant, draft = tensor.quant, site.draft
    if quant is not None and quant.axis not in (None, axis):
        raise Unsupported(f"its weights '{tensor.name}' are quantised along dimension {quant.axis}")
    if dtype != tensor.dtype and (dtype, tensor.dtype) != ("float32", "int8"):
        raise Unsupported(f"its activations are {dtype} and its weights {tensor.dtype}")
    if dtype == tensor.dtype and not shape and not perm:
        return site.input(k)
    array = draft.value(site.input(k))
    if dtype == "float32" and tensor.dtype == "int8":
        array, quant = dequantised(array, quant), None
    if perm:
        array = array.transpose(perm)
    if quant is not None and quant.axis is not None and new_axis is not None:
        quant = Quant(quant.scale, 0, new_axis)
    return draft.constant(tensor.name, array.reshape(shape or array.shape), quant)


def dequantised(array, quant):
    """float32 values of int8 words, per tensor or per channel."""
    scale = np.array(quant.scale, np.float32)
    if quant.axis is not None:
        scale = scale.reshape([-1 if axis == quant.axis else 1 for axis in range(array.ndim)])
    return (array.astype(np.float32) - np.float32(quant.zero_point)) * scale


def _bias(site, k, weight, c_out, x=0):
    """[bias] as a draft tensor index, [-1] where there is none."""
    if not site.has(k):
        return [-1]
    tensor, dtype = site.spec(k), "int32" if site.spec(x).dtype == "int8" else "float32"
    if not tensor.is_constant:
        raise Unsupported(f"its bias '{tensor.name}' is computed")
    if tensor.dtype != dtype:
        raise Unsupported(f"its bias '{tensor.name}' is {tensor.dtype}, not {dtype}")
    if tensor.size != c_out:
        raise ConversionError(f"its bias '{tensor.name}' has shape {tensor.shape}, needs {c_out} values")
    if dtype == "int32":
        _check_bias_scale(site, k, site.draft.tensors[weight].quant, site.spec(x).quant)
    if tensor.shape == (c_out,):
        return [site.input(k)]
    return [site.draft.constant(tensor.name, site.draft.value(site.input(k)).reshape(c_out))]


def _check_bias_scale(site, k, weight_quant, x_quant):
    """The bias is added to the products as it is, so it has to count in their unit: s_in * s_w."""
    scale, zero_point = site.file_tensors.bias_scale(site.inputs[k])
    if any(zero_point):
        raise Unsupported(f"its bias has zero point {max(zero_point, key=abs)}")
    expected = x_quant.scale[0] * np.array(weight_quant.scale)
    if len(scale) not in (1, len(expected)):
        return
    with np.errstate(all="ignore"):
        deviation = float(np.max(np.abs(np.array(scale) / expected - 1.0)))
    if not deviation <= 0.01:
        site.note(f"the bias scale is off by {100 * deviation:.3g} % from input scale times weight scale; words kept")


def _rows(site, x, c_in):
    """`x` flattened to rows of `c_in`."""
    tensor = site.draft.tensors[x]
    if c_in < 1 or tensor.size % c_in:
        raise ConversionError(f"its input {tensor.shape} does not divide into rows of {c_in}")
    shape = (tensor.size // c_in, c_in)
    return x if tensor.shape == shape else site.step("reshape", [x], shape=shape)


def _window(site, options, kh, kw, dilation_h, dilation_w):
    _channels(site, 0)
    _, height, width, _ = site.spec(0).shape
    stride_h, stride_w = _strides(options)
    if min(dilation_h, dilation_w) < 1:
        raise ConversionError(f"its dilation is {dilation_h} x {dilation_w}")
    attrs = {"stride_h": stride_h, "stride_w": stride_w}
    if (dilation_h, dilation_w) != (1, 1):
        attrs |= {"dilation_h": dilation_h, "dilation_w": dilation_w}
    top, bottom = _pads(height, kh, stride_h, dilation_h, options.padding)
    left, right = _pads(width, kw, stride_w, dilation_w, options.padding)
    return attrs | _nonzero(top, bottom, left, right)


def _pool(site, options):
    kh, kw = options.filter_height, options.filter_width
    if min(kh, kw) < 1:
        raise ConversionError(f"its window is {kh} x {kw}")
    return {"kh": kh, "kw": kw} | _window(site, options, kh, kw, 1, 1)


def _strides(options):
    if min(options.stride_h, options.stride_w) < 1:
        raise ConversionError(f"its stride is {options.stride_h} x {options.stride_w}")
    return options.stride_h, options.stride_w


def _pads(size, k, stride, dilation, padding):
    """(before, after) in one direction. Source: tensorflow/lite/kernels/padding.h, ComputePaddingHeightWidth."""
    if padding not in (SAME, VALID):
        raise ConversionError(f"its padding is {padding}, neither SAME nor VALID")
    if padding == VALID:
        return 0, 0
    out = -(-size // stride)
    total = max((out - 1) * stride + (k - 1) * dilation + 1 - size, 0)
    return total // 2, total - total // 2


def _nonzero(top, bottom, left, right):
    pads = {"pad_top": top, "pad_bottom": bottom, "pad_left": left, "pad_right": right}
    return {name: pad for name, pad in pads.items() if pad}
