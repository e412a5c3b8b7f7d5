"""An edgert graph as a traced PyTorch module over its quantised CPU kernels, so that it runs the same numbers.

Activations become quint8 and NCHW in channels-last memory, as those kernels want them.
"""

import warnings

import numpy as np
import torch
from peer_onnx import Unsupported
from torch.ao.nn import quantized

_SHIFT = 128  # from int8 words to uint8 words


def to_torch(graph):
    """A traced module from uint8 words (N, C, H, W) to uint8 words. Raises: Unsupported."""
    warnings.simplefilter("ignore")  # these kernels are deprecated, and what there is
    steps = [_MAKERS[node.op](graph, node) if node.op in _MAKERS else _refuse(node) for node in graph.nodes]
    spec = graph.tensors[graph.inputs[0]]
    shape = [spec.shape[0], spec.shape[3], *spec.shape[1:3]] if len(spec.shape) == 4 else list(spec.shape)
    module = _Module(graph, steps).eval()
    example = torch.zeros(shape, dtype=torch.uint8)
    if len(shape) == 4:
        example = example.contiguous(memory_format=torch.channels_last)
    with torch.no_grad():
        return torch.jit.trace(module, example, check_trace=False), example


class _Module(torch.nn.Module):
    def __init__(self, graph, steps):
        super().__init__()
        self.graph, self.steps = graph, steps
        self.layers = torch.nn.ModuleList(step for step in steps if isinstance(step, torch.nn.Module))

    def forward(self, words):
        scale, zero_point = _quant(self.graph, self.graph.inputs[0])
        values = {self.graph.inputs[0]: torch._make_per_tensor_quantized_tensor(words, scale, zero_point)}
        for node, step in zip(self.graph.nodes, self.steps):
            values[node.outputs[0]] = step(*[values[i] for i in node.inputs if i in values])
        return values[self.graph.outputs[0]].int_repr()


class _Layer(torch.nn.Module):
    """A convolution or linear layer; margin: pixels to add first, which its kernel cannot (it pads evenly)."""

    def __init__(self, layer, weight, bias, quant, margin, clamp):
        super().__init__()
        layer.set_weight_bias(weight, bias)
        layer.scale, layer.zero_point = quant
        self.layer, self.margin, self.clamp = layer, margin, clamp

    def forward(self, x):
        if self.margin:
            x = torch.nn.functional.pad(x, self.margin)
        return self.clamp(self.layer(x))


def _refuse(node):
    raise Unsupported(f"no quantised PyTorch operator for {node.op} here")


def _quant(graph, index):
    quant = graph.tensors[index].quant
    return float(quant.scale[0]), quant.zero_point + _SHIFT


def _weight(graph, node, transpose, shape):
    """(quantised weight, float bias)."""
    tensor, x = graph.tensors[node.inputs[1]], graph.tensors[node.inputs[0]]
    words = np.frombuffer(tensor.data, np.int8).reshape(tensor.shape).transpose(transpose).reshape(shape)
    words = torch.from_numpy(np.ascontiguousarray(words))
    scales = np.array(tensor.quant.scale, np.float64)
    if len(scales) == 1:
        weight = torch._make_per_tensor_quantized_tensor(words, float(scales[0]), tensor.quant.zero_point)
    else:
        zeros = torch.zeros(len(scales), dtype=torch.int64)
        weight = torch._make_per_channel_quantized_tensor(words, torch.from_numpy(scales), zeros, 0)
    bias = None
    if node.inputs[2] >= 0:
        bias = np.frombuffer(graph.tensors[node.inputs[2]].data, np.int32) * (scales * x.quant.scale[0])
        bias = torch.from_numpy(bias.astype(np.float32))
    return weight, bias


def _clamp(graph, node):
    """A function for the clamp that the words' own range does not do."""
    low, high = node.attrs.get("clamp_min", -128), node.attrs.get("clamp_max", 127)
    if (low, high) == (-128, 127):
        return lambda y: y
    scale, zero_point = _quant(graph, node.outputs[0])
    low, high = [(value + _SHIFT - zero_point) * scale for value in (low, high)]
    return lambda y: torch.clamp(y, low, high)


def _conv(graph, node):
    attrs, x = node.attrs, graph.tensors[node.inputs[0]]
    shape = graph.tensors[node.inputs[1]].shape
    if node.op == "depthwise_conv2d":
        kh, kw, channels = shape
        weight, bias = _weight(graph, node, (2, 0, 1), (channels, 1, kh, kw))
        groups = x.shape[3]
    else:
        out, kh, kw, depth = shape
        weight, bias = _weight(graph, node, (0, 3, 1, 2), (out, depth, kh, kw))
        groups = attrs.get("groups", 1)
    strides = [attrs.get("stride_h", 1), attrs.get("stride_w", 1)]
    dilations = [attrs.get("dilation_h", 1), attrs.get("dilation_w", 1)]
    top, bottom, left, right = [attrs.get(f"pad_{side}", 0) for side in ("top", "bottom", "left", "right")]
    even = top == bottom and left == right
    padding = [top, left] if even else [0, 0]
    layer = quantized.Conv2d(x.shape[3], len(weight), (kh, kw), strides, padding, dilations, groups)
    margin = None if even else (left, right, top, bottom)
    return _Layer(layer, weight, bias, _quant(graph, node.outputs[0]), margin, _clamp(graph, node))


def _linear(graph, node):
    weight, bias = _weight(graph, node, (0, 1), graph.tensors[node.inputs[1]].shape)
    layer = quantized.Linear(weight.shape[1], len(weight))
    return _Layer(layer, weight, bias, _quant(graph, node.outputs[0]), None, _clamp(graph, node))


def _add(graph, node):
    scale, zero_point = _quant(graph, node.outputs[0])
    clamp = _clamp(graph, node)
    return lambda a, b: clamp(torch.ops.quantized.add(a, b, scale, zero_point))


def _average(graph, node):
    if _quant(graph, node.inputs[0]) != _quant(graph, node.outputs[0]) and node.op != "reduce":
        raise Unsupported("an average pool that changes the scale")
    if node.op == "reduce":
        if (node.attrs["function"], node.attrs["axes"]) != ("mean", (1, 2)):
            raise Unsupported(f"reduce {node.attrs['function']} over {node.attrs['axes']}")
        keep = bool(node.attrs.get("keep_dims", 0))
        return lambda x: x.mean((2, 3), keep)
    attrs = node.attrs
    if any(attrs.get(f"pad_{side}", 0) for side in ("top", "bottom", "left", "right")):
        raise Unsupported("a padded average pool")
    kernel, strides = (attrs["kh"], attrs["kw"]), (attrs.get("stride_h", 1), attrs.get("stride_w", 1))
    return lambda x: torch.nn.functional.avg_pool2d(x, kernel, strides)


def _softmax(graph, node):
    scale, zero_point = _quant(graph, node.outputs[0])
    return lambda x: torch.ops.quantized.softmax(x, -1, scale, zero_point)


def _reshape(graph, node):
    """The words must keep their order although the layout changed: only where one side of NHWC is 1."""
    x, out = [graph.tensors[i].shape for i in (node.inputs[0], node.outputs[0])]
    if len(out) == 4 or (len(x) == 4 and x[1] * x[2] != 1):
        raise Unsupported("a reshape of pixels")
    return lambda value: value.reshape(out)


_MAKERS = {
    "conv2d": _conv,
    "depthwise_conv2d": _conv,
    "linear": _linear,
    "add": _add,
    "avg_pool2d": _average,
    "reduce": _average,
    "softmax": _softmax,
    "reshape": _reshape,
}
